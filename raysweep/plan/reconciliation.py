"""The sweep file against the run directory: what is new, done, failed, interrupted or dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from raysweep.plan.trials import Trial
from raysweep.store.directory import RunDirectory
from raysweep.store.folder import TrialFolder
from raysweep.store.records import State, TrialRecord
from raysweep.sweepfile.limits import reached
from raysweep.sweepfile.parameters import flat
from raysweep.sweepfile.spec import SweepSpec


class Again(StrEnum):
    """Which finished trials a run starts again, when it is asked to."""

    FAILED = "failed"  # and those out of memory; they go on from their last checkpoint
    STOPPED = "stopped"  # by early stopping; they go on from their last checkpoint
    OTHER_CODE = "other code"  # trained by source code that has changed since; they start afresh


@dataclass(frozen=True)
class Standing:
    """A planned trial and where it stands.

    Attributes:
        trial: as planned.
        folder: its folder, which may not be there yet.
        state: NEW where it never ran.
        record: what is known of it; None where it never ran, or its folder cannot be trusted.
        problem: why its folder cannot be trusted, where it is UNREADABLE; see `TrialFolder.set_aside`.
    """

    trial: Trial
    folder: TrialFolder
    state: State
    record: TrialRecord | None
    problem: str | None = None

    def has_other_code(self, code: str | None) -> bool:
        """Whether it was trained, or begun, by source code with another fingerprint."""
        known = self.record.code if self.record and self.state is not State.NEW else None
        return known is not None and code is not None and known != code


@dataclass(frozen=True)
class Reconciliation:
    """A plan held against a run directory.

    Attributes:
        standings: one per planned trial, in the order of the plan.
        dropped: folders of trials that the sweep file no longer asks for; they are kept.
        doubled: folders that do not count, since another one is there for the same trial.
    """

    standings: tuple[Standing, ...]
    dropped: tuple[TrialFolder, ...]
    doubled: tuple[TrialFolder, ...] = ()

    def problems(self) -> list[str]:
        """What cannot be trusted in the run directory, one line each."""
        doubled = (f"{folder.path}: does not count, another folder holds the same trial" for folder in self.doubled)
        return [*(standing.problem for standing in self.standings if standing.problem), *doubled]

    def counts(self) -> Counter[State]:
        """How many trials stand where."""
        return Counter(standing.state for standing in self.standings)

    def missing(self, again: frozenset[Again] = frozenset(), code: str | None = None) -> list[Standing]:
        """The trials that a run would start.

        Args:
            again: which finished ones it starts as well.
            code: the present fingerprint of the training function's source.
        """

        def wanted(standing: Standing) -> bool:
            return (
                not standing.state.is_finished
                or (Again.FAILED in again and standing.state.is_failure)
                or (Again.STOPPED in again and standing.state is State.STOPPED)
                or (Again.OTHER_CODE in again and standing.has_other_code(code))
            )

        return [standing for standing in self.standings if wanted(standing)]


def reconcile(spec: SweepSpec, trials: Sequence[Trial], run: RunDirectory, at_work: bool = False) -> Reconciliation:
    """Hold a plan against a run directory.

    Args:
        spec: the sweep.
        trials: its plan.
        run: the run directory, which need not be there.
        at_work: whether a run is at work there now, so that a trial recorded as running does run.

    Raises:
        StoreError: the run directory cannot be read.
    """
    folders, doubled = run.sorted_folders()
    standings = tuple(_standing(spec, t, folders.pop(t.id, run.trial(t.name)), at_work) for t in trials)
    dropped = tuple(folder for folder in folders.values() if folder.holds_trial())
    return Reconciliation(standings, dropped, tuple(doubled))


def _standing(spec: SweepSpec, trial: Trial, folder: TrialFolder, at_work: bool) -> Standing:
    found = folder.found(trial.id)
    if found.problem is not None:
        return Standing(trial, folder, State.UNREADABLE, None, found.problem)
    record = found.record
    state = record.state if record else State.NEW
    if state is State.RUNNING and not at_work:
        state = State.INTERRUPTED
    if record and state is State.DONE and _asks_for_more(spec, trial, record):
        state = State.EXTENDED
    return Standing(trial, folder, state, record)


def _asks_for_more(spec: SweepSpec, trial: Trial, record: TrialRecord) -> bool:
    """Whether the sweep file now wants a done trial to be trained for longer."""
    if record.limit is not None:
        limit = spec.limits.get(record.limit.name)
        return limit is None or not reached(record.limit.value, limit)
    if spec.continued is None:
        return False
    wanted, had = (flat(config).get(spec.continued) for config in (trial.config, record.config))
    return isinstance(wanted, (int, float)) and isinstance(had, (int, float)) and wanted > had
