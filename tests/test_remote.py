"""What a laptop brings back from the head, without a network: ssh is a shell here."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from raysweep.cli import on_cluster
from raysweep.errors import ClusterError, SpecError
from raysweep.remote.jobs import LOOKS, Head
from raysweep.remote.login import Login
from raysweep.results import reading
from raysweep.store.directory import RunDirectory
from raysweep.store.folder import TrialFolder
from raysweep.store.records import Report, State, TrialRecord
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


def made(tmp_path: Path) -> TrialFolder:
    """A sweep of one trial on the head, after an epoch."""
    (trial,) = planned({"lr": 0.1})
    store = RunDirectory(tmp_path / "home/runs/sweep")
    store.create()
    store.write_sweep(spec({"lr": 0.1}).model_dump(mode="json", by_alias=True, exclude_unset=True), [])
    folder = store.trial(trial.name)
    folder.write(TrialRecord(trial.id, trial.name, "train.py:train", dict(trial.config), State.RUNNING))
    train(store.path, 1)
    (store.path / ".backup.json").write_text("{}")
    return folder


def fetched(tmp_path: Path, epochs: Sequence[int] = (), home: type[Here] = Here) -> tuple[TrialFolder, Path | None]:
    """The trial's folder as it was brought here, and the checkpoint that its results name."""
    if not (tmp_path / "home").exists():
        made(tmp_path)
    remote = Head.__new__(Head)  # without its connection to a job server
    remote._login = home("head", home=tmp_path / "home", epochs=list(epochs))
    remote.fetch("sweep", tmp_path / "here")
    (result,) = reading.load("sweep", tmp_path / "here").trials
    return TrialFolder(result.path), result.checkpoint


def test_the_best_checkpoint_comes_too(tmp_path: Path) -> None:
    folder, checkpoint = fetched(tmp_path)
    assert checkpoint == folder.path / "checkpoint_000001"
    assert (checkpoint / "weights").read_text() == "1"
    assert not (folder.path.parent / ".backup.json").exists()  # it is about the head's run directory


def test_a_checkpoint_that_is_replaced_meanwhile_is_looked_for_again(tmp_path: Path) -> None:
    folder, checkpoint = fetched(tmp_path, [2])
    assert checkpoint == folder.path / "checkpoint_000002"
    assert (checkpoint / "weights").read_text() == "2"
    assert folder.checkpoints() == [checkpoint]


def test_where_it_is_always_replaced_the_rest_comes_nevertheless(tmp_path: Path) -> None:
    folder, _ = fetched(tmp_path, range(2, 100))
    assert len(folder.reports()) >= LOOKS
    assert folder.checkpoints() == []


class Hostile(Here):
    """A head that sends links although it is not asked for them."""

    @property
    def ssh(self) -> list[str]:
        return ["bash", "-c", f'cd "{self.home}" && shift && exec "${{@/#-Lt/-lt}}"', "ssh"]


@pytest.mark.parametrize("home", [Here, Hostile])
def test_no_link_from_the_head_leads_to_another_place_here(tmp_path: Path, home: type[Here]) -> None:
    """First it sends a link where a trial's folder is to be, and then a file below it."""
    folder = made(tmp_path)
    (outside := tmp_path / "outside").mkdir()
    moved = folder.path.rename(tmp_path / "moved")
    folder.path.symlink_to(outside)
    for _ in range(2):
        with contextlib.suppress(ClusterError):  # rsync may refuse it
            fetched(tmp_path, home=home)
        if folder.path.is_symlink():
            folder.path.unlink()
            moved.rename(folder.path)
        assert not list(outside.iterdir())
        assert not [path for path in (tmp_path / "here").rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("name", ["../../../outside", "/etc", "checkpoint_/../../../../outside", "..", "", "a\0b"])
def test_a_checkpoint_is_in_its_trials_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "home/outside").mkdir(parents=True)
    (tmp_path / "home/outside/evil").write_text("evil")
    folder = made(tmp_path)
    folder.keep_reports([Report(1, time.time(), 1.0, 1.0, {"loss": 1.0}, name)])
    _, checkpoint = fetched(tmp_path)
    assert checkpoint is None
    assert not list((tmp_path / "outside").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"home", "here", "outside"}


@pytest.mark.parametrize("run", ["..", ".", "a/b", ".hidden", "", "a b"])
def test_what_is_fetched_is_called_as_a_sweep_can_be(run: str) -> None:
    with pytest.raises(SpecError, match="give the sweep's name or its file"):
        on_cluster._name(run)
