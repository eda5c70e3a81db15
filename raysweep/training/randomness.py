"""The states of all random generators, so that a trial that goes on draws what it would have drawn."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """The states of all generators, in types that torch.load(weights_only=True) takes."""
    numpy_state: Any = np.random.get_state(legacy=False)
    words = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    version, own, normal = random.getstate()
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return {
        "python": {
            "version": version,
            "words": torch.tensor(own),
            "normal": normal,
        },  # 625 numbers of their own take long
        "numpy": {**numpy_state, "state": {"key": words, "pos": int(numpy_state["state"]["pos"])}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if cuda else [],
    }


def set_random_states(states: Mapping[str, Any]) -> None:
    """Put the generators into the states that `random_states` gave."""
    own = states["python"]
    if isinstance(own, Mapping):  # else of a checkpoint that was saved before this was one
        own = (own["version"], tuple(own["words"].tolist()), own["normal"])
    random.setstate(own)
    words = states["numpy"]["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**states["numpy"], "state": {**states["numpy"]["state"], "key": words}})
    torch.set_rng_state(states["torch"])
    # A trial may go on on a machine with other GPUs; there the generators keep the trial's seed.
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
