"""The trainable called for one trial: seeded, in the trial's context, to the end that it comes to by itself."""

from __future__ import annotations

import inspect
from pathlib import Path

from raysweep.plan.reference import import_trainable
from raysweep.training.reporting import Companions, TrialContext, running
from raysweep.training.shelf import Shelf
from raysweep.worker.classes import train_class
from raysweep.worker.ending import Ending
from raysweep.worker.function import train_function
from raysweep.worker.messages import Link, Training
from raysweep.worker.program import train_program
from raysweep.worker.ranks import Ranks
from raysweep.worker.recording import Recording
from raysweep.worker.reporter import Reporter
from raysweep.worker.settings import settle
from raysweep.worker.summarywriter import keep_summaries


def called(reporter: Reporter, link: Link, context: TrialContext, ranks: Ranks) -> Ending | None:
    """Import the trainable and call it in a trial's context; returns the end that it came to.

    None where a report has told that.

    Raises:
        StoreError: what the trainable raised is that the run directory cannot be written.
    """
    recording = reporter.recording
    run, trial = recording.run, recording.trial
    share = run.resources.gpu / run.resources.workers
    try:
        keep_summaries(recording.folder.path)
        settle(run.seed(trial), run.threads, share)
        target = import_trainable(run.reference, is_known=True)
        settle(run.seed(trial), run.threads, share)  # whatever the import has drawn
        if not ranks.rank:
            link.tell(Training())
        ranks.watch(reporter.end)
        reporter.start_clock()
        with running(context):
            if run.reference.is_program:
                train_program(reporter)
            elif inspect.isclass(target):
                train_class(target, reporter)
            else:
                train_function(target, reporter)
    except BaseException as error:  # and SystemExit, with which a function may return
        if not isinstance(error, SystemExit) or error.code:
            if recording.is_over or link.left is not None:  # by a report, which has raised Left
                return None
            return Ending.raised(_of_user(error), recording.folder.path.parent)
    return ranks.complete(recording.reports)


def context_of(
    recording: Recording, reporter: Reporter, shelf: Shelf, companions: Companions | None = None
) -> TrialContext:
    """What the training may know of the trial, whom it reports to, and what it shares with others."""
    reports = recording.reports
    return TrialContext(
        recording.trial.id,
        recording.folder.path,
        recording.events,
        reporter,
        reports.epoch,
        reports.run_duration,
        shelf,
        companions,
    )


def _of_user(error: BaseException) -> BaseException:
    """The user's error: without what Ray Tune wraps around it, and from the first line of the user's own."""
    while type(error).__name__ in ("StartTraceback", "TuneError") and error.__cause__ is not None:
        error = error.__cause__
    ours, at = Path(__file__).parent, error.__traceback__
    while at is not None and at.tb_next is not None and Path(at.tb_frame.f_code.co_filename).parent == ours:
        at = at.tb_next
    return error.with_traceback(at)
