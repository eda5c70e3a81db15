"""What a training function talks to: report(), checkpoint(), shared(), and the trial it runs in.

Outside a sweep the same calls work, so that a training file is an ordinary script: metrics are
printed and there is no checkpoint to go on from.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, runtime_checkable

from raysweep.errors import TrainableError
from raysweep.store.records import whole
from raysweep.training.channel import Channel
from raysweep.training.ranks import rank

if TYPE_CHECKING:
    from ray.tune import Checkpoint

    from raysweep.training.events import EventLog
    from raysweep.training.shelf import Shelf


Parameters = ParamSpec("Parameters")
Data = TypeVar("Data")


Saving = Callable[[Path], object]  # writes the files of a checkpoint into an empty directory


class Reporter(Protocol):
    """Takes what a training function reports."""

    @property
    def checkpoint(self) -> Path | None:
        """The directory of the last checkpoint."""

    def report(
        self, metrics: Mapping[str, float | str], checkpoint: Path | Saving | None = None, is_counted: bool = False
    ) -> None:
        """Record metrics, and a state to go on from: a copy of a directory, or what writes one.

        Args:
            metrics: by name.
            checkpoint: the state.
            is_counted: whether the metrics are an epoch's, as a `Recorder` has counted it.
        """


class Companions(Protocol):
    """The trials that are trained in one process with this one."""

    def train(self, course: Any) -> bool:
        """Train a `fusion.course.Course` together with theirs; returns whether that was done, or it is to be alone."""


@dataclass(frozen=True)
class TrialContext:
    """The trial that a training function runs in.

    Attributes:
        id: the trial's id.
        directory: the trial's folder in the run directory.
        events: its TensorBoard event file.
        reporter: whom it reports to.
        epoch: the last epoch that was reported and kept, 0 for a fresh trial.
        run_duration: seconds that those epochs took.
        shelf: what it shares with other trials on its node.
        companions: those that it can be trained with as one program; see `raysweep.fit`.
    """

    id: str
    directory: Path
    events: EventLog
    reporter: Reporter
    epoch: int = 0
    run_duration: float = 0.0
    shelf: Shelf | None = None
    companions: Companions | None = None


class _Process:
    """What a process runs: one trial at a time, which all of its threads belong to."""

    trial: TrialContext | None = None


def _reporter() -> Reporter | None:
    """Whom this process reports to: its trial, or that of the program which has started it; None outside a sweep."""
    trial = current_trial()
    return trial.reporter if trial is not None else Channel.here()


def current_trial() -> TrialContext | None:
    """The trial that this process runs; None outside a sweep."""
    return _Process.trial


@contextmanager
def running(trial: TrialContext) -> Iterator[None]:
    """Within the block, `trial` is what this process runs."""
    _Process.trial, before = trial, _Process.trial
    try:
        yield
    finally:
        _Process.trial = before


def take_up(trial: TrialContext) -> None:
    """From now on `trial` is what this process runs: one of several, which it goes on with."""
    _Process.trial = trial


def report_epoch(metrics: Mapping[str, object], checkpoint: Path | Saving | None) -> None:
    """As `report`, by a `Recorder`, which has counted: its reports are those of epoch 1, 2 and so on."""
    trial = current_trial()
    if trial is None:
        report(metrics)
    else:
        trial.reporter.report(as_metrics(metrics), checkpoint, is_counted=True)


def report(metrics: Mapping[str, object], checkpoint: str | Path | Checkpoint | None = None) -> None:
    """Report one epoch's metrics, and the state to go on from if the trial is interrupted.

    Of several processes that train together only the one of rank 0 reports; what the others report is dropped.

    Args:
        metrics: name to value. Numbers, and tensors or arrays of one element, are metrics; text is
            kept in the history.
        checkpoint: a directory, or a `ray.tune.Checkpoint`; it is copied into the trial's folder.

    Raises:
        TrainableError: a value cannot be a metric.
    """
    values = as_metrics(metrics)
    if isinstance(checkpoint, (str, Path)) and not Path(checkpoint).is_dir():
        found = "is a file; give the directory that it is in" if Path(checkpoint).exists() else "is not there"
        raise TrainableError(f"the checkpoint {str(checkpoint)!r} must be a directory, and {found}")
    if rank():
        return
    reporter = _reporter()
    if reporter is None:
        print("  ".join(f"{name}={_shown(value)}" for name, value in values.items()))
    elif checkpoint is None or isinstance(checkpoint, (str, Path)):
        reporter.report(values, None if checkpoint is None else Path(checkpoint))
    else:
        with checkpoint.as_directory() as directory:
            reporter.report(values, Path(directory))


def checkpoint() -> Path | None:
    """The directory of the checkpoint to go on from, to be read only; None where the trial starts fresh."""
    reporter = _reporter()
    return None if reporter is None else reporter.checkpoint


def shared(load: Callable[Parameters, Data], *arguments: Parameters.args, **options: Parameters.kwargs) -> Data:
    """What `load(*arguments, **options)` returns, loaded once for all trials of a run on a node.

    Numpy arrays and torch tensors on the CPU, wherever they are in it, take memory once; the rest is copied. A trial
    may write into its arrays: that changes nothing for others. Outside a sweep it just calls `load`.

    Args:
        load: a function of its arguments alone: trials whose function and arguments are equal share the data.
        *arguments: what it is called with.
        **options: likewise, by name.

    Raises:
        TrainableError: what it returned cannot be pickled, or there is no room for it in Ray's session directory.
    """
    trial = current_trial()
    if trial is None or trial.shelf is None:
        return load(*arguments, **options)
    data: Data = trial.shelf.get(load, arguments, options)
    return data


@runtime_checkable
class _OneElement(Protocol):
    """A torch tensor, a numpy array or a numpy scalar."""

    def item(self) -> Any:
        """The one element as a Python value; raises where there are more."""


def as_metrics(metrics: object) -> dict[str, float | str]:
    """The metrics as plain numbers and text.

    Raises:
        TrainableError: `metrics` is no mapping of names, or a value is neither a number nor text.
    """
    if not isinstance(metrics, Mapping):
        raise TrainableError(f"report() takes a dict of metrics, such as {{'loss': 0.1}}; it was given {_a(metrics)}")
    return {_name(name): _metric(name, value) for name, value in metrics.items()}


def flattened(metrics: Mapping[str, object]) -> dict[str, object]:
    """Groups of metrics as `group/name`, as Ray Tune flattens them."""
    flat: dict[str, object] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}/{inner}": member for inner, member in flattened(value).items()})
        else:
            flat[name] = value
    return flat


def _name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise TrainableError(f"a metric's name must be text; report() was given {name!r}")
    return name


def _metric(name: str, value: object) -> float | str:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, _OneElement):
        try:
            value = value.item()
        except (ValueError, RuntimeError):  # numpy's and torch's word for "more than one element"
            shape = tuple(getattr(value, "shape", ()))
            raise TrainableError(
                f"metric {name!r} is {_a(value)} of shape {shape}; report one number, such as its mean()"
            ) from None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        if isinstance(value, bool):
            return int(value)
        raise TrainableError(f"metric {name!r} is {_a(value)}; a metric is a number (or text, for the history)")
    try:
        whole_number = int(value) if isinstance(value, numbers.Integral) else None
        return whole_number if whole_number is not None and abs(whole_number) < 2**63 else float(value)
    except OverflowError:
        raise TrainableError(f"metric {name!r} is a number that is too large; report its logarithm") from None


def _a(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _shown(value: float | str) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    return str(value)
