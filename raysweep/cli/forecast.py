"""`plan --estimate` and `run --preflight`: what is to be expected of a run, before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.cli.answer import say
from raysweep.errors import TrainableError
from raysweep.results.text import shown
from raysweep.sweepfile.spec import SweepSpec

if TYPE_CHECKING:
    from raysweep.forecast.estimate import Estimate
    from raysweep.forecast.rehearsal import Rehearsal
    from raysweep.plan.reconciliation import Reconciliation
    from raysweep.plan.trials import Trial
    from raysweep.store.directory import RunDirectory


def estimated(spec: SweepSpec, directory: Path, run: RunDirectory, plan: Reconciliation, coming: int) -> Estimate:
    """How long a run will take: of records where there are any of a trial's shape, and else of a rehearsal.

    Args:
        spec: the sweep.
        directory: the sweep file's.
        run: its run directory, which may not be there.
        plan: held against it.
        coming: how many trials a search is still to suggest.

    Raises:
        TrainableError: a trial cannot run.
    """
    from raysweep.forecast import here
    from raysweep.forecast.estimate import Basis, estimate
    from raysweep.forecast.pace import paces
    from raysweep.forecast.rehearsal import representatives
    from raysweep.results.reading import read

    trained = read(run) if run.exists() else None
    done = trained.trials if trained is not None else ()
    known, missing = paces(done), plan.missing()
    slots, before = here.slots(spec), here.before(trained)
    if new := representatives([standing.trial for standing in missing], known):
        rehearsal = rehearsed(spec, directory, plan, new)
        known = {**rehearsal.paces, **known}
        slots, before = min(rehearsal.slots, spec.max_concurrent or rehearsal.slots), rehearsal.before
    return estimate(spec, missing, Basis(known, done, slots, before), coming)


def preflight(spec: SweepSpec, directory: Path, plan: Reconciliation) -> None:
    """See that one trial of each shape runs.

    Raises:
        TrainableError: one of them cannot.
    """
    from raysweep.forecast.rehearsal import representatives

    if new := representatives([standing.trial for standing in plan.missing()]):
        rehearsed(spec, directory, plan, new)


def rehearsed(spec: SweepSpec, directory: Path, plan: Reconciliation, new: Sequence[Trial]) -> Rehearsal:
    """Rehearse some trials, and as many more as run at once: they share the machine.

    Raises:
        TrainableError: one of them cannot run.
    """
    from raysweep.forecast import here
    from raysweep.forecast.rehearsal import rehearse

    trials = [standing.trial for standing in plan.missing()]
    chosen = {trial.id for trial in new}
    more = [trial for trial in trials if trial.id not in chosen][: max(0, here.slots(spec) - len(new))]
    say(f"rehearsing {len(new) + len(more)} of {len(trials)} trials, one of each shape, for some seconds each")
    rehearsal = rehearse(spec, directory, [*new, *more])
    if rehearsal.failed:
        reasons = "\n".join(f"  {shown(trial.name)}: {shown(str(trial.error))}" for trial in rehearsal.failed)
        raise TrainableError(
            f"{len(rehearsal.failed)} of the rehearsed trials cannot run, so nothing is started:\n{reasons}"
        )
    return rehearsal
