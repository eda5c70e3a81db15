from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def in_one_thread(one_thread: None) -> None:
    """All of these tests train."""


def idx(array: np.ndarray[Any, Any]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def write_idx() -> Callable[..., None]:
    """Writes a data set of 60 + 20 random images of the MNIST family, gzipped or not."""

    def write(folder: Path, zipped: bool = True) -> None:
        folder.mkdir(parents=True)
        random = np.random.default_rng(0)
        for part, size in (("train", 60), ("t10k", 20)):
            content = {
                f"{part}-images-idx3-ubyte": idx(random.integers(0, 256, (size, 28, 28))),
                f"{part}-labels-idx1-ubyte": idx(random.integers(0, 10, size)),
            }
            for name, values in content.items():
                data = gzip.compress(values, mtime=0) if zipped else values
                (folder / (name + ".gz" * zipped)).write_bytes(data)

    return write
