"""The analysis of variance: against statsmodels, Montgomery's published tables, and indices known in closed form."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raysweep.results.variance import ERROR, HIGHER, SEED, Variance, analyse, partial_shares

# Montgomery, Design and Analysis of Experiments: life of batteries, by material and temperature, 4 replicates
BATTERY = np.array(
    [
        [[130, 155, 74, 180], [34, 40, 80, 75], [20, 70, 82, 58]],
        [[150, 188, 159, 126], [136, 122, 106, 115], [25, 70, 58, 45]],
        [[138, 110, 168, 160], [174, 120, 150, 139], [96, 104, 82, 60]],
    ],
    dtype=float,
)


def squares(told: Variance) -> dict[str, float]:
    return {term.name: term.squares for term in (*told.terms, told.error)}


def oracle(values: Any, formula: str) -> Any:
    """statsmodels' table of a grid whose factors are a, b, c and whose seed is s."""
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    indices = list(np.ndindex(*values.shape))
    names = [*"abc"[: values.ndim - 1], "s"]
    table = pd.DataFrame([[*index, values[index]] for index in indices], columns=[*names, "y"])
    return anova_lm(ols(formula, table).fit(), typ=2)


def test_batteries() -> None:
    told = analyse(BATTERY, ["material", "temperature"], blocked=False)
    assert squares(told) == pytest.approx(
        {"material": 10_683.72, "temperature": 39_118.72, "material x temperature": 9_613.78, ERROR: 18_230.75},
        abs=0.006,
    )
    assert [told.ratio(term) for term in told.terms] == pytest.approx([7.91, 28.97, 3.56], abs=0.005)
    assert [term.freedom for term in (*told.terms, told.error)] == [2, 2, 4, 27]
    assert [told.p(term) for term in told.terms] == pytest.approx([0.0020, 1.9e-7, 0.0186], rel=0.05)
    shares = [told.share(term) for term in (*told.terms, told.error)]
    assert shares == pytest.approx([0.138, 0.504, 0.124, 0.235], abs=5e-4) and sum(shares) == pytest.approx(1)


GRAFT = np.array(
    [
        [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],
        [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],
        [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],
        [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],
    ]
)


def test_vascular_grafts_in_blocks() -> None:
    told = analyse(GRAFT, ["pressure"], blocked=True)
    assert squares(told) == pytest.approx({"pressure": 178.17, SEED: 192.25, ERROR: 109.89}, abs=0.006)
    assert told.ratio(told.terms[0]) == pytest.approx(8.11, abs=0.005) and not told.pooled
    assert told.half_width(6) == pytest.approx(stats.t.ppf(0.975, 15) * np.sqrt(109.886 / 15 / 6), rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "formula", "names"),
    [
        ((2, 3, 4, 5), "y ~ (C(a) + C(b) + C(c))**2 + C(a):C(b):C(c) + C(s)", [HIGHER, SEED]),
        ((2, 3, 5), "y ~ C(a) * C(b) + C(s)", [SEED]),
        ((4, 3), "y ~ C(a) + C(s)", [SEED]),
        ((2, 3, 4, 1), "y ~ (C(a) + C(b) + C(c))**2", []),
        ((3, 4, 1), "y ~ C(a) + C(b)", []),
    ],
)
def test_it_is_that_of_statsmodels(shape: tuple[int, ...], formula: str, names: list[str]) -> None:
    values = np.random.default_rng(1).normal(size=shape) + np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    told = analyse(values, list("abc"[: len(shape) - 1]), blocked=True)
    table = oracle(values, formula)
    assert [term.name for term in told.terms if term.name in (HIGHER, SEED)] == names
    rows = {"C(s)": SEED, "C(a):C(b):C(c)": HIGHER, "Residual": ERROR}
    for name, row in table.iterrows():
        mine = rows.get(name, str(name).replace("C(", "").replace(")", "").replace(":", " x "))
        term = next(term for term in (*told.terms, told.error) if term.name == mine)
        assert (term.squares, term.freedom) == pytest.approx((row["sum_sq"], row["df"]))
        if mine != ERROR:
            assert (told.ratio(term), told.p(term)) == pytest.approx((row["F"], row["PR(>F)"]))
    assert told.total == pytest.approx(((values - values.mean()) ** 2).sum())
    assert told.pooled == (shape[-1] == 1)


def test_one_factor_without_replicates_has_no_error() -> None:
    told = analyse(np.array([[1.0], [2.0], [4.0]]), ["a"], blocked=True)
    assert told.error.freedom == 0 and not told.pooled
    assert np.isnan(told.ratio(told.terms[0])) and np.isnan(told.p(told.terms[0])) and np.isnan(told.half_width(1))
    assert told.share(told.terms[0]) == 1


def test_where_nothing_varies_nothing_is_whose() -> None:
    told = analyse(np.full((2, 3, 4), 0.1), ["a", "b"], blocked=True)
    assert [told.share(term) for term in told.terms] == pytest.approx([0] * len(told.terms))
    assert all(np.isnan(told.ratio(term)) for term in told.terms)


def test_the_shares_are_the_indices_of_sobol() -> None:
    """Ishigami's function, whose indices are known: S1 = 0.3139, S2 = 0.4424, S13 = 0.2437, all others 0."""
    levels = (np.arange(40) + 0.5) / 40 * 2 * np.pi - np.pi
    x, y, z = np.meshgrid(levels, levels, levels, indexing="ij")
    told = analyse((np.sin(x) + 7 * np.sin(y) ** 2 + 0.1 * z**4 * np.sin(x))[..., None], ["x", "y", "z"], blocked=True)
    shares = {term.name: told.share(term) for term in (*told.terms, told.error)}
    expected = {"x": 0.3139, "y": 0.4424, "z": 0, "x x y": 0, "x x z": 0.2437, "y x z": 0, ERROR: 0}
    assert shares == pytest.approx(expected, abs=2e-3)


def test_partial_shares_are_statsmodels_of_type_2() -> None:
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    random = np.random.default_rng(2)
    levels = np.array(list(itertools.product(range(3), range(4), range(2))))[random.permutation(24)[:17]]
    values = levels @ np.array([1.0, -0.5, 0.1]) + random.normal(size=17)
    table = pd.DataFrame(levels, columns=list("abc")).assign(y=values)
    told = anova_lm(ols("y ~ C(a) + C(b) + C(c)", table).fit(), typ=2)
    total = ((values - values.mean()) ** 2).sum()
    assert partial_shares(values, levels) == pytest.approx(told["sum_sq"].iloc[:3] / total)


def test_partial_shares_need_more_values_than_effects() -> None:
    assert np.isnan(partial_shares(np.array([1.0, 2.0]), np.array([[0, 0], [1, 1]]))).all()
    assert partial_shares(np.array([1.0, 1.0, 1.0]), np.array([[0, 0], [1, 0], [0, 0]])) == [0, 0]
