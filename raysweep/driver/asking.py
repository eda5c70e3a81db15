"""A search at work: Ray Tune is given what is missing, and then what is suggested, each on record before it starts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import MutableMapping, Sequence
from importlib import metadata
from statistics import fmean
from typing import Any

from ray.tune.search import Searcher

from raysweep.driver.progress import Progress
from raysweep.errors import RaysweepError, StoreError
from raysweep.plan.identity import trial_id
from raysweep.plan.reconciliation import Standing, reconcile
from raysweep.plan.suggested import configurations_of, parameters_of, to_come
from raysweep.plan.trials import Trial, is_excluded, plan
from raysweep.results.judging import judged
from raysweep.results.reading import result_of
from raysweep.results.trial import TrialResult
from raysweep.search.study import ATTEMPTS, Outcome, Tried, ask
from raysweep.store.directory import RunDirectory
from raysweep.store.fault import reason
from raysweep.store.records import State
from raysweep.store.suggestions import Suggestion, record, recorded
from raysweep.sweepfile.members import Metric
from raysweep.sweepfile.spec import SweepSpec

PACKAGES = ("optuna", "raysweep")  # that a suggestion depends on


class Asking(Searcher):  # type: ignore[misc]  # Ray ships no types
    """Tune's side of a search; it holds no state that is not on record.

    Args:
        spec, store: the sweep, and its run directory.
        trials: those that are missing, by id; what is suggested is added.
        at_most: so many are suggested before the first has ended.
        progress: is told of them.
    """

    def __init__(
        self,
        spec: SweepSpec,
        store: RunDirectory,
        trials: MutableMapping[str, Standing],
        at_most: int,
        progress: Progress,
    ) -> None:
        super().__init__()
        self._spec, self._store, self._trials = spec, store, trials
        self._at_most, self._progress = at_most, progress
        self._suggestions = list(recorded(store))
        self._waiting = deque(trials)
        self._live: set[str] = set()
        self._ended: dict[int, Tried] = {}  # by ordinal: what will not change any more

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles its searcher to restore it later, which is never done here."""
        return Searcher, ()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: all is on record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to do."""

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Tune tells what it would search for; that is known."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """What Tune is to start next: a trial; nothing for now; or nothing any more."""
        if self._progress.halted or self._progress.fault:
            return Searcher.FINISHED
        if len(self._live) >= self._at_most:
            return None
        try:
            while not self._waiting:
                if not self._ask():
                    return Searcher.FINISHED
        except (StoreError, OSError) as error:
            self._progress.failing(reason(error, self._store.path))
            return Searcher.FINISHED
        except RaysweepError as error:
            self._progress.failing(str(error))
            return Searcher.FINISHED
        standing = self._trials[self._waiting.popleft()]
        self._live.add(trial_id)
        return {"trial": standing.trial.id, "standing": standing}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """A trial has ended; how, is on record."""
        self._live.discard(trial_id)

    def _ask(self) -> bool:
        """Have something suggested, and put it on record; whether there was anything to suggest."""
        if not to_come(self._spec, self._suggestions):
            return False
        tried = self._tried()
        for attempt in range(ATTEMPTS):
            found = parameters_of(self._spec, ask(self._spec, tried, attempt))
            running = [one for one, known in enumerate(tried) if known.outcome is Outcome.RUNNING]
            versions = {name: metadata.version(name) for name in PACKAGES}
            suggestion = Suggestion(len(tried), found, running, attempt, versions)
            if self._is_new(suggestion):
                self._take(suggestion)
                return True
        self._progress.noticed("the search finds nothing that has not been tried")
        return False

    def _is_new(self, suggestion: Suggestion) -> bool:
        known = {self._id(config) for one in self._suggestions for config in configurations_of(self._spec, one)}
        configs = list(configurations_of(self._spec, suggestion))
        return not any(self._id(config) in known or is_excluded(self._spec, config) for config in configs)

    def _id(self, config: Any) -> str:
        return trial_id(self._spec, config)

    def _take(self, suggestion: Suggestion) -> None:
        record(self._store, [*self._suggestions, suggestion])
        self._suggestions.append(suggestion)
        ids = {self._id(config) for config in configurations_of(self._spec, suggestion)}
        trials = [trial for trial in plan(self._spec, None, self._suggestions) if trial.id in ids]
        for standing in reconcile(self._spec, trials, self._store, at_work=True).missing():
            self._progress.suggested(standing.trial)
            self._trials[standing.trial.id] = standing
            self._waiting.append(standing.trial.id)

    def _tried(self) -> list[Tried]:
        """How far all suggestions are."""
        trials = {trial.id: trial for trial in plan(self._spec, None, self._suggestions)}
        for one in self._suggestions:
            if one.ordinal not in self._ended:
                ids = [self._id(config) for config in configurations_of(self._spec, one)]
                tried = self._of(one, [trials[id] for id in ids if id in trials])
                if tried.outcome is not Outcome.RUNNING:
                    self._ended[one.ordinal] = tried
        unknown = {one.ordinal: Tried(one.parameters, Outcome.RUNNING) for one in self._suggestions}
        return [self._ended.get(ordinal, running) for ordinal, running in unknown.items()]

    def _of(self, suggestion: Suggestion, trials: Sequence[Trial]) -> Tried:
        standings = reconcile(self._spec, trials, self._store, at_work=True).standings
        return tried(self._spec.metric, suggestion, [result_of(standing, self._spec) for standing in standings])


def tried(metric: Metric, suggestion: Suggestion, results: Sequence[TrialResult]) -> Tried:
    """What the trials of a suggestion, one for each seed, have come to; with one that failed it has."""
    if not results or not all(one.state.is_finished for one in results):
        return Tried(suggestion.parameters, Outcome.RUNNING)
    reports = [judged(metric, one) for one in results if not one.state.is_failure]
    values = [float(report.metrics[metric.name]) for report in reports if report is not None]
    if len(values) < len(results) or not all(map(math.isfinite, values)):
        return Tried(suggestion.parameters, Outcome.FAILED)
    stopped = any(one.state is State.STOPPED for one in results)
    epoch = max(report.epoch for report in reports if report is not None)
    return Tried(suggestion.parameters, Outcome.STOPPED if stopped else Outcome.COMPLETE, fmean(values), epoch)
