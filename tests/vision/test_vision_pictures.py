"""A folder of pictures is a data set: decoded once where it fits, else as they are needed, with the same numbers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from raysweep.errors import TrainableError
from raysweep.vision import pictures, train
from raysweep.vision.data import DataSet
from raysweep.vision.options import Options
from tests.fake_session import FakeSession, without_times

CLASSES = ("cat", "dog", "elk")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """12 coloured pictures of 20x24 pixels in each of three classes."""
    random = np.random.default_rng(0)
    for kind in CLASSES:
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for index in range(12):
            values = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / "pets" / kind / f"{index}.png")
    return tmp_path / "pets"


def load(folder: Path, **options: Any) -> DataSet:
    return DataSet.load(Options.of({"dataset": f"folder:{folder}", **options}))


def test_the_pictures_are_those_of_torchvisions_image_folder(folder: Path) -> None:
    data = load(folder)
    assert (data.classes, data.channels, data.size) == (CLASSES, 3, (20, 24))
    assert (len(data.train), len(data.validation)) == (30, 6)
    ours = {
        (image.mul(255).round().byte().numpy().tobytes(), int(label))
        for part in (data.train, data.validation)
        for image, label in (part[index] for index in range(len(part)))
    }
    theirs = {(np.asarray(image).transpose(2, 0, 1).tobytes(), label) for image, label in ImageFolder(str(folder))}
    assert ours == theirs
    assert {int(label) for _, label in (data.validation[index] for index in range(6))} == {0, 1, 2}


@pytest.mark.parametrize("name", ["val", "validation", "test"])
def test_parts_may_have_folders_of_their_own(folder: Path, name: str, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "parted/train")
    shutil.copytree(folder, tmp_path / "parted" / name)
    data = load(tmp_path / "parted")
    assert (len(data.train), len(data.validation), data.classes) == (36, 36, CLASSES)


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_pictures_have_the_same_numbers(
    folder: Path, workers: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = {"dataset": f"folder:{folder}", "image_size": 16, "network": "mlp", "normalize": True, "epochs": 2}
    sessions = []
    for share in (pictures.SHARE, 0.0):
        monkeypatch.setattr(pictures, "SHARE", share)
        sessions.append(FakeSession(tmp_path / str(share)))
        with sessions[-1].trial():
            train({**config, "batch_size": 8, "num_workers": workers if share == 0 else 0})
    assert without_times(sessions[0].reports) == without_times(sessions[1].reports)
    assert isinstance(load(folder).train._images, pictures.Pictures)
    monkeypatch.undo()
    assert isinstance(load(folder).train._images, torch.Tensor)


def test_pictures_of_many_sizes_are_brought_to_one(folder: Path) -> None:
    Image.new("RGB", (50, 100), (255, 0, 0)).save(folder / "dog/tall.jpg")
    with pytest.raises(TrainableError, match=r"tall\.jpg is of 100x50 pixels, .* of 20x24; set image_size, to which"):
        load(folder)
    data = load(folder, image_size=32, limit=5)
    assert data.size == (32, 32)
    assert len(data.train) == 5


def test_grey_pictures_have_one_channel(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert load(folder).channels == 1


def test_a_picture_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "elk/3.png").write_bytes((folder / "elk/3.png").read_bytes()[:60])
    with pytest.raises(TrainableError, match=r"the picture .*elk/3\.png cannot be read: .*; remove it, or replace it"):
        load(folder)


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    for name in ("nowhere", "empty", "half"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        (tmp_path / "half/train/cat").mkdir(parents=True, exist_ok=True)
        with pytest.raises(TrainableError, match=r"must be a folder that has train and val, each with a folder of"):
            load(tmp_path / name)
    (tmp_path / "bare/cat").mkdir(parents=True)
    with pytest.raises(TrainableError, match=r"bare has no pictures in its classes' folders \(cat\)"):
        load(tmp_path / "bare")
