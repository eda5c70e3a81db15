"""What a trial's process is given before the training starts: random seeds, threads, its share of a GPU's memory."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def settle(seed: int, threads: int, gpu: float) -> None:
    """Seed the random generators, and keep a trial to its share of the machine.

    Args:
        seed: of Python's, numpy's and torch's random generators.
        threads: how many of them torch may use; OpenMP threads on shared cores collapse.
        gpu: the share of a GPU, as in the sweep file; see `fence`.
    """
    random.seed(seed)
    words = seed if seed < 2**32 else [seed % 2**32, seed >> 32]  # numpy takes words of 32 bits
    when_imported("numpy", lambda numpy: numpy.random.seed(words))
    when_imported("torch", lambda torch: _settle_torch(torch, seed, threads, gpu))


def _settle_torch(torch: Any, seed: int, threads: int, gpu: float) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    fence(gpu)


def fence(gpu: float) -> None:
    """Let this process have no more of a GPU's memory than its share; PyTorch then raises OutOfMemoryError.

    Ray only counts fractions of GPUs: without this one trial could take the memory of the others.

    Args:
        gpu: the share, as in the sweep file; 1 and more for whole GPUs, 0 for none.
    """
    if not 0 < gpu < 1:
        return  # and above all nothing that makes a CUDA context, which takes time and memory
    import torch

    if torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            torch.cuda.set_per_process_memory_fraction(gpu, device)


def when_imported(name: str, then: Callable[[Any], None]) -> None:
    """Do something with a module now, or as soon as it is imported.

    A generator that is seeded only where its module happens to be imported beforehand would make results depend on
    that; and importing torch for functions that never use it costs seconds.
    """
    if (module := sys.modules.get(name)) is not None:
        then(module)
    else:
        sys.meta_path.insert(0, _Finder(name, then))


class _Finder(MetaPathFinder):
    """Finds one module as everybody else does, and does something with it once it is loaded."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self._name, self._then = name, then

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of the module, with a loader that does the rest; None for all else."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_then(module: ModuleType) -> None:
                execute(module)
                self._then(module)

            spec.loader.exec_module = execute_and_then  # type: ignore[method-assign]  # of this one loader
        return spec
