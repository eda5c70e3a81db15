"""The networks: the tutorial's, torchvision's, the user's own."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raysweep.errors import TrainableError
from raysweep.vision.description import Description
from raysweep.vision.options import unknown
from raysweep.vision.zoo import zoo_names, zoo_network

HIDDEN = (128, 64)  # mlp's layers, where `hidden` says nothing


class LeNet(nn.Module):
    """The convolutional network of the deeplizard tutorial for Fashion-MNIST, after LeCun's LeNet-5.

    Two times convolution 5x5, ReLU, max-pool 2 (6 and 12 channels), then linear layers of 120, 60 and
    the number of classes; on 28x28 the first of them takes 12 * 4 * 4 = 192 values.

    With batch normalisation it is the tutorial's second network: one after the first pooling
    (6 channels), one after the first linear layer's ReLU (120 values).

    Args:
        channels: of the images.
        size: their height and width, 16 or more.
        classes: how many there are.
        batch_norm: whether to normalise batches.
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int, batch_norm: bool = False) -> None:
        super().__init__()
        height, width = (((pixels - 4) // 2 - 4) // 2 for pixels in size)
        self.conv1 = nn.Conv2d(channels, 6, kernel_size=5)
        self.bn1 = nn.BatchNorm2d(6) if batch_norm else nn.Identity()
        self.conv2 = nn.Conv2d(6, 12, kernel_size=5)
        self.fc1 = nn.Linear(12 * height * width, 120)
        self.bn2 = nn.BatchNorm1d(120) if batch_norm else nn.Identity()
        self.fc2 = nn.Linear(120, 60)
        self.out = nn.Linear(60, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to the classes' scores (N, classes)."""
        values = self.bn1(nn.functional.max_pool2d(nn.functional.relu(self.conv1(images)), 2))
        values = nn.functional.max_pool2d(nn.functional.relu(self.conv2(values)), 2)
        values = self.bn2(nn.functional.relu(self.fc1(values.flatten(1))))
        scores: Tensor = self.out(nn.functional.relu(self.fc2(values)))
        return scores


def _lenet(description: Description) -> nn.Module:
    return LeNet(description.channels, description.size, len(description.classes))


def _lenet_bn(description: Description) -> nn.Module:
    return LeNet(description.channels, description.size, len(description.classes), batch_norm=True)


def _mlp(description: Description) -> nn.Module:
    """Linear layers with ReLU between them, on the flattened image."""
    inputs = description.channels * description.size[0] * description.size[1]
    sizes = (inputs, *(description.hidden or HIDDEN))
    layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], len(description.classes)))


NETWORKS: dict[str, Callable[[Description], nn.Module]] = {
    "lenet": _lenet,
    "lenet_bn": _lenet_bn,
    "mlp": _mlp,
}


def build(description: Description, pretrained: bool = False) -> nn.Module:
    """A new network, on the CPU, in training mode; it is tried on one blank image.

    Args:
        description: which one.
        pretrained: whether a torchvision network starts from its ImageNet weights.

    Raises:
        TrainableError: there is no such network, it takes no such images or knows not as many classes,
            it has no `hidden` layers to size or no weights to start from, or these cannot be downloaded.
    """
    name = description.network
    in_zoo = name not in NETWORKS and ":" not in name and name in zoo_names()  # which imports torchvision
    if pretrained and not in_zoo:
        raise TrainableError(f"pretrained is for torchvision's networks; {name!r} has no pretrained weights")
    if description.hidden is not None and name != "mlp":
        raise TrainableError(f"hidden sizes the layers of network 'mlp'; {name!r} has none of these")
    if name in NETWORKS:
        network = _constructed(name, lambda: NETWORKS[name](description))
    elif in_zoo:
        network = zoo_network(name, description.channels, len(description.classes), pretrained)
    elif ":" in name:
        network = _own(name, description)
    else:
        raise unknown("network", name, (*NETWORKS, *zoo_names()))
    _try(network, description)
    return network


def _own(name: str, description: Description) -> nn.Module:
    """The network of "file.py:Class"."""
    made = _own_class(name)
    offered = {"in_channels": description.channels, "num_classes": len(description.classes)}
    try:
        taken = set(inspect.signature(made).parameters)
    except (TypeError, ValueError):  # it has no signature, or is not to be called
        taken = set()
    given = {key: value for key, value in offered.items() if key in taken}
    network = _constructed(name, lambda: made(**given))
    if not isinstance(network, nn.Module):
        raise TrainableError(f"network {name!r} makes a {type(network).__name__}, not a torch.nn.Module")
    return network


def _own_class(name: str) -> Any:
    file, _, attribute = name.rpartition(":")
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise TrainableError(f"network {name!r}: there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"_raysweep_network_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise TrainableError(f"network {name!r}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TrainableError(f"network {name!r}: {path} cannot be imported: {_text(error)}") from error
    if not hasattr(module, attribute):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise unknown(f"class in {path}:", attribute, classes)
    return getattr(module, attribute)


def _constructed(name: str, construct: Callable[[], nn.Module]) -> nn.Module:
    try:
        return construct()
    except Exception as error:  # a user's class may raise anything
        raise TrainableError(f"network {name!r} cannot be constructed: {_text(error)}") from error


def _try(network: nn.Module, description: Description) -> None:
    """One blank image through the network: better now, and with a name, than in the first step.

    In evaluation mode, and with the random state put back: the training starts as if this had not been.
    """
    shape = (1, description.channels, *description.size)
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            scores = network(torch.zeros(shape))
    except Exception as error:  # a user's network may raise anything
        raise TrainableError(
            f"network {description.network!r} takes no images of {_size(description)}: {_text(error)}"
        ) from error
    finally:
        network.train()
    if not isinstance(scores, Tensor) or scores.shape != (1, len(description.classes)):
        given = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise TrainableError(
            f"network {description.network!r} must give scores of shape (N, {len(description.classes)}), "
            f"one for each class; for one image it gave {given}"
        )


def _size(description: Description) -> str:
    height, width = description.size
    return f"{height}x{width} pixels and {description.channels} channel{'s' * (description.channels > 1)}"


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
