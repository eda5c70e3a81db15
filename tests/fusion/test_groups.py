"""Which trials are planned into one group, and what a scheduler sees of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import TrialScheduler

from raysweep.driver.schedulers import Grouped, scheduler
from raysweep.errors import SpecError
from raysweep.plan.groups import grouped
from raysweep.plan.reconciliation import Standing
from raysweep.store.folder import TrialFolder
from raysweep.store.records import Report, State
from raysweep.sweepfile.spec import check
from raysweep.worker.actor import TOLD
from raysweep.worker.attempt import Told
from tests.sweeps import content, planned, spec


def standings(**parameters: Any) -> list[Standing]:
    return [Standing(trial, TrialFolder(Path(trial.name)), State.NEW, None) for trial in planned(parameters)]


def sizes(found: list[Standing], most: int, slots: int = 1) -> list[int]:
    return [len(group) for group in grouped(found, most, slots)]


def test_only_what_a_program_has_for_each_trial_may_differ() -> None:
    found = standings(optimizer={"lr": [0.1, 0.2], "name": "adam"}, seed=[0, 1], hidden=[8, 16])
    groups = grouped(found, 64)
    assert [{one.trial.config["hidden"] for one in group} for group in groups] == [{8}, {16}]
    assert [len(group) for group in groups] == [4, 4]


@pytest.mark.parametrize(("count", "most", "slots", "expected"), [
    (64, 64, 1, [64]), (64, 64, 2, [32, 32]), (10, 4, 1, [4, 4, 2]), (9, 8, 1, [5, 4]), (3, 64, 2, [3]),
    (1, 64, 2, [1]),
])  # fmt: skip
def test_groups_are_of_about_one_size_and_keep_all_slots_busy(
    count: int, most: int, slots: int, expected: list[int]
) -> None:
    assert sizes(standings(seed=list(range(count))), most, slots) == expected


@given(st.integers(1, 40), st.integers(2, 9), st.integers(1, 5))
def test_each_trial_is_in_one_group(count: int, most: int, slots: int) -> None:
    found = standings(seed=list(range(count)), hidden=[1, 2])
    groups = grouped(found, most, slots)
    assert sorted(one.trial.id for group in groups for one in group) == sorted(one.trial.id for one in found)
    assert max(len(group) for group in groups) <= most


@pytest.mark.parametrize("value", [1, True, "always", 2.5])
def test_what_fuse_may_not_be(value: object) -> None:
    with pytest.raises(SpecError, match=r"sweep\.json: fuse"):
        check(content(name="sweep", fuse=value), "sweep.json")


@pytest.mark.parametrize("value", ["auto", 16, False])
def test_what_fuse_may_be(value: object) -> None:
    assert check(content(name="sweep", fuse=value), "sweep.json").fuse == value


def report(epoch: int, loss: float) -> Report:
    return Report(epoch, 0.0, 1.0, float(epoch), {"loss": loss})


def test_a_scheduler_sees_each_trial_of_a_group() -> None:
    sweep = spec({"lr": [0.1, 0.01], "epochs": 8}, early_stopping={"type": "asha", "reduction": 2})
    stopped: set[str] = set()
    chosen: Any = scheduler(sweep, pytest.fail, {"a": ["a", "b", "c"], "d": ["d"]}, stopped)
    assert isinstance(chosen, Grouped)
    group = SimpleNamespace(trial_id="one of Tune's", config={"trial": "a"}, status="RUNNING")
    chosen.on_trial_add(None, group)

    def tell(**told: Told) -> str:
        decision: str = chosen.on_trial_result(None, group, {TOLD: [[id, one.plain()] for id, one in told.items()]})
        return decision

    assert tell(a=Told((report(1, 0.1),)), b=Told((report(1, 0.5),))) == TrialScheduler.CONTINUE
    assert stopped == {"b"}
    assert tell(a=Told((report(2, 0.1),)), c=Told((report(1, 0.05),))) == TrialScheduler.CONTINUE
    tell(b=Told(state=State.STOPPED), a=Told((report(3, 0.1),), State.DONE), c=Told((report(2, 0.2), report(3, 0.2))))
    assert stopped == {"b", "c"}
    chosen.on_trial_complete(None, group, {})
    assert chosen._inner._inner._trial_info == {}


def test_trials_without_groups_have_the_scheduler_itself() -> None:
    sweep = spec({"lr": [0.1, 0.01], "epochs": 8}, early_stopping={"type": "asha"})
    assert not isinstance(scheduler(sweep, pytest.fail, {"a": ["a"], "b": ["b"]}, set()), Grouped)
    assert scheduler(spec({"lr": [0.1]}), pytest.fail, {"a": ["a", "b"]}, set()) is None
