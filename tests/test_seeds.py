"""Trials whose seeds differ start differently, and the same trial always starts in the same way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raysweep.plan.identity import canonical
from raysweep.plan.seeds import seed_of
from tests.sweeps import configs

ODD: list[Any] = [
    0,
    1,
    2,
    -1,
    -2,
    1.5,
    2.5,
    "3",
    "4",
    "1",
    None,
    True,
    False,
    2**63,
    2**64 + 1,
    2**64 + 2,
    [1],
    [1, 2],
    "",
]

values = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
)


@pytest.mark.parametrize("number", [0, 1, 42, 2**32, 2**63 - 1])
def test_a_whole_number_is_itself(number: int) -> None:
    assert seed_of({"lr": 0.1, "seed": number}, sweep_seed=7) == number
    assert seed_of({"data": {"seed": number}}, sweep_seed=7) == number


def test_a_trial_without_one_starts_from_the_sweeps() -> None:
    assert seed_of({"lr": 0.1, "seeds": 3, "seed": {"of": 3}}, sweep_seed=7) == 7
    assert 0 <= seed_of({}, sweep_seed=2**70) < 2**63


@pytest.mark.parametrize("sweep_seed", [0, 1, 7])
@pytest.mark.parametrize("nested", [False, True])
def test_all_that_differ_start_differently(sweep_seed: int, nested: bool) -> None:
    trials = configs({"data": {"seed": ODD}} if nested else {"seed": ODD})
    assert len({seed_of(config, sweep_seed) for config in trials}) == len(ODD)


@given(values, values, st.integers(0, 2**64))
def test_two_trials_that_differ_in_their_seed_start_differently(one: Any, other: Any, sweep_seed: int) -> None:
    assume(canonical(one) != canonical(other))
    assert seed_of({"seed": one}, sweep_seed) != seed_of({"seed": other}, sweep_seed)
    first, second = ({"seed": 1, "data": {"seed": value}} for value in (one, other))
    assert seed_of(first, sweep_seed) != seed_of(second, sweep_seed)


@given(st.integers(0, 2**60), values)
def test_it_depends_on_nothing_else(sweep_seed: int, seed: Any) -> None:
    here = seed_of({"a": 1, "seed": seed}, sweep_seed)
    assert here == seed_of({"seed": seed, "b": {"c": 2}}, sweep_seed)
    assert 0 <= here < 2**63


def test_it_takes_numbers_by_value_as_a_trials_identity_does() -> None:
    assert seed_of({"seed": 3.0}, 0) == seed_of({"seed": 3}, 0) == 3
    assert seed_of({"seed": -2.0}, 0) == seed_of({"seed": -2}, 0)
    assert seed_of({"seed": 1e300}, 0) == seed_of({"seed": int(1e300)}, 0)


def test_drawn_ones_are_different() -> None:
    drawn = configs({"seed": {"min": 0, "max": 10**6}}, samples=20)
    assert len({seed_of(config, 0) for config in drawn}) == 20
