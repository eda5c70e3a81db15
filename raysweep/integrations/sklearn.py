"""scikit-learn's estimators that learn step by step, as trials."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from raysweep.integrations.loop import Loop as AnyLoop

ESTIMATOR = "estimator.joblib"
RANDOM = "random.joblib"


class Loop(AnyLoop):
    """Keeps the books of a loop around `partial_fit`, or around `fit` with `warm_start`.

        loop = Loop(estimator)
        for epoch in loop.epochs(config["epochs"]):
            estimator.partial_fit(values, labels, classes=classes)
            loop.metrics(val_accuracy=estimator.score(*validation))

    After each epoch the estimator is saved as `estimator.joblib` in the trial's checkpoint, with the random states of
    Python and numpy. Loading such a file runs code that is in it: load none that is not your own.

    Args:
        estimator: what is trained, a pipeline for example; it is what a trial that goes on restores.
    """

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self._estimator = estimator

    def _save(self, folder: Path) -> None:
        joblib.dump(self._estimator, folder / ESTIMATOR)
        joblib.dump((random.getstate(), np.random.get_state()), folder / RANDOM)

    def _restore(self, folder: Path) -> None:
        vars(self._estimator).update(vars(joblib.load(folder / ESTIMATOR)))
        python, numbers = joblib.load(folder / RANDOM)
        random.setstate(python)
        np.random.set_state(numbers)
