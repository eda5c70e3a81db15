"""torchvision's networks, made to fit other images and classes than ImageNet's."""

from __future__ import annotations

import http.client
from functools import cache
from typing import Any

import torch
from torch import nn

from raysweep.errors import TrainableError

# Their second heads, for training from scratch on ImageNet, make them return tuples.
TWO_HEADED = ("googlenet", "inception_v3")


@cache
def zoo_names() -> frozenset[str]:
    """The names of torchvision.models' image classifiers."""
    from torchvision import models

    return frozenset(models.list_models(module=models))


def zoo_network(name: str, channels: int, classes: int, pretrained: bool = False) -> nn.Module:
    """A network of torchvision.models, of which the first and the last layer are fitted.

    Args:
        name: one of `zoo_names()`.
        channels: of the images. For other than 3 the first convolution is a new one; of a pretrained
            network it gets the weights that see a grey image as the old one saw it in three channels.
        classes: how many there are; the last layer of a pretrained network is a new one.
        pretrained: whether to start from its ImageNet weights (torchvision's "DEFAULT" ones).

    Raises:
        TrainableError: the weights cannot be downloaded.
    """
    network = _pretrained(name) if pretrained else _fresh(name, classes)
    if pretrained:
        _replace_head(network, classes)
    if channels != 3:
        _replace_stem(network, channels, pretrained)
    if hasattr(network, "transform_input"):
        network.transform_input = False  # type: ignore[assignment]  # it works on three channels only
    return network


def _fresh(name: str, classes: int) -> nn.Module:
    network: nn.Module = _get_model(name, weights=None, num_classes=classes, **_one_head(name, True))
    return network


def _pretrained(name: str) -> nn.Module:
    try:
        network: nn.Module = _get_model(name, weights="DEFAULT", **_one_head(name, False))
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise TrainableError(
            f"the pretrained weights of {name} are not in {torch.hub.get_dir()}/checkpoints and cannot be "
            f"downloaded ({error}); put the file there, or set pretrained to false"
        ) from error
    return network


def _get_model(name: str, **arguments: Any) -> Any:
    from torchvision import models

    return models.get_model(name, **arguments)


def _one_head(name: str, fresh: bool) -> dict[str, bool]:
    if name not in TWO_HEADED:
        return {}
    return {"aux_logits": False} | ({"init_weights": True} if fresh else {})


def _replace_head(network: nn.Module, classes: int) -> None:
    """A new last layer; SqueezeNet's is a convolution of 1x1."""
    kind = nn.Linear if any(isinstance(module, nn.Linear) for module in network.modules()) else nn.Conv2d
    path, head = [(path, module) for path, module in network.named_modules() if isinstance(module, kind)][-1]
    if isinstance(head, nn.Linear):
        _put(network, path, nn.Linear(head.in_features, classes, bias=head.bias is not None))
    elif isinstance(head, nn.Conv2d):
        _put(network, path, nn.Conv2d(head.in_channels, classes, kernel_size=1))
    if hasattr(network, "num_classes"):
        network.num_classes = classes  # type: ignore[assignment]  # DenseNet and others only note it


def _replace_stem(network: nn.Module, channels: int, keep: bool) -> None:
    """A first convolution for `channels`, otherwise like the old one."""
    convolutions = ((path, module) for path, module in network.named_modules() if isinstance(module, nn.Conv2d))
    path, old = next(convolutions)
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]  # torch's own attribute is typed wider
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    if keep:
        with torch.no_grad():
            new.weight.copy_(old.weight.sum(dim=1, keepdim=True) / channels)
            if old.bias is not None and new.bias is not None:
                new.bias.copy_(old.bias)
    _put(network, path, new)


def _put(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, module)
