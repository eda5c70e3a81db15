"""XGBoost's boosting, as a trial."""

from __future__ import annotations

from typing import Any

from xgboost.callback import TrainingCallback

from raysweep.integrations.folder import reporting, saved

MODEL = "model.ubj"


class TrialCallback(TrainingCallback):  # type: ignore[misc]  # the library's types are not followed
    """Reports what is evaluated, as `NAME_METRIC` for each of `evals`, and saves the model, `model.ubj`.

        callback = TrialCallback()
        xgboost.train(
            parameters, training, callback.rounds_left(config["rounds"]),
            evals=[(validation, "val")], callbacks=[callback], xgb_model=callback.checkpoint,
        )

    Args:
        every: how many rounds make an epoch, after which is reported; the last rounds may be fewer.
    """

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        self._every = every
        self._reported = 0
        self._metrics: dict[str, float] = {}

    @property
    def checkpoint(self) -> str | None:
        """The model to go on from; None where the trial starts fresh."""
        model = saved(MODEL)
        return None if model is None else str(model)

    def rounds_left(self, rounds: int) -> int:
        """How many of so many rounds the model to go on from lacks."""
        if self.checkpoint is None:
            return rounds
        from xgboost import Booster

        return max(0, rounds - int(Booster(model_file=self.checkpoint).num_boosted_rounds()))

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Called by XGBoost after a round; never asks it to stop."""
        for name, measured in evals_log.items():
            self._metrics.update({f"{name}_{metric}": _value(values[-1]) for metric, values in measured.items()})
        if model.num_boosted_rounds() % self._every == 0:
            self._report(model)
        return False

    def after_training(self, model: Any) -> Any:
        """Called by XGBoost at the end: rounds that make no whole epoch are reported, too."""
        if self._metrics and self._reported != model.num_boosted_rounds():
            self._report(model)
        return model

    def _report(self, model: Any) -> None:
        self._reported = model.num_boosted_rounds()
        with reporting(self._metrics) as folder:
            model.save_model(folder / MODEL)


def _value(measured: Any) -> float:
    """A metric; with cross-validation it comes with its deviation."""
    return float(measured[0] if isinstance(measured, tuple) else measured)
