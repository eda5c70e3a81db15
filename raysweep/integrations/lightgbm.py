"""LightGBM's boosting, as a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raysweep.integrations.folder import reporting, saved

if TYPE_CHECKING:
    from lightgbm.callback import CallbackEnv

MODEL = "model.txt"


class TrialCallback:
    """Reports what is evaluated, as `NAME_METRIC` for each of `valid_sets`, and saves the model, `model.txt`.

        callback = TrialCallback()
        lightgbm.train(
            parameters, training, callback.rounds_left(config["rounds"]),
            valid_sets=[validation], valid_names=["val"], callbacks=[callback], init_model=callback.checkpoint,
        )

    Args:
        every: how many rounds make an epoch, after which is reported; the last rounds may be fewer.
    """

    order = 25  # as LightGBM has it: after those that print, before the one that ends the training early
    before_iteration = False

    def __init__(self, every: int = 1) -> None:
        self._every = every

    @property
    def checkpoint(self) -> str | None:
        """The model to go on from; None where the trial starts fresh."""
        model = saved(MODEL)
        return None if model is None else str(model)

    def rounds_left(self, rounds: int) -> int:
        """How many of so many rounds the model to go on from lacks."""
        if self.checkpoint is None:
            return rounds
        from lightgbm import Booster

        return max(0, rounds - int(Booster(model_file=self.checkpoint).current_iteration()))

    def __call__(self, env: CallbackEnv) -> None:
        """Called by LightGBM after a round."""
        done = env.iteration + 1
        if done % self._every and done != env.end_iteration:
            return
        metrics = {f"{name}_{metric}": value for name, metric, value, *_ in env.evaluation_result_list or ()}
        with reporting(metrics) as folder:
            env.model.save_model(folder / MODEL, num_iteration=-1)
