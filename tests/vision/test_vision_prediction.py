"""Trained networks come back as they were, and see images as they did in training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from raysweep.errors import StoreError, TrainableError
from raysweep.training.weights import export
from raysweep.vision import load, predict, train
from raysweep.vision.data import DataSet
from raysweep.vision.options import Options
from tests.fake_session import FakeSession

CONFIG = {"epochs": 2, "normalize": True, "network": "lenet_bn", "histograms": 0, "images": False, "graph": False}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> FakeSession:
    session = FakeSession(tmp_path_factory.mktemp("trained"))
    with session.trial():
        train(CONFIG)
    return session


@pytest.fixture
def checkpoint(trained: FakeSession) -> Path:
    return trained.checkpoints[-1]


def validation_images() -> tuple[torch.Tensor, torch.Tensor]:
    """The validation set as a user has it: not normalised."""
    plain = DataSet.load(Options()).validation
    return plain.__getitems__(list(range(len(plain))))


def test_predictions_are_the_trainings(trained: FakeSession, checkpoint: Path) -> None:
    images, labels = validation_images()
    prediction = predict(checkpoint, images)
    accuracy = float((prediction.labels == labels).double().mean())
    assert accuracy == pytest.approx(trained.column("val_accuracy")[-1])
    assert accuracy > 0.8
    assert (prediction.labels.dtype, prediction.probabilities.dtype) == (torch.int64, torch.float32)
    assert prediction.probabilities.shape == (297, 10)
    assert torch.allclose(prediction.probabilities.sum(1), torch.ones(297), atol=1e-5)
    assert prediction.names == tuple(str(label) for label in prediction.labels.tolist())
    assert prediction.classes == tuple("0123456789")


def test_export_loads_everywhere(checkpoint: Path, tmp_path: Path) -> None:
    written = tmp_path / "new" / "model.pt"
    export(checkpoint, CONFIG, written)
    assert [path.name for path in written.parent.iterdir()] == ["model.pt"]
    content = torch.load(written, weights_only=True)
    assert set(content) == {"network", "weights", "config"} and content["config"] == CONFIG
    images, _ = validation_images()
    expected = predict(checkpoint, images).probabilities
    for source in (checkpoint / "weights.pt", str(written), load(written)):
        assert torch.equal(predict(source, images).probabilities, expected)
    assert not load(written).training


def test_failed_export_leaves_the_old_file(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.pt").write_text("old")

    def full(_: object, path: Path) -> None:
        path.write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StoreError, match=r"model\.pt: cannot be written: No space left"):
        export(checkpoint, CONFIG, tmp_path / "model.pt")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model.pt", "old")]


def test_every_form_of_one_image(checkpoint: Path, tmp_path: Path) -> None:
    network = load(checkpoint)
    small = np.array(Image.fromarray(np.eye(28, dtype=np.uint8) * 255).resize((28, 28)))
    expected = predict(network, small)
    assert expected.probabilities.shape == (1, 10)
    Image.fromarray(small).save(tmp_path / "one.png")
    colour = Image.fromarray(small).convert("RGB")
    forms: list[Any] = [
        torch.from_numpy(small),
        torch.from_numpy(small)[None],
        torch.from_numpy(small)[None, None],
        torch.from_numpy(small) / 255,
        small.astype(np.float64) / 255,
        Image.fromarray(small),
        colour,
        tmp_path / "one.png",
        str(tmp_path / "one.png"),
    ]
    for form in forms:
        assert torch.allclose(predict(network, form).probabilities, expected.probabilities, atol=1e-6)
    assert predict(network, colour.resize((60, 90))).probabilities.shape == (1, 10)


def test_network_stays_in_its_mode(checkpoint: Path) -> None:
    network = load(checkpoint).train()
    images, _ = validation_images()
    one, other = predict(network, images[:5]), predict(network, images)
    assert network.training
    assert torch.allclose(one.probabilities, other.probabilities[:5], atol=1e-6)


def test_any_other_network() -> None:
    prediction = predict(nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), torch.rand(2, 3, 2, 2))
    assert prediction.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(2, 1, 8, 8), r"takes images of shape \(1, 28, 28\); these are of shape \(1, 8, 8\)"),
        (torch.rand(3, 28, 28), r"these are of shape \(3, 28, 28\)"),
        (torch.rand(28), r"given \(28,\)"),
        (torch.zeros(28, 28, dtype=torch.int64), "they are torch.int64"),
        (torch.full((28, 28), 200.0), r"must be in \[0, 1\]"),
        (-torch.ones(28, 28), r"must be in \[0, 1\]"),
        ([1, 2], "given list"),
        ("none.png", "the image none.png cannot be read"),
        (__file__, "cannot be read: cannot identify image file"),
    ],
)
def test_images_that_are_none(images: Any, message: str, checkpoint: Path) -> None:
    with pytest.raises(TrainableError, match=message):
        predict(checkpoint, images)


def test_what_is_no_network(checkpoint: Path, tmp_path: Path) -> None:
    def refused(path: Path, message: str) -> None:
        with pytest.raises(TrainableError, match=message):
            load(path)

    refused(tmp_path / "none.pt", "there is no .*none.pt")
    refused(tmp_path, r"has no weights\.pt")
    weights, description = (tmp_path / name for name in ("weights.pt", "network.json"))
    weights.write_bytes((checkpoint / "weights.pt").read_bytes())
    refused(weights, r"has no network\.json")
    description.write_text("{")
    refused(tmp_path, "network.json is not JSON")
    description.write_text("[]")
    refused(tmp_path, "does not describe a network")
    description.write_text("{}")
    refused(tmp_path, "does not describe a network .*KeyError: 'size'")
    values = json.loads((checkpoint / "network.json").read_text())
    description.write_text(json.dumps({**values, "network": "mlp"}))
    refused(tmp_path, "are not those of network 'mlp'")
    weights.write_bytes(b"not weights")
    refused(tmp_path, "does not hold weights that can be loaded")
    torch.save({"weights": 1}, tmp_path / "other.pt")
    refused(tmp_path / "other.pt", "holds no network and its weights")
    torch.save(nn.Linear(1, 1), tmp_path / "pickled.pt")
    refused(tmp_path / "pickled.pt", "does not hold weights that can be loaded")
