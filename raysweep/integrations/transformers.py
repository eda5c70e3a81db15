"""Hugging Face's Trainer, as a trial."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from raysweep.integrations.folder import reporting, saved
from raysweep.training.reporting import report

STATE = "transformers"  # the folder that holds the Trainer's checkpoint
EPOCH = "epoch"  # raysweep counts for itself
SUMMARY = "train_runtime"  # what the log of a whole training has, which belongs to no epoch


class TrialCallback(TrainerCallback):  # type: ignore[misc]  # the library's types are not followed
    """Reports each evaluation, and each checkpoint that the Trainer saves, with what was logged since.

        callback = TrialCallback()
        arguments = TrainingArguments(output_dir=folder, eval_strategy="epoch", save_strategy="epoch")
        trainer = Trainer(model, arguments, callbacks=[callback], ...)
        trainer.train(resume_from_checkpoint=callback.checkpoint)

    A trial goes on from the last checkpoint that was saved; it is the folder `transformers` of the trial's. Where
    nothing is evaluated or saved, each log is a report.
    """

    def __init__(self) -> None:
        self._metrics: dict[str, Any] = {}
        self._is_due = False

    @property
    def checkpoint(self) -> str | None:
        """The folder to go on from, for `train`; None where the trial starts fresh."""
        folder = saved(STATE)
        return None if folder is None else str(folder)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        """Called by the Trainer with losses, and with what an evaluation gave."""
        if logs is None or SUMMARY in logs:
            return
        self._metrics.update({name: value for name, value in logs.items() if name != EPOCH})
        if args.eval_strategy == "no" and args.save_strategy == "no":
            self._is_due = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called by the Trainer after an evaluation, before it may save."""
        self._is_due = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called by the Trainer when a checkpoint is there."""
        if state.is_world_process_zero:
            with reporting(self._taken()) as folder:
                shutil.copytree(Path(args.output_dir, f"checkpoint-{state.global_step}"), folder / STATE)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called by the Trainer before a step: what was evaluated and not saved is due."""
        if self._is_due and state.is_world_process_zero:
            report(self._taken())

    on_train_end = on_step_begin

    def _taken(self) -> dict[str, Any]:
        metrics, self._metrics, self._is_due = self._metrics, {}, False
        return metrics
