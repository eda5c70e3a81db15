"""Making a reused process look new to the next trial."""

from __future__ import annotations

import gc
import random
import sys


def isolate(seed: int, threads: int) -> None:
    """Set everything that a trial could have left behind in this process.

    Args:
        seed: of Python's, numpy's and torch's random generators.
        threads: how many of them torch may use; OpenMP threads on shared cores collapse.
    """
    gc.collect()  # what the last trial held, its tensors above all
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed % 2**32)
    # torch is imported here even where the training function imports it later: a generator that is
    # seeded only in the trials after the first would make results depend on the order of trials
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(False)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
