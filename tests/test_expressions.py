from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.errors import SpecError
from raysweep.plan.identity import canonical
from raysweep.sweepfile.expressions import FUNCTIONS, Expression
from raysweep.sweepfile.parameters import Axis, flat
from raysweep.sweepfile.parsing import parse
from tests.sweeps import configs, ids, planned, spec

numbers = st.integers(-9, 9) | st.floats(-9, 9)
expressions = st.recursive(
    numbers.map(repr) | st.sampled_from(["a", "b.c"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "**"]), inner).map(
            lambda t: "({} {} {})".format(*t)
        )
        | st.tuples(inner, inner, inner).map(lambda t: "({} if {} < {} else 1)".format(*t))
        | st.tuples(st.sampled_from(["abs", "floor", "exp", "sqrt", "float"]), inner).map(lambda t: "{}({})".format(*t))
        | inner.map(lambda text: f"(-{text})")
    ),
    max_leaves=8,
)


class Group:
    def __init__(self, c: float) -> None:
        self.c = c


@given(expressions, numbers, numbers)
def test_computes_what_python_does(text: str, a: float, c: float) -> None:
    expression = Expression.read(text)
    assert expression.names <= {"a", "b.c"}
    try:
        expected = eval(text, {**FUNCTIONS, "a": a, "b": Group(c)})
    except (ArithmeticError, ValueError):
        expected = None
    except TypeError:  # of a complex number
        expected = None
    try:
        found = expression.value({"a": a, "b.c": c})
    except ValueError:
        return  # as Python, or since the number is too large or complex
    assert expected is not None and found == expected


@pytest.mark.parametrize(
    "text", ["9**9**9", "9**9**9**9", "(9**9)**(9**9)", "2**100000", "1e308 * 10", "(-8) ** 0.5", "0**-1"]
)
def test_refuses_what_is_no_value_at_once(text: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match="cannot be computed"):
        Expression.read(text).value({})
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "lambda: 1",
        "[1, 2]",
        "a[0]",
        "f'{a}'",
        "a := 1",
        "print(1)",
        "abs(x=1)",
        "a.b()",
        "1 < a < 3",
        "a and b",
        "...",
    ],
)
def test_is_no_python(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no expression|is no arithmetic|is no name"):
        Expression.read(text)


def test_are_computed_from_what_a_trial_has() -> None:
    found = configs({"lr": {"expr": "base * bs / 32"}, "base": 0.1, "bs": [32, 64], "warm": {"expr": "lr * 2"}})
    assert found == [{"lr": 0.1, "base": 0.1, "bs": 32, "warm": 0.2}, {"lr": 0.2, "base": 0.1, "bs": 64, "warm": 0.4}]
    assert list(found[0]) == ["lr", "base", "bs", "warm"]  # the order of the file
    assert ids({"lr": {"expr": "2 * x"}, "x": [1, 2]}) == ids({"lr": [2, 4], "x": [1, 2]}, zip=[["lr", "x"]])


def test_text_is_compared_and_members_of_groups_have_dots() -> None:
    parameters = {"opt": {"name": ["sgd", "adam"]}, "lr": {"expr": "0.1 if opt.name == 'sgd' else 0.001"}}
    assert [config["lr"] for config in configs(parameters)] == [0.1, 0.001]


def test_expressions_need_no_circle() -> None:
    with pytest.raises(SpecError, match=r"parameters.a: is computed from itself\n.*parameters.b: is computed"):
        spec({"a": {"expr": "b"}, "b": {"expr": "a"}, "c": {"expr": "a + 1"}})


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ({"range": [1, 4]}, (1, 2, 3, 4)),
        ({"range": [1, 8, 3]}, (1, 4, 7)),
        ({"range": [0.1, 0.5, 0.1]}, (0.1, 0.2, 0.3, 0.4, 0.5)),
        ({"range": [2, 2]}, (2,)),
        ({"geomspace": [1e-4, 0.1, 4]}, (1e-4, 1e-3, 1e-2, 0.1)),
        ({"geomspace": [16, 128, 4]}, (16, 32, 64, 128)),
        ({"geomspace": [8, 1, 2]}, (8, 1)),
    ],
)
def test_ranges_are_axes(written: dict[str, Any], values: tuple[float, ...]) -> None:
    assert parse({"x": written}) == (Axis(("x",), values),)


@pytest.mark.parametrize("key", ["range", "geomspace", "expr", "one_of"])
def test_a_parameter_of_such_a_name_is_one_in_a_group_of_several_or_as_wandb_writes_it(key: str) -> None:
    assert configs({"x": {key: 1, "other": 2}}) == [{"x": {key: 1, "other": 2}}]
    assert configs({"x": {"parameters": {key: 1}}}) == [{"x": {key: 1}}]


OPTIMIZER: dict[str, Any] = {
    "one_of": [{"name": "sgd", "momentum": [0, 0.9]}, {"name": "adam", "eps": {"min": 0.0, "max": 1.0}}]
}


class TestAlternatives:
    def test_of_a_grid_are_an_axis(self) -> None:
        found = configs({"opt": {"one_of": [{"name": "sgd", "m": [0, 1]}, {"name": "adam"}, None]}, "lr": [1, 2]})
        assert [(config["lr"], config["opt"]) for config in found] == [
            (lr, opt)
            for opt in ({"name": "sgd", "m": 0}, {"name": "sgd", "m": 1}, {"name": "adam"}, None)
            for lr in (1, 2)
        ]
        assert list(found[0]) == ["opt", "lr"]

    def test_share_their_identity_with_what_is_written_out(self) -> None:
        parameters = {"opt": {"one_of": [{"name": "sgd", "m": [0, 1]}, {"name": "adam"}]}}
        assert set(ids({"opt": {"name": "sgd", "m": [0, 1]}})) | set(ids({"opt": {"name": "adam"}})) == set(
            ids(parameters)
        )

    def test_nest_and_have_expressions_in_them(self) -> None:
        inner = {"one_of": [{"kind": "step", "every": {"range": [1, 2]}}, {"kind": "cosine"}]}
        found = configs(
            {"opt": {"one_of": [{"name": "sgd", "plan": inner}, {"name": "adam", "eps": {"expr": "lr / 10"}}]}, "lr": 1}
        )
        assert [config["opt"] for config in found] == [
            {"name": "sgd", "plan": {"kind": "step", "every": 1}},
            {"name": "sgd", "plan": {"kind": "step", "every": 2}},
            {"name": "sgd", "plan": {"kind": "cosine"}},
            {"name": "adam", "eps": 0.1},
        ]

    def test_of_a_grid_are_drawn_in_anew_for_each_sample(self) -> None:
        found = configs({"opt": OPTIMIZER}, samples=3)
        eps = [config["opt"]["eps"] for config in found if config["opt"]["name"] == "adam"]
        assert len(found) == 2 + 3 and len(set(eps)) == 3
        assert configs({"opt": OPTIMIZER}, samples=2) == found[:4]

    def test_of_a_random_search_are_drawn(self) -> None:
        found = configs({"opt": OPTIMIZER, "lr": {"min": 0.0, "max": 1.0}}, method="random", run_cap=200)
        sgd = [config["opt"] for config in found if config["opt"]["name"] == "sgd"]
        assert len(found) == 200 and 70 < len(sgd) < 130
        assert all(set(opt) == {"name", "momentum"} for opt in sgd)
        assert found[:50] == configs({"opt": OPTIMIZER, "lr": {"min": 0.0, "max": 1.0}}, method="random", run_cap=50)

    def test_are_all_found_where_there_are_few(self) -> None:
        few = {"opt": {"one_of": [{"name": "sgd", "m": [0, 1]}, {"name": "adam"}]}, "x": [1, 2]}
        assert len(configs(few, method="random", run_cap=1000)) == 6

    def test_are_known_to_exclude_and_not_to_zip(self) -> None:
        parameters = {"opt": OPTIMIZER, "lr": [1, 2]}
        assert len(configs(parameters, samples=1, exclude=[{"opt.momentum": 0.9, "lr": 1}])) == 5
        with pytest.raises(SpecError, match=r"there is no axis 'opt.momentum'"):
            spec(parameters, samples=1, zip=[["opt.momentum", "lr"]])
        with pytest.raises(SpecError, match=r"'opt.name' varies"):
            spec(parameters, samples=1, untracked=["opt.name"])

    def test_have_names_that_show_them(self) -> None:
        names = [trial.name for trial in planned({"opt": {"one_of": [{"name": "sgd", "m": [0, 1]}, {"name": "adam"}]}})]
        assert [name.rpartition("-")[0] for name in names] == ["opt=sgd,m=0", "opt=sgd,m=1", "opt=adam"]
        assert len({canonical(flat({"n": name})) for name in names}) == 3
