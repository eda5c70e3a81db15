"""A training function that looks at its process; apart from functions.py, whose trials need no PyTorch."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import raysweep


def surroundings(config: dict[str, Any]) -> None:
    """Reports what a trial finds in its process, and leaves a mess."""
    # the name is put together so that nothing tells before it runs that it will import torch
    torch = importlib.import_module("tor" + "ch")
    print("hello from", config["x"])
    raysweep.report(
        {
            "loss": float(torch.rand(1)),
            "threads": torch.get_num_threads(),
            "grad": torch.is_grad_enabled(),
            "double": torch.get_default_dtype() == torch.float64,
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "cwd": str(Path.cwd()),
            "process": os.getpid(),
        }
    )
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(123)
    torch.set_num_threads(3)
