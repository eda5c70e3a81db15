"""Exporting a trial's best weights as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.errors import StoreError

if TYPE_CHECKING:
    from raysweep.results import TrialResult

WEIGHTS, NETWORK = "weights.pt", "network.json"  # as Recorder writes them into a checkpoint


def export(trial: TrialResult, path: Path) -> None:
    """Write the weights of a trial's best epoch, with what is needed to rebuild the network.

    The file holds a dict: `weights`, a state_dict; `network`, its description, where the checkpoint has
    one; `config`, the trial's configuration. Load it with `torch.load(path, weights_only=True)`.

    Raises:
        StoreError: the trial has no checkpoint with weights, or the file cannot be written.
    """
    checkpoint = trial.checkpoint
    if checkpoint is None or not (checkpoint / WEIGHTS).is_file():
        raise StoreError(
            f"{trial.name}: its checkpoints hold no {WEIGHTS}; use raysweep.Recorder, or save one in what you report"
        )
    import torch

    content = {"weights": torch.load(checkpoint / WEIGHTS, weights_only=True), "config": dict(trial.config)}
    if (checkpoint / NETWORK).is_file():
        import json

        content["network"] = json.loads((checkpoint / NETWORK).read_text(encoding="utf-8"))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        torch.save(content, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch raises the latter where the directory is missing
        raise StoreError(f"{path}: cannot be written: {error}") from None
