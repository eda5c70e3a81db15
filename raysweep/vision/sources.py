"""Where the data sets come from: scikit-learn, the user's folder, a Debian package, the network."""

from __future__ import annotations

import fcntl
import gzip
import http.client
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raysweep.errors import TrainableError
from raysweep.vision.options import unknown

Arrays = tuple[Tensor, Tensor]  # images (N, C, H, W) uint8 or float32, labels (N,) int64
Source = tuple[Arrays, Arrays, tuple[str, ...]]  # training, validation, the names of the classes

DIGITS_VALIDATION = 297  # of 1,797, so that 1,500 are trained on and round batch sizes leave no odd one
TORCHVISION = {"fashion_mnist": "FashionMNIST", "mnist": "MNIST", "kmnist": "KMNIST", "cifar10": "CIFAR10"}
CLASSES = {  # as torchvision has them, which takes a second to import
    "fashion_mnist": ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                      "Ankle boot"),
    "mnist": ("0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven",
              "8 - eight", "9 - nine"),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}  # fmt: skip
NAMES = ("digits", *TORCHVISION)
DEBIAN = {"fashion_mnist": ("dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist"))}
IDX_FILES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
             "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}  # fmt: skip


def source(name: str, data_dir: Path) -> Source:
    """The data set `name`, whole and in its own order; its test set is the validation set.

    Raises:
        TrainableError: there is no such data set, none of the places has it, or a file of it is broken.
    """
    if name == "digits":
        return _digits()
    if name not in TORCHVISION:
        raise unknown("dataset", name, NAMES)
    if (found := _find(name, data_dir)) is None:
        _download(name, data_dir)
        found = _find(name, data_dir)
    if found is None:
        raise _missing(name, data_dir, "the download left no data")
    return found


def _digits() -> Source:
    """scikit-learn's 1,797 handwritten digits (the UCI set's test part), resized from 8x8 to 28x28.

    At 28x28, bilinear, every network for the MNIST family takes them as it is. Of each class one sixth
    is for validation, drawn once and for all.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    small = torch.tensor(images.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)  # 17 shades, 0 to 16
    large = torch.nn.functional.interpolate(small, size=(28, 28), mode="bilinear")
    train, validation = train_test_split(
        np.arange(len(labels)), test_size=DIGITS_VALIDATION, stratify=labels, random_state=0
    )
    classes = torch.tensor(labels, dtype=torch.int64)
    split = [(large[torch.from_numpy(part)], classes[torch.from_numpy(part)]) for part in (train, validation)]
    return split[0], split[1], tuple(str(digit) for digit in range(10))


def _find(name: str, data_dir: Path) -> Source | None:
    """What is in `data_dir`, else in the Debian package; None where neither has the data set."""
    if name == "cifar10":
        return _cifar10(data_dir)
    folders = [data_dir / TORCHVISION[name] / "raw"]
    if name in DEBIAN:
        folders.append(DEBIAN[name][1])
    for folder in folders:
        paths = [_idx_path(folder, file) for part in IDX_FILES.values() for file in part]
        if all(paths):
            images, labels, test_images, test_labels = (_read_idx(path) for path in paths if path)
            return _grey(images, labels), _grey(test_images, test_labels), CLASSES[name]
    return None


def _torchvision(name: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, TORCHVISION[name])


def _cifar10(data_dir: Path) -> Source | None:
    cifar = _torchvision("cifar10")
    try:  # it checks the files' MD5 sums before it unpickles them
        train, test = (cifar(data_dir, train=part) for part in (True, False))
    except RuntimeError:
        return None
    return _colour(train), _colour(test), tuple(train.classes)


def _colour(data: Any) -> Arrays:
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
    return images, torch.tensor(data.targets, dtype=torch.int64)


def _grey(images: Tensor, labels: Tensor) -> Arrays:
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise TrainableError(
            f"images of shape {tuple(images.shape)} and labels of shape {tuple(labels.shape)} do not belong "
            "together; remove the data set's folder, so that it is fetched again"
        )
    return images[:, None], labels.long()


def _idx_path(folder: Path, file: str) -> Path | None:
    candidates = (folder / file, folder / f"{file}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _read_idx(path: Path) -> Tensor:
    """Read an array of bytes in the IDX format, gzipped or not.

    Two zero bytes, the type (8 is uint8), the number of dimensions, the dimensions as big-endian
    uint32, the values (Yann LeCun, "The MNIST database", http://yann.lecun.com/exdb/mnist/).

    Raises:
        TrainableError: it cannot be read, or is not such a file, or not a whole one.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise TrainableError(f"{path} cannot be read: {error}") from error
    dimensions = content[3] if content[:3] == b"\x00\x00\x08" and len(content) > 3 else 0
    start = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    if not dimensions or len(content) - start != int(np.prod(shape)):
        raise TrainableError(f"{path} is not a whole IDX file; remove it, so that it is fetched again")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def _download(name: str, data_dir: Path) -> None:
    """Download into `data_dir`: one process at a time, and what is there under its name is whole."""
    try:
        with _locked(data_dir / f".{name}.lock"):
            if _find(name, data_dir) is None:
                _fetch(name, data_dir)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
        reason = str(error).strip() or type(error).__name__
        raise _missing(name, data_dir, reason) from error


def _fetch(name: str, data_dir: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=data_dir) as folder:
        _torchvision(name)(folder, download=True)
        for made in [path for path in Path(folder).iterdir() if path.is_dir()]:
            made.rename(data_dir / made.name)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _missing(name: str, data_dir: Path, reason: str) -> TrainableError:
    kind = TORCHVISION[name]
    folder = "cifar-10-batches-py" if name == "cifar10" else f"{kind}/raw"
    package = ""
    if name in DEBIAN:
        package = f"\n  - install Debian's package: apt-get install {DEBIAN[name][0]}"
    return TrainableError(
        f"the data set {name} is nowhere to be found. One of these is needed:\n"
        f"  - set data_dir to a folder that holds {folder} (now it is {data_dir}){package}\n"
        f"  - let it be downloaded into data_dir, which failed now: {reason}"
    )
