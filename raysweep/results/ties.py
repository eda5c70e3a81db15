"""Which configurations cannot be told apart from the best: Hsu's multiple comparisons with the best.

The values are taken for those of an additive layout, configuration + seed + noise, where all configurations were
trained with the same seeds, and else for configuration + noise (Hsu, Multiple Comparisons, 1996, chapters 4 and 7).
With k configurations of n values each, and the residual mean square MSE of that layout,

    D = d sqrt(2 MSE / n)

where d is the one-sided 5 % point of Dunnett (1955) for k - 1 comparisons. A configuration is tied with the best where
its mean is at most D worse than the best mean (Gupta, 1965); and the interval of its difference from the best of the
others is [min(0, diff - D), max(0, diff + D)] (Hsu, 1984).

One noisy configuration makes all others look noisier than they are, and itself less. So a configuration counts as
told apart only where its own one-sided t-test against the best, paired by seed, says so as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]

LEVEL = 0.95
NODES = 128  # of each quadrature; the points agree with those of 600 nodes to 5 digits
NOISY = 2.0  # times the pooled deviation: what is told of at least


@dataclass(frozen=True)
class Ties:
    """Configurations held against the best one.

    Attributes:
        tied: for each, whether it cannot be told apart from the best; shape (k,).
        difference: of its mean from the best of the others, in the metric's own direction; shape (k,).
        low, high: the 95 % interval of that; shape (k,).
        half_width: D, the least difference of two means that shows.
        error: the residual mean square.
        freedom: its degrees of freedom.
        noisy: for each, whether it is noisier than the others; shape (k,).
    """

    tied: Booleans
    difference: Floats
    low: Floats
    high: Floats
    half_width: float
    error: float
    freedom: int
    noisy: Booleans


def compare_with_best(
    values: Floats, *, maximize: bool, shared: bool = True, margin: float = 0.0, overlap: float = 0.0
) -> Ties:
    """Hold configurations against the best of them.

    Args:
        values: finite; shape (k configurations, n seeds), k and n at least 2.
        maximize: whether larger is better.
        shared: whether column j is the same seed in all rows.
        margin: a difference that does not matter.
        overlap: what the data that trials share adds to 1 / n in the variance of a mean; see `overlap_of`.
    """
    import numpy as np

    upwards = values if maximize else -values
    k, n = upwards.shape
    means = upwards.mean(axis=1)
    residuals = upwards - means[:, None]
    if shared:
        residuals = residuals - (upwards.mean(axis=0) - means.mean())[None, :]
    freedom = (k - 1) * (n - 1) if shared else k * (n - 1)
    error = float((residuals**2).sum() / freedom)
    half = dunnett(k - 1, freedom) * float(np.sqrt(2 * error * (1 / n + overlap)))
    best = int(means.argmax())
    worse = means < means[best] - half - margin
    worse &= _is_worse(upwards, best, shared, margin, overlap)
    worse[best] = False
    first, second = np.partition(means, k - 2)[[k - 1, k - 2]]
    difference = means - np.where(np.arange(k) == best, second, first)
    low, high = np.minimum(0, difference - half), np.maximum(0, difference + half)
    if not maximize:
        difference, low, high = -difference, -high, -low
    return Ties(~worse, difference, low, high, half, error, freedom, _noisy(residuals, freedom))


def overlap_of(folds: int) -> float:
    """What trials on folds of the same data add to 1 / n in the variance of a mean.

    Nadeau and Bengio (Inference for the generalization error, 2003) add the ratio of test data to training data, since
    the training data of two trials overlap; of k folds that is 1 / (k - 1).
    """
    return 1 / (folds - 1) if folds > 1 else 0.0


def _is_worse(upwards: Floats, best: int, shared: bool, margin: float, overlap: float) -> Booleans:
    """By its own t-test: paired with the best by seed, or Welch's (1947) where the seeds are not the same."""
    import numpy as np
    from scipy.special import stdtrit

    n = upwards.shape[1]
    short = upwards[best].mean() - upwards.mean(axis=1) - margin
    if shared:
        variance = (upwards[best] - upwards).var(axis=1, ddof=1) * (1 / n + overlap)
        freedom: Any = n - 1
    else:
        each = upwards.var(axis=1, ddof=1) * (1 / n + overlap)
        variance = each + each[best]
        squares = each**2 + each[best] ** 2
        freedom = (n - 1) * np.divide(variance**2, squares, out=np.ones_like(squares), where=squares > 0)
    result: Booleans = short > stdtrit(freedom, LEVEL) * np.sqrt(variance)
    return result


def _noisy(residuals: Floats, freedom: int) -> Booleans:
    """Which configurations are noisier than the others: by Cochran's test (1941) at 5 %, and at least `NOISY` times."""
    from scipy.special import fdtri

    k, n = residuals.shape
    squares = (residuals**2).sum(axis=1)
    bound = 1 / (1 + (k - 1) / fdtri(n - 1, (k - 1) * (n - 1), 1 - (1 - LEVEL) / k))
    pooled = squares.sum() / k
    result: Booleans = (squares > bound * squares.sum()) & (squares > NOISY**2 * pooled)
    return result


@lru_cache(maxsize=256)
def dunnett(comparisons: int, freedom: int, level: float = LEVEL) -> float:
    """The one-sided point of Dunnett for comparisons with a correlation of 0.5.

    That is the d for which the greatest of so many t-variables is below d with probability `level`. It is found by
    quadrature over what they have in common: the mean of the control z, and the deviation s (Dunnett, 1955):

        P = E[ integral of phi(z) Phi(z + sqrt(2) d s)^comparisons dz ]
    """
    import numpy as np
    from scipy.special import gammaincinv, ndtr, stdtrit  # scipy.optimize would take longer to import than all this

    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    z, in_z = 9 * nodes, 9 * weights * np.exp(-((9 * nodes) ** 2) / 2) / np.sqrt(2 * np.pi)
    s, in_s = np.sqrt(2 * gammaincinv(freedom / 2, (nodes + 1) / 2) / freedom), weights / 2

    def probability(d: float) -> float:
        return float(in_s @ (ndtr(z[None, :] + np.sqrt(2) * d * s[:, None]) ** comparisons @ in_z))

    # between the point of one comparison and that of as many independent ones, by Bonferroni's inequality
    low, high = stdtrit(freedom, [level, 1 - (1 - level) / comparisons])
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle) < level else (low, middle)
    return float((low + high) / 2)
