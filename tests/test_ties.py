"""Multiple comparisons with the best: against printed tables, scipy, worked examples and simulations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from raysweep.results.ties import Ties, compare_with_best, dunnett, overlap_of
from raysweep.results.winner import corrected

SWEEPS = 2000  # of each simulation


def standardised(means: list[float], deviation: float, n: int) -> Any:
    """Values of n seeds whose means and pooled standard deviation are exactly so."""
    noise = np.random.default_rng(1).normal(size=(len(means), n))
    noise -= noise.mean(axis=1, keepdims=True)
    noise *= deviation * np.sqrt(len(means) * (n - 1) / (noise**2).sum())
    return np.array(means)[:, None] + noise


class TestDunnett:
    @pytest.mark.parametrize(
        ("comparisons", "printed"),
        [*enumerate([2.03, 2.19, 2.30, 2.39, 2.46, 2.51, 2.56, 2.60, 2.64], start=2)],
    )
    def test_the_points_are_those_of_the_table_of_1955(self, comparisons: int, printed: float) -> None:
        assert dunnett(comparisons, 20) == pytest.approx(printed, abs=0.0051)

    def test_a_point_is_that_of_a_published_example(self) -> None:
        assert dunnett(3, 20) == pytest.approx(2.19228, abs=2e-5)

    @pytest.mark.parametrize("freedom", [1, 2, 5, 94])
    def test_of_one_comparison_it_is_students(self, freedom: int) -> None:
        assert dunnett(1, freedom) == pytest.approx(stats.t.ppf(0.95, freedom), rel=1e-5)

    @pytest.mark.parametrize(("comparisons", "freedom"), [(2, 4), (5, 12), (9, 30)])
    def test_it_is_that_of_the_multivariate_t(self, comparisons: int, freedom: int) -> None:
        shape = np.full((comparisons, comparisons), 0.5) + 0.5 * np.eye(comparisons)
        point = np.full(comparisons, dunnett(comparisons, freedom))
        probability = stats.multivariate_t(shape=shape, df=freedom, seed=1).cdf(point, random_state=1)
        assert probability == pytest.approx(0.95, abs=2e-3)  # which integrates at random

    def test_it_agrees_with_scipys_dunnett(self) -> None:
        values = standardised([0.0, 0.5, 0.9, 0.2], 1.0, 6)
        told = stats.dunnett(*values[1:], control=values[0], alternative="greater", random_state=1)
        statistic = told.statistic.max()
        assert dunnett(3, 20, 1 - told.pvalue.min()) == pytest.approx(statistic, abs=0.02)

    def test_many_comparisons_are_simulated(self) -> None:
        random = np.random.default_rng(1)
        z, z0 = random.normal(size=(20_000, 200)), random.normal(size=(20_000, 1))
        s = np.sqrt(random.chisquare(30, size=20_000) / 30)
        greatest = ((z - z0) / np.sqrt(2)).max(axis=1) / s
        assert (greatest < dunnett(200, 30)).mean() == pytest.approx(0.95, abs=0.005)


class TestExamples:
    def test_paint(self) -> None:
        """Four blends; the one-way example of a well-known statistics package."""
        values = standardised([14.733, 8.567, 12.983, 18.067], 3.95012, 6)
        told = compare_with_best(values, maximize=True, shared=False)
        assert told.freedom == 20 and told.error == pytest.approx(3.95012**2)
        assert told.half_width == pytest.approx(4.99972, abs=5e-5)
        intervals = np.stack([told.low, told.high], axis=1)
        assert intervals[1] == pytest.approx([-14.500, 0], abs=6e-4)
        assert intervals[2] == pytest.approx([-10.083, 0], abs=1.1e-3)  # the means are rounded
        excluded = told.high == 0
        assert excluded.tolist() == [False, True, True, False]

    GRAFT = np.array(  # Montgomery, Design and Analysis of Experiments: yield of vascular grafts, by pressure and batch
        [
            [90.3, 89.2, 98.2, 93.9, 87.4, 97.9],  # 8500
            [92.5, 89.5, 90.6, 94.7, 87.0, 95.8],  # 8700
            [85.5, 90.8, 89.6, 86.2, 88.0, 93.4],  # 8900
            [82.5, 89.5, 85.6, 87.4, 78.9, 90.7],  # 9100
        ]
    )

    def test_vascular_grafts(self) -> None:
        told = compare_with_best(self.GRAFT, maximize=True)
        assert told.freedom == 15 and told.error * 15 == pytest.approx(109.89, abs=0.01)
        assert told.half_width == pytest.approx(3.499, abs=1e-3)
        assert (told.high > 0).tolist() == [True, True, False, False]
        assert told.tied.tolist() == [True, True, False, False]

    def test_downwards_is_upwards_turned_over(self) -> None:
        up, down = compare_with_best(self.GRAFT, maximize=True), compare_with_best(-self.GRAFT, maximize=False)
        assert (up.tied == down.tied).all()
        assert down.difference == pytest.approx(-up.difference)
        assert down.low == pytest.approx(-up.high) and down.high == pytest.approx(-up.low)

    def test_the_interval_holds_the_difference_from_the_best_of_the_others(self) -> None:
        told = compare_with_best(self.GRAFT, maximize=True)
        means = self.GRAFT.mean(axis=1)
        assert told.difference.tolist() == pytest.approx([means[0] - means[1], *(means[1:] - means[0])])
        assert (told.low <= 0).all() and (told.high >= 0).all()

    def test_a_margin_keeps_what_is_not_shown_to_be_worse_by_more(self) -> None:
        means = self.GRAFT.mean(axis=1)
        short = means[0] - means[2]
        half = compare_with_best(self.GRAFT, maximize=True).half_width
        assert compare_with_best(self.GRAFT, maximize=True, margin=short - half + 0.01).tied[2]
        assert not compare_with_best(self.GRAFT, maximize=True, margin=short - half - 0.01).tied[2]

    def test_two_configurations_are_compared_by_a_paired_t_test(self) -> None:
        for shift in (0.0, 1.0, 2.0, 5.0):
            pair = np.array([self.GRAFT[0], self.GRAFT[1] - shift])
            told = compare_with_best(pair, maximize=True)
            assert told.tied[1] == (stats.ttest_rel(*pair, alternative="greater").pvalue > 0.05)

    def test_what_is_exactly_equal_is_tied_and_what_always_differs_is_not(self) -> None:
        base = np.array([0.5, 0.25, 0.75])
        told = compare_with_best(np.array([base, base, base - 0.125]), maximize=True)
        assert told.half_width == pytest.approx(0, abs=1e-15) and told.tied.tolist() == [True, True, False]

    def test_folds_widen_by_nadeau_and_bengio(self) -> None:
        plain = compare_with_best(self.GRAFT, maximize=True)
        folded = compare_with_best(self.GRAFT, maximize=True, overlap=overlap_of(6))
        assert folded.half_width / plain.half_width == pytest.approx(np.sqrt((1 / 6 + 1 / 5) / (1 / 6)))

    def test_a_configuration_four_times_as_noisy_is_told(self) -> None:
        values = np.random.default_rng(3).normal(size=(12, 6)) * np.where(np.arange(12) == 4, 4, 1)[:, None]
        assert np.flatnonzero(compare_with_best(values, maximize=True).noisy).tolist() == [4]
        assert not compare_with_best(values[[0, 4]], maximize=True).noisy.any()  # of two there is one difference


def simulated(k: int, n: int, *, noise: Any = 1.0, seed: int = 1) -> Any:
    """Sweeps of k configurations, a third of them near the best one, and n seeds with effects of their own."""
    random = np.random.default_rng(seed)
    truth = np.concatenate([[0.0], random.uniform(-1.5, -0.1, k // 3), random.uniform(-5, -1.5, k - 1 - k // 3)])
    blocks = random.normal(scale=2, size=(SWEEPS, 1, n))
    errors = random.normal(size=(SWEEPS, k, n)) * np.broadcast_to(noise, k)[None, :, None]
    return truth, truth[None, :, None] + blocks + errors


def told_of(sweeps: Any, shared: bool = True) -> list[Ties]:
    return [compare_with_best(values, maximize=True, shared=shared) for values in sweeps]


class TestSimulations:
    def test_the_intervals_cover_95_percent(self) -> None:
        """All at once; and exactly where the best is so far ahead that no interval is cut at 0."""
        truth = np.array([10.0, *[0.0] * 7])
        assert self.covered(truth, np.random.default_rng(1).normal(size=(SWEEPS, 8, 5))) == pytest.approx(
            0.95, abs=0.02
        )

    def test_the_intervals_cover_at_least_95_percent(self) -> None:
        truth, sweeps = simulated(8, 5)
        assert self.covered(truth, sweeps - truth[None, :, None]) >= 0.95

    def covered(self, truth: Any, noise: Any) -> float:
        real = truth - np.array([np.delete(truth, i).max() for i in range(len(truth))])
        told = told_of(truth[None, :, None] + noise)
        return float(np.mean([((one.low <= real) & (real <= one.high)).all() for one in told]))

    @pytest.mark.parametrize(("k", "n"), [(12, 3), (48, 3), (6, 8)])
    def test_the_tied_ones_contain_the_true_best(self, k: int, n: int) -> None:
        _, sweeps = simulated(k, n)
        told = told_of(sweeps)
        assert np.mean([one.tied[0] for one in told]) >= 0.95
        assert np.mean([one.tied.sum() for one in told]) < 2 / 3 * k  # and others are told apart

    def test_where_one_is_noisier_the_true_best_is_kept_as_well(self) -> None:
        for noisy in (0, 3):
            noise = np.where(np.arange(12) == noisy, 4.0, 1.0)
            _, sweeps = simulated(12, 3, noise=noise)
            assert np.mean([one.tied[0] for one in told_of(sweeps)]) >= 0.9

    def test_where_seeds_are_not_shared(self) -> None:
        truth, _ = simulated(12, 4)
        sweeps = truth[None, :, None] + np.random.default_rng(4).normal(size=(SWEEPS, 12, 4))
        assert np.mean([one.tied[0] for one in told_of(sweeps, shared=False)]) >= 0.95

    def test_the_corrected_mean_of_the_winner_is_unbiased_and_its_own_is_flattered(self) -> None:
        values = np.random.default_rng(5).normal(size=(SWEEPS, 48, 3))  # all equal: each is worth 0
        fair = np.array([corrected(sweep, maximize=True) for sweep in values])
        naive = values.mean(axis=2).max(axis=1)
        assert abs(fair.mean()) < 0.03 and fair.std() / np.sqrt(SWEEPS) < 0.02
        assert naive.mean() == pytest.approx(1.3, abs=0.05)

    def test_the_corrected_mean_is_that_of_choosing_with_a_seed_less(self) -> None:
        truth, sweeps = simulated(12, 4)
        fair = np.mean([corrected(sweep, maximize=True) for sweep in sweeps])
        fewer = truth[sweeps[:, :, 1:].mean(axis=2).argmax(axis=1)].mean()
        assert fair == pytest.approx(fewer, abs=0.1)  # blocks of scale 2 over 4 seeds: 0.02 of standard error


def test_the_corrected_mean_by_hand() -> None:
    values = np.array([[3.0, 0.0, 0.0], [0.0, 2.0, 2.0]])
    # without the first seed the second row wins and gets 0; without the second the first (3:2) and gets 0; then so, 0
    assert corrected(values, maximize=True) == 0.0
    assert corrected(-values, maximize=False) == 0.0
    assert corrected(np.array([[1.0, 2.0], [0.0, 0.0]]), maximize=True) == 1.5
