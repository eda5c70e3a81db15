"""What the winner would be worth if it had not been chosen by the same numbers.

The best of many means is best partly by luck, so it is too good: of 48 equal configurations with 3 seeds it is 1.3
standard deviations of a trial above the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def corrected(values: NDArray[np.float64], *, maximize: bool) -> float:
    """The mean to be expected of the winner with a new seed.

    One seed after the other is left out: the winner is chosen by the others, and measured by the one left out. The mean
    of these is that of choosing with a seed less (leave-one-out cross-validation of the choice: Stone, Cross-validatory
    choice and assessment of statistical predictions, 1974).

    Args:
        values: finite; shape (k configurations, n seeds), n at least 2.
        maximize: whether larger is better.
    """
    import numpy as np

    others = values.sum(axis=1, keepdims=True) - values
    chosen = others.argmax(axis=0) if maximize else others.argmin(axis=0)
    return float(values[chosen, np.arange(values.shape[1])].mean())
