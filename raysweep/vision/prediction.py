"""Trained networks in use: load them, put them in one file, classify images."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from raysweep.errors import TrainableError
from raysweep.training.weights import NETWORK, WEIGHTS, loaded
from raysweep.vision.data import pixels
from raysweep.vision.description import Description
from raysweep.vision.networks import build
from raysweep.vision.training import evaluating

if TYPE_CHECKING:
    from PIL.Image import Image


BATCH = 1000  # images that go through the network at once


@dataclass(frozen=True)
class Prediction:
    """What a network sees in N images.

    Attributes:
        labels: (N,) int64, each image's most probable class.
        probabilities: (N, classes) float32, of every class.
        names: the name of each image's most probable class.
        classes: the names of all classes, by label.
    """

    labels: Tensor
    probabilities: Tensor
    names: tuple[str, ...]
    classes: tuple[str, ...]


def load(path: str | os.PathLike[str]) -> nn.Module:
    """The trained network, on the CPU, in evaluation mode.

    Args:
        path: a folder with weights.pt and network.json, such as a checkpoint; the weights.pt in it; or
            a file that `raysweep best RUN --export` wrote.

    Raises:
        TrainableError: there is nothing such, or its network cannot be built again.
    """
    description, weights = _parts(Path(path))
    network = build(description)
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise TrainableError(
            f"the weights in {path} are not those of network {description.network!r}: {error}"
        ) from error
    network.raysweep = description  # type: ignore[assignment]  # for predict(); no tensor, so not in its state
    return network.eval()


def predict(network: nn.Module | str | os.PathLike[str], images: Any) -> Prediction:
    """Classify one image or a batch.

    Args:
        network: what load() returned, or takes. Any other torch.nn.Module gets the images as they are,
            in [0, 1] and not normalised, and its classes are named by their numbers.
        images: a tensor or array, uint8 or floats in [0, 1], (H, W), (C, H, W) or (N, C, H, W), of the
            size the network was trained on; or a PIL image or the path of an image file, which is
            resized and, for a network of grey images, made grey.

    Raises:
        TrainableError: there is no such network or file, or the images are not such ones.
    """
    model = network if isinstance(network, nn.Module) else load(network)
    description = getattr(model, "raysweep", None)
    known = description if isinstance(description, Description) else None
    batch = _prepared(_tensor(images, known), known)
    device = next((parameter.device for parameter in model.parameters()), batch.device)
    with evaluating(model):
        scores = torch.cat([model(part.to(device)).float().cpu() for part in torch.split(batch, BATCH)])
    probabilities = scores.softmax(dim=1)
    labels = probabilities.argmax(dim=1)
    classes = known.classes if known else tuple(map(str, range(scores.shape[1])))
    return Prediction(labels, probabilities, tuple(classes[label] for label in labels.tolist()), classes)


def _parts(path: Path) -> tuple[Description, dict[str, Tensor]]:
    """What network it is, and its weights, in a folder or an exported file."""
    folder = path.parent if path.name == WEIGHTS else path
    if folder.is_dir():
        for name in (WEIGHTS, NETWORK):
            if not (folder / name).is_file():
                raise TrainableError(f"{folder} has no {name}, so there is no network to load from it")
        return _read_description(folder / NETWORK), _read(folder / WEIGHTS)
    if not path.is_file():
        raise TrainableError(f"there is no {path}; give a checkpoint's folder or an exported file")
    exported = _read(path)
    if not isinstance(exported, dict) or not {"network", "weights"} <= set(exported):
        raise TrainableError(f"{path} holds no network and its weights, as an exported file does")
    return Description.from_json(exported["network"], path), exported["weights"]


def _read_description(path: Path) -> Description:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainableError(f"{path} is not JSON: {error}") from error
    return Description.from_json(values, path)


def _read(path: Path) -> Any:
    try:
        return loaded(path)
    except ValueError as error:
        raise TrainableError(f"{path} does not hold weights that can be loaded: {error}") from None


def _tensor(images: Any, known: Description | None) -> Tensor:
    """The images as they came, as (N, C, H, W)."""
    if isinstance(images, (str, os.PathLike)):
        images = _opened(Path(images))
    if not isinstance(images, (Tensor, np.ndarray)) and hasattr(images, "convert"):
        return _from_pil(images, known)
    if not isinstance(images, (Tensor, np.ndarray)) or images.ndim not in (2, 3, 4):
        given = tuple(images.shape) if hasattr(images, "shape") else type(images).__name__
        raise TrainableError(
            f"images must be of shape (H, W), (C, H, W) or (N, C, H, W), a PIL image or a file; given {given}"
        )
    tensor = torch.as_tensor(images)
    return tensor.reshape((1,) * (4 - tensor.ndim) + tuple(tensor.shape))


def _opened(path: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, UnidentifiedImageError) as error:
        raise TrainableError(f"the image {path} cannot be read: {error}") from error


def _from_pil(image: Image, known: Description | None) -> Tensor:
    grey = known.channels == 1 if known else image.mode in ("1", "L")
    converted = image.convert("L" if grey else "RGB")
    if known is not None and converted.size != (known.size[1], known.size[0]):
        converted = converted.resize((known.size[1], known.size[0]), resample=2)  # bilinear
    values = torch.from_numpy(np.array(converted))
    return values[None, None] if grey else values.permute(2, 0, 1)[None]


def _prepared(images: Tensor, known: Description | None) -> Tensor:
    """float32 in [0, 1], normalised as the network was trained."""
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TrainableError(f"images must be uint8 or floats in [0, 1]; they are {images.dtype}")
    ready = pixels(images)
    if known is None:
        return ready
    if tuple(ready.shape[1:]) != (known.channels, *known.size):
        wanted = (known.channels, *known.size)
        raise TrainableError(f"the network takes images of shape {wanted}; these are of shape {tuple(ready.shape[1:])}")
    if ready.numel() and bool((ready.min() < 0) | (ready.max() > 1)):
        raise TrainableError(
            "float images must be in [0, 1], before any normalising; divide by 255 what is in [0, 255]"
        )
    return ready if known.normalize is None else known.normalize.normalized(ready)
