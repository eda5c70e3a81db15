"""Sweeps with `fuse`: each trial is as it would be by itself, whatever becomes of those beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import raysweep
from raysweep.driver.progress import Progress
from raysweep.driver.sweep import RunOptions
from raysweep.plan.reconciliation import Again
from raysweep.results.results import Results
from raysweep.results.trial import TrialResult
from raysweep.store.folder import TrialFolder
from raysweep.store.records import Report, State
from raysweep.sweepfile.spec import check

pytestmark = pytest.mark.usefixtures("ray_2_cpus")
TESTS = Path(__file__).parents[1]
PARAMETERS = {"lr": [0.1, 0.01], "seed": [0, 1, 2], "epochs": 4}


class Notices(Progress):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def noticed(self, text: str) -> None:
        self.texts.append(text)


def run(
    folder: Path, function: str, parameters: dict[str, Any], again: frozenset[Again] = frozenset(), **keys: Any
) -> Results:
    content = {
        "name": "sweep",
        "trainable": f"fused_functions.py:{function}",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": parameters,
        **keys,
    }
    progress = Notices()
    options = RunOptions(again=again)
    results = raysweep.run(check(content, "test"), runs=folder, directory=TESTS, progress=progress, options=options)
    assert not progress.running
    told.clear()
    told.extend(progress.texts)
    return results


told: list[str] = []  # the notices of the last sweep


def reports(trial: TrialResult) -> list[Report]:
    return TrialFolder(trial.path).reports()


def numbers(trial: TrialResult) -> list[list[float | str]]:
    """What it reported, without times."""
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return [[report.metrics[name] for name in names] for report in reports(trial)]


def flat(value: Any) -> Iterator[Any]:
    """All numbers of a checkpoint, in order."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from flat(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from flat(item)
    elif isinstance(value, torch.Tensor):
        yield from value.double().flatten().tolist()
    elif isinstance(value, (int, float)):
        yield value


def saved(trial: TrialResult) -> list[Any]:
    last = reports(trial)[-1].checkpoint
    assert last is not None
    files = [torch.load(trial.path / last / name, weights_only=True) for name in ("weights.pt", "training.pt")]
    return list(flat(files))


def assert_alike(fused: Results, alone: Results) -> None:
    """The same reports and the same state, random generators included, but for the order of sums."""
    assert [trial.config for trial in fused.trials] == [trial.config for trial in alone.trials]
    for one, other in zip(fused.trials, alone.trials, strict=True):
        assert one.state is other.state is State.DONE
        for row, expected in zip(numbers(one), numbers(other), strict=True):
            assert row == pytest.approx(expected, rel=1e-10)
        assert saved(one) == pytest.approx(saved(other), rel=1e-9, abs=1e-9)


def pids(results: Results) -> list[int | None]:
    records = [TrialFolder(trial.path).record() for trial in results.trials]
    return [record.pid if record else None for record in records]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, ray_2_cpus: None) -> Results:
    return run(tmp_path_factory.mktemp("alone"), "fitted", PARAMETERS)


def test_each_trial_has_what_it_has_alone(tmp_path: Path, alone: Results) -> None:
    fused = run(tmp_path, "fitted", PARAMETERS, fuse=6)
    assert_alike(fused, alone)
    assert told == ["fuse: 6 trials in 1 groups", "fuse: 6 trials as one program"]
    assert len(set(pids(fused))) == 1 and len(set(pids(alone))) == 6
    for trial in fused.trials:
        assert (trial.path / "output.log").read_text() == f"trained {trial.config['seed']}\n"
    tags = {
        trial.path.name: sorted(path.name.partition(".")[0] for path in trial.path.iterdir()) for trial in fused.trials
    }
    assert all(names == ["checkpoint_000004", "events", "output", "result", "trial"] for names in tags.values()), tags


def test_a_process_that_is_killed_goes_on_from_each_trials_checkpoint(tmp_path: Path, alone: Results) -> None:
    fused = run(tmp_path, "killed", {**PARAMETERS, "marker": str(tmp_path / "marker")}, fuse=3, untracked=["marker"])
    assert (tmp_path / "marker").exists()
    for one, other in zip(fused.trials, alone.trials, strict=True):
        for row, expected in zip(numbers(one), numbers(other), strict=True):
            assert row == pytest.approx(expected, rel=1e-10)
    records = [TrialFolder(trial.path).record() for trial in fused.trials]
    assert sorted(record.attempts for record in records if record) == [1, 1, 1, 2, 2, 2]


def test_the_one_that_kills_its_process_fails_alone(tmp_path: Path) -> None:
    results = run(tmp_path, "deadly", {**PARAMETERS, "lr": 0.01, "epochs": 1}, fuse=3)
    assert [trial.state for trial in results.trials] == [State.DONE, State.FAILED, State.DONE]
    assert (
        "ProcessDied: the trial's process was killed by SIGKILL" in (results.trials[1].path / "error.txt").read_text()
    )
    assert [len(reports(trial)) for trial in results.trials] == [1, 1, 1]


@pytest.mark.slow
def test_a_sweep_that_was_fused_grows_alone_and_the_other_way_round(tmp_path: Path, alone: Results) -> None:
    run(tmp_path, "fitted", {**PARAMETERS, "epochs": 1}, fuse=6)
    run(tmp_path, "fitted", {**PARAMETERS, "epochs": 2})
    assert_alike(run(tmp_path, "fitted", PARAMETERS, fuse=2), alone)


@pytest.mark.slow
def test_image_classifiers_are_fused_where_that_comes_to_the_same(tmp_path: Path) -> None:
    parameters = {"lr": [0.01, 0.003], "seed": [0, 1], "epochs": 2, "limit": 200, "batch_size": 50}
    function = "raysweep.vision:train"
    fused, alone = (
        run(tmp_path / str(fuse), function, parameters, trainable=function, fuse=fuse) for fuse in (4, False)
    )
    for one, other in zip(fused.trials, alone.trials, strict=True):
        for row, expected in zip(numbers(one), numbers(other), strict=True):
            assert row == pytest.approx(expected, rel=1e-3)
        tags, expected_tags = (EventAccumulator(str(trial.path)).Reload().Tags() for trial in (one, other))
        assert tags == expected_tags and tags["histograms"]
    assert len(set(pids(fused))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("fuse", [6, "auto"])
def test_a_group_that_is_too_large_for_the_memory_is_trained_in_halves(
    tmp_path: Path, alone: Results, fuse: int | str
) -> None:
    assert_alike(run(tmp_path, "greedy", PARAMETERS, fuse=fuse, max_concurrent=1), alone)
    printed = [path.read_text() for path in tmp_path.glob("sweep/*/output.log")]
    reasons = [line for text in printed for line in text.splitlines() if "alone" in line]
    assert all(fuse == "auto" and "is slower" in line for line in reasons)  # whether two are faster is the machine's


def test_each_ends_in_its_own_way(tmp_path: Path) -> None:
    parameters = {"lr": 0.01, "seed": [0, 1, 2, 3, 4, 5], "epochs": 2}
    results = run(tmp_path, "mixed", parameters, fuse=6)
    states = [trial.state for trial in results.trials]
    assert states == [State.DONE, State.DONE, State.FAILED, State.FAILED, State.DONE, State.DONE]
    assert [len(reports(trial)) for trial in results.trials] == [2, 2, 0, 2, 2, 1]
    assert "not this one" in (results.trials[2].path / "error.txt").read_text()
    assert "not after all" in (results.trials[3].path / "error.txt").read_text()
    told = [(trial.path / "output.log").read_text() for trial in results.trials]
    assert told[4] == "trained alone: no other is like it: the networks differ\ntrained 4\n"
    assert [text.count("alone") for text in told] == [0, 0, 0, 0, 1, 0]
    again = run(tmp_path, "mixed", parameters, frozenset([Again.FAILED]), fuse=6)
    assert [trial.state for trial in again.trials] == states


def test_a_limit_ends_one_and_the_others_go_on(tmp_path: Path, alone: Results) -> None:
    losses = [[float(row[2]) for row in numbers(trial)] for trial in alone.trials]
    limit = sorted(min(row) for row in losses)[2]  # which three reach
    results = run(tmp_path, "fitted", PARAMETERS, fuse=6, stop={"val_loss": f"<= {limit + 1e-6}"})
    expected = [next((n for n, loss in enumerate(row, 1) if loss <= limit + 1e-6), 4) for row in losses]
    assert [len(reports(trial)) for trial in results.trials] == expected
    assert all(trial.state is State.DONE for trial in results.trials)


@pytest.mark.slow
def test_trials_that_report_nothing_in_their_time_are_ended(tmp_path: Path) -> None:
    parameters = {"lr": 0.01, "seed": [0, 1], "epochs": 2, "wait": 60}
    results = run(tmp_path, "slow", parameters, fuse=2, stop={"time": 1.0}, retries=0)
    errors = [TrialFolder(trial.path).record() for trial in results.trials]
    assert [record.error.type for record in errors if record and record.error] == ["TimeLimit"] * 2


@pytest.mark.parametrize("kind", ["asha", pytest.param("median", marks=pytest.mark.slow)])
def test_a_trial_that_is_stopped_early_leaves_its_group(tmp_path: Path, kind: str) -> None:
    parameters = {"lr": [0.1, 0.01, 0.001, 0.0001], "seed": [0, 1], "epochs": 6}
    stopping = {"type": kind, "grace": 2, **({"reduction": 2} if kind == "asha" else {})}
    results = run(tmp_path, "fitted", parameters, fuse=4, early_stopping=stopping)
    lengths = {trial.state: set[int]() for trial in results.trials}
    for trial in results.trials:
        lengths[trial.state].add(len(reports(trial)))
    assert lengths.keys() == {State.DONE, State.STOPPED}
    assert lengths[State.DONE] == {6} and max(lengths[State.STOPPED]) < 6
    assert all(len(reports(trial)) >= 2 for trial in results.trials)
