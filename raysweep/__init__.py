"""raysweep: hyper-parameter sweeps of PyTorch training functions on Ray Tune.

The names of the public interface load on first use, so that `import raysweep` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from raysweep.errors import (
        ClusterError,
        RaysweepError,
        SpecError,
        StoreError,
        TrainableError,
    )
    from raysweep.recorder import Recorder
    from raysweep.reporting import checkpoint, report, shared
    from raysweep.results import Results, TrialResult, load
    from raysweep.spec import SweepSpec
    from raysweep.sweep import run
    from raysweep.sweepfile import load as load_spec

_HOMES = {
    "ClusterError": "errors",
    "RaysweepError": "errors",
    "SpecError": "errors",
    "StoreError": "errors",
    "TrainableError": "errors",
    "Recorder": "recorder",
    "checkpoint": "reporting",
    "report": "reporting",
    "shared": "reporting",
    "Results": "results",
    "TrialResult": "results",
    "load": "results",
    "SweepSpec": "spec",
    "load_spec": "sweepfile.load",
    "run": "sweep",
}

__all__ = [
    "ClusterError",
    "RaysweepError",
    "Recorder",
    "Results",
    "SpecError",
    "StoreError",
    "SweepSpec",
    "TrainableError",
    "TrialResult",
    "checkpoint",
    "load",
    "load_spec",
    "report",
    "run",
    "shared",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'raysweep' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(".")
    return getattr(import_module(f"raysweep.{module}"), attribute or name)
