"""A training function that reports what it finds in its process, and then changes all of it."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import raysweep

SEEN: list[int] = []
model = torch.nn.Linear(2, 1)
with torch.no_grad():
    model.weight.fill_(1.0)


def found() -> dict[str, float | str]:
    """What this process is like."""
    mask = os.umask(0)
    os.umask(mask)
    return {
        "module": len(SEEN),
        "model": float(model.weight.detach().sum()),
        "precision": torch.backends.cuda.matmul.fp32_precision,
        "benchmark": float(torch.backends.cudnn.benchmark),
        "device": str(torch.get_default_device()),
        "anomaly": float(torch.is_anomaly_enabled()),
        "dtype": str(torch.get_default_dtype()),
        "grad": float(torch.is_grad_enabled()),
        "deterministic": float(torch.are_deterministic_algorithms_enabled()),
        "threads": torch.get_num_threads(),
        "environment": os.environ.get("MESS", "none"),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "none"),
        "directory": str(Path.cwd()),
        "level": logging.getLogger().level,
        "handlers": len(logging.getLogger().handlers),
        "disabled": logging.root.manager.disable,
        "filters": len(warnings.filters),
        "umask": mask,
        "recursion": sys.getrecursionlimit(),
        "gc": float(gc.isenabled()),
        "threshold": str(gc.get_threshold()),
        "sigterm": str(signal.getsignal(signal.SIGTERM)),
        "sigint": str(signal.getsignal(signal.SIGINT)),
        "sigusr1": str(signal.getsignal(signal.SIGUSR1)),
        "path": float("/a/mess" in sys.path),
        "errors": str(np.geterr()),
        "torch": float(torch.rand(1, dtype=torch.float64)),
        "numpy": float(np.random.random()),
        "python": random.random(),
    }


def make_a_mess() -> None:
    """Change it."""
    SEEN.append(1)
    with torch.no_grad():
        model.weight.fill_(5.0)
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.benchmark = True
    torch.set_default_device("meta")
    torch.autograd.set_detect_anomaly(True)
    torch.set_default_dtype(torch.float16)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(3)
    os.environ["MESS"] = "made"
    os.environ["CUDA_VISIBLE_DEVICES"] = "7"
    os.chdir("/")
    logging.basicConfig(level=logging.DEBUG)
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    os.umask(0o077)
    sys.setrecursionlimit(500)
    gc.disable()
    gc.set_threshold(1, 1, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    sys.path.insert(0, "/a/mess")
    np.seterr(all="raise")
    random.seed(7)


def train(config: dict[str, Any]) -> None:
    """Report what is found, once; in the end it is a mess where the configuration says so."""
    raysweep.report({"loss": 0.0, **found(), "process": os.getpid()})
    if config["mess"]:
        make_a_mess()
