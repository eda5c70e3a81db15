"""The data set of a folder of pictures, decoded once into memory where they fit, else whenever they are asked for."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import TrainableError

FOLDER = "folder:"  # what such a data set's name begins with
TRAIN, VALIDATION = "train", ("val", "validation", "test")  # the folders of its parts; of the latter the first there is
SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}  # as torchvision's ImageFolder
SHARE = 0.5  # of what is free of memory, and of the disk that shared data are on, which decoded pictures may take
SAMPLE = 500  # pictures that tell whether there are colours
HELD_OUT = 5  # of each class one picture in so many is for validation, where no folder is


@dataclass(frozen=True)
class Pictures:
    """Pictures in files, which are decoded when they are taken: `pictures[indices]` is a tensor (N, C, H, W), uint8.

    Attributes:
        folder: that they are in.
        files: their paths in it, an array of text.
        size: height and width that each is brought to; see `opened`.
        channels: 1 or 3.
        is_exact: whether the size was not asked for, so that a picture of another one is an error.
    """

    folder: Path
    files: Any
    size: tuple[int, int]
    channels: int
    is_exact: bool

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor of all of them."""
        return (len(self), self.channels, *self.size)

    def __getitem__(self, which: Tensor | slice) -> Tensor:
        chosen = self.files[which if isinstance(which, slice) else which.numpy()]
        decoded = torch.empty((len(chosen), self.channels, *self.size), dtype=torch.uint8)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # decoding lets go of the interpreter
            for index, picture in enumerate(pool.map(self._decoded, chosen)):
                decoded[index] = picture
        return decoded

    def first(self, count: int) -> Pictures:
        """So many of them."""
        return replace(self, files=self.files[:count])

    def fit(self, others: Pictures) -> bool:
        """Whether these and others may all be decoded into memory."""
        return sum(int(np.prod(part.shape)) for part in (self, others)) < SHARE * _free()

    def _decoded(self, file: str) -> Tensor:
        image = opened(self.folder / file, self.channels, None if self.is_exact else self.size)
        if image.shape[1:] != self.size:
            raise TrainableError(
                f"{self.folder / file} is of {image.shape[1]}x{image.shape[2]} pixels, and the first picture of "
                f"{self.size[0]}x{self.size[1]}; set image_size, to which all are brought"
            )
        return image


def opened(path: Path, channels: int, size: tuple[int, int] | None) -> Tensor:
    """A picture, (C, H, W) uint8; where it is to have a size, it is scaled to cover that, and its middle is kept.

    Raises:
        TrainableError: it cannot be read.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            converted = image.convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise TrainableError(f"the picture {path} cannot be read: {error}; remove it, or replace it") from error
    if size is not None:
        converted = ImageOps.fit(converted, (size[1], size[0]), Image.Resampling.BILINEAR)
    values = torch.from_numpy(np.array(converted))
    return values[None] if channels == 1 else values.permute(2, 0, 1)


def pictures(name: str, image_size: int | None) -> tuple[tuple[Pictures, Tensor], tuple[Pictures, Tensor], list[str]]:
    """The two parts of "folder:PATH" with their labels, and the names of the classes.

    PATH has folders train and val of a folder for each class, or those of the classes themselves, of which a fifth is
    held out. The order is drawn once and for all.

    Raises:
        TrainableError: there is no such folder, or it is laid out differently, or its first picture cannot be read.
    """
    root = Path(name.removeprefix(FOLDER)).expanduser().absolute()
    there = _folders(root) if root.is_dir() else []
    held_out = next((part for part in VALIDATION if part in there), None)
    if not there or (TRAIN in there) != (held_out is not None):
        raise TrainableError(
            f"dataset {name!r}: {root} must be a folder that has train and val, each with a folder of pictures for "
            "each class, or the folders of the classes themselves"
        )
    if held_out is None:
        files, labels, classes = _labelled(root, there)
        split = _split(labels)
        parts = [(files[part], labels[part]) for part in split]
        folders = [root, root]
    else:
        classes = _folders(root / TRAIN)
        folders = [root / TRAIN, root / held_out]
        parts = [_labelled(folder, classes)[:2] for folder in folders]
    shape = _shape(folders[0], parts[0][0], image_size)
    made = [
        Pictures(folder, files, *shape, image_size is None) for folder, (files, _) in zip(folders, parts, strict=True)
    ]
    train, validation = ((part, torch.from_numpy(labels)) for part, (_, labels) in zip(made, parts, strict=True))
    return train, validation, classes


def _labelled(folder: Path, classes: Sequence[str]) -> tuple[Any, Any, list[str]]:
    """Files and labels of a part, in an order that is drawn."""
    found = [(f"{kind}/{file}", label) for label, kind in enumerate(classes) for file in _files(folder / kind)]
    if not found:
        raise TrainableError(f"{folder} has no pictures in its classes' folders ({', '.join(classes)})")
    order = np.random.default_rng(0).permutation(len(found))
    files, labels = np.array([file for file, _ in found]), np.array([label for _, label in found], dtype=np.int64)
    return files[order], labels[order], list(classes)


def _split(labels: Any) -> tuple[Any, Any]:
    """Which are trained on, and which held out: the first fifth of each class, one at the least."""
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        where = np.flatnonzero(labels == label)
        held_out[where[: max(1, len(where) // HELD_OUT)]] = True
    return ~held_out, held_out


def _shape(folder: Path, files: Any, image_size: int | None) -> tuple[tuple[int, int], int]:
    from PIL import Image

    def mode(file: str) -> str:
        try:
            with Image.open(folder / file) as image:  # which reads no more than its head
                return image.mode
        except (OSError, ValueError):
            return "L"  # decoding it will tell

    sample = files[:: max(1, len(files) // SAMPLE)]
    channels = 1 if all(mode(file) in ("1", "L") for file in sample) else 3
    if image_size is not None:
        return (image_size, image_size), channels
    _, height, width = opened(folder / files[0], channels, None).shape
    return (height, width), channels


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    found = (Path(place, file).relative_to(folder) for place, _, files in os.walk(folder) for file in files)
    return sorted(str(file) for file in found if file.suffix.lower() in SUFFIXES)


def _free() -> int:
    """Bytes that are free, or can be made so, both in memory and where Ray has its files."""
    disk = shutil.disk_usage(tempfile.gettempdir()).free
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return min(disk, int(line.split()[1]) * 1024)
    return 0
