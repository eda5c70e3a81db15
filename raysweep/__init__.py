"""raysweep: hyper-parameter sweeps of PyTorch training functions on Ray Tune.

The names of the public interface load on first use, so that `import raysweep` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from raysweep.driver.progress import Progress, Running
    from raysweep.driver.sweep import RunOptions, run
    from raysweep.engine.nodes import Cluster
    from raysweep.errors import BrokenOffError, ClusterError, RaysweepError, SpecError, StoreError, TrainableError
    from raysweep.fusion.fit import fit
    from raysweep.plan.reconciliation import Again, Reconciliation
    from raysweep.plan.trials import Trial
    from raysweep.results.board import Board
    from raysweep.results.comparison import Comparison
    from raysweep.results.reading import load
    from raysweep.results.results import Results
    from raysweep.results.statistics import Statistics
    from raysweep.results.trial import TrialResult
    from raysweep.store.records import Report, State, TrialError
    from raysweep.sweepfile.file import load_spec
    from raysweep.sweepfile.spec import SweepSpec
    from raysweep.training.recorder import Recorder
    from raysweep.training.reporting import checkpoint, report, shared

_HOMES = {
    "Progress": "driver.progress",
    "Running": "driver.progress",
    "RunOptions": "driver.sweep",
    "run": "driver.sweep",
    "Cluster": "engine.nodes",
    "BrokenOffError": "errors",
    "ClusterError": "errors",
    "RaysweepError": "errors",
    "SpecError": "errors",
    "StoreError": "errors",
    "TrainableError": "errors",
    "fit": "fusion.fit",
    "Again": "plan.reconciliation",
    "Reconciliation": "plan.reconciliation",
    "Trial": "plan.trials",
    "Board": "results.board",
    "Comparison": "results.comparison",
    "load": "results.reading",
    "Results": "results.results",
    "Statistics": "results.statistics",
    "TrialResult": "results.trial",
    "Report": "store.records",
    "State": "store.records",
    "TrialError": "store.records",
    "load_spec": "sweepfile.file",
    "SweepSpec": "sweepfile.spec",
    "Recorder": "training.recorder",
    "checkpoint": "training.reporting",
    "report": "training.reporting",
    "shared": "training.reporting",
}

__all__ = [
    "Again",
    "Board",
    "BrokenOffError",
    "Cluster",
    "ClusterError",
    "Comparison",
    "Progress",
    "RaysweepError",
    "Reconciliation",
    "Recorder",
    "Report",
    "Results",
    "RunOptions",
    "Running",
    "SpecError",
    "State",
    "Statistics",
    "StoreError",
    "SweepSpec",
    "TrainableError",
    "Trial",
    "TrialError",
    "TrialResult",
    "checkpoint",
    "fit",
    "load",
    "load_spec",
    "report",
    "run",
    "shared",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'raysweep' has no attribute {name!r}")
    return getattr(import_module(f"raysweep.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
