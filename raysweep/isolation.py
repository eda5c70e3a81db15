"""Making a reused process look new to the next trial."""

from __future__ import annotations

import contextlib
import gc
import random
import sys
from functools import cache

from raysweep.errors import TrainableError
from raysweep.reference import Reference, load


@cache
def warm_up(reference: Reference) -> None:
    """Import what trials need, once for all trials of this process, while Ray starts other processes.

    torch is imported even where the training function does so later, or never: a generator that is seeded
    only in the trials after the first would make results depend on the order of trials.
    """
    with contextlib.suppress(TrainableError):  # told when the trial begins, where it can be recorded
        load(reference)
    isolate(0, 1)  # torch imports more of itself when it is first used
    gc.collect()
    gc.freeze()  # a full collection takes a quarter of a second with torch in memory, and each trial has one


def fence(gpu: float) -> None:
    """Let this process have no more of a GPU's memory than its share; PyTorch then raises OutOfMemoryError.

    Ray only counts fractions of GPUs: without this one trial could take the memory of the others.

    Args:
        gpu: the share, as in the sweep file; 1 and more for whole GPUs, 0 for none.
    """
    import torch

    if gpu and torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            torch.cuda.set_per_process_memory_fraction(min(1.0, gpu), device)


def isolate(seed: int, threads: int) -> None:
    """Set everything that a trial could have left behind in this process.

    Args:
        seed: of Python's, numpy's and torch's random generators.
        threads: how many of them torch may use; OpenMP threads on shared cores collapse.
    """
    gc.collect()  # what the last trial held, its tensors above all; fast, since what was imported is frozen
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed % 2**32)
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(False)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
