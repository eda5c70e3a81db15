from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from raysweep.cli.program import main
from raysweep.errors import SpecError
from raysweep.sweepfile.schema import generate, shipped
from raysweep.sweepfile.spec import SweepSpec, check
from tests.sweeps import content

ROOT = Path(__file__).parents[1]
SCHEMA: dict[str, Any] = json.loads(shipped())
VALIDATOR = Draft202012Validator(SCHEMA)

EVERYTHING: dict[str, Any] = {
    "$schema": "raysweep/sweepfile/sweep.schema.json",
    "name": "digits",
    "trainable": "raysweep.vision:train",
    "metric": {"name": "accuracy", "goal": "maximize"},
    "parameters": {
        "dataset": "digits",
        "epochs": 5,
        "lr": [0.01, 0.001],
        "warmup": [1, 2],
        "batch_size": {"values": [32, 128]},
        "hidden": {"grid_search": [1, 2]},
        "layers": {"value": [64, 32]},
        "optimizer": {"name": "sgd", "momentum": [0, 0.9]},
        "wandb": {"parameters": {"a": {"value": 1}}},
        "weight_decay": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2},
        "dropout": {"min": 0.0, "max": 0.5},
        "activation": {"values": ["relu", "gelu"], "probabilities": [0.5, 0.5]},
        "nothing": None,
        "depth": {"range": [1, 3]},
        "width": {"geomspace": [8, 64, 4]},
        "warm": {"expr": "warmup * 10"},
        "head": {"one_of": [{"name": "mlp", "size": [1, 2]}, "linear"]},
        "seed": [0, 1, 2],
    },
    "samples": 20,
    "run_cap": 100,
    "zip": [["lr", "warmup"]],
    "exclude": [{"lr": 0.1, "batch_size": 32}, {"optimizer": {"name": "sgd"}}],
    "resources": {"cpu": 1, "gpu": 0.25},
    "max_concurrent": 8,
    "stop": {"accuracy": 0.99, "loss": "<= 0.1", "time": "10m"},
    "untracked": ["dataset"],
    "project": "ignored",
    "retries": 1,
}  # fmt: skip


def test_the_shipped_schema_is_that_of_the_model() -> None:
    assert generate() == SCHEMA


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_it_has_every_key_of_the_model() -> None:
    keys = {field.alias or name for name, field in SweepSpec.model_fields.items()}
    assert set(SCHEMA["properties"]) == keys
    assert all("description" in schema or "$ref" in schema for key, schema in SCHEMA["properties"].items()
               if key not in ("parameters", "metric"))  # fmt: skip


def test_it_takes_every_key() -> None:
    VALIDATOR.validate(EVERYTHING)
    check(EVERYTHING, "sweep.json")


def test_it_takes_every_example() -> None:
    files = [ROOT / "grid.json", *ROOT.glob("examples/**/*.json"), *ROOT.glob("raysweep/cli/starter/*.json")]
    for path in files:
        VALIDATOR.validate(json.loads(path.read_text()))


@pytest.mark.parametrize(
    "keys",
    [
        {"paramters": {}},
        {"program": "train.py"},
        {"metric": "loss"},
        {"metric": {"name": "loss", "goal": "min"}},
        {"metric": {"name": "loss", "goal": "minimize", "mode": "min"}},
        {"resources": {"gpus": 1}},
        {"resources": {"cpu": -1}},
        {"samples": 0},
        {"samples": 1.5},
        {"zip": ["lr"]},
        {"exclude": {"lr": 1}},
        {"method": "bohb"},
        {"parameters": {}},
        {"parameters": []},
        {"parameters": {"lr": []}},
        {"parameters": {"lr": {}}},
        {"parameters": {"a": {"b": {}}}},
        {"trainable": None},
    ],
)
def test_it_refuses_what_the_model_refuses(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VALIDATOR.validate(content(**keys))
    with pytest.raises(SpecError):
        check({"name": "sweep", **content(**keys)}, "sweep.json")


forms = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.floats(0, 1) | st.sampled_from(["uniform", "normal", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["values", "value", "distribution", "parameters", "min", "max", "a", "b", "grid_search"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(forms)
def test_it_takes_all_that_the_model_takes(form: Any) -> None:
    raw = content(parameters={"x": form}, name="sweep")
    try:
        sweep = check(raw, "sweep.json")
    except SpecError:
        return
    if sweep.parsed:
        VALIDATOR.validate(raw)


class TestPlanning:
    def test_imports_neither_ray_nor_torch_nor_pandas(self, tmp_path: Path) -> None:
        program = (
            "import sys; from raysweep.cli.program import main;"
            "assert main(['plan', 'grid.json', '--runs', sys.argv[1]]) == 0;"
            "print({'ray', 'torch', 'pandas', 'numpy'} & sys.modules.keys(), file=sys.stderr)"
        )
        command = [sys.executable, "-c", program, str(tmp_path)]
        told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        assert told.stderr.splitlines()[-1] == "set()"
        assert len(told.stdout.splitlines()) >= 16

    def test_writes_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["plan", str(ROOT / "grid.json"), "--runs", str(tmp_path / "runs"), "--json"]) == 0
        assert not (tmp_path / "runs").exists()
        told = json.loads(capsys.readouterr().out)
        assert told["to_run"] == len(told["trials"]) >= 16
        assert all(trial["state"] == "new" for trial in told["trials"])
