from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raysweep.errors import SpecError
from raysweep.plan.identity import canonical, trial_id
from raysweep.plan.names import NAME_LENGTH, labels, telling
from raysweep.plan.trials import plan, size
from raysweep.sweepfile.parameters import flat
from tests.sweeps import configs, content, ids, names, planned, spec

FORMS = {"values", "grid_search", "value", "distribution", "parameters", "min", "max", "probabilities"}

words = st.text("abcxyz_09", min_size=1, max_size=4).filter(lambda word: word not in FORMS)
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | words
values = scalars | st.lists(scalars, max_size=2)
axes = st.lists(values, min_size=1, max_size=3, unique_by=canonical)
groups: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(words, scalars | axes, min_size=1, max_size=3),
    lambda inner: st.dictionaries(words, scalars | axes | inner, min_size=1, max_size=3),
    max_leaves=4,
)
small_groups = groups.filter(lambda group: combinations(group) <= 60)


def combinations(group: dict[str, Any]) -> int:
    return math.prod(len(value) for value in flat(group).values() if isinstance(value, list))


def as_tune_writes_it(group: dict[str, Any]) -> dict[str, Any]:
    return {
        key: as_tune_writes_it(value)
        if isinstance(value, dict)
        else {"grid_search": value}
        if isinstance(value, list)
        else value
        for key, value in group.items()
    }


def shuffled(group: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    keys = data.draw(st.permutations(list(group)))
    return {key: shuffled(group[key], data) if isinstance(group[key], dict) else group[key] for key in keys}


def constants(group: dict[str, Any]) -> dict[str, Any]:
    """The group with each axis at its first value."""
    return {
        key: constants(value) if isinstance(value, dict) else {"value": value[0]} if isinstance(value, list) else value
        for key, value in group.items()
    }


GOLDEN = {
    "axis": ["625a0cece9", "fd855b411b"],
    "nested": ["10fde018a6"],
    "draw": ["d93a5e0a4f", "1384d6cd3f"],
}


class TestConfigurations:
    @given(small_groups)
    def test_are_those_of_ray_tunes_grid_search_in_its_order(self, group: dict[str, Any]) -> None:
        from ray.tune.search.variant_generator import generate_variants

        theirs = [variant for _, variant in generate_variants(as_tune_writes_it(group))]
        assert list(map(canonical, configs(group))) == list(map(canonical, theirs))

    @given(small_groups)
    def test_are_the_same_for_each_way_to_write_an_axis(self, group: dict[str, Any]) -> None:
        assert configs(as_tune_writes_it(group)) == configs(group)

    def test_vary_the_axis_first_in_the_alphabet_fastest(self) -> None:
        assert configs({"b": [1, 2], "a": [3, 4]}) == [
            {"b": 1, "a": 3}, {"b": 1, "a": 4}, {"b": 2, "a": 3}, {"b": 2, "a": 4},
        ]  # fmt: skip

    def test_keep_the_order_of_the_files_keys(self) -> None:
        assert list(configs({"z": [1], "a": 2, "m": {"y": [3], "b": 4}})[0]) == ["z", "a", "m"]

    def test_share_nothing_with_each_other(self) -> None:
        first, second = configs({"layers": {"value": [1, [2]]}, "lr": [1, 2]})
        first["layers"][1].append(3)
        assert second["layers"] == [1, [2]]

    def test_hold_constants_that_are_lists_and_objects(self) -> None:
        assert configs({"layers": {"value": [64, 32]}, "options": {"value": {"a": 1}}}) == [
            {"layers": [64, 32], "options": {"a": 1}}
        ]

    def test_are_planned_once_where_values_are_equal(self) -> None:
        assert configs({"lr": [1, 1.0, 2, 1]}) == [{"lr": 1}, {"lr": 2}]
        assert configs({"flag": [True, 1, "1", None]}) == [{"flag": True}, {"flag": 1}, {"flag": "1"}, {"flag": None}]

    def test_are_numbered_from_one_without_gaps(self) -> None:
        trials = planned({"a": [1, 1, 2, 3]}, exclude=[{"a": 2}])
        assert [trial.number for trial in trials] == [1, 2]


class TestZip:
    def test_advances_axes_together(self) -> None:
        got = configs({"lr": [1, 2], "warmup": [10, 20], "seed": [0, 1]}, zip=[["lr", "warmup"]])
        assert [(c["lr"], c["warmup"], c["seed"]) for c in got] == [(1, 10, 0), (2, 20, 0), (1, 10, 1), (2, 20, 1)]

    def test_takes_nested_axes_and_several_groups(self) -> None:
        nested = {"a": {"b": [1, 2]}, "c": [3, 4], "d": [5, 6, 7], "e": [8, 9, 10]}
        got = configs(nested, zip=[["a.b", "c"], ["e", "d"]])
        assert len(got) == 6
        assert {(c["a"]["b"], c["c"]) for c in got} == {(1, 3), (2, 4)}
        assert {(c["d"], c["e"]) for c in got} == {(5, 8), (6, 9), (7, 10)}

    @given(st.permutations(["a", "b", "c"]))
    def test_does_not_depend_on_the_order_in_the_group(self, group: list[str]) -> None:
        axes = {"a": [1, 2], "b": [3, 4], "c": [5, 6], "d": [7, 8]}
        assert configs(axes, zip=[group]) == configs(axes, zip=[["a", "b", "c"]])


class TestExclude:
    def test_drops_what_matches_all_of_an_entry(self) -> None:
        got = configs({"lr": [0.1, 0.01], "seed": [0, 1]}, exclude=[{"lr": 0.1, "seed": 1}])
        assert [(c["lr"], c["seed"]) for c in got] == [(0.1, 0), (0.01, 0), (0.01, 1)]

    def test_drops_what_matches_any_entry(self) -> None:
        assert configs({"lr": [1, 2, 3]}, exclude=[{"lr": 1}, {"lr": 3}]) == [{"lr": 2}]

    def test_compares_by_value(self) -> None:
        assert configs({"x": [1, True, "1"]}, exclude=[{"x": 1.0}]) == [{"x": True}, {"x": "1"}]

    @pytest.mark.parametrize("entry", [{"optimizer.name": "sgd"}, {"optimizer": {"name": "sgd"}}])
    def test_names_nested_parameters_in_both_ways(self, entry: dict[str, Any]) -> None:
        assert configs({"optimizer": {"name": ["sgd", "adam"]}}, exclude=[entry]) == [{"optimizer": {"name": "adam"}}]

    def test_knows_a_list_by_its_items(self) -> None:
        assert configs({"layers": [[1, 2], [3]]}, exclude=[{"layers": [1.0, 2]}]) == [{"layers": [3]}]

    def test_of_everything_is_refused(self) -> None:
        with pytest.raises(SpecError, match=r"exclude: drops all 2 combinations"):
            planned({"lr": [1, 2]}, exclude=[{"lr": 1}, {"lr": 2}])

    def test_leaves_the_ids_of_the_others(self) -> None:
        assert ids({"lr": [1, 2, 3]}, exclude=[{"lr": 2}]) == [ids({"lr": [1, 2, 3]})[i] for i in (0, 2)]


class TestIdentity:
    def test_is_what_it_has_always_been(self) -> None:
        """These must never change: finished trials would run again."""
        assert ids({"lr": [0.01, 1e-5], "steps": 5}) == GOLDEN["axis"]
        nested = {"optimizer": {"name": "sgd", "momentum": 0.9}, "layers": {"value": [64, 32]}, "flag": True}
        assert ids({**nested, "none": None, "text": "é"}) == GOLDEN["nested"]
        assert ids({"wd": {"min": 0.0, "max": 0.5}}, samples=2) == GOLDEN["draw"]

    def test_is_the_same_in_another_process(self) -> None:
        text = json.dumps(content(name="sweep", parameters={"lr": [0.01, 1e-5], "steps": 5}))
        program = (
            "import json, sys; from raysweep.sweepfile.spec import check; from raysweep.plan.trials import plan;"
            "print(*(t.id for t in plan(check(json.loads(sys.argv[1]), 'x'))))"
        )
        command = [sys.executable, "-c", program, text]
        told = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "1"})
        assert told.stdout.split() == GOLDEN["axis"]

    @given(st.data(), small_groups)
    def test_does_not_depend_on_the_order_of_keys(self, data: st.DataObject, group: dict[str, Any]) -> None:
        assert ids(shuffled(group, data)) == ids(group)

    @given(small_groups)
    def test_does_not_depend_on_how_a_group_is_written(self, group: dict[str, Any]) -> None:
        def wrapped(inner: dict[str, Any]) -> dict[str, Any]:
            return {k: {"parameters": wrapped(v)} if isinstance(v, dict) else v for k, v in inner.items()}

        assert ids(wrapped(group)) == ids(group)

    @given(st.integers(-(2**60), 2**60).filter(lambda n: int(float(n)) == n))
    def test_takes_numbers_by_value(self, number: int) -> None:
        assert ids({"x": number}) == ids({"x": float(number)})
        assert ids({"x": {"value": [number]}}) == ids({"x": {"value": [float(number)]}})

    def test_tells_truth_from_one_and_text_from_number(self) -> None:
        spellings: list[Any] = [1, True, "1", "true", None, "null", 0, False, "", [1], [[1]], {"a": 1}, 2, 1.5]
        assert len({ids({"x": {"value": value}})[0] for value in spellings}) == len(spellings)
        assert ids({"x": -0.0}) == ids({"x": 0})

    @given(small_groups)
    def test_does_not_depend_on_the_other_values_of_axes(self, group: dict[str, Any]) -> None:
        assert ids(constants(group))[0] == ids(group)[0]

    @given(groups, words, values, values)
    def test_changes_with_any_value(self, group: dict[str, Any], key: str, one: Any, other: Any) -> None:
        assume(canonical(one) != canonical(other))
        base = constants(group)
        assert ids({**base, key: {"value": one}}) != ids({**base, key: {"value": other}})

    @given(groups, words)
    def test_changes_with_an_added_parameter(self, group: dict[str, Any], key: str) -> None:
        assume(key not in group)
        assert ids({**constants(group), key: 1}) != ids(constants(group))

    def test_changes_with_the_trainable_and_with_nothing_else(self) -> None:
        here = ids({"lr": 1})
        assert ids({"lr": 1}, trainable="train.py:other") != here
        others: dict[str, Any] = {"description": "x", "sweep_seed": 7, "retries": 3, "max_concurrent": 1}
        others |= {"resources": {"cpu": 2}, "stop": {"epoch": 3}, "run_cap": 5}
        assert ids({"lr": 1}, **others, metric={"name": "accuracy", "goal": "maximize"}) == here

    def test_leaves_out_what_is_untracked(self) -> None:
        here = ids({"lr": 1, "data": {"dir": "/a", "set": "x"}}, untracked=["data.dir"])
        assert ids({"lr": 1, "data": {"dir": "/b", "set": "x"}}, untracked=["data.dir"]) == here
        assert ids({"lr": 1, "data": {"set": "x"}}) == here
        assert ids({"lr": 1, "data": {"dir": "/a", "set": "y"}}, untracked=["data.dir"]) != here

    def test_leaves_out_how_long_to_train(self) -> None:
        here = ids({"lr": 1, "epochs": 5})
        assert ids({"lr": 1, "epochs": 9}) == here
        assert ids({"lr": 1, "steps": 5}, continues="steps") == ids({"lr": 1, "steps": 9}, continues="steps")
        assert ids({"lr": 1, "epochs": 5}, continues="") != ids({"lr": 1, "epochs": 9}, continues="")
        assert len(set(ids({"lr": 1, "epochs": [5, 9]}))) == 2

    def test_leaves_out_what_has_the_value_that_it_had_before_it_was_in_the_file(self) -> None:
        before = ids({"lr": [1, 2]})
        assert ids({"lr": [1, 2], "opt": {"momentum": 0.0}}, defaults={"opt.momentum": 0}) == before
        after = ids({"lr": [1, 2], "momentum": [0.9, 0]}, defaults={"momentum": 0.0})
        assert len(set(after)) == 4
        assert set(before) < set(after)

    @given(small_groups)
    def test_can_be_computed_from_a_configuration(self, group: dict[str, Any]) -> None:
        sweep = spec(group)
        assert all(trial_id(sweep, trial.config) == trial.id for trial in plan(sweep))


class TestGrowing:
    @given(small_groups, words, axes, axes)
    def test_an_axis_keeps_the_earlier_trials(
        self, group: dict[str, Any], key: str, before: list[Any], added: list[Any]
    ) -> None:
        assume(combinations({**group, key: before + added}) <= 60)
        small = {trial.id: canonical(trial.config) for trial in planned({**group, key: before})}
        large = {trial.id: canonical(trial.config) for trial in planned({**group, key: before + added})}
        assert small.items() <= large.items()

    @given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 3))
    def test_samples_keep_the_earlier_trials(self, few: int, more: int, seed: int) -> None:
        parameters = {"lr": {"min": 0.0, "max": 1.0}, "seed": [0, 1]}
        small = planned(parameters, samples=few, sweep_seed=seed)
        large = planned(parameters, samples=few + more, sweep_seed=seed)
        assert [(t.id, t.config) for t in small] == [(t.id, t.config) for t in large[: len(small)]]

    def test_another_random_parameter_keeps_the_draws(self) -> None:
        one = configs({"a": {"min": 0.0, "max": 1.0}}, samples=3)
        two = configs({"a": {"min": 0.0, "max": 1.0}, "b": {"min": 0.0, "max": 1.0}}, samples=3)
        assert [c["a"] for c in one] == [c["a"] for c in two]
        assert all(c["a"] != c["b"] for c in two)


class TestRandom:
    def test_draws_are_those_of_the_sweep_seed(self) -> None:
        parameters = {"lr": {"min": 0.0, "max": 1.0}}
        assert configs(parameters, samples=3) == configs(parameters, samples=3)
        assert configs(parameters, samples=3, sweep_seed=1) != configs(parameters, samples=3)

    def test_every_grid_point_meets_the_same_draws(self) -> None:
        got = configs({"lr": {"min": 0.0, "max": 1.0}, "net": ["a", "b"], "seed": [0, 1, 2]}, samples=4)
        assert len(got) == 24
        by_point: dict[tuple[str, int], list[float]] = {}
        for config in got:
            by_point.setdefault((config["net"], config["seed"]), []).append(config["lr"])
        (draws,) = {tuple(drawn) for drawn in by_point.values()}
        assert len(set(draws)) == 4

    def test_method_random_draws_from_lists(self) -> None:
        got = configs({"a": [1, 2, 3], "b": [4, 5], "c": 6}, method="random", samples=40)
        assert {(c["a"], c["b"], c["c"]) for c in got} == {(a, b, 6) for a in (1, 2, 3) for b in (4, 5)}
        assert len(got) == 6

    def test_method_random_takes_run_cap_for_samples(self) -> None:
        assert len(planned({"a": {"min": 0.0, "max": 1.0}}, method="random", run_cap=7)) == 7

    @given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 40))
    def test_run_cap_is_reached_where_there_are_so_many(self, sizes: list[int], cap: int) -> None:
        parameters = {f"p{index}": list(range(size)) for index, size in enumerate(sizes)}
        searched = ids(parameters, method="random", run_cap=cap)
        assert len(searched) == min(cap, math.prod(sizes))
        first = ids(parameters, method="random", samples=cap)  # just so many draws, of which some are equal
        assert searched[: len(first)] == first

    @given(st.integers(1, 20), st.integers(1, 20))
    def test_a_larger_run_cap_keeps_the_earlier_trials(self, few: int, more: int) -> None:
        parameters = {"a": {"min": 1, "max": 6}, "b": [1, 2, 3]}
        small = ids(parameters, method="random", run_cap=few)
        assert ids(parameters, method="random", run_cap=few + more)[: len(small)] == small

    def test_draws_on_to_improbable_values_and_past_excluded_ones(self) -> None:
        rare = {"values": [1, 2], "probabilities": [0.995, 0.005]}
        assert len(planned({"a": rare}, method="random", run_cap=2)) == 2
        got = configs({"a": [1, 2, 3, 1.0], "b": [4, 5]}, method="random", run_cap=6, exclude=[{"a": 1, "b": 5}])
        assert len(got) == 5
        with pytest.raises(SpecError, match="exclude: drops all"):
            planned({"a": {"min": 0.0, "max": 1.0}, "b": 1}, method="random", run_cap=3, exclude=[{"b": 1}])

    @pytest.mark.parametrize(
        ("drawn", "count"),
        [
            ({"min": 3, "max": 7}, 5),
            ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25}, 5),
            ({"distribution": "q_log_uniform_values", "min": 32, "max": 64, "q": 16}, 3),
            ({"values": [1, 1.0, True]}, 2),
        ],
    )
    def test_knows_when_it_has_drawn_all_there_is(self, drawn: dict[str, Any], count: int) -> None:
        started = time.perf_counter()
        assert len(planned({"a": drawn}, method="random", run_cap=1000)) == count
        assert time.perf_counter() - started < 1

    def test_fewer_samples_than_run_cap_are_no_more(self) -> None:
        assert len(planned({"a": {"min": 0.0, "max": 1.0}}, method="random", samples=3, run_cap=9)) == 3

    def test_equal_draws_are_one_trial(self) -> None:
        assert len(planned({"a": {"min": 1, "max": 2}}, samples=50)) == 2


class TestLimits:
    def test_run_cap_keeps_the_first_trials(self) -> None:
        assert ids({"a": [1, 1, 2, 3]}, run_cap=2) == ids({"a": [1, 2, 3]})[:2]

    def test_size_is_told_without_expanding(self) -> None:
        sweep = spec({f"axis{i}": list(range(100)) for i in range(10)}, zip=[["axis0", "axis1"]])
        assert size(sweep) == 100**9

    def test_a_million_combinations_are_refused_at_once(self) -> None:
        sweep = spec({name: list(range(100)) for name in "abc"})
        started = time.perf_counter()
        with pytest.raises(SpecError, match=r"span 1,000,000 trials, more than 10,000; give --yes"):
            plan(sweep)
        assert time.perf_counter() - started < 1

    def test_samples_count(self) -> None:
        with pytest.raises(SpecError, match="20,000 trials"):
            planned({"a": {"min": 0.0, "max": 1.0}, "b": [1, 2]}, samples=10_000)

    def test_many_trials_are_planned_where_they_are_asked_for(self) -> None:
        sweep = spec({"a": list(range(101)), "b": list(range(100))})
        assert len(plan(sweep, limit=None)) == 10_100
        assert len(plan(sweep, limit=10_100)) == 10_100

    def test_a_run_cap_makes_a_large_space_small(self) -> None:
        assert len(planned({name: list(range(100)) for name in "abc"}, run_cap=3)) == 3


class TestNames:
    def test_show_what_varies(self) -> None:
        got = names({"lr": [0.1, 1e-5], "epochs": 5, "opt": {"name": ["sgd"], "momentum": [0, 0.9]}})
        assert [name.rpartition("-")[0] for name in got] == [
            "lr=0.1,momentum=0", "lr=1e-05,momentum=0", "lr=0.1,momentum=0.9", "lr=1e-05,momentum=0.9",
        ]  # fmt: skip

    def test_show_the_whole_path_where_the_last_part_is_not_enough(self) -> None:
        got = names({"a": {"x": [1, 2]}, "b": {"x": [1, 2]}})
        assert got[0].startswith("a.x=1,b.x=1-")

    def test_of_a_single_trial_show_nothing_but_the_id(self) -> None:
        (trial,) = planned({"lr": 0.1})
        assert trial.name == f"trial-{trial.id}"

    def test_have_something_of_each_parameter_where_not_all_has_room(self) -> None:
        long = {f"parameter_number_{index}": [f"value-{index}-{'x' * 40}-{n}" for n in (1, 2)] for index in range(5)}
        got = names({**long, "seed": [0, 1]})
        assert len({name.rpartition("-")[0] for name in got}) == 2**6
        assert all(re.fullmatch(r"para=[x-]+\d,para=.*,seed=[01]-\w{10}", name) for name in got)
        drawn = names({**long, "lr": {"min": 0.0, "max": 1.0}}, samples=2)
        assert all(re.search(r",lr=0\.\d{2,6}-", name) for name in drawn)

    def test_keep_the_beginning_of_values_where_that_tells_them_apart(self) -> None:
        got = names({"path": [f"/{word}/{'x' * 100}" for word in ("one", "two")], "y" * 80: [1, 2]})
        assert [name[: len("path=one")] for name in got] == ["path=one", "path=two"] * 2

    def test_have_no_remains_of_escape_sequences(self) -> None:
        red, title = "\x1b[31mRED\x1b[0m", "\x1b]0;title\x07blue"
        assert [name.rpartition("-")[0] for name in names({"x": [red, title, "\x1bcgreen"]})] == [
            "x=RED", "x=blue", "x=green",
        ]  # fmt: skip

    def test_begin_with_what_a_shell_takes_for_a_name(self) -> None:
        assert names({"-rf": [1, 2]})[0].startswith("rf=1-")

    def test_do_not_show_what_is_untracked(self) -> None:
        assert all("dir" not in name for name in names({"lr": [1, 2], "dir": "/x"}, untracked=["dir"]))

    def test_tell_small_floats_apart(self) -> None:
        one, other = names({"x": [1e-5, 4e-5]})
        assert one.startswith("x=1e-05-")
        assert other.startswith("x=4e-05-")

    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=4, unique_by=canonical))
    def test_print_floats_that_read_back_as_they_were(self, numbers: list[float]) -> None:
        trials = planned({"x": numbers})
        assert [float(trial.name.removeprefix("x=").rpartition("-")[0]) for trial in trials] == numbers

    @given(small_groups | st.dictionaries(st.text(max_size=200), st.lists(st.text() | st.floats(), max_size=3)))
    def test_are_short_safe_and_different(self, group: dict[str, Any]) -> None:
        try:
            trials = planned(group)
        except SpecError:
            assume(False)
        for trial in trials:
            assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+=,-]*", trial.name)
            assert len(trial.name) <= NAME_LENGTH
            assert trial.name.endswith(f"-{trial.id}")
        assert len({trial.name for trial in trials}) == len(trials)


class TestLabels:
    """What trials are called where there is little room."""

    def test_are_the_names_without_the_ids(self) -> None:
        trials = planned({"lr": [0.1, 0.2]})
        assert list(labels({t.id: t.name for t in trials}).values()) == ["lr=0.1", "lr=0.2"]

    def test_have_the_id_where_nothing_else_tells_them_apart(self) -> None:
        one, two, three = planned({"tag": ["a b", "a_b", "c"]})
        assert labels({t.id: t.name for t in (one, two, three)}) == {
            one.id: one.name,
            two.id: two.name,
            three.id: "tag=c",
        }
        (alone,) = planned({"lr": 1})
        assert labels({alone.id: alone.name}) == {alone.id: alone.id}

    @given(small_groups | st.dictionaries(st.text(max_size=200), st.lists(st.text() | st.floats(), max_size=3)))
    def test_are_all_different_and_so_are_their_beginnings(self, group: dict[str, Any]) -> None:
        try:
            trials = planned(group)
        except SpecError:
            assume(False)
        told = list(labels({t.id: t.name for t in trials}).values())
        assert len(set(told)) == len(trials)
        length = telling(told)
        assert len({text[:length] for text in told}) == len(trials)
        assert length == 1 or len({text[: length - 1] for text in told}) < len(trials)
