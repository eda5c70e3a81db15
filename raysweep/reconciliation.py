"""The sweep file against the run directory: what is new, done, failed, interrupted or dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from raysweep.records import State, TrialRecord
from raysweep.store import RunDirectory, TrialFolder
from raysweep.trials import Trial


@dataclass(frozen=True)
class Standing:
    """A planned trial and where it stands.

    Attributes:
        trial: as planned.
        folder: its folder, which may not be there yet.
        state: NEW where it never ran.
        record: what is known of it; None where it never ran.
    """

    trial: Trial
    folder: TrialFolder
    state: State
    record: TrialRecord | None


@dataclass(frozen=True)
class Reconciliation:
    """A plan held against a run directory.

    Attributes:
        standings: one per planned trial, in the order of the plan.
        dropped: folders of trials that the sweep file no longer asks for; they are kept.
    """

    standings: tuple[Standing, ...]
    dropped: tuple[TrialFolder, ...]

    def counts(self) -> Counter[State]:
        """How many trials stand where."""
        return Counter(standing.state for standing in self.standings)

    def missing(self, retry_failed: bool = False) -> list[Standing]:
        """The trials that a run would start."""
        return [s for s in self.standings if not s.state.is_finished or (retry_failed and s.state is State.FAILED)]


def reconcile(trials: Sequence[Trial], run: RunDirectory, at_work: bool = False) -> Reconciliation:
    """Hold a plan against a run directory.

    Args:
        trials: the plan.
        run: the run directory, which need not be there.
        at_work: whether a run is at work there now, so that a trial recorded as running does run.

    Raises:
        StoreError: a trial's record is damaged or newer than this raysweep.
    """
    folders = run.folders()
    standings = tuple(_standing(t, folders.pop(t.id, run.trial(t.name)), at_work) for t in trials)
    dropped = tuple(folder for folder in folders.values() if folder.holds_trial())
    return Reconciliation(standings, dropped)


def _standing(trial: Trial, folder: TrialFolder, at_work: bool) -> Standing:
    record = folder.record()
    state = record.state if record else State.NEW
    if state is State.RUNNING and not at_work:
        state = State.INTERRUPTED
    return Standing(trial, folder, state, record)
