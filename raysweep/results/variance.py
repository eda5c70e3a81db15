"""The analysis of variance of a balanced grid: how much of all variation is whose.

In a complete grid with as many values in each cell the effects are orthogonal, so their sums of squares are exact and
add up to the total (Fisher, Statistical Methods for Research Workers, 1925; Montgomery, Design and Analysis of
Experiments, chapters 4 and 5). Of factors A and B with a and b levels, and N values in all,

    SS(A) = N/a sum (mean_i - mean)²        SS(AB) = N/(ab) sum (mean_ij - mean_i - mean_j + mean)²

What remains after the cells, and after the seeds where all cells have the same ones, is the error. Without replicates
there is none, and the interactions of the highest order stand for it, as is usual: they are mostly noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.results.ties import LEVEL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HIGHER, SEED, ERROR = "higher orders", "seed", "error"
ROUNDING = 1e-12  # of a total: less is what rounding leaves


@dataclass(frozen=True)
class Term:
    """One source of variation.

    Attributes:
        name: a factor, two of them as `a x b`, or one of HIGHER, SEED and ERROR.
        squares: its sum of squares.
        freedom: its degrees of freedom.
        factors: the factors in it.
    """

    name: str
    squares: float
    freedom: int
    factors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variance:
    """An analysis of variance.

    Attributes:
        terms: factors and pairs of them, the higher orders, the seeds, and the error, as far as there are such.
        error: the last of them; with no degrees of freedom where nothing can stand for it.
        pooled: whether interactions stand for the error.
    """

    terms: tuple[Term, ...]
    error: Term
    pooled: bool

    @property
    def total(self) -> float:
        """The sum of squares of all values around their mean."""
        return sum(term.squares for term in self.terms) + self.error.squares

    @property
    def mean_square(self) -> float:
        """Of the error; NaN where there is none."""
        return self.error.squares / self.error.freedom if self.error.freedom else math.nan

    def share(self, term: Term) -> float:
        """How much of the total a term is; 0 of nothing."""
        return term.squares / self.total if self.total else 0.0

    def ratio(self, term: Term) -> float:
        """F, the mean square of a term over that of the error; NaN where there is no error to measure it by."""
        if self.mean_square == 0:
            return math.inf if self.share(term) > ROUNDING else math.nan
        return term.squares / term.freedom / self.mean_square

    def p(self, term: Term) -> float:
        """How often F is that large where the term has no effect; NaN as F is."""
        from scipy.special import fdtrc

        ratio = self.ratio(term)
        return 0.0 if ratio == math.inf else float(fdtrc(term.freedom, self.error.freedom, ratio))

    def half_width(self, count: int) -> float:
        """Of the 95 % interval of a mean of so many values: t sqrt(MSE / count)."""
        from scipy.special import stdtrit

        if not self.error.freedom:
            return math.nan
        return float(stdtrit(self.error.freedom, (1 + LEVEL) / 2)) * math.sqrt(self.mean_square / count)


def analyse(values: NDArray[np.float64], names: Sequence[str], *, blocked: bool) -> Variance:
    """The analysis of variance of a complete grid.

    Args:
        values: finite; shape (levels of each factor ..., n seeds).
        names: of the factors, each with at least two levels.
        blocked: whether seed j is the same in all cells.
    """
    n, factors = values.shape[-1], range(len(names))
    centred = values - values.mean() if values.min() < values.max() else values * 0  # rounding is no variation
    singles = {i: _mean_over(centred, {i}) for i in factors}
    terms = [Term(names[i], _squares(singles[i], values.size), values.shape[i] - 1, (names[i],)) for i in factors]
    pairs = [_pair(centred, singles, i, j, names) for i, j in itertools.combinations(factors, 2)]
    cells = Term("", _squares(centred.mean(axis=-1), values.size), values.size // n - 1)
    higher = _rest(HIGHER, cells, [*terms, *pairs])
    if n > 1:
        seeds = [Term(SEED, _squares(_mean_over(centred, {len(names)}), values.size), n - 1)] if blocked else []
        total = Term("", float((centred**2).sum()), values.size - 1)
        rest = [higher] if higher.freedom else []
        return Variance((*terms, *pairs, *rest, *seeds), _rest(ERROR, total, [cells, *seeds]), pooled=False)
    if higher.freedom or not pairs:
        return Variance((*terms, *pairs), Term(ERROR, higher.squares, higher.freedom), pooled=bool(pairs))
    return Variance(tuple(terms), _rest(ERROR, cells, terms), pooled=True)


def _mean_over(values: NDArray[np.float64], kept: set[int]) -> NDArray[np.float64]:
    """The means over all axes but those."""
    means: NDArray[np.float64] = values.mean(axis=tuple(axis for axis in range(values.ndim) if axis not in kept))
    return means


def _squares(effects: NDArray[np.float64], count: int) -> float:
    """The sum of squares of effects, each of which stands in an equal part of so many values."""
    return float((effects**2).sum() * (count / effects.size))


def _pair(
    centred: NDArray[np.float64], singles: dict[int, NDArray[np.float64]], i: int, j: int, names: Sequence[str]
) -> Term:
    together = _mean_over(centred, {i, j}) - singles[i][:, None] - singles[j][None, :]
    freedom = (centred.shape[i] - 1) * (centred.shape[j] - 1)
    return Term(f"{names[i]} x {names[j]}", _squares(together, centred.size), freedom, (names[i], names[j]))


def _rest(name: str, whole: Term, parts: Sequence[Term]) -> Term:
    """What is left of a term; rounding is nothing."""
    squares = whole.squares - sum(part.squares for part in parts)
    freedom = whole.freedom - sum(part.freedom for part in parts)
    return Term(name, squares if squares > ROUNDING * whole.squares else 0.0, freedom)


def partial_shares(values: NDArray[np.float64], levels: NDArray[np.intp]) -> list[float]:
    """How much of the variation of an unbalanced table only each factor explains, beside the others.

    That is the sum of squares of type II of a model of main effects (Langsrud, ANOVA for unbalanced data, 2003): how
    much more is left over by least squares without the factor; as a share of the total. NaN where there are not more
    values than effects.

    Args:
        values: shape (k,).
        levels: the level of each factor, from 0; shape (k, factors).
    """
    import numpy as np

    dummies = [np.equal.outer(column, np.unique(column)[1:]).astype(float) for column in levels.T]

    def left_over(without: int | None) -> tuple[float, int]:
        design = np.hstack(
            [np.ones((len(values), 1)), *(dummy for index, dummy in enumerate(dummies) if index != without)]
        )
        fitted, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
        return float(((values - design @ fitted) ** 2).sum()), int(rank)

    total = float(((values - values.mean()) ** 2).sum())
    least, rank = left_over(None)
    if len(values) <= rank:
        return [math.nan] * len(dummies)
    return [max(0.0, left_over(index)[0] - least) / total if total else 0.0 for index in range(len(dummies))]
