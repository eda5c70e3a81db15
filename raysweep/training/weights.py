"""The files of a checkpoint that holds a network, and exporting them as one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysweep.errors import StoreError
from raysweep.store.files import replacing

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
        StoreError: the checkpoint holds no weights, or none that can be read, or the file cannot be written.
    """
    if not (checkpoint / WEIGHTS).is_file():
        raise StoreError(f"{checkpoint}: holds no {WEIGHTS}; use raysweep.Recorder, or save one in what you report")
    import torch

    content = {"weights": _weights(checkpoint / WEIGHTS), "config": dict(config)}
    if (checkpoint / NETWORK).is_file():
        content["network"] = _network(checkpoint / NETWORK)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            torch.save(content, temporary)
    except (OSError, RuntimeError) as error:  # torch's word for a file that cannot be written is the latter
        raise StoreError(f"{path}: cannot be written: {error}") from None


def loaded(path: Path) -> Any:
    """What a file holds that torch has saved: tensors and plain values; nothing in it is ever run.

    Raises:
        ValueError: it is damaged, or holds something else.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's, zip's, torch's and the disk's, by what is wrong with the file
        raise ValueError(str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__) from None


def _weights(path: Path) -> Any:
    try:
        return loaded(path)
    except ValueError as error:
        raise StoreError(f"{path}: holds no weights that can be read: {error}") from None


def _network(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from None
