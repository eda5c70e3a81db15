"""What cannot be exported is said, file and reason, and nothing is written."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from raysweep.errors import StoreError
from raysweep.training.weights import NETWORK, WEIGHTS, export


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint_000001"
    folder.mkdir()
    torch.save({"layer": torch.ones(2)}, folder / WEIGHTS)
    return folder


class Command:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch was-run",)


def test_weights_are_exported(checkpoint: Path, tmp_path: Path) -> None:
    export(checkpoint, {"lr": 0.1}, tmp_path / "new" / "model.pt")
    content = torch.load(tmp_path / "new" / "model.pt", weights_only=True)
    assert content["config"] == {"lr": 0.1} and content["weights"]["layer"].tolist() == [1, 1]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut, id="cut off"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(b"no weights"), id="noise"),
        pytest.param(lambda path: path.write_bytes(pickle.dumps(Command())), id="code"),
        pytest.param(lambda path: torch.save(Command(), path), id="code in a zip"),
    ],
)
def test_weights_that_cannot_be_read(
    checkpoint: Path, tmp_path: Path, damage: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    damage(checkpoint / WEIGHTS)
    with pytest.raises(
        StoreError, match=r"checkpoint_000001/weights\.pt: holds no weights that can be read: ."
    ) as told:
        export(checkpoint, {}, tmp_path / "model.pt")
    assert "\n" not in str(told.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint_000001"]


def test_a_description_that_cannot_be_read(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / NETWORK).write_text("{")
    with pytest.raises(StoreError, match=r"network\.json: cannot be read"):
        export(checkpoint, {}, tmp_path / "model.pt")
