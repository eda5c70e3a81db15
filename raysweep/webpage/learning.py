"""Learning curves as arrays: of every trial, and of every configuration over its seeds."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from raysweep.results.curves import by_epoch
from raysweep.results.seeds import Configuration
from raysweep.results.statistics import Spread
from raysweep.results.trial import TrialResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

KEPT = 0.9  # of the values, in the middle, are on the scale where the others would flatten it
FLATTENED = 10.0  # so many times as wide as these the scale must be for that


def encoded(values: Iterable[float]) -> str:
    """Numbers as base64 of little-endian float32, as `new Float32Array` reads them."""
    import numpy as np

    return base64.b64encode(np.fromiter(values, dtype="<f4").tobytes()).decode("ascii")


def curves(trials: Sequence[TrialResult], metric: str) -> dict[str, Any]:
    """A metric of all trials at each epoch.

    Returns:
        `counts`, the number of points of each trial; `epochs` and `values`, those of all trials one after another, and
        no epochs where each trial has 1, 2, 3 ...; and `clip`, the ends of the scale where a few values would flatten
        it, else None.
    """
    points = [list(_points(trial, metric)) for trial in trials]
    values = [value for own in points for _, value in own]
    return {
        "counts": [len(own) for own in points],
        "epochs": _epochs(points),
        "values": encoded(values),
        "clip": clip(values),
    }


def _epochs(points: Sequence[Sequence[tuple[int, Any]]]) -> str | None:
    if all(epoch == place for own in points for place, (epoch, _) in enumerate(own, start=1)):
        return None
    return encoded(epoch for own in points for epoch, _ in own)


def _points(trial: TrialResult, metric: str) -> Iterator[tuple[int, float]]:
    for report in trial.reports:
        value = report.metrics.get(metric)
        if isinstance(value, (int, float)):
            yield report.epoch, float(value)


def bands(found: Sequence[Configuration], metric: str, overlap: float) -> dict[str, Any]:
    """A metric of all configurations at each epoch, over the seeds.

    Args:
        found: the configurations.
        metric: its name.
        overlap: what the data that trials share adds to 1 / n in the variance of a mean.

    Returns:
        As of `curves`, with `half`, half of the 95 % interval of the mean, NaN of one seed.
    """
    points = [[(epoch, Spread.of(values, overlap)) for epoch, values in by_epoch(one.trials, metric)] for one in found]
    spreads = [spread for own in points for _, spread in own]
    return {
        "counts": [len(own) for own in points],
        "epochs": _epochs(points),
        "values": encoded(spread.mean for spread in spreads),
        "half": encoded(spread.high - spread.mean for spread in spreads),
    }


def clip(values: Sequence[float]) -> list[float] | None:
    """The ends of a scale on which what has diverged does not flatten all else; None where nothing does.

    They are those of the values in the middle, and as much again on either side.
    """
    import numpy as np

    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    low, high = (float(end) for end in np.quantile(finite, [(1 - KEPT) / 2, (1 + KEPT) / 2]))
    width = high - low
    if not width or max(finite) - min(finite) <= FLATTENED * width:
        return None
    return [max(min(finite), low - width), min(max(finite), high + width)]
