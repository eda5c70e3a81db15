"""What is to be said of a table of results, in words: what its numbers are, and what they do not show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from raysweep.results.edges import edges, leaders
from raysweep.results.judging import value
from raysweep.results.seeds import Configuration
from raysweep.results.statistics import Statistics
from raysweep.results.text import number, shown
from raysweep.results.trial import TrialResult
from raysweep.store.records import State
from raysweep.sweepfile.members import Metric
from raysweep.sweepfile.parameters import SEED

NAMED = 3  # configurations, where there are more


def of_trials(metric: Metric, trials: Sequence[TrialResult]) -> Iterator[str]:
    """What is to be said of a table of trials."""
    if not metric.is_named:
        yield 'unranked: the sweep has no "metric"; shown is the last report of each trial'
        return
    yield _judged(metric, trials)
    yield from _infinite(metric, trials)


def of_configurations(statistics: Statistics) -> Iterator[str]:
    """What is to be said of a table of configurations over their seeds."""
    kind, trials = _kind(statistics), statistics.trials
    yield f"{_judged(statistics.metric, trials)}; mean, std and 95 % interval over {statistics.seeds} {kind}"
    if statistics.seeds < 2:
        yield '1 seed: nothing can be said about differences; add "seed": [0, 1, 2]'
    elif not statistics.block.configurations:
        yield "no configuration has finished with all its seeds yet, so none is compared"
    elif statistics.ties is None:
        yield "one configuration has finished with all its seeds: there is nothing to compare it with"
    else:
        yield from _ties(statistics, kind)
    yield from (shown(edge.told(len(leaders(statistics)))) for edge in edges(statistics))
    yield from _left_out(statistics)
    if stopped := sum(trial.state is State.STOPPED for trial in trials):
        yield f"{stopped} trials were ended by early stopping, and count with what they had reached"
    yield from _infinite(statistics.metric, trials)


def of_winner(statistics: Statistics) -> Iterator[str]:
    """What is to be said of the best trial."""
    yield _judged(statistics.metric, statistics.trials)
    if statistics.ties is not None:
        others = len(statistics.tied) - 1
        told = f"{others} other configurations cannot be told apart from this one"
        yield told if others else "no other configuration is tied with this one"
        yield _flattered(statistics)
    yield from _infinite(statistics.metric, statistics.trials)


def _flattered(statistics: Statistics) -> str:
    """What the winner's mean would be if it had not been chosen by it."""
    assert statistics.corrected is not None and statistics.winner is not None  # only where something was chosen
    own, fair = (number(value) for value in (statistics.spreads[statistics.winner].mean, statistics.corrected))
    if math.isclose(statistics.corrected, statistics.spreads[statistics.winner].mean, rel_tol=1e-12):
        return "the winner is the same whichever seed is left out"
    return (
        f"the winner's mean, {own}, is flattered by the choice; expect {fair} of it with a new seed (chosen by all "
        "seeds but one and measured by that one, in turn)"
    )


def _ties(statistics: Statistics, kind: str) -> Iterator[str]:
    ties = statistics.ties
    assert ties is not None  # only of several configurations with several seeds
    count, tied = len(statistics.block.configurations), len(statistics.tied)
    margin = f" by more than {number(statistics.margin)}" if statistics.margin else ""
    least = f"differences below {ties.half_width:.2g} do not show with {statistics.seeds} {kind}"
    if tied == 1:
        yield f"the best is told apart{margin} from the {count - 1} others that were compared (5 %; {least})"
    else:
        yield f"tied: {tied} of {count} cannot be told apart{margin} from the best (5 %; {least})"
    yield _flattered(statistics)
    noisy = [one for one, is_noisy in zip(statistics.block.configurations, ties.noisy, strict=True) if is_noisy]
    if noisy:
        yield f"much noisier than the others, so that what is said of ties is less sure: {_named(noisy)}"


def _kind(statistics: Statistics) -> str:
    """What it is that the values of a configuration differ in."""
    if all(name.rpartition(".")[2] == SEED for name in statistics.over):
        return "seeds"
    return "folds" if statistics.folds and len(statistics.over) == 1 else "trials"


def _left_out(statistics: Statistics) -> Iterator[str]:
    left_out = statistics.block.left_out
    if statistics.seeds > 1 and left_out and statistics.block.configurations:
        told = [f"{shown(one.name)} ({reason})" for one, reason in left_out[:NAMED]]
        yield f"not compared: {'; '.join(told)}{_more(len(left_out))}"


def _named(configurations: Sequence[Configuration]) -> str:
    return "; ".join(shown(one.name) for one in configurations[:NAMED]) + _more(len(configurations))


def _more(count: int) -> str:
    return f"; and {count - NAMED} more" if count > NAMED else ""


def _judged(metric: Metric, trials: Sequence[TrialResult]) -> str:
    """Which value of the metric counts."""
    name = shown(metric.name)
    if metric.last:
        return f"{name}: {'the last' if metric.last == 1 else f'the mean of the last {metric.last}'} of each trial"
    if any(len(trial.reports) > 1 for trial in trials):
        return f"{name}: the best epoch of each trial, chosen by {name} itself, which flatters it"
    return f"{name}: as each trial reported it"


def _infinite(metric: Metric, trials: Sequence[TrialResult]) -> Iterator[str]:
    found = [trial for trial in trials if math.isinf(value(metric, trial))]
    if found:
        yield f"{shown(metric.name)} is infinite in {len(found)} trials, such as {found[0].name}: they rank last"
