"""What mattered in a sweep that is no complete grid: permutation importance on trials that a model has not seen.

A forest of trees learns the metric from the parameters; what is lost of its R² on held-out configurations where the
values of one parameter are shuffled is the importance of that one (Breiman, Random forests, 2001; Fisher, Rudin and
Dominici, All models are wrong, but many are useful, 2019). Forests prefer parameters with many values, so a column of
pure noise is there as well: what matters no more than it does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST = 20  # configurations to learn from
LEAST = 0.3  # R² on held-out ones: below it the model says nothing of what matters
FOLDS, TREES, SHUFFLES = 5, 50, 5


@dataclass(frozen=True)
class Importance:
    """What a model says of the parameters.

    Attributes:
        accuracy: R² on held-out configurations; NaN where there are too few to learn from.
        means: of each parameter, the R² that is lost without it; shape (parameters,); NaN where nothing can be said.
        deviations: of these, over folds and shuffles.
        floor: what pure noise reaches: its mean and two deviations.
    """

    accuracy: float
    means: Floats
    deviations: Floats
    floor: float

    @property
    def is_telling(self) -> bool:
        """Whether anything can be said."""
        return self.accuracy >= LEAST


def importance(columns: Sequence[Sequence[Any]], values: Floats) -> Importance:
    """The importance of each parameter.

    Args:
        columns: of each parameter, its value in each configuration.
        values: finite; shape (k configurations,).
    """
    import numpy as np
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold

    nothing = np.full(len(columns), math.nan)
    if len(values) < FEWEST or values.min() == values.max():
        return Importance(math.nan, nothing, nothing, math.nan)
    random = np.random.RandomState(0)  # the same question has the same answer
    table = np.column_stack([*map(_numbers, columns), random.permutation(len(values))])
    predicted, lost = np.empty(len(values)), []
    for learnt, held in KFold(FOLDS, shuffle=True, random_state=0).split(table):
        model = ExtraTreesRegressor(TREES, random_state=0).fit(table[learnt], values[learnt])
        predicted[held] = model.predict(table[held])
        told = permutation_importance(model, table[held], values[held], n_repeats=SHUFFLES, random_state=0)
        lost.append(told.importances)
    accuracy = float(r2_score(values, predicted))
    if accuracy < LEAST:
        return Importance(accuracy, nothing, nothing, math.nan)
    by_fold = np.stack(lost).mean(axis=2)
    means, deviations = by_fold.mean(axis=0), by_fold.std(axis=0, ddof=1)
    return Importance(accuracy, means[:-1], deviations[:-1], float(means[-1] + 2 * deviations[-1]))


def _numbers(column: Sequence[Any]) -> Floats:
    """A parameter as a model takes it: numbers as they are, and of anything else which one of its values it is."""
    import numpy as np

    if all(isinstance(value, (int, float)) for value in column):
        return np.array([float(value) for value in column])
    texts = [str(value) for value in column]
    known = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return np.array([float(known[text]) for text in texts])
