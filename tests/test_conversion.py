"""Search spaces of other tools become sweep files that mean the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raysweep.cli.program import main
from raysweep.errors import SpecError
from raysweep.plan.suggested import to_come
from raysweep.plan.trials import plan
from raysweep.sweepfile.conversion import converted
from raysweep.sweepfile.file import load_spec
from raysweep.sweepfile.spec import SweepSpec, check
from raysweep.sweepfile.translation import is_foreign, translated


def drawn(name: str, low: float, high: float, **more: float) -> dict[str, Any]:
    return {"distribution": name, "min": low, "max": high, **more}


LOG = drawn("log_uniform_values", 1e-4, 0.1)


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ({"_type": "choice", "_value": [1, 2]}, [1, 2]),
        ({"_type": "uniform", "_value": [0, 1]}, drawn("uniform", 0, 1)),
        ({"_type": "loguniform", "_value": [1e-4, 0.1]}, LOG),
        ({"_type": "quniform", "_value": [0, 1, 0.1]}, drawn("q_uniform", 0, 1, q=0.1)),
        ({"_type": "randint", "_value": [1, 9]}, drawn("int_uniform", 1, 8)),
        ({"_type": "randint", "_value": [1, 2]}, 1),
        ({"_type": "qnormal", "_value": [5, 2, 1]}, {"distribution": "q_normal", "mu": 5, "sigma": 2, "q": 1}),
        (
            {
                "_type": "choice",
                "_value": [{"_name": "conv", "k": {"_type": "choice", "_value": [3, 5]}}, {"_name": "fc"}],
            },
            {"one_of": [{"name": "conv", "k": [3, 5]}, {"name": "fc"}]},
        ),
        ({"type": "float", "low": 1e-4, "high": 0.1, "log": True}, LOG),
        ({"type": "float", "low": 0.0, "high": 1.0, "step": 0.25}, {"range": [0.0, 1.0, 0.25]}),
        ({"type": "int", "low": 1, "high": 8}, drawn("int_uniform", 1, 8)),
        ({"type": "int", "low": 1, "high": 64, "log": True}, drawn("q_log_uniform_values", 1, 64, q=1)),
        ({"type": "categorical", "choices": ["a", "b"]}, ["a", "b"]),
        ({"type": "range", "bounds": [1e-4, 0.1], "log_scale": True}, LOG),
        ({"type": "range", "bounds": [1, 8]}, drawn("int_uniform", 1, 8)),
        ({"type": "fixed", "value": 3}, 3),
        ("choice(1, 2.5, true, sgd)", [1, 2.5, True, "sgd"]),
        ("choice('a,b', \"c\")", ["a,b", "c"]),
        ("choice([1, 2], [3])", [[1, 2], [3]]),
        ("interval(0.1, 1)", drawn("uniform", 0.1, 1)),
        ("tag(log, interval(1e-4, 0.1))", LOG),
        ("int(interval(1, 8))", drawn("int_uniform", 1, 8)),
        ("range(1, 9, 2)", {"range": [1, 7, 2]}),
        ("shuffle(choice(1, 2))", [1, 2]),
        ("1,2,3", [1, 2, 3]),
        ("tune.loguniform(1e-4, 0.1)", LOG),
        ("tune.choice([16, 32])", [16, 32]),
        ({"choice": [16, 32]}, [16, 32]),
        ({"uniform": [0, 1]}, drawn("uniform", 0, 1)),
        ({"name": "adam", "lr": {"uniform": [0, 1]}}, {"name": "adam", "lr": drawn("uniform", 0, 1)}),
        (3, 3),
        ("adam", "adam"),
        ([1, 2], [1, 2]),
        (drawn("uniform", 0, 1), drawn("uniform", 0, 1)),
    ],
)
def test_parameters_mean_the_same(written: Any, ours: Any) -> None:
    assert translated(written) == ours
    assert is_foreign(written) == (written != ours)
    assert check({"name": "x", "trainable": "a.py:b", "parameters": {"x": ours}}, "x").parsed


def test_what_has_no_like_is_said() -> None:
    for written in ("glob(*)", "hp.pchoice(1)", {"_type": "mutable", "_value": [1]}, "interval(1)"):
        with pytest.raises(ValueError, match="has no like here"):
            translated(written)


def made(content: Any) -> tuple[SweepSpec, list[str]]:
    sweep, notes = converted(content, "file")
    return check({"name": "x", **sweep}, "x"), notes


def test_an_optuna_study_has_its_distributions_converted() -> None:
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, distribution_to_json

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    study.optimize(
        lambda t: (
            t.suggest_float("lr", 1e-4, 0.1, log=True) + t.suggest_int("n", 1, 8) + t.suggest_categorical("c", [1, 2])
        ),
        n_trials=1,
    )
    found = {name: distribution_to_json(one) for name, one in study.trials[0].distributions.items()}
    sweep, notes = made(found)  # as its database has them
    assert sweep.parameters == {"lr": LOG, "n": drawn("int_uniform", 1, 8), "c": [1, 2]}
    assert sweep.method == "random" and sweep.run_cap == 20 and len(plan(sweep)) == 20
    assert any("run_cap" in note for note in notes)
    more = {
        "a": FloatDistribution(0, 1, step=0.5),
        "b": IntDistribution(0, 8, step=4),
        "c": CategoricalDistribution([None, "x"]),
    }
    sweep, _ = made({name: json.loads(distribution_to_json(one)) for name, one in more.items()})
    assert len(plan(sweep)) == 3 * 3 * 2 and sweep.method == "grid"


def test_hydras_sweepers_are_converted() -> None:
    params = {"model.lr": "tag(log, interval(1e-4, 0.1))", "bs": "choice(16, 32)"}
    sweeper = {"direction": "maximize", "n_trials": 30, "params": params}
    sweep, _ = made({"defaults": ["x"], "hydra": {"sweeper": sweeper}})
    assert (sweep.method, sweep.run_cap, sweep.metric.goal) == ("bayes", 30, "maximize")
    assert to_come(sweep, ()) == 30 and sweep.parameters["model.lr"] == LOG


def test_nnis_experiments_are_converted() -> None:
    space = {"lr": {"_type": "loguniform", "_value": [1e-4, 0.1]}, "bs": {"_type": "choice", "_value": [16, 32]}}
    sweep, _ = made({
        "searchSpace": space, "trialCommand": "python3 mnist.py", "trialConcurrency": 2, "maxTrialNumber": 10,
        "tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}},
    })  # fmt: skip
    assert (sweep.program, sweep.max_concurrent, sweep.run_cap) == ("mnist.py", 2, 10)
    assert (sweep.method, sweep.metric.name, sweep.metric.goal) == ("bayes", "default", "maximize")
    assert made(space)[0].parameters == sweep.parameters


def test_the_command_prints_a_sweep_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = tmp_path / "space.json"
    space.write_text(
        json.dumps({"lr": {"_type": "uniform", "_value": [0, 1]}, "odd": {"_type": "mutable", "_value": [1]}})
    )
    with pytest.raises(SpecError, match=r"is a search space of NNI, and no sweep file; `raysweep convert`"):
        load_spec(space)
    assert main(["convert", str(space)]) == 0
    told = capsys.readouterr()
    assert "odd: is left out: mutable(1) has no like here" in told.err and "program: takes the parameters" in told.err
    grid = tmp_path / "grid.json"
    grid.write_text(told.out)
    assert len(plan(load_spec(grid))) == 20
    assert main(["convert", str(grid)]) == 2
    assert "has nothing to convert" in capsys.readouterr().err
