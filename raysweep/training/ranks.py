"""Which of the processes that train together this one is, as torchrun, accelerate and raysweep tell it."""

from __future__ import annotations

import os

RANK = "RANK"  # torch.distributed's name for it


def rank() -> int:
    """The number of this process, 0 where it trains alone; only that one reports."""
    told = os.environ.get(RANK, "")
    return int(told) if told.isdecimal() else 0
