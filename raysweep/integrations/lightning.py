"""PyTorch Lightning's Trainer, as a trial."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from raysweep.integrations.folder import saved
from raysweep.training.randomness import random_states, set_random_states
from raysweep.training.reporting import report

MODEL = "lightning.ckpt"


class TrialCallback(Checkpoint):  # type: ignore[misc]  # the library's types are not followed
    """Reports after each epoch all that was logged, and saves Lightning's checkpoint, `lightning.ckpt`.

        callback = TrialCallback()
        trainer = Trainer(max_epochs=config["epochs"], callbacks=[callback], logger=False)
        trainer.fit(model, training, validation, ckpt_path=callback.checkpoint)

    It takes the place of Lightning's ModelCheckpoint, so that the Trainer makes none of its own. Random states are
    part of the checkpoint.
    """

    @property
    def checkpoint(self) -> str | None:
        """The file to go on from, for `fit`; None where the trial starts fresh."""
        file = saved(MODEL)
        return None if file is None else str(file)

    def state_dict(self) -> dict[str, Any]:
        """Called by Lightning when it saves."""
        return {"random": random_states()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Called by Lightning when it restores; what it draws next is the order of the first epoch's samples."""
        set_random_states(state_dict["random"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called by Lightning after an epoch and its validation, in every process of a distributed training."""
        with tempfile.TemporaryDirectory(prefix="raysweep-") as folder:
            trainer.save_checkpoint(Path(folder, MODEL))
            if trainer.is_global_zero:
                report(trainer.callback_metrics, folder)
