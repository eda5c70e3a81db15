"""Records with anything changed about them: shown as unreadable or read as they are, never a traceback."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysweep.cli.program import main
from raysweep.driver.sweep import reopen
from raysweep.errors import RaysweepError
from raysweep.plan.defaults import with_earlier_defaults
from raysweep.plan.origin import check_origin
from raysweep.plan.reconciliation import reconcile
from raysweep.plan.reference import Reference
from raysweep.plan.trials import Trial, plan
from raysweep.results.reading import read
from raysweep.results.trial import TrialResult
from raysweep.store.directory import RunDirectory
from raysweep.store.folder import TrialFolder
from raysweep.store.records import Reached, Report, State, TrialError, TrialRecord
from tests.fuzz import changed
from tests.sweeps import TRAIN, spec

TRIALS, SWEEPS = 200, 2000
FEW, MANY = 2, 20  # batches of trials, of 200 inputs each; with 100, or 22,000 inputs, it takes eight minutes
COMMANDS = (
    ("results",),
    ("results", "--format", "md", "--sort-by", "-loss"),
    ("results", "--format", "json"),
    ("best", "--json"),
    ("status",),
)

SWEEP = spec({"x": list(range(TRIALS // 2)), "opt": {"name": "sgd", "lr": [0.1, 0.2]}, "epochs": 3}, stop={"loss": 0})
PLAN = plan(SWEEP)
CONTENT = SWEEP.model_dump(mode="json", by_alias=True, exclude_unset=True)
SMALL = spec({"x": [1, 2], "y": {"min": 0.0, "max": 1.0}, "epochs": 3}, samples=2, defaults={"x": 1}, zip=[])
STATES = (State.DONE, State.DONE, State.FAILED, State.STOPPED, State.RUNNING, State.INTERRUPTED, State.OUT_OF_MEMORY)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: tens of thousands of files are written."""
    base = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=base if os.access(base, os.W_OK) else None) as folder:
        yield Path(folder)


def again(store: RunDirectory) -> object:
    """What a run asks of what earlier ones said, before it starts."""
    earlier = store.earlier()
    check_origin(SMALL.name, store.path, earlier, Reference(SMALL.trainable, store.path))
    return with_earlier_defaults(SMALL, earlier["spec"], store.path)


def reports(trial: Trial) -> str:
    rows = [
        Report(epoch, 1e9, 0.5, 0.5 * epoch, {"loss": 1 / epoch, "n": epoch, "note": "fine", "odd": math.nan}, name)
        for epoch, name in ((1, None), (2, "checkpoint_000002"), (3, "checkpoint_000003"))
    ]
    return "".join(row.to_json() + "\n" for row in rows)


def record(trial: Trial, seal: str) -> str:
    state = STATES[trial.number % len(STATES)]
    error = TrialError("ValueError", "no luck\n  with it") if state.is_failure else None
    limit = Reached("loss", 0.25) if trial.number % 3 == 0 else None
    sealed = seal if state.is_finished and trial.number % 2 else None  # earlier releases had no seal
    ended = TrialRecord(
        trial.id, trial.name, SWEEP.trainable, trial.config, state, error, limit, "abc", 2, 1.5, 2.5, "host", 42, sealed
    )
    return ended.to_json()


def fill(folder: TrialFolder, trial: Trial, chance: random.Random) -> tuple[str, bytes]:
    """A trial's folder of which one file was changed; returns which, and what is in it now."""
    folder.path.mkdir()
    texts = {"result.json": reports(trial)}
    folder.result_file.write_text(texts["result.json"])
    texts["trial.json"] = record(trial, folder.seal())
    name = chance.choice(list(texts))
    contents = {known: text.encode() for known, text in texts.items()}
    if name == "trial.json":
        contents[name] = changed(texts[name], chance)
    else:
        lines = texts[name].splitlines(keepends=True)
        at = chance.randrange(len(lines))
        new = changed(lines[at].rstrip("\n"), chance)
        contents[name] = b"".join(
            [*(s.encode() for s in lines[:at]), new, b"\n", *(s.encode() for s in lines[at + 1 :])]
        )
    for known, content in contents.items():
        (folder.path / known).write_bytes(content)
    return name, contents[name]


def test_of_trials(memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_trials(memory, FEW, seed=0) > FEW * TRIALS / 2
    capsys.readouterr()


def test_of_sweeps(memory: Path) -> None:
    assert fuzz_sweeps(memory, SWEEPS // 10, seed=1) > 50


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_6000(memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unreadable, told = fuzz_trials(memory, MANY, seed=2), fuzz_sweeps(memory, SWEEPS, seed=3)
    capsys.readouterr()
    with capsys.disabled():
        print(
            f"{MANY * TRIALS + SWEEPS:,} inputs, no traceback: {unreadable:,} trials unreadable, {told} other messages"
        )


def fuzz_trials(memory: Path, batches: int, seed: int) -> int:
    """Have all use records that were changed, and a run begin; returns how many trials were unreadable."""
    chance, unreadable = random.Random(seed), 0
    for batch in range(batches):
        store = RunDirectory(memory / f"sweep{batch}")
        store.path.mkdir()
        (store.path / "sweep.json").write_text(json.dumps({"format": 1, "spec": CONTENT, "runs": []}))
        files = {trial.id: fill(store.trial(trial.name), trial, chance) for trial in PLAN}
        results = read(store)
        results.write()
        for verb, *options in COMMANDS:
            assert main([verb, str(store.path), *options]) == 0
        for trial in results.trials:
            judge(trial, *files[trial.id])
        todo = reconcile(SWEEP, PLAN, store).missing()
        reopen(todo, frozenset(), None)
        for trial in results.trials:
            place = trial.path
            if trial.state is State.UNREADABLE:
                unreadable += 1
                place = place.with_name(f"{place.name}.unreadable-1")
                assert not trial.path.exists()
            name, content = files[trial.id]
            if trial.state is not State.EXTENDED:  # whose record says since that it goes on
                assert (place / name).read_bytes() == content
            assert {path.name for path in place.iterdir()} == {"trial.json", "result.json"}
        assert not read(store).problems
        shutil.rmtree(store.path)
    return unreadable


def judge(trial: TrialResult, name: str, content: bytes) -> None:
    """See that a trial is told to be unreadable, and why, or that all that is told of it can be used."""
    if trial.state is State.UNREADABLE:
        named = {name, "result.json"}  # which a changed record may not fit any more
        assert any(str(trial.error).startswith(f"Unreadable: {trial.path / file}: ") for file in named), (
            trial.error,
            content,
        )
        assert "the next run sets the folder aside" in str(trial.error)
        return
    for report in trial.reports:
        assert 1 <= report.epoch < 2**63 and report.run_duration >= 0
        assert report.checkpoint is None or Path(report.checkpoint).name == report.checkpoint
        for metric, value in report.metrics.items():
            metric.encode()
            assert not isinstance(value, int) or -(2**63) <= value < 2**63
            assert not isinstance(value, str) or value.encode("utf-8") is not None
    assert str(trial.error).encode()


def fuzz_sweeps(memory: Path, inputs: int, seed: int) -> int:
    """Have all use a sweep.json that was changed; returns how many different messages there were."""
    chance = random.Random(seed)
    runs: list[dict[str, object]] = [
        {
            "started": 1.5,
            "ended": None,
            "command": "raysweep run x",
            "directory": str(memory / "sweep"),
            "source": str(memory / "other.py"),
            "host": "far",
            "pid": 42,
            "process": "1/2",
            "numbering": "1",
        }
    ]
    text = json.dumps(
        {"format": 1, "spec": SMALL.model_dump(mode="json", by_alias=True, exclude_unset=True), "runs": runs}
    )
    trials, told = plan(SMALL), set[str]()
    store = RunDirectory(memory / "sweep")
    store.path.mkdir()
    file = store.path / "sweep.json"
    (store.path / "train.py").write_text(TRAIN)
    for trial in trials:
        store.trial(trial.name).path.mkdir()
        (store.trial(trial.name).path / "trial.json").write_text(record(trial, ""))
    for _ in range(inputs):
        content = changed(text, chance)
        file.write_bytes(content)
        for use in (read, RunDirectory.journaled, RunDirectory.earlier, again):
            try:
                use(store)
            except RaysweepError as error:
                assert str(store.path) in str(error)
                told.add(str(error).removeprefix(str(file)))
        assert file.read_bytes() == content
    return len(told)


def test_a_damaged_sweep_is_set_aside(memory: Path) -> None:
    store = RunDirectory(memory / "sweep")
    store.path.mkdir()
    for number, content in enumerate((b"", b"{", b"\xff", b'{"format": 1, "spec": {}, "runs": [3]}'), start=1):
        (store.path / "sweep.json").write_bytes(content)
        store.write_sweep({"name": "sweep"}, [])
        assert (store.path / f"sweep.json.unreadable-{number}").read_bytes() == content
        assert store.sweep()["spec"] == {"name": "sweep"}
