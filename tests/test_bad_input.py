"""Wrong sweep files and command lines: each has its own message, exit code 2, and starts nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from raysweep.cli.program import main
from raysweep.store.records import FORMAT
from tests.conftest import SweepFile
from tests.sweeps import content

NAN, INFINITY = float("nan"), float("inf")
LONG = "x" * 5000


class Shell:
    """Runs commands in an empty directory."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        """The exit code, stdout and stderr of a command."""
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def refused(self, *arguments: str | Path) -> str:
        """What a command says that is refused before anything starts."""
        before = self._files()
        code, out, err = self(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("raysweep: ")
        assert "Traceback" not in err
        assert "Error(" not in err
        assert self._files() == before, "something was written"
        ray = sys.modules.get("ray")
        assert ray is None or not ray.is_initialized()
        return err

    def _files(self) -> set[Path]:
        return {path for path in self.directory.rglob("*") if path.name != "__pycache__"}


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)


@pytest.mark.parametrize("command", ["plan", "results", "no\x1b[2Jsuch"])
def test_what_was_typed_is_shown_and_not_obeyed(shell: Shell, command: str) -> None:
    code, out, err = shell(command, "\x1b[2J\x9b[red].json")
    assert (code, out) == (2, "")
    assert r"\x1b[2J" in err and "\x1b" not in err and "\x9b" not in err


def refused_file(shell: Shell, path: Path, *fragments: str) -> None:
    """Both plan and run refuse the file; the message has its name, and all fragments."""
    for command in ("plan", "run"):
        told = shell.refused(command, path)
        missing = [fragment for fragment in (path.name.removesuffix(path.suffix), *fragments) if fragment not in told]
        assert not missing, f"{missing} not in {told!r}"


def deep(depth: int) -> list[Any]:
    return [deep(depth - 1)] if depth else []


def case(title: str, /, *fragments: str, **keys: Any) -> Any:
    return pytest.param(keys, fragments, id=title)


def parameter(name: str, value: Any, *fragments: str) -> Any:
    return case(name, "parameters.", *fragments, parameters={"lr": value, "other": [1, 2]})


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        pytest.param("", ["is empty", "raysweep init"], id="an empty file"),
        pytest.param(" \n", ["is empty"], id="a blank file"),
        pytest.param("lr = 0.1", ["is not JSON", "line 1 column 1", ".toml"], id="not JSON"),
        pytest.param('{"trainable": "a:b",}', ["is not JSON", "line 1"], id="a trailing comma"),
        pytest.param('{"trainable": "a:b"', ["is not JSON"], id="cut off"),
        pytest.param("[1, 2]", ["a sweep file is an object"], id="a list"),
        pytest.param("3", ["a sweep file is an object"], id="a number"),
        pytest.param('"grid"', ["a sweep file is an object"], id="a text"),
        pytest.param("null", ["a sweep file is an object"], id="null"),
        pytest.param("{}", ["trainable: is missing", "parameters: is missing"], id="no keys"),
        pytest.param('{"name": "a", "name": "b"}', ["the key 'name' stands twice"], id="a key twice"),
        pytest.param('{"parameters": {"lr": 1, "lr": 2}}', ["the key 'lr' stands twice"], id="a parameter twice"),
        pytest.param("[" * 100_000, ["is nested too deeply"], id="nested without end"),
        pytest.param('{"run_cap": ' + "9" * 5000 + "}", ["Exceeds the limit"], id="a number of 5000 digits"),
    ],
)
def test_text_that_is_no_sweep_file(sweep_file: SweepFile, shell: Shell, text: str, fragments: list[str]) -> None:
    refused_file(shell, sweep_file(text), *fragments)


@pytest.mark.parametrize(
    ("file", "text", "fragments"),
    [
        pytest.param("s.yaml", "a: [1", ["is not YAML", "line 1"], id="not YAML"),
        pytest.param("s.yaml", "samples: 1\nsamples: 2", ["stands twice", "line 2"], id="a key twice in YAML"),
        pytest.param("s.yaml", "? [1, 2]\n: 3", ["is not YAML", "unhashable key"], id="a YAML list as a key"),
        pytest.param("s.yaml", "a: &a 1\nb: {<<: *a}", ["is not YAML", "must be an object", "line 1"], id="a merged 1"),
        pytest.param("s.yaml", "a: &a {? [1] : 2}\nb: {<<: *a}", ["unhashable key"], id="a merged list as a key"),
        pytest.param("s.yaml", "a: &a {<<: *a, b: 1}", ["there is no such key"], id="what merges itself"),
        pytest.param("s.yaml", "a: 1\n---\nb: 2", ["is not YAML", "single document"], id="two YAML documents"),
        pytest.param("s.yaml", "a: !!python/object:os.system x", ["is not YAML", "python/object"], id="code in YAML"),
        pytest.param("s.yaml", "1: 2", ["should be strings"], id="a number as a YAML key"),
        pytest.param("s.yaml", "", ["is empty"], id="empty YAML"),
        pytest.param("s.toml", "a = ", ["is not TOML: Invalid value"], id="not TOML"),
        pytest.param("s.toml", "a = 1\na = 2", ["is not TOML"], id="a TOML key twice"),
    ],
)  # fmt: skip
def test_text_in_other_formats(sweep_file: SweepFile, shell: Shell, file: str, text: str, fragments: list[str]) -> None:
    refused_file(shell, sweep_file(text, file=file), *fragments)


def test_bytes_that_are_no_text(sweep_file: SweepFile, shell: Shell) -> None:
    path = sweep_file()
    path.write_bytes(b'{"name": "\xff"}')
    refused_file(shell, path, "is no text in UTF-8", "byte 10")


def test_a_yaml_list_that_holds_itself(sweep_file: SweepFile, shell: Shell) -> None:
    text = json.dumps(content()).replace('"lr": [0.1, 0.01]', '"lr": &again [*again]')
    refused_file(shell, sweep_file(text, file="s.yaml"), "nested too deeply")


def test_a_date_in_yaml(sweep_file: SweepFile, shell: Shell) -> None:
    text = json.dumps(content()).replace("[0.1, 0.01]", "[2020-01-01]")
    refused_file(shell, sweep_file(text, file="s.yaml"), "parameters.lr", "is a date")


@pytest.mark.parametrize(
    ("keys", "fragments"),
    [
        case("a name of dots", 'name: ".." cannot name a folder', name=".."),
        case("an empty name", "name: ", name=""),
        case("a name too long", "at most 100", name="x" * 101),
        case("a number as a name", "name: 5 cannot", name=5),
        case("no trainable", "trainable: is missing", trainable=None),
        case("a number as the trainable", "trainable: should be text", trainable=5),
        case("an empty trainable", "trainable: '' names no function", trainable=""),
        case("a trainable without a function", "names no function", trainable="train.py"),
        case("a trainable with an empty function", "names no function", trainable="train.py:"),
        case("a trainable without a file", "names no function", trainable=":train"),
        case("a function that is an expression", "names no function", trainable="train.py:train()"),
        case("a file that does not exist", "there is no file", "missing.py", trainable="missing.py:train"),
        case("a file whose name is too long", "there is no file", trainable=f"{LONG}.py:train"),
        case("a module that does not exist", "no module 'no_such'", trainable="no_such.module:train"),
        case("a module in no package", "'json.decoder' is no package", trainable="json.decoder.x:train"),
        case("a module with an empty part", "there is no module", trainable="json..decoder:train"),
        case("a function that does not exist", "did you mean 'train'?", trainable="train.py:trian"),
        case("a function of a module that does not exist", "did you mean 'loads'?", trainable="json:loadss"),
        case("early stopping without a metric", 'early_stopping: needs a "metric"', metric=None,
             early_stopping={"type": "median"}),
        case("early_terminate without a metric", 'early_terminate: needs a "metric"', metric=None,
             early_terminate={"type": "hyperband", "min_iter": 3}),
        case("text as the metric", 'metric: write {"name"', metric="loss"),
        case("a metric without a name", "metric.name: is missing", metric={"goal": "minimize"}),
        case("another goal", "metric.goal: should be 'minimize' or", metric={"name": "loss", "goal": "min"}),
        case("an empty metric", "metric.name: should have at least 1", metric={"name": "", "goal": "minimize"}),
        case("mode in the metric", "metric.mode: there is no such key", metric={"name": "loss", "mode": "min"}),
        case("another method", "method: should be 'grid', 'random' or 'bayes'", method="bohb"),
        case("a search without an end", 'method: a bayes search needs "samples"', method="bayes"),
        case("a search for nothing", 'method: bayes needs a "metric"', method="bayes", metric=None, run_cap=3),
        case("population-based training", "early_stopping.type: is refused: it", early_stopping={"type": "pbt"}),
        case("no parameters", "parameters: is missing", parameters=None),
        case("empty parameters", "parameters: is empty", parameters={}),
        case("a list as parameters", "parameters: should be an object", parameters=[{"lr": 1}]),
        case("samples without randomness", "samples: nothing is random here", samples=5),
        case("no samples for randomness", 'method: a random search needs "samples"', method="random"),
        case("zero samples", "samples: should be greater", samples=0, parameters={"a": {"min": 0, "max": 9}}),
        case("a fraction of a sample", "samples: should be a valid integer", samples=2.5),
        case("true as samples", "samples: should be a valid integer", samples=True),
        case("a negative run_cap", "run_cap: should be greater", run_cap=-1),
        case("a negative sweep_seed", "sweep_seed: should be greater", sweep_seed=-1),
        case("text as max_concurrent", "max_concurrent: should be a valid integer", max_concurrent="8"),
        case("a fraction of a retry", "retries: should be a valid integer", retries=0.5),
        case("a number as description", "description: should be text", description=3),
        case("a name instead of a zip", "zip: should be a list", zip="lr"),
        case("names instead of groups in zip", "zip[0]: should be a list", zip=["lr", "seed"]),
        case("a zip of one", "zip[0]: names fewer than two", zip=[["lr"]]),
        case("a zip of an unknown axis", "no axis 'lrr'; did you mean 'lr'?", zip=[["lr", "lrr"]]),
        case("a zip of the same axis", "zip[0]: 'lr' is named twice", zip=[["lr", "lr"]]),
        case("a zip of unequal lengths", "lr has 2, warmup has 3", zip=[["lr", "warmup"]],
             parameters={"lr": [1, 2], "warmup": [1, 2, 3]}),
        case("a zip with a constant", "no axis 'epochs'", zip=[["lr", "epochs"]],
             parameters={"lr": [1, 2], "epochs": 3}),
        case("an axis in two zips", "zip[1]: 'a' is named twice", zip=[["a", "b"], ["a", "c"]],
             parameters={"a": [1, 2], "b": [1, 2], "c": [1, 2]}),
        case("an object instead of a list in exclude", "exclude: should be a list", exclude={"lr": 0.1}),
        case("a number in exclude", "exclude[0]: should be an object", exclude=[0.1]),
        case("an empty entry in exclude", "exclude[1]: is empty", exclude=[{"lr": 0.1}, {}]),
        case("an unknown parameter in exclude", "no parameter 'lrr'; did you mean 'lr'?", exclude=[{"lrr": 0.1}]),
        case("NaN in exclude", "exclude[0].lr: nan is no value", exclude=[{"lr": NAN}]),
        case("an exclude of everything", "exclude: drops all 2", exclude=[{"lr": 0.1}, {"lr": 0.01}]),
        case("a number as resources", "resources: should be an object", resources=2),
        case("an unknown resource", "resources.gpus: there is no such key; did you mean 'gpu'?", resources={"gpus": 1}),
        case("a negative resource", "resources.cpu: should be greater", resources={"cpu": -1}),
        case("text as a resource", "resources.gpu: should be a valid number", resources={"gpu": "all"}),
        case("one and a half GPUs", "resources.gpu: above 1 it must be a whole number", resources={"gpu": 1.5}),
        case("a list nested too deeply", "parameters.lr: is nested too deeply", parameters={"lr": deep(60)}),
        case("endless CPUs", "resources.cpu: should be a finite number", resources={"cpu": INFINITY}),
        case("a number as stop", "stop: should be an object", stop=5),
        case("a list as a limit", "stop.loss: should be a valid number", stop={"loss": [1]}),
        case("text as a limit", "stop.loss: a limit is a number", stop={"loss": "small"}),
        case("NaN as a limit", "stop.loss: a limit is a number", stop={"loss": NAN}),
        case("NaN as a limit in text", "stop.loss: a limit is a number", stop={"loss": "<= nan"}),
        case("a time that is none", "stop.time: 'soon' is no duration", stop={"time": "soon"}),
        case("no time at all", "stop.time: a duration is more than 0", stop={"time": "0s"}),
        case("text instead of a list of untracked", "untracked: should be a list", untracked="lr"),
        case("an unknown untracked parameter", "untracked: there is no parameter 'dir'", untracked=["dir"]),
        case("an untracked axis", "untracked: 'lr' varies", untracked=["lr"]),
        case("an unknown key", "trainble: there is no such key; did you mean 'trainable'?", trainble="x"),
        case("a misspelt key", "paramters: there is no such key; did you mean 'parameters'?", paramters={}),
        case("a program that is missing", "there is no file", "main.py", program="main.py", trainable=None),
        case("a command without a program", 'command: belongs to a "program"', command=["python", "${program}"]),
        case("early_terminate without rungs", 'early_terminate: needs "min_iter"',
             early_terminate={"type": "hyperband"}),
        case("early stopping twice", "early_terminate: is early stopping, too", early_stopping={"type": "median"},
             early_terminate={"type": "hyperband", "min_iter": 3}),
        case("a target that is none", "metric.target: should be a finite", metric={"name": "a", "target": INFINITY}),
        case("a misspelt member", "did you mean 'last'?", checkpoints={"lst": 2}),
        case("Ray's num_samples", 'num_samples: write "samples"', num_samples=3),
    ],
)  # fmt: skip
def test_keys(sweep_file: SweepFile, shell: Shell, keys: dict[str, Any], fragments: tuple[str, ...]) -> None:
    refused_file(shell, sweep_file(**keys), *fragments)


@pytest.mark.parametrize(
    ("keys", "fragments"),
    [
        parameter("an empty list", [], "lr: the list is empty"),
        parameter("empty values", {"values": []}, "lr: the list is empty"),
        parameter("a number as values", {"values": 3}, "lr: an axis is a list"),
        parameter("an empty group", {}, "lr: is empty"),
        parameter("a group with an empty group", {"a": {}}, "lr.a: is empty"),
        parameter("NaN", NAN, "lr: nan is no value"),
        parameter("NaN in a list", [0.1, NAN], "lr: nan is no value"),
        parameter("infinity", [INFINITY], "lr: inf is no value"),
        parameter("infinity within a value", {"value": {"a": [-INFINITY]}}, "lr: -inf is no value"),
        parameter("half a character", "\ud800", "lr: ", "half of a character"),
        parameter("a name that ends in a dot", {"a.": 1}, "the name 'a.' is not one"),
        case("a dotted name twice", "parameters.a.b: 'a.b' stands twice", parameters={"a.b": 1, "a": {"b": 2}}),
        case("a value and a group", "parameters.a.b: 'a' stands twice", parameters={"a.b": 1, "a": 2}),
        parameter("NNI's way", {"_type": "choice", "_value": [1, 2]}, "lr: is written as NNI has it", "sweep-file.md"),
        parameter("Optuna's way", {"type": "float", "low": 0.1, "high": 1}, "lr: is written as Optuna has it"),
        parameter("an Optuna study's way", {"name": "IntDistribution", "attributes": {"low": 1}}, "an Optuna study"),
        parameter("Ax's way", {"type": "range", "bounds": [0.1, 1]}, "lr: is written as Ax has it"),
        parameter("Hydra's way", "interval(0.1, 1)", "lr: is written as Hydra or Ray Tune has it"),
        parameter("Hydra's choice", "choice(32, 64)", "lr: is written as Hydra"),
        parameter("Ray Tune's way in words", "tune.loguniform(1e-4, 1e-1)", "lr: is written as Hydra or Ray Tune"),
        parameter("a choice with a name", {"choice": [16, 32]}, "lr: is written as Ray Tune has it"),
        parameter("a range downwards", {"range": [3, 1]}, "lr: a range goes upwards"),
        parameter("a range without an end", {"range": [3]}, "lr: range is [from, to] or [from, to, step]"),
        parameter("a range of text", {"range": ["a", "b"]}, "lr: range is [from, to]"),
        parameter("a range to infinity", {"range": [0, INFINITY]}, "lr: inf is no value"),
        parameter("a range of too many", {"range": [0, 1, 1e-9]}, "lr: the range has more than 100,000 values"),
        parameter("a geomspace from 0", {"geomspace": [0, 1, 3]}, "lr: geomspace has two numbers above 0"),
        parameter("a geomspace of one", {"geomspace": [1, 2, 1]}, "lr: geomspace has two numbers above 0"),
        parameter("a geomspace without a number", {"geomspace": [1, 2]}, "lr: geomspace is [from, to, how many]"),
        parameter("a list as an expression", {"expr": [1]}, "lr: an expression is text"),
        parameter("half an expression", {"expr": "other *"}, "lr: 'other *' is no expression"),
        parameter("a call", {"expr": "__import__('os').system('x')"}, "is no arithmetic"),
        parameter("an index", {"expr": "other[0]"}, "lr: 'other[0]' is no arithmetic"),
        parameter("an attribute of a number", {"expr": "(1).real"}, "is no name of a parameter"),
        parameter("an unknown name", {"expr": "othr * 2"}, "no parameter 'othr'; did you mean 'other'?"),
        parameter("an expression of itself", {"expr": "lr + 1"}, "lr: is computed from itself"),
        parameter("a division by zero", {"expr": "1 / (other - 1)"}, "lr: '1 / (other - 1)' cannot be computed"),
        parameter("a power without end", {"expr": "9 ** 9 ** 9 ** other"}, "cannot be computed"),
        parameter("text times a number", {"expr": "'a' * other"}, "cannot be computed: 'a' is no number"),
        parameter("one of one", {"one_of": [{"a": 1}]}, "lr: 'one_of' is a list of at least two"),
        parameter("one of what is wrong", {"one_of": [{"a": []}, {"b": NAN}]}, "lr.a: the list is empty", "lr.b: nan"),
        case("a name of another alternative", "'opt.momentum' is no parameter of this trial", parameters={
             "opt": {"one_of": [{"name": "sgd", "momentum": 0.9}, {"name": "adam"}]}, "x": {"expr": "opt.momentum"}}),
        parameter("an empty name", {"": 1}, "the name '' is not one"),
        parameter("a control character in a name", {"a\n": 1}, "is not one that can be used"),
        parameter("two forms at once", {"value": 1, "values": [1]}, "'value' stands alone"),
        parameter("a form among members", {"values": [1], "size": 3}, "'values' stands alone", "size"),
        parameter("a group and a form", {"parameters": {"b": 1}, "min": 0}, "'parameters' stands alone"),
        parameter("a misspelt form", {"vaules": [1, 2]}, "lr.vaules: did you mean 'values'?"),
        parameter("a misspelt grid_search", {"gridsearch": [1, 2]}, "did you mean 'grid_search'?"),
        case(
            "a range in a grid",
            "parameters.lr: is drawn at random",
            'add "samples": 1',
            "parameters.net.drop: is drawn",
            method="grid",
            parameters={"lr": {"min": 0.0, "max": 1.0}, "net": {"drop": {"min": 0.0, "max": 0.4}}, "x": [1, 2]},
        ),
        case(
            "probabilities in a grid", "parameters.lr: is drawn at random", '"method": "random"',
            method="grid", parameters={"lr": {"values": [1, 2], "probabilities": [0.5, 0.5]}},
        ),
        parameter("a whole number beyond all floats", [1, 10**400], "no float can hold; write it as text"),
        parameter("a misspelt distribution", {"distribtion": "uniform", "mn": 1}, "did you mean 'distribution'?"),
        parameter("a list as parameters of a group", {"parameters": [1]}, "lr: 'parameters' must be an object"),
        parameter("an unknown distribution", {"distribution": "unifrom", "min": 0}, "did you mean 'uniform'?"),
        parameter("a list as a distribution", {"distribution": ["uniform"]}, "there is no distribution"),
        parameter("null as a distribution", {"distribution": None}, "there is no distribution"),
        parameter("no max", {"distribution": "uniform", "min": 0}, "uniform needs max"),
        parameter("min above max", {"min": 2, "max": 1}, "min (2) must be less than max (1)"),
        parameter("text as min", {"min": "0", "max": 1}, "min must be a number"),
        parameter("NaN as max", {"min": 0, "max": NAN}, "max must be a number"),
        parameter("a huge whole number as max", {"min": 0, "max": 10**400}, "max must be a number"),
        parameter("an unknown argument", {"min": 0, "max": 1, "q": 1}, "int_uniform takes no 'q'"),
        parameter("a logarithm of 0", {"distribution": "log_uniform_values", "min": 0, "max": 1}, "needs min > 0"),
        parameter("an exponent that is too large", {"distribution": "log_uniform", "min": 0, "max": 1e4}, "too large"),
        parameter("half an int", {"distribution": "int_uniform", "min": 0.5, "max": 2}, "needs whole numbers"),
        parameter("no spread", {"distribution": "normal", "mu": 0, "sigma": 0}, "sigma must be more than 0"),
        parameter("no step", {"distribution": "q_normal", "q": 0}, "q must be more than 0"),
        parameter("a step that is too small", {"distribution": "q_normal", "q": 5e-324}, "too large"),
        parameter("probabilities that sum to 2", {"values": [1, 2], "probabilities": [1, 1]}, "sum to 1"),
        parameter("too few probabilities", {"values": [1, 2], "probabilities": [1]}, "list of 2"),
        parameter("probabilities without values", {"probabilities": [1]}, "an axis is a list"),
        parameter("another key in categorical", {"distribution": "categorical", "values": [1], "q": 1}, "not 'q'"),
        parameter("a constant without a value", {"distribution": "constant", "values": [1]}, "takes 'value'"),
        pytest.param({"parameters": {f"p{i}": list(range(10)) for i in range(6)}}, ["1,000,000", "--yes"],
                     id="a million combinations"),
    ],
)  # fmt: skip
def test_parameters(sweep_file: SweepFile, shell: Shell, keys: dict[str, Any], fragments: tuple[str, ...]) -> None:
    refused_file(shell, sweep_file(**keys), *fragments)


def test_every_problem_is_told_at_once_with_its_key(sweep_file: SweepFile, shell: Shell) -> None:
    wrong = {"lr": {"value": 1, "x": 2}, "size": [], "drop": {"min": 2, "max": 1}}
    path = sweep_file(metric={"goal": "minimize"}, retries=-1, zip=3, lerning=1, stop={"time": "ten"}, parameters=wrong)
    lines = shell.refused("plan", path).splitlines()
    assert [line.partition(f"{path}: ")[2].partition(": ")[0] for line in lines] == [
        "metric.name", "zip", "retries", "lerning", "parameters.lr", "parameters.size", "parameters.drop", "stop.time",
    ]  # fmt: skip


def test_groups_nested_without_end(sweep_file: SweepFile, shell: Shell) -> None:
    group: Any = 1
    for _ in range(60):
        group = {"a": group}
    refused_file(shell, sweep_file(parameters=group), "parameters.a.a.a: is nested too deeply")


class TestPaths:
    def test_a_file_that_is_missing(self, shell: Shell) -> None:
        assert "there is no such file; `raysweep init`" in shell.refused("run", "missing.json")

    def test_a_directory(self, shell: Shell) -> None:
        assert "is a directory; give a sweep file" in shell.refused("run", ".")

    def test_a_path_below_a_file(self, sweep_file: SweepFile, shell: Shell) -> None:
        assert "Not a directory" in shell.refused("run", sweep_file() / "x")

    def test_a_path_too_long(self, shell: Shell) -> None:
        assert "File name too long" in shell.refused("run", LONG)

    def test_a_file_name_that_cannot_name_a_run(self, sweep_file: SweepFile, shell: Shell) -> None:
        assert 'give a "name" to the sweep' in shell.refused("plan", sweep_file(file="学习.json"))

    @pytest.mark.parametrize("command", ["plan", "run"])
    def test_runs_that_are_a_file(self, sweep_file: SweepFile, shell: Shell, command: str) -> None:
        path = sweep_file()
        assert "choose another place with --runs DIR" in shell.refused(command, path, "--runs", path)

    @pytest.mark.parametrize("command", ["plan", "run"])
    def test_a_run_directory_that_is_a_file(self, sweep_file: SweepFile, shell: Shell, command: str) -> None:
        (shell.directory / "runs").mkdir()
        (shell.directory / "runs" / "sweep").touch()
        assert "choose another place with --runs DIR" in shell.refused(command, sweep_file())

    def test_a_training_file_that_is_no_python(self, sweep_file: SweepFile, shell: Shell) -> None:
        path = sweep_file()
        (shell.directory / "train.py").write_text("def train(config:\n    pass\n")
        refused_file(shell, path, "train.py is not valid Python", "line 1")

    def test_a_training_file_of_zeros(self, sweep_file: SweepFile, shell: Shell) -> None:
        path = sweep_file()
        (shell.directory / "train.py").write_bytes(bytes(10))
        refused_file(shell, path, "train.py is not valid Python")

    def test_a_function_within_another(self, sweep_file: SweepFile, shell: Shell) -> None:
        path = sweep_file(trainable="train.py:inner")
        (shell.directory / "train.py").write_text("def outer(config):\n    def inner(config): ...\n")
        refused_file(shell, path, "has no 'inner'")


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "fragment"),
        [
            ([], "the following arguments are required: COMMAND"),
            (["rum", "grid.json"], "there is no command 'rum'; did you mean 'run'?"),
            (["run"], "the following arguments are required: GRID"),
            (["run", "grid.json", "--isolat"], "there is no option --isolat; did you mean '--isolate'?"),
            (["run", "grid.json", "--isolat=1"], "there is no option --isolat; did you mean '--isolate'?"),
            (["plan", "grid.json", "other.json"], "unrecognized arguments: other.json"),
            (["run", "grid.json", "--set"], "--set: expected one argument"),
            (["run", "grid.json", "--json=yes"], "--json: ignored explicit argument"),
            (["results", "x", "--top", "0"], "--top: '0' is no whole number from 1 on"),
            (["results", "x", "--top", "-1"], "--top: '-1' is no whole number from 1 on"),
            (["results", "x", "--top", "all"], "--top: 'all' is no whole number from 1 on"),
            (["results", "x", "--format", "xml"], "invalid choice: 'xml'"),
            (["tensorboard", "--port", "-5"], "--port: '-5' is no whole number"),
            (["tensorboard"], "runs: there is no such directory; run a sweep first"),
            (["results", "x"], "there is no run 'x' in runs"),
            (["results", LONG], "there is no run"),
            (["best", "x"], "there is no run 'x' in runs"),
            (["init", "file"], "cannot be written"),
            (["schema", "x"], "unrecognized arguments: x"),
        ],
    )
    def test_that_is_wrong(self, shell: Shell, arguments: list[str], fragment: str) -> None:
        (shell.directory / "file").touch()
        assert fragment in shell.refused(*arguments)

    @pytest.mark.parametrize(
        ("override", "fragment"),
        [
            ("lr", "write NAME=VALUE"),
            ("=1", "write NAME=VALUE"),
            ("+=1", "write NAME=VALUE"),
            ("lr=", "write NAME=VALUE"),
            ("lrr=1", "there is no 'lrr' in the file; did you mean 'lr'?; +lrr adds one"),
            ("lr.x=1", "no group of parameters"),
            ("+lr.x=1", "no group of parameters"),
            ("optimizer.nme=sgd", "did you mean 'name'?"),
            ("lr=0.1,", "a value is missing beside a comma"),
            ("lr=NaN", "parameters.lr: nan is no value"),
            ("lr=1,NaN", "parameters.lr: nan is no value"),
            ("lr=[]", "parameters.lr: the list is empty"),
            ('lr={"values": []}', "parameters.lr: the list is empty"),
            ('lr={"a": 1, "a": 2}', "stands twice"),
            ("lr=" + "[" * 100_000, "--set"),
            ("+a..b=1", "the name '' is not one"),
        ],
    )
    def test_set(self, sweep_file: SweepFile, shell: Shell, override: str, fragment: str) -> None:
        path = sweep_file(parameters={"lr": [1, 2], "optimizer": {"name": "adam"}})
        assert fragment in shell.refused("plan", path, "--set", override)

    def test_init_where_a_sweep_is_already(self, shell: Shell) -> None:
        (shell.directory / "grid.json").touch()
        assert "grid.json: is there already" in shell.refused("init")


@pytest.fixture
def finished(sweep_file: SweepFile, shell: Shell) -> Path:
    """The run directory of a sweep of two trials, one done and one that never ran."""
    from raysweep.plan.trials import plan
    from raysweep.store.directory import RunDirectory
    from raysweep.store.records import Report, State, TrialRecord
    from raysweep.sweepfile.file import load_spec

    spec = load_spec(sweep_file(parameters={"lr": [0.1, 0.01], "layers": [[1, 2]], "net": ["a", "b"]}))
    run = RunDirectory(shell.directory / "runs" / spec.name)
    run.create()
    run.write_sweep(spec.model_dump(mode="json", by_alias=True, exclude_unset=True), [])
    trial = plan(spec)[0]
    folder = run.trial(trial.name)
    folder.write(TrialRecord(trial.id, trial.name, spec.trainable, trial.config, State.DONE))
    folder.keep_reports([Report(1, 0.0, 1.0, 1.0, {"loss": 0.5})])
    return run.path


class TestRecords:
    def damage(self, run: Path, name: str, text: str) -> None:
        (path,) = run.rglob(name)
        path.write_text(text)

    def test_are_read_where_nothing_is_damaged(self, finished: Path, shell: Shell) -> None:
        code, out, err = shell("results", "sweep", "--format", "csv")
        assert (code, err) == (0, "")
        assert len(out.splitlines()) == 5

    def test_of_a_name_that_is_misspelt(self, finished: Path, shell: Shell) -> None:
        assert "there is no run 'swep' in runs; did you mean 'sweep'?" in shell.refused("results", "swep")

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"state": "done"}', '{"format": "1"}', '"x"', "\0"])
    @pytest.mark.parametrize("command", ["results", "plan"])
    def test_of_a_trial_that_are_damaged(self, finished: Path, shell: Shell, text: str, command: str) -> None:
        self.damage(finished, "trial.json", text)
        assert "trial.json: cannot be used: " in self.told_of(shell, command)

    def told_of(self, shell: Shell, command: str = "results") -> str:
        """What a command tells of the one trial that is unreadable, beside all else that there is to tell."""
        code, out, err = shell(command, "sweep.json")
        assert (code, out.count("unreadable")) == (0, 1)
        assert "the next run sets the folder aside, and trains the trial anew" in err
        return err

    def test_of_a_trial_in_an_unknown_state(self, finished: Path, shell: Shell) -> None:
        (path,) = finished.rglob("trial.json")
        path.write_text(path.read_text().replace('"done"', '"asleep"'))
        assert "state: Input should be 'new', " in self.told_of(shell)

    @pytest.mark.parametrize("text", ["{}\n", "x\n", "[]\n", '{"epoch": "1", "metrics": {}}\n', "3\n"])
    def test_of_reports_that_are_damaged(self, finished: Path, shell: Shell, text: str) -> None:
        self.damage(finished, "result.json", text)
        assert "result.json: cannot be used: " in self.told_of(shell)

    def test_of_reports_that_are_no_text(self, finished: Path, shell: Shell) -> None:
        (path,) = finished.rglob("result.json")
        path.write_bytes(b"\xff\n")
        assert "result.json: cannot be used: " in self.told_of(shell)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "spec": 3, "runs": []}'])
    def test_of_a_sweep_that_are_damaged(self, finished: Path, shell: Shell, text: str) -> None:
        self.damage(finished, "sweep.json", text)
        assert "running the sweep file again sets it aside, and writes it anew" in shell.refused("results", "sweep")

    def test_of_a_sweep_with_a_wrong_key(self, finished: Path, shell: Shell) -> None:
        self.damage(finished, "sweep.json", json.dumps({"format": 1, "spec": {"nme": 1}, "runs": []}))
        told = shell.refused("results", "sweep")
        assert "did you mean 'name'?" in told
        assert "running the sweep file again writes it anew" in told

    @pytest.mark.parametrize("name", ["trial.json", "sweep.json"])
    def test_of_a_newer_raysweep(self, finished: Path, shell: Shell, name: str) -> None:
        (path,) = finished.rglob(name)
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": FORMAT + 1}))
        told = shell.refused("results", "sweep") if name == "sweep.json" else self.told_of(shell)
        assert f"{name}: " in told
        assert f"was written by a newer raysweep (format {FORMAT + 1}" in told

    @pytest.mark.parametrize(
        ("arguments", "fragment"),
        [
            (["--where", "lr"], "--where lr: write NAME=VALUE"),
            (["--where", "=1"], "write NAME=VALUE"),
            (["--where", "lrr=1"], "there is no column 'lrr'; did you mean 'lr'?"),
            (["--where", "lr<abc"], "'lr' cannot be compared with 'abc'"),
            (["--where", "lr<[1]"], "'lr' cannot be compared with '[1]'"),
            (["--sort-by", "losss"], "there is no column 'losss'; did you mean 'loss'?"),
            (["--sort-by", "-losss"], "there is no column 'losss'; did you mean 'loss'?"),
            (["--sort-by", "-"], "there is no column ''"),
        ],
    )
    def test_asked_for_wrongly(self, finished: Path, shell: Shell, arguments: list[str], fragment: str) -> None:
        assert fragment in shell.refused("results", "sweep", *arguments)

    @pytest.mark.parametrize(
        "condition", ["lr=[1]", "net={}", "lr=null", "lr<null", "net=1", "lr=NaN", "lr=", "net!=a"]
    )
    def test_compared_with_anything(self, finished: Path, shell: Shell, condition: str) -> None:
        code, _, err = shell("results", "sweep", "--format", "csv", "--where", condition)
        assert (code, err) == (0, "")

    def test_sorted_downwards(self, finished: Path, shell: Shell) -> None:
        code, out, _ = shell("results", "sweep", "--format", "csv", "--sort-by", "-lr")
        assert code == 0
        assert [line.split(",")[0] for line in out.splitlines()] == ["lr", "0.1", "0.1", "0.01", "0.01"]

    def test_best_of_no_reports(self, finished: Path, shell: Shell) -> None:
        self.damage(finished, "result.json", "")
        assert "no trial has reported 'loss' yet" in shell.refused("best", "sweep")

    def test_best_of_nothing_but_nan(self, finished: Path, shell: Shell) -> None:
        text = '{"epoch": 1, "time": 0, "epoch_duration": 1, "run_duration": 1, "metrics": {"loss": "NaN"}}\n'
        self.damage(finished, "result.json", text)
        code, out, err = shell("best", "sweep", "--json")
        assert (code, err) == (0, "")
        best = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        assert (best["value"], best["weights"]) == ("nan", None)

    def test_are_found_by_a_sweep_file_of_another_name(self, finished: Path, shell: Shell) -> None:
        path = shell.directory / "other.json"
        path.write_text(json.dumps({**json.loads((shell.directory / "sweep.json").read_text()), "name": "sweep"}))
        code, out, err = shell("results", "other.json", "--format", "csv")
        assert (code, err) == (0, "")
        assert len(out.splitlines()) == 5

    def test_export_without_weights(self, finished: Path, shell: Shell) -> None:
        assert "checkpoint" in shell.refused("best", "sweep", "--export", "model.pt")


def test_a_wrong_file_is_refused_without_a_traceback_or_ray_in_a_process_of_its_own(sweep_file: SweepFile) -> None:
    path = sweep_file(exclude=[{"lrr": 1}])
    program = (
        "import sys; from raysweep.cli.program import main; code = main(['run', sys.argv[1]]);"
        "assert not {'ray', 'torch', 'pandas'} & sys.modules.keys(); sys.exit(code)"
    )
    told = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == (f"raysweep: {path}: exclude[0]: there is no parameter 'lrr'; did you mean 'lr'?\n")


class TestTrainingFunctions:
    """What planning does not see: the function is imported, and refused before Ray starts."""

    @pytest.mark.parametrize(
        ("function", "fragment"),
        [
            ("two", "two(config: 'dict[str, Any]', more: 'int') -> 'None' must take one argument"),
            ("none", "none() -> 'None' must take one argument"),
            ("later", "later is async; write a plain function"),
            ("stream", "stream is async; write a plain function"),
            ("number", "number is a int, and not a function or class"),
            ("Plain", "Plain is a class, but not a ray.tune.Trainable"),
        ],
    )
    def test_that_cannot_be_called(self, sweep_file: SweepFile, shell: Shell, function: str, fragment: str) -> None:
        file = Path(__file__).with_name("bad_functions.py")
        assert fragment in shell.refused("run", sweep_file(trainable=f"{file}:{function}"))

    @pytest.mark.parametrize(
        ("source", "fragment"),
        [
            ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
            ("1 / 0\n", "ZeroDivisionError: division by zero"),
            ("import sys; sys.exit(1)\n", "importing train_{n}.py failed: SystemExit: 1"),
            ("raise Exception\n", "importing train_{n}.py failed: Exception"),
            ("if False:\n    def train(config): ...\n", "has no 'train'"),
        ],
    )
    def test_in_files_that_cannot_be_imported(
        self, sweep_file: SweepFile, shell: Shell, source: str, fragment: str
    ) -> None:
        n = abs(hash(source))
        path = sweep_file(trainable=f"train_{n}.py:train")
        text = source if "train" in source else f"{source}def train(config): ...\n"
        (shell.directory / f"train_{n}.py").write_text(text)
        told = shell.refused("run", path)
        assert fragment.replace("{n}", str(n)) in told
        assert "train_" in told
