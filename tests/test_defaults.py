"""The run directory remembers what earlier trials used: the ids of trials do not change when the file forgets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.errors import SpecError
from raysweep.plan.defaults import with_earlier_defaults
from raysweep.plan.trials import plan
from raysweep.sweepfile.spec import SweepSpec, check
from tests.sweeps import ids, spec

GROWN: dict[str, Any] = {"lr": [1, 2], "opt": {"momentum": [0, 0.9]}}
values = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["a", "b"])


def recorded(sweep: SweepSpec) -> dict[str, Any]:
    """The sweep as it stands in sweep.json."""
    return sweep.model_dump(mode="json", by_alias=True, exclude_unset=True)


def trial_ids(sweep: SweepSpec) -> list[str]:
    return [trial.id for trial in plan(sweep)]


def test_a_file_that_loses_its_defaults_keeps_the_ids() -> None:
    before = recorded(spec(GROWN, defaults={"opt.momentum": 0}))
    now = with_earlier_defaults(spec(GROWN), before, Path("runs/sweep"))
    assert trial_ids(now) == ids(GROWN, defaults={"opt.momentum": 0})
    assert set(ids({"lr": [1, 2]})) < set(trial_ids(now))
    assert now.defaults == {"opt.momentum": 0}


def test_they_are_remembered_while_the_parameter_is_not_in_the_file() -> None:
    before = recorded(spec(GROWN, defaults={"opt.momentum": 0}))
    without = with_earlier_defaults(spec({"lr": [1, 2]}), before, Path("runs/sweep"))
    assert trial_ids(without) == ids({"lr": [1, 2]})
    again = check(recorded(without), "sweep.json", recorded=True)
    assert trial_ids(with_earlier_defaults(spec(GROWN), recorded(again), Path())) == ids(
        GROWN, defaults={"opt.momentum": 0}
    )


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3), min_size=1, max_size=4))
def test_whatever_a_file_forgets_ids_are_those_of_all_that_it_ever_said(files: list[dict[str, Any]]) -> None:
    parameters: dict[str, Any] = {name: [None, True, 0, 1, "a"] for name in "abc"}
    said: dict[str, Any] = {}
    before: dict[str, Any] = {}
    for defaults in files:
        said = {**defaults, **said}
        agreed = {name: said[name] for name in defaults}
        now = with_earlier_defaults(spec(parameters, defaults=agreed), before, Path("runs/sweep"))
        assert trial_ids(now) == ids(parameters, defaults=said)
        before = recorded(now)


def test_another_default_is_refused() -> None:
    before = recorded(spec(GROWN, defaults={"opt.momentum": 0}))
    with pytest.raises(SpecError, match=r"sweep: defaults\.opt\.momentum: was 0 when the trials in runs/sweep ran"):
        with_earlier_defaults(spec(GROWN, defaults={"opt.momentum": 0.9}), before, Path("runs/sweep"))
    same = spec(GROWN, defaults={"opt.momentum": 0.0})
    assert with_earlier_defaults(same, before, Path()) is same


@pytest.mark.parametrize("before", [{}, {"defaults": None}, {"defaults": [1]}])
def test_records_that_say_nothing_change_nothing(before: dict[str, Any]) -> None:
    sweep = spec(GROWN)
    assert with_earlier_defaults(sweep, before, Path()) is sweep
