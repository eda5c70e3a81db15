from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import pytest

from raysweep.errors import SpecError
from raysweep.store.records import Report
from raysweep.sweepfile.file import load_spec
from raysweep.sweepfile.limits import seconds
from raysweep.sweepfile.members import Metric
from raysweep.sweepfile.parameters import flat
from raysweep.sweepfile.spec import check
from tests.conftest import SweepFile
from tests.sweeps import content, spec

YAML = """\
trainable: train.py:train
metric: {name: loss, goal: minimize}
parameters:
  lr: [1e-5, 4E-4, 1.5e-3, 0.1, 1]
  optimizer:
    parameters:
      name: {values: [sgd, adam]}
  layers:
    value: [64, 32]
  flag: true
  nothing: null
  text: "1e-5"
  version: 1e5x
"""
TOML = """\
trainable = "train.py:train"
metric = {name = "loss", goal = "minimize"}

[parameters]
lr = [1e-5, 4E-4, 1.5e-3, 0.1, 1]
flag = true
text = "1e-5"
version = "1e5x"
layers = {value = [64, 32]}

[parameters.optimizer.parameters]
name = {values = ["sgd", "adam"]}
"""


class TestFormats:
    def test_say_the_same(self, sweep_file: SweepFile) -> None:
        parameters = {
            "lr": [1e-5, 4e-4, 1.5e-3, 0.1, 1],
            "optimizer": {"parameters": {"name": {"values": ["sgd", "adam"]}}},
            "layers": {"value": [64, 32]},
            "flag": True,
            "text": "1e-5",
            "version": "1e5x",
        }
        as_json = load_spec(sweep_file(parameters=parameters))
        as_yaml = load_spec(
            sweep_file(YAML.replace("  nothing: null\n", "").replace("defaults: &shared\n", ""), file="sweep.yaml")
        )
        as_toml = load_spec(sweep_file(TOML, file="sweep.toml"))
        assert as_json == as_yaml == as_toml

    def test_yaml_reads_floats_as_people_write_them(self, sweep_file: SweepFile) -> None:
        text = YAML.replace("defaults: &shared\n", "")
        parameters = load_spec(sweep_file(text, file="sweep.yml")).parameters
        assert parameters["lr"] == [1e-5, 4e-4, 1.5e-3, 0.1, 1]
        assert [type(value) for value in parameters["lr"]] == [float, float, float, float, int]
        assert (parameters["text"], parameters["version"], parameters["nothing"]) == ("1e-5", "1e5x", None)

    def test_yaml_merges_what_is_shared(self, sweep_file: SweepFile) -> None:
        text = """\
trainable: train.py:train
metric: {name: loss, goal: minimize}
parameters:
  one: &one {lr: 1, size: 2}
  other:
    <<: *one
    lr: 3
"""
        assert load_spec(sweep_file(text, file="s.yaml")).parameters["other"] == {"lr": 3, "size": 2}

    def test_yaml_merges_again_and_again(self, sweep_file: SweepFile) -> None:
        text = """\
trainable: train.py:train
metric: {name: loss, goal: minimize}
parameters:
  one: &one {a: 1, b: 2}
  two: &two
    <<: *one
    b: 3
  three:
    <<: [*two, *one]
    c: 4
  four:
    <<: *two
  five:
    <<: *two
    a: 5
"""
        parameters = load_spec(sweep_file(text, file="s.yaml")).parameters
        assert parameters["two"] == parameters["four"] == {"a": 1, "b": 3}
        assert parameters["three"] == {"a": 1, "b": 3, "c": 4} and parameters["five"] == {"a": 5, "b": 3}
        with pytest.raises(SpecError, match=r"the key 'b' stands twice in one object \(line 8\)"):
            load_spec(sweep_file(text.replace("    b: 3\n", "    b: 3\n    b: 4\n", 1), file="s.yaml"))

    def test_yaml_takes_no_name_for_true_or_false(self, sweep_file: SweepFile) -> None:
        text = """\
trainable: train.py:train
metric: {name: loss, goal: minimize}
parameters:
  on: yes
  off: [on, off]
  yes: {no: 1, "true": 2}
  True: false
"""
        parameters = load_spec(sweep_file(text, file="s.yaml")).parameters
        assert parameters == {"on": True, "off": [True, False], "yes": {"no": 1, "true": 2}, "True": False}
        with pytest.raises(SpecError, match="the key 'on' stands twice"):
            load_spec(sweep_file(text.replace("off: [", "on: ["), file="s.yaml"))

    def test_a_byte_order_mark_is_no_matter(self, sweep_file: SweepFile) -> None:
        assert load_spec(sweep_file("\ufeff" + json.dumps(content()))) == load_spec(sweep_file())

    def test_the_name_is_the_files_stem_unless_given(self, sweep_file: SweepFile) -> None:
        assert load_spec(sweep_file(file="digits.json")).name == "digits"
        assert load_spec(sweep_file(file="digits.json", name="other")).name == "other"

    def test_every_example_loads(self) -> None:
        root = Path(__file__).parents[1]
        files = [root / "grid.json", *root.glob("examples/**/*.json"), *root.glob("raysweep/cli/starter/*.json")]
        for path in files:
            assert load_spec(path).parsed


class TestOverrides:
    def override(self, sweep_file: SweepFile, *texts: str) -> dict[str, Any]:
        parameters = {"lr": [1, 2], "net": "a", "opt": {"name": "sgd"}, "wandb": {"parameters": {"deep": {"value": 1}}}}
        return load_spec(sweep_file(parameters=parameters), texts).parameters

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("lr=0.1", 0.1),
            ("lr=0.1,0.01", [0.1, 0.01]),
            ("lr=[0.1]", [0.1]),
            ("lr=1e-5", 1e-5),
            ("lr=true,null,x", [True, None, "x"]),
            ('lr="a,b"', "a,b"),
            ("lr=a=b", "a=b"),
            ('lr={"min": 0, "max": 1.5}', {"min": 0, "max": 1.5}),
        ],
    )
    def test_read_values(self, sweep_file: SweepFile, text: str, value: Any) -> None:
        assert self.override(sweep_file, text)["lr"] == value

    def test_reach_into_groups(self, sweep_file: SweepFile) -> None:
        assert self.override(sweep_file, "opt.name=adam,sgd")["opt"] == {"name": ["adam", "sgd"]}

    def test_reach_into_groups_as_wandb_writes_them(self, sweep_file: SweepFile) -> None:
        assert self.override(sweep_file, "wandb.deep=5")["wandb"] == {"parameters": {"deep": 5}}

    def test_add_with_a_plus(self, sweep_file: SweepFile) -> None:
        got = self.override(sweep_file, "+seed=0,1", "+opt.momentum=0.9", "+new.group=1")
        assert (got["seed"], got["opt"]["momentum"], got["new"]) == ([0, 1], 0.9, {"group": 1})

    def test_the_last_one_wins(self, sweep_file: SweepFile) -> None:
        assert self.override(sweep_file, "lr=1", "lr=2")["lr"] == 2


class TestSeconds:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (90, 90),
            (0.5, 0.5),
            ("90s", 90),
            ("10m", 600),
            ("1h30m", 5400),
            ("2d", 172800),
            ("1.5h", 5400),
            ("1m1s", 61),
        ],
    )
    def test_reads_durations(self, text: object, expected: float) -> None:
        assert seconds(text) == expected

    @pytest.mark.parametrize("text", ["", "10", "m", "10 m", "-1s", "1w", None, True, 0, -1, "0s", math.nan, math.inf])
    def test_refuses_others(self, text: object) -> None:
        with pytest.raises(ValueError, match="duration"):
            seconds(text)


class TestMetric:
    def report(self, value: float | str | None, checkpoint: str | None = None, epoch: int = 1) -> Report:
        metrics: dict[str, float | str] = {} if value is None else {"loss": value}
        return Report(epoch, 0.0, 1.0, 1.0, metrics, checkpoint)

    @pytest.mark.parametrize(("goal", "best"), [("minimize", 1), ("maximize", 3)])
    def test_the_best_is_at_the_goals_end(self, goal: Literal["minimize", "maximize"], best: float) -> None:
        found = Metric(name="loss", goal=goal).best([self.report(value) for value in (2, 1, 3)])
        assert found is not None
        assert found.metrics["loss"] == best

    def test_the_first_of_equals_is_the_best(self) -> None:
        reports = [self.report(1, epoch=epoch) for epoch in (1, 2)]
        assert Metric(name="loss", goal="minimize").best(reports) is reports[0]

    @pytest.mark.parametrize("goal", ["minimize", "maximize"])
    def test_a_number_is_better_than_none(self, goal: Literal["minimize", "maximize"]) -> None:
        metric = Metric(name="loss", goal=goal)
        reports = [self.report(math.nan), self.report(5), self.report(math.nan), self.report(None), self.report("x")]
        assert metric.best(reports) is reports[1]
        assert metric.best(reports[:1]) is reports[0]
        assert metric.best(reports[3:]) is None
        assert not metric.better(math.nan, math.nan)

    def test_an_epoch_with_a_checkpoint_comes_first(self) -> None:
        reports = [self.report(1), self.report(3, "c1"), self.report(2, "c2"), self.report(0)]
        assert Metric(name="loss", goal="minimize").best(reports) is reports[2]


class TestStop:
    def limits(self, **stop: float | str) -> dict[str, tuple[str, float]]:
        return spec({"lr": 1}, stop=stop).limits

    def test_a_metric_to_minimise_is_reached_downwards(self) -> None:
        assert self.limits(loss=0.1) == {"loss": ("<=", 0.1)}

    def test_anything_else_is_reached_upwards(self) -> None:
        assert self.limits(accuracy=0.9, epoch=3) == {"accuracy": (">=", 0.9), "epoch": (">=", 3.0)}

    def test_text_says_which(self) -> None:
        assert self.limits(loss=">= 10", other=" <=-1e-3 ") == {"loss": (">=", 10.0), "other": ("<=", -0.001)}

    def test_time_is_in_seconds(self) -> None:
        assert self.limits(time="10m") == {"time": (">=", 600.0)}


def test_a_sweep_is_read_back_from_its_record() -> None:
    keys: dict[str, Any] = {
        "zip": [["lr", "b"]],
        "exclude": [{"lr": 1}],
        "resources": {"cpu": 0.5},
        "stop": {"epoch": 2},
    }
    sweep = spec({"lr": [1, 2], "b": [3, 4]}, **keys, **{"$schema": "x"})
    written = json.loads(json.dumps(sweep.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    assert check(written, "sweep.json") == sweep


def test_a_sweep_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        spec({"lr": 1}).name = "other"  # type: ignore[misc]  # that is the point


def test_flat_joins_names_with_dots() -> None:
    assert flat({"a": {"b": 1, "c": {}}, "d": [{"e": 1}]}) == {"a.b": 1, "a.c": {}, "d": [{"e": 1}]}
