from __future__ import annotations

from typing import Any

import pytest

from raysweep.sweepfile.distributions import Categorical, Distribution
from raysweep.sweepfile.parameters import Axis, Constant, Draw, Parameter, ParameterError, nearest
from raysweep.sweepfile.parsing import parse


def read(value: Any, *, random: bool = False) -> Parameter:
    """What one parameter, `x`, is read as."""
    (parameter,) = parse({"x": value}, random=random)
    return parameter


@pytest.mark.parametrize("value", [1, 1.5, "text", True, None])
def test_a_scalar_is_a_constant(value: Any) -> None:
    assert read(value) == Constant(("x",), value)


@pytest.mark.parametrize("value", [[64, 32], [], {}, {"a": [1]}, 3])
def test_a_value_is_a_constant_whatever_it_is(value: Any) -> None:
    assert read({"value": value}) == Constant(("x",), value)
    assert read({"distribution": "constant", "value": value}) == Constant(("x",), value)


@pytest.mark.parametrize("form", [[1, 2], {"values": [1, 2]}, {"grid_search": [1, 2]}])
def test_a_list_is_an_axis_however_it_is_written(form: Any) -> None:
    assert read(form) == Axis(("x",), (1, 2))


def test_the_values_of_an_axis_can_be_lists_and_objects() -> None:
    assert read([[64, 32], [64], {"a": 1}]) == Axis(("x",), ([64, 32], [64], {"a": 1}))


def test_a_categorical_is_an_axis_of_a_grid() -> None:
    assert read({"distribution": "categorical", "values": ["a", "b"]}) == Axis(("x",), ("a", "b"))


def test_probabilities_make_it_random() -> None:
    parameter = read({"values": ["a", "b"], "probabilities": [0.25, 0.75]})
    assert parameter == Draw(("x",), Categorical(("a", "b"), (0.25, 0.75)))


def test_a_random_search_draws_from_lists() -> None:
    assert read([1, 2], random=True) == Draw(("x",), Categorical((1, 2)))
    assert read(3, random=True) == Constant(("x",), 3)


def test_bounds_without_a_distribution_are_read_as_in_wandb() -> None:
    whole, real = read({"min": 1, "max": 5}), read({"min": 1, "max": 5.0})
    assert whole == Draw(("x",), Distribution("int_uniform", {"min": 1, "max": 5}))
    assert real == Draw(("x",), Distribution("uniform", {"min": 1, "max": 5.0}))


@pytest.mark.parametrize("wrap", [lambda group: group, lambda group: {"parameters": group}])
def test_groups_nest_in_both_ways(wrap: Any) -> None:
    group = wrap({"name": "sgd", "momentum": [0, 0.9], "more": wrap({"nesterov": True})})
    assert parse({"optimizer": group, "lr": 1}) == (
        Constant(("optimizer", "name"), "sgd"),
        Axis(("optimizer", "momentum"), (0, 0.9)),
        Constant(("optimizer", "more", "nesterov"), True),
        Constant(("lr",), 1),
    )


@pytest.mark.parametrize("group", [{"value_head": [1, 2]}, {"variance": [1, 2]}, {"grid": [1, 2]}, {"distance": "l2"}])
def test_members_that_only_resemble_a_form_are_members(group: dict[str, Any]) -> None:
    (member,) = parse({"x": group})
    assert member.path == ("x", *group)


def test_what_is_wrong_is_named_by_its_path() -> None:
    with pytest.raises(ParameterError, match="the list is empty") as caught:
        parse({"a": {"parameters": {"b": {"c": []}}}})
    assert caught.value.path == ("a", "b", "c")


class TestNearest:
    def test_names_what_is_most_alike(self) -> None:
        assert nearest("batchsize", ["batch_size", "epochs"]) == "did you mean 'batch_size'?"

    def test_lists_all_where_nothing_is(self) -> None:
        assert nearest("q", ["b", "a"]) == "known are a, b"
        assert nearest("q", []) == "known are none"
