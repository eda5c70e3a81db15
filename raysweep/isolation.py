"""Making a reused process look new to the next trial."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import random
import sys
from collections.abc import Callable
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from raysweep.errors import TrainableError
from raysweep.reference import Reference, load, locate


def needed(reference: Reference) -> list[str]:
    """The modules that a process needs for the trainable's trials, as far as is known before it is imported.

    Raises:
        TrainableError: see `reference.locate`.
    """
    source = locate(reference)
    uses_torch = source is not None and b"torch" in source.read_bytes().lower()  # perhaps only when it is called
    return ["raysweep.trainable", *(["torch"] if uses_torch else [])]


def warm_up(reference: Reference) -> Callable[..., Any] | None:
    """Import what trials need, while Ray starts other processes and before a trial's clock runs.

    Returns:
        The trainable; None where it cannot be imported, which is told when a trial begins and can be failed.
    """
    try:
        target = load(reference)
        for module in needed(reference):
            importlib.import_module(module)
    except TrainableError:
        return None
    return target


def fence(gpu: float) -> None:
    """Let this process have no more of a GPU's memory than its share; PyTorch then raises OutOfMemoryError.

    Ray only counts fractions of GPUs: without this one trial could take the memory of the others.

    Args:
        gpu: the share, as in the sweep file; 1 and more for whole GPUs, 0 for none.
    """
    if not gpu:
        return  # without importing torch, which a training that does not use it would wait for
    import torch

    if torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            torch.cuda.set_per_process_memory_fraction(min(1.0, gpu), device)


def isolate(seed: int, threads: int) -> None:
    """Set everything that a trial could have left behind in this process.

    Args:
        seed: of Python's, numpy's and torch's random generators.
        threads: how many of them torch may use; OpenMP threads on shared cores collapse.
    """
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed % 2**32)
    if "torch" in sys.modules:
        _settle_torch(seed, threads)
    else:
        _watch_for_torch(seed, threads)
    _freeze("torch" in sys.modules)
    gc.collect()  # what the last trial held, its tensors above all


@cache
def _freeze(with_torch: bool) -> None:
    """Once without and once with torch: a full collection of all it imports takes a quarter of a second."""
    gc.collect()
    gc.freeze()


def _settle_torch(seed: int, threads: int) -> None:
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)  # imports torch._inductor, which takes a second
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _watch_for_torch(seed: int, threads: int) -> None:
    """Settle torch as soon as the trial imports it.

    A generator that is seeded only in the trials after the first would make results depend on their order; and
    importing torch for functions that never use it costs each process seconds.
    """
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _TorchFinder)]
    sys.meta_path.insert(0, _TorchFinder(seed, threads))


class _TorchFinder(MetaPathFinder):
    """Finds torch as everybody else does, and settles it once it is loaded."""

    def __init__(self, seed: int, threads: int) -> None:
        self._arguments = seed, threads

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of torch, whose loader settles it; None for all else."""
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_settle(module: ModuleType) -> None:
                execute(module)
                _settle_torch(*self._arguments)

            spec.loader.exec_module = execute_and_settle  # type: ignore[method-assign]  # of this one loader
        return spec
