"""A run directory that somebody has changed: nothing is shown with another's numbers, and nothing is deleted."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from raysweep.cli.program import main
from raysweep.errors import TrainableError
from raysweep.results.reading import read
from raysweep.store.directory import RunDirectory
from raysweep.store.folder import TrialFolder
from raysweep.store.records import State
from raysweep.training.recorder import Recorder
from tests.fake_session import FakeSession
from tests.test_power_cuts import TRIALS, Told, here, run

NUMBERS = [1 / 4, 2 / 4, 3 / 3]  # the last loss of each trial


@pytest.fixture
def store(tmp_path: Path) -> RunDirectory:
    """A run directory: of its three trials two are done, and one has failed."""
    directory = RunDirectory(tmp_path / "runs" / "sweep")
    directory.path.parent.mkdir()
    assert trained(directory) == {1, 2, 3}
    return directory


def trained(store: RunDirectory) -> set[int]:
    """Run what is missing; returns which trials were trained."""
    told, aside = Told(), store.path.parent / "aside"
    aside.mkdir(exist_ok=True)
    run(store, here(store, aside), aside, told)
    return {trial.config["x"] for trial in TRIALS if trial.id in told.reports}


def folders(store: RunDirectory) -> list[Path]:
    return [store.path / trial.name for trial in TRIALS]


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def unreadable(store: RunDirectory) -> dict[int, str]:
    """What is wrong with which trial; of the others the numbers are right."""
    trials = read(store).trials
    for trial, number in zip(trials, NUMBERS, strict=True):
        if trial.state is State.UNREADABLE:
            assert (trial.reports, trial.best, trial.checkpoint) == ((), None, None)
        elif trial.last is not None:
            assert trial.last.metrics["loss"] == number
    return {trial.config["x"]: str(trial.error) for trial in trials if trial.state is State.UNREADABLE}


def is_mended(store: RunDirectory, *again: int) -> None:
    """See that these trials are trained anew, and only these, and that all is as it should be then."""
    assert trained(store) == set(again)
    assert (unreadable(store), read(store).problems) == ({}, ())
    assert [trial.last.metrics["loss"] for trial in read(store).trials if trial.last] == NUMBERS
    assert trained(store) == set()


def test_a_folder_that_is_missing_is_a_trial_that_never_ran(store: RunDirectory) -> None:
    shutil.rmtree(folders(store)[0])
    assert [trial.state for trial in read(store).trials] == [State.NEW, State.DONE, State.FAILED]
    is_mended(store, 1)


@pytest.mark.parametrize("change", ["none", "newer", "changed"])
def test_a_folder_that_is_doubled_counts_once(store: RunDirectory, change: str) -> None:
    one = folders(store)[0]
    double = one.with_name(f"copy,{one.name}")
    shutil.copytree(one, double)
    if change == "newer":
        os.utime(double)
    elif change == "changed":
        (double / "result.json").write_text((double / "result.json").read_text().replace("0.25", "0.01"))
    before = contents(double)
    assert read(store).problems == (f"{double}: does not count, another folder holds the same trial",)
    assert unreadable(store) == {}
    assert trained(store) == set()
    assert contents(double) == before


def test_of_two_folders_that_which_holds_the_trial_counts(store: RunDirectory) -> None:
    one = folders(store)[0]
    double = one.with_name(f"copy,{one.name}")
    shutil.copytree(one, double)
    (one / "trial.json").write_text("")
    assert unreadable(store) == {}
    assert read(store).trials[0].path == double


def test_folders_that_are_swapped_are_named_and_set_aside(store: RunDirectory) -> None:
    one, two, _ = folders(store)
    before = contents(one), contents(two)
    one.rename(one.with_name("x"))
    two.rename(one)
    one.with_name("x").rename(two)
    told = unreadable(store)
    assert told.keys() == {1, 2}
    assert f"{one}/trial.json: cannot be used: id: is '{TRIALS[1].id}', which is another trial" in told[1]
    is_mended(store, 1, 2)
    assert (contents(Path(f"{two}.unreadable-1")), contents(Path(f"{one}.unreadable-1"))) == before


@pytest.mark.parametrize("name", ["result.json", "trial.json"])
def test_files_that_are_swapped_are_named_and_set_aside(store: RunDirectory, name: str) -> None:
    one, two, _ = folders(store)
    ours, theirs = (one / name).read_bytes(), (two / name).read_bytes()
    (one / name).write_bytes(theirs)
    (two / name).write_bytes(ours)
    told = unreadable(store)
    assert told.keys() == {1, 2} and all(f"/{name}: cannot be used: " in text for text in told.values())
    is_mended(store, 1, 2)


@pytest.mark.parametrize("name", ["notes-0123456789", "my-data", ".hidden-0123456789", "x=1-.unreadable-1"])
def test_what_is_not_raysweeps_is_left_alone(store: RunDirectory, name: str) -> None:
    (store.path / name).mkdir()
    (store.path / name / "notes.txt").write_text("mine")
    results = read(store)
    assert (results.dropped, results.problems, unreadable(store)) == ((), (), {})
    assert trained(store) == set()
    assert contents(store.path / name) == {"notes.txt": b"mine"}


def moved(store: RunDirectory, path: Path) -> Path:
    return path.rename(store.path.parent / "elsewhere")


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    shutil.rmtree(path)
    make(path)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path.symlink_to(path.with_name(TRIALS[1].name)), id="a link to another trial"),
        pytest.param(lambda path: path.symlink_to("nowhere"), id="a link to nothing"),
        pytest.param(lambda path: path.symlink_to(path), id="a link to itself"),
        pytest.param(lambda path: path.symlink_to("/etc"), id="a link to something else"),
        pytest.param(lambda path: path.write_text("mine"), id="a file"),
        pytest.param(os.mkfifo, id="a pipe"),
        pytest.param(lambda path: (path / "mine").mkdir(parents=True), id="a folder of the user's"),
    ],
)
def test_what_has_a_trials_name_and_is_none_is_set_aside(store: RunDirectory, make: Callable[[Path], object]) -> None:
    one = folders(store)[0]
    replaced(one, make)
    number = one.lstat().st_ino
    etc = sorted(Path("/etc").iterdir())
    assert unreadable(store).keys() == {1}
    is_mended(store, 1)
    assert Path(f"{one}.unreadable-1").lstat().st_ino == number
    assert sorted(Path("/etc").iterdir()) == etc


def test_a_folder_that_was_moved_to_another_disk_is_found_by_its_link(store: RunDirectory) -> None:
    one = folders(store)[0]
    elsewhere = moved(store, one)
    one.symlink_to(elsewhere)
    assert (unreadable(store), read(store).problems) == ({}, ())
    assert trained(store) == set()


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"\x00" * 300, bytes(range(256)) * 9])
def test_results_that_are_gone_beside_a_finished_record(store: RunDirectory, content: bytes) -> None:
    for folder in folders(store)[:2]:
        (folder / "result.json").write_bytes(content)
    record = json.loads((folders(store)[1] / "trial.json").read_text())
    (folders(store)[1] / "trial.json").write_text(json.dumps({**record, "seal": None}))  # as earlier releases wrote it
    told = unreadable(store)
    assert told.keys() == {1, 2} and all("/result.json: cannot be used: " in text for text in told.values())
    is_mended(store, 1, 2)


@pytest.mark.parametrize("name", ["result.json", "trial.json"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "none"])
def test_a_file_that_is_none(store: RunDirectory, name: str, kind: str) -> None:
    path = folders(store)[0] / name
    path.unlink()
    if kind == "link":
        path.symlink_to("nowhere")
    elif kind != "none":
        os.mkfifo(path) if kind == "pipe" else path.mkdir()
    assert unreadable(store).keys() == {1}
    is_mended(store, 1)


def test_event_files_of_noise_are_nobodys_numbers(store: RunDirectory) -> None:
    for file in store.path.rglob("events.out.tfevents*"):
        file.write_bytes(os.urandom(1000))
    assert unreadable(store) == {}
    folder = TrialFolder(folders(store)[2])  # which goes on
    record = folder.record()
    assert record is not None
    folder.write(type(record)(**{**vars(record), "state": State.INTERRUPTED, "error": None}))
    assert trained(store) == {3}


class Evil:
    """Runs code where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self._mark,)


def damage(path: Path, how: str, mark: Path) -> None:
    """Leave something else in the place of what torch has saved."""
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "torch":
        torch.save({"weights": Evil(mark)}, path)
    else:
        path.write_bytes({"empty": b"", "noise": os.urandom(500), "pickle": pickle.dumps(Evil(mark))}[how])


HOW = ["missing", "empty", "cut", "noise", "pickle", "torch"]


@pytest.mark.parametrize("how", HOW)
def test_damaged_weights_are_not_exported_and_never_run(
    store: RunDirectory, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = folders(store)[0] / "checkpoint_000004"
    torch.save({"layer": torch.zeros(100)}, checkpoint / "weights.pt")
    damage(checkpoint / "weights.pt", how, tmp_path / "mark")
    assert main(["best", str(store.path), "--export", str(tmp_path / "model.pt")]) == 2
    told = capsys.readouterr().err
    assert str(checkpoint) in told and "Traceback" not in told
    assert not (tmp_path / "mark").exists() and not (tmp_path / "model.pt").exists()


def test_a_checkpoint_that_is_gone_or_a_link_is_not_another_ones(store: RunDirectory) -> None:
    one, two, _ = folders(store)
    shutil.rmtree(one / "checkpoint_000004")
    (one / "checkpoint_000004").symlink_to(two / "checkpoint_000004")
    shutil.rmtree(two / "checkpoint_000004")
    checkpoints = [trial.checkpoint for trial in read(store).trials]
    assert checkpoints[:2] == [None, None]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("file", ["weights.pt", "training.pt"])
def test_a_trial_does_not_go_on_from_a_damaged_checkpoint(
    session: FakeSession, file: str, how: str, tmp_path: Path
) -> None:
    network = nn.Linear(2, 2)
    with session.trial(dies_after=1):
        for _ in Recorder(network, optimizer=torch.optim.SGD(network.parameters(), 0.1)).epochs(2):
            pass
    (checkpoint,) = session.checkpoints
    damage(checkpoint / file, how, tmp_path / "mark")
    with pytest.raises(TrainableError, match=str(checkpoint)), session.trial():
        for _ in Recorder(network, optimizer=torch.optim.SGD(network.parameters(), 0.1)).epochs(2):
            pass
    assert not (tmp_path / "mark").exists()


def test_a_trial_goes_on_before_a_checkpoint_that_is_none(store: RunDirectory) -> None:
    """It is a link, or a file: then the trial starts from the one before, or from its beginning."""
    one = TrialFolder(folders(store)[0])
    record = one.record()
    assert record is not None
    one.write(type(record)(**{**vars(record), "state": State.INTERRUPTED, "seal": None}))
    shutil.rmtree(one.path / "checkpoint_000004")
    (one.path / "checkpoint_000004").symlink_to(folders(store)[1] / "checkpoint_000004")
    is_mended(store, 1)
    assert TrialFolder(folders(store)[1]).checkpoints()
