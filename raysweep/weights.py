"""The files of a checkpoint that holds a network, and exporting them as one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysweep.errors import StoreError

WEIGHTS = "weights.pt"  # the network's state_dict
TRAINING = "training.pt"  # what else it takes to go on: optimizer, scheduler, random states, epoch
NETWORK = "network.json"  # what it takes to build the network again


def export(checkpoint: Path, config: Mapping[str, Any], path: Path) -> None:
    """Write a trained network to one file, the weights with what is needed to rebuild the network.

    The file is there whole, or not at all. It holds a dict: `weights`, a state_dict; `network`, its description,
    where the checkpoint has one; `config`. Load it with `torch.load(path, weights_only=True)`, or a network of
    raysweep.vision with `raysweep.vision.load(path)`.

    Args:
        checkpoint: the folder of a checkpoint.
        config: the trial's configuration.
        path: the file to write; its folder is made.

    Raises:
        StoreError: the checkpoint holds no weights, or the file cannot be written.
    """
    if not (checkpoint / WEIGHTS).is_file():
        raise StoreError(f"{checkpoint}: holds no {WEIGHTS}; use raysweep.Recorder, or save one in what you report")
    import torch

    weights = torch.load(checkpoint / WEIGHTS, map_location="cpu", weights_only=True)
    content = {"weights": weights, "config": dict(config)}
    if (checkpoint / NETWORK).is_file():
        content["network"] = json.loads((checkpoint / NETWORK).read_text(encoding="utf-8"))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch's word for a file that cannot be written is the latter
        temporary.unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot be written: {error}") from None
