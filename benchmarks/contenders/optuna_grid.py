"""Optuna's grid in a SQLite file, on which as many processes work as there are slots."""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path

import optuna
import torch
from torch.utils.tensorboard import SummaryWriter

from benchmarks.contenders.fashion import POINTS, Settings, fit, made

STORAGE = "sqlite:///study.db"


def work(settings: Settings, count: int) -> None:
    """Train so many points, in one of the processes."""
    torch.set_num_threads(1)

    def objective(trial: optuna.Trial) -> float:
        config = {name: trial.suggest_categorical(name, values) for name, values in settings.grid.items()}
        network, optimizer = made(config)
        with SummaryWriter(f"logs/{trial.number}") as writer:
            for epoch, metrics in fit(config, settings, network, optimizer):
                trial.report(metrics["val_accuracy"], epoch)
                for name, value in metrics.items():
                    writer.add_scalar(name, value, epoch)
        for name, value in metrics.items():
            trial.set_user_attr(name, value)
        return metrics["val_accuracy"]

    sampler = optuna.samplers.GridSampler(settings.grid)
    study = optuna.load_study(study_name="grid", storage=STORAGE, sampler=sampler)
    study.optimize(objective, n_trials=count)


def main(path: str) -> None:
    """Train all points."""
    settings = Settings.read(path)
    study = optuna.create_study(study_name="grid", storage=STORAGE, direction="maximize")
    points, slots = len(settings.points()), settings.slots
    counts = [points // slots + (number < points % slots) for number in range(slots)]
    processes = [multiprocessing.Process(target=work, args=(settings, count)) for count in counts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = [{**trial.params, **trial.user_attrs} for trial in study.trials]
    Path(POINTS).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
