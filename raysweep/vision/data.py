"""Images in memory, and the batches of them that a network is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from raysweep.errors import TrainableError
from raysweep.training.reporting import shared
from raysweep.vision.options import Options
from raysweep.vision.pictures import FOLDER, Pictures, pictures
from raysweep.vision.sources import source

MEASURED = 2000  # pictures of a folder that its statistics are of, so that they are the same wherever it fits
Part = tuple[Tensor | Pictures, Tensor]  # images (N, C, H, W) uint8 or float32, or in files; labels (N,) int64
Batch = tuple[Tensor, Tensor]  # images (N, C, H, W) float32, labels (N,) int64
Collated = TypeVar("Collated")


@dataclass(frozen=True)
class Statistics:
    """The mean and the standard deviation of each channel, of pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalized(self, images: Tensor) -> Tensor:
        """(images - mean) / std, per channel.

        Args:
            images: (N, C, H, W) float32.
        """
        shape = (1, len(self.mean), 1, 1)
        mean, std = (images.new_tensor(values).reshape(shape) for values in (self.mean, self.std))
        return (images - mean) / std


def pixels(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1], uint8 as torchvision's ToTensor makes them: divided by 255."""
    return images.float().div(255) if images.dtype == torch.uint8 else images.float()


def statistics(images: Tensor) -> Statistics:
    """The statistics of each channel over all images, as `images.mean()` and `images.std()` have them.

    The standard deviation is the sample's, which divides by n - 1. A channel that is the same
    everywhere gets 1, so that normalising leaves it finite.

    Args:
        images: (N, C, H, W), uint8 or float32 in [0, 1].
    """
    channels = [_moments(images[:, channel]) for channel in range(images.shape[1])]
    return Statistics(tuple(mean for mean, _ in channels), tuple(std or 1.0 for _, std in channels))


def _moments(channel: Tensor) -> tuple[float, float]:
    """Mean and standard deviation in float64; of uint8 through the count of each of the 256 values."""
    if channel.dtype == torch.uint8:
        counts = torch.bincount(channel.flatten(), minlength=256).double()
        values = torch.arange(256, dtype=torch.float64) / 255
    else:
        values = channel.flatten().double()
        counts = torch.ones_like(values)
    size = float(counts.sum())
    mean = float(counts @ values) / size
    spread = float(counts @ (values - mean) ** 2)
    return mean, (spread / max(size - 1, 1)) ** 0.5


@dataclass(frozen=True)
class Preparing:
    """How inputs are made of stored images (..., C, H, W): scaled to [0, 1], and normalised where that is asked."""

    normalize: Statistics | None

    def __call__(self, images: Tensor) -> Tensor:
        """The inputs."""
        ready = pixels(images)
        return ready if self.normalize is None else self.normalize.normalized(ready)


class Images(Dataset[tuple[Tensor, int]]):
    """Images of one data set with their labels, all in memory.

    A DataLoader takes whole batches out of it by one index operation, through `__getitems__`: the same
    batches as from torchvision's data set with ToTensor and Normalize, many times faster.

    Args:
        arrays: images (N, C, H, W), uint8 or float32 in [0, 1], or `Pictures`, and labels (N,) int64.
        normalize: what to normalise batches by; None to leave them in [0, 1].

    Attributes:
        prepare: how batches are made of what is stored.
    """

    def __init__(self, arrays: Part, normalize: Statistics | None = None) -> None:
        self._images, self._labels = arrays
        self.prepare = Preparing(normalize)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        images, labels = self.__getitems__([index])
        return images[0], int(labels[0])

    def __getitems__(self, indices: list[int]) -> Batch:
        chosen = torch.tensor(indices)
        return self.prepare(self._images[chosen]), self._labels[chosen]

    def slices(self, size: int) -> Iterator[Batch]:
        """All images in order, in batches of `size`. Draws no random numbers; a DataLoader draws one."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self.prepare(self._images[part]), self._labels[part]

    @property
    def stored(self) -> Batch | None:
        """All images as they are stored, with their labels; None where they are in files."""
        return (self._images, self._labels) if isinstance(self._images, Tensor) else None

    def loader(self, batch_size: int, shuffle: bool, num_workers: int = 0) -> DataLoader[tuple[Tensor, int]]:
        """An ordinary DataLoader; its batches are (images, labels)."""
        return DataLoader(self, batch_size=batch_size, shuffle=shuffle, num_workers=num_workers, collate_fn=_as_it_is)


def _as_it_is(batch: Collated) -> Collated:
    return batch


@dataclass(frozen=True)
class DataSet:
    """A data set as a training needs it.

    Attributes:
        train: what is trained on.
        validation: what is validated on.
        classes: the names of the classes, by label.
        channels: 1 for grey images, 3 for colour.
        size: the images' height and width in pixels.
        normalize: what both parts are normalised by; None where they are in [0, 1].
    """

    train: Images
    validation: Images
    classes: tuple[str, ...]
    channels: int
    size: tuple[int, int]
    normalize: Statistics | None

    @classmethod
    def load(cls, options: Options) -> DataSet:
        """The data set that `options` names.

        Raises:
            TrainableError: see `raysweep.vision.sources.source`.
        """
        data_dir = Path(options.data_dir).expanduser().absolute()
        train, validation, classes, measured = shared(
            _load, options.dataset, data_dir, options.limit, options.image_size
        )
        normalize = measured if options.normalize else None
        _, channels, height, width = train[0].shape
        return cls(
            train=Images(train, normalize),
            validation=Images(validation, normalize),
            classes=classes,
            channels=channels,
            size=(height, width),
            normalize=normalize,
        )


def _load(
    name: str, data_dir: Path, limit: int | None, image_size: int | None
) -> tuple[Part, Part, tuple[str, ...], Statistics]:
    is_folder = name.startswith(FOLDER)
    if image_size is not None and not is_folder:
        raise TrainableError(f'image_size is for pictures, dataset "{FOLDER}PATH"; those of {name!r} have their size')
    train: Part
    validation: Part
    train, validation, classes = pictures(name, image_size) if is_folder else source(name, data_dir)
    if limit is not None:
        train, validation = _first(train, limit), _first(validation, max(1, limit // 5))
    train, validation = _decoded(train, validation)
    return train, validation, tuple(classes), statistics(train[0][:MEASURED] if is_folder else train[0][:])


def _decoded(train: Part, validation: Part) -> tuple[Part, Part]:
    """Both parts in memory, if there is room for them; else as they came."""
    files, others = train[0], validation[0]
    if isinstance(files, Tensor) or isinstance(others, Tensor) or not files.fit(others):
        return train, validation
    return (files[:], train[1]), (others[:], validation[1])


def _first(arrays: Part, count: int) -> Part:
    images, labels = arrays
    some = images[:count].clone() if isinstance(images, Tensor) else images.first(count)
    return some, labels[:count].clone()  # a clone lets go of the rest
