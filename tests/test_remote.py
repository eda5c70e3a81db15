"""What a laptop brings back from the head, without a network: ssh is a shell here."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from raysweep import results
from raysweep.records import Report, State, TrialRecord
from raysweep.remote import LOOKS, Remote
from raysweep.store import RunDirectory, TrialFolder
from raysweep.tunnel import Login
from tests.sweeps import planned, spec

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")


@dataclass(frozen=True)
class Here(Login):
    """A head whose home directory is a folder on this machine; a sweep may be at work there.

    Attributes:
        home: the directory.
        epochs: how many the sweep still trains, one each time that something is fetched.
    """

    home: Path = Path()
    epochs: list[int] = field(default_factory=list)

    @property
    def ssh(self) -> list[str]:
        return ["sh", "-c", f'cd "{self.home}" && shift && exec "$@"', "ssh"]

    def fetch(self, source: str, target: Path, rules: Sequence[str] = ()) -> bool:
        came = super().fetch(source, target, rules)
        if self.epochs:
            train(self.home / "runs/sweep", self.epochs.pop(0))
        return came


def train(run: Path, epoch: int) -> None:
    """What a worker writes for an epoch that is the best so far."""
    (folder,) = RunDirectory(run).folders().values()
    name = f"checkpoint_{epoch:06d}"
    with tempfile.TemporaryDirectory() as source:
        Path(source, "weights").write_text(str(epoch))
        folder.save_checkpoint(Path(source), name)
    with folder.result_file.open("a") as file:
        file.write(Report(epoch, time.time(), 1.0, 1.0, {"loss": 1 / epoch}, name).to_json() + "\n")
    folder.prune_checkpoints([name])


def fetched(tmp_path: Path, epochs: list[int]) -> tuple[TrialFolder, Path | None]:
    """The trial's folder as it was brought here, and the checkpoint that its results name."""
    (trial,) = planned({"lr": 0.1})
    store = RunDirectory(tmp_path / "home/runs/sweep")
    store.create()
    store.write_sweep(spec({"lr": 0.1}).model_dump(mode="json", by_alias=True, exclude_unset=True), [])
    folder = store.trial(trial.name)
    folder.write(TrialRecord(trial.id, trial.name, "train.py:train", dict(trial.config), State.RUNNING))
    train(store.path, 1)
    (store.path / ".backup.json").write_text("{}")
    remote = Remote.__new__(Remote)  # without its connection to a job server
    remote._login = Here("head", home=tmp_path / "home", epochs=epochs)
    remote.fetch("sweep", tmp_path / "here")
    (result,) = results.load("sweep", tmp_path / "here").trials
    return RunDirectory(tmp_path / "here/sweep").trial(trial.name), result.checkpoint


def test_the_best_checkpoint_comes_too(tmp_path: Path) -> None:
    folder, checkpoint = fetched(tmp_path, [])
    assert checkpoint == folder.path / "checkpoint_000001"
    assert (checkpoint / "weights").read_text() == "1"
    assert not (folder.path.parent / ".backup.json").exists()  # it is about the head's run directory


def test_a_checkpoint_that_is_replaced_meanwhile_is_looked_for_again(tmp_path: Path) -> None:
    folder, checkpoint = fetched(tmp_path, [2])
    assert checkpoint == folder.path / "checkpoint_000002"
    assert (checkpoint / "weights").read_text() == "2"
    assert folder.checkpoints() == [checkpoint]


def test_where_it_is_always_replaced_the_rest_comes_nevertheless(tmp_path: Path) -> None:
    folder, _ = fetched(tmp_path, list(range(2, 100)))
    assert len(folder.reports()) >= LOOKS
    assert folder.checkpoints() == []
