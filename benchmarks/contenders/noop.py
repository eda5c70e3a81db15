"""Sweeps of a training that does nothing but report, as four tools run them on two slots.

Each function returns the seconds from the plan to the results, Ray's start and imports left out, and some the time
at which they ended.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

SLOTS = 2


def reporting(config: Mapping[str, Any], report: Callable[[dict[str, float]], object]) -> None:
    """Report `reports` times `scalars` numbers, `pause` seconds apart.

    In the folder `log` it leaves when it began, and what each call took.
    """
    begun, taken = time.time(), []
    for step in range(config["reports"]):
        time.sleep(config["pause"])
        metrics = {f"loss{number}": config["x"] / (step + 1) for number in range(config["scalars"])}
        started = time.perf_counter()
        report(metrics)
        taken.append(time.perf_counter() - started)
    if config["log"]:
        Path(config["log"], f"{config['x']}.json").write_text(json.dumps({"begun": begun, "taken": taken}))


def train_raysweep(config: dict[str, Any]) -> None:
    """The training, under raysweep."""
    import raysweep

    reporting(config, raysweep.report)


def train_tune(config: dict[str, Any]) -> None:
    """The training, under Ray Tune."""
    from ray import tune

    reporting(config, tune.report)


def _settings(reports: int, scalars: int, pause: float, log: bool) -> dict[str, Any]:
    return {"reports": reports, "scalars": scalars, "pause": pause, "log": str(Path.cwd()) if log else ""}


def run_raysweep(
    trials: int, reports: int = 5, scalars: int = 1, pause: float = 0, log: bool = False
) -> dict[str, Any]:
    """A raysweep sweep, from the plan to the tables, everything recorded."""
    import ray

    import raysweep
    from raysweep.engine.environment import DRIVER_ENVIRONMENT, WORKER_ENVIRONMENT
    from raysweep.sweepfile.spec import check

    os.environ.update(DRIVER_ENVIRONMENT | WORKER_ENVIRONMENT)
    ray.init(num_cpus=SLOTS, include_dashboard=False, log_to_driver=False)
    content = {
        "name": "noop",
        "trainable": f"{__name__}:train_raysweep",
        "metric": {"name": "loss0", "goal": "minimize"},
        "parameters": {"x": list(range(1, trials + 1)), **_settings(reports, scalars, pause, log)},
    }
    started = time.perf_counter()
    results = raysweep.run(check(content, "noop"), runs=Path("runs"))
    seconds = time.perf_counter() - started
    ended = time.time()
    assert len(results.history()) == trials * reports
    return {"seconds": seconds, "ended": ended}


def run_tune(  # noqa: PLR0913 - each is a keyword, and independent of the others
    trials: int, *, reports: int = 5, scalars: int = 1, pause: float = 0, log: bool = False, reuse: bool = True
) -> dict[str, Any]:
    """Ray Tune's own grid search, with its default loggers."""
    import ray
    from ray import tune

    ray.init(num_cpus=SLOTS, include_dashboard=False, log_to_driver=False)
    started = time.perf_counter()
    results = tune.Tuner(
        tune.with_resources(train_tune, {"cpu": 1}),
        param_space={"x": tune.grid_search(list(range(1, trials + 1))), **_settings(reports, scalars, pause, log)},
        tune_config=tune.TuneConfig(reuse_actors=reuse),
        run_config=tune.RunConfig(name="noop", storage_path=str(Path.cwd()), verbose=0),
    ).fit()
    assert len(results.get_dataframe()) == trials
    return {"seconds": time.perf_counter() - started, "ended": time.time()}


def run_optuna(trials: int, reports: int = 5) -> dict[str, Any]:
    """Optuna's grid in a SQLite file, which two processes work on."""
    import optuna

    started = time.perf_counter()
    study = optuna.create_study(study_name="noop", storage="sqlite:///noop.db")
    processes = [
        multiprocessing.Process(target=_optimize, args=(trials, reports, count))
        for count in (trials // SLOTS, trials - trials // SLOTS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(study.trials_dataframe()) == trials
    return {"seconds": time.perf_counter() - started}


def _optimize(trials: int, reports: int, count: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.GridSampler({"x": list(range(1, trials + 1))})
    study = optuna.load_study(study_name="noop", storage="sqlite:///noop.db", sampler=sampler)
    study.optimize(partial(_objective, trials=trials, reports=reports), n_trials=count)


def _objective(trial: Any, trials: int, reports: int) -> float:
    x = trial.suggest_int("x", 1, trials)
    for step in range(reports):
        trial.report(x / (step + 1), step)
    return float(x / reports)


def run_hydra(trials: int, reports: int = 5) -> dict[str, Any]:
    """Hydra's multirun with its joblib launcher; each job leaves a line per report in its folder."""
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig

    def job(config: Any) -> None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        with (folder / "reports.jsonl").open("w") as file:
            for step in range(config.reports):
                file.write(json.dumps({"loss": config.x / (step + 1)}) + "\n")

    ConfigStore.instance().store(name="noop", node={"x": 1, "reports": reports})
    values = ",".join(map(str, range(1, trials + 1)))
    launcher = ("hydra/launcher=joblib", f"hydra.launcher.n_jobs={SLOTS}")
    sys.argv = ["noop", "--multirun", f"x={values}", *launcher]
    started = time.perf_counter()
    hydra.main(version_base=None, config_path=None, config_name="noop")(job)()
    seconds = time.perf_counter() - started
    assert len(list(Path().glob("multirun/**/reports.jsonl"))) == trials
    return {"seconds": seconds}
