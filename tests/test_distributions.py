from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raysweep.sweepfile.distributions import ARGUMENTS, SMALLEST, Categorical, Distribution, make
from tests.sweeps import configs

LOG_4 = math.log(4)
# Each distribution with arguments, and what the definition says its values follow (after a transformation).
CONTINUOUS: list[tuple[str, dict[str, float], Callable[[float], float], Any]] = [
    ("uniform", {"min": -2, "max": 3}, float, stats.uniform(-2, 5)),
    ("log_uniform", {"min": -1, "max": 2}, math.log, stats.uniform(-1, 3)),
    ("log_uniform_values", {"min": 0.5, "max": 4}, math.log, stats.uniform(-math.log(2), math.log(8))),
    ("inv_log_uniform", {"min": -1, "max": 2}, lambda x: math.log(1 / x), stats.uniform(-1, 3)),
    ("inv_log_uniform_values", {"min": 0.5, "max": 4}, lambda x: math.log(1 / x), stats.uniform(-LOG_4, math.log(8))),
    ("normal", {"mu": 1, "sigma": 2}, float, stats.norm(1, 2)),
    ("normal", {}, float, stats.norm(0, 1)),
    ("log_normal", {"mu": 1, "sigma": 0.5}, math.log, stats.norm(1, 0.5)),
    ("beta", {"a": 2, "b": 5}, float, stats.beta(2, 5)),
]

probabilities = st.floats(SMALLEST, 1 - SMALLEST)
positive = st.floats(1e-3, 1e3)


def drawn(name: str, arguments: dict[str, float], count: int = 2000) -> list[float]:
    """Draws as a sweep makes them."""
    parameter = {"distribution": name, **arguments}
    return [config["x"] for config in configs({"x": parameter}, samples=count)]


@pytest.mark.parametrize(("name", "arguments", "undo", "expected"), CONTINUOUS)
def test_draws_follow_the_definition(
    name: str, arguments: dict[str, float], undo: Callable[[float], float], expected: Any
) -> None:
    values = [undo(value) for value in drawn(name, arguments)]
    assert stats.kstest(values, expected.cdf).pvalue > 0.01


def test_whole_numbers_are_equally_likely_with_both_ends() -> None:
    dice = make("int_uniform", {"min": 1, "max": 6})
    values = [dice.draw((i + 0.5) / 6000) for i in range(6000)]
    assert {value: values.count(value) for value in set(values)} == dict.fromkeys(range(1, 7), 1000)
    assert all(isinstance(value, int) for value in values)


@pytest.mark.parametrize("name", [name for name in ARGUMENTS if name.startswith("q_")])
def test_quantised_draws_are_the_nearest_multiples(name: str) -> None:
    arguments: dict[str, float] = {"min": 1, "max": 4} if "min" in ARGUMENTS[name] else {}
    fine, coarse = make(name.removeprefix("q_"), arguments), make(name, {**arguments, "q": 0.25})
    for u in (0.01, 0.3, 0.5, 0.77, 0.99):
        value = coarse.draw(u)
        assert value * 4 == round(value * 4)
        assert abs(value - fine.draw(u)) <= 0.125


@given(probabilities, positive, positive)
def test_draws_stay_within_their_bounds(u: float, low: float, width: float) -> None:
    bounds = {"min": low, "max": low + width}
    for name in ("uniform", "log_uniform_values", "inv_log_uniform_values"):
        assert low <= make(name, bounds).draw(u) <= low + width
    assert 0 <= make("beta", {"a": low, "b": width}).draw(u) <= 1


@given(st.floats(1e-300, 1e300), probabilities)
def test_narrow_bounds_hold(low: float, u: float) -> None:
    high = math.nextafter(low, math.inf)
    assert low <= make("log_uniform_values", {"min": low, "max": high}).draw(u) <= high


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6), probabilities)
def test_whole_numbers_stay_within_their_bounds(low: int, width: int, u: float) -> None:
    assert low <= make("int_uniform", {"min": low, "max": low + width}).draw(u) <= low + width


@pytest.mark.parametrize("name", [n for n in ARGUMENTS if "inv_" not in n])
def test_more_probability_means_more(name: str) -> None:
    arguments = {"min": 1, "max": 4} if "min" in ARGUMENTS[name] else {}
    values = [make(name, arguments).draw(u / 100) for u in range(1, 100)]
    assert values == sorted(values)


class TestCategorical:
    def test_draws_each_value_as_often_as_its_probability_says(self) -> None:
        choice = Categorical(("a", "b", "c"), (0.5, 0.2, 0.3))
        values = [choice.draw((i + 0.5) / 1000) for i in range(1000)]
        assert [values.count(letter) for letter in "abc"] == [500, 200, 300]

    def test_draws_uniformly_without_probabilities(self) -> None:
        choice = Categorical((1, None, "x"))
        values = [choice.draw((i + 0.5) / 900) for i in range(900)]
        assert [values.count(value) for value in (1, None, "x")] == [300, 300, 300]

    def test_never_draws_what_has_no_probability(self) -> None:
        choice = Categorical(("a", "b"), (0.0, 1.0))
        assert {choice.draw(u) for u in (SMALLEST, 0.5, 1 - SMALLEST)} == {"b"}

    def test_stands_rounding(self) -> None:
        assert Categorical(("a", "b", "c"), (0.1, 0.2, 0.7 - 1e-7)).draw(1 - SMALLEST) == "c"


def test_defaults_are_filled_in() -> None:
    assert make("q_normal", {"mu": 3}) == Distribution("q_normal", {"mu": 3, "sigma": 1.0, "q": 1.0})


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("uniform", {"min": -1e308, "max": 1e308}, "too large"),
        ("log_normal", {"mu": 1e5}, "too large"),
        ("q_uniform", {"min": 0, "max": 1e300, "q": 1e-300}, "too large"),
        ("beta", {"a": -1}, "a must be more than 0"),
        ("uniform", {"min": 0, "max": True}, "max must be a number, and is True"),
        ("uniform", {"min": 1, "max": 1}, r"min \(1\) must be less than max \(1\)"),
    ],
)
def test_arguments_that_cannot_be_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name, arguments)
