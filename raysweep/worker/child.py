"""What the process of a trial does: it takes one trial on, trains it, records it, and ends."""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing.util
import os
import socket
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from raysweep.errors import StoreError, TrainableError
from raysweep.plan.reference import Reference, import_trainable
from raysweep.training.shelf import Shelf
from raysweep.worker.calling import called, context_of
from raysweep.worker.messages import Begun, Link, Probe, Request, Requests, Word
from raysweep.worker.output import redirect
from raysweep.worker.ranks import hold, several
from raysweep.worker.recording import Recording
from raysweep.worker.reporter import Reporter


def main(channel: socket.socket) -> None:
    """In a forked process: run the trial that comes, as a program of its own would be run."""
    connection: Connection[Any, Any] = Connection(channel.detach())
    try:
        request: Request | Requests | Probe = connection.recv()
    except EOFError:
        return  # the worker has no trial for it after all
    atexit._clear()  # what the fork server has imported has nothing to do at a trial's end, but for these two
    for leave in (logging.shutdown, multiprocessing.util._exit_function):  # type: ignore[attr-defined]  # typeshed lacks it
        atexit.register(leave)
    first = request.members[0] if isinstance(request, Requests) else request
    os.environ.clear()
    os.environ.update(first.environment)
    os.chdir(first.directory)
    reference = first.reference if isinstance(first, Probe) else first.run.reference
    sys.argv = [_program(reference)]
    if isinstance(request, Probe):
        connection.send(_wrong(reference))
        return
    if isinstance(request, Requests):
        from raysweep.worker.table import work_together

        work_together(connection, request)
    else:
        work(connection, request)
    _leave()


def _wrong(reference: Reference) -> str | None:
    try:
        import_trainable(reference)
    except TrainableError as error:
        return str(error)
    return None


def thread(connection: Connection[Any, Any]) -> None:
    """In a thread of Ray's worker: run the trial that comes."""
    work(connection, connection.recv())
    connection.close()


def _program(reference: Reference) -> str:
    return str(reference.file or reference.module)


def _leave() -> None:
    """End the process as Python does, but for taking its modules apart, which takes longer than a short trial."""
    for other in threading.enumerate():
        if other is not threading.current_thread() and not other.daemon:
            other.join()
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()  # as multiprocessing's processes would not: a trial is a program of its own
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def work(connection: Connection[Any, Any], request: Request) -> None:
    """Take the trial on, and train it to its end; whatever happens is told to the worker."""
    link = Link(connection, request)
    try:
        recording = Recording(request.run, request.trial, request.folder)
        link.tell(Begun(recording.reports))
        try:
            if not recording.is_over:
                _train(recording, link, request.shelf)
            if recording.is_over:
                link.finished(recording.record)
        finally:
            recording.close(stopped=link.left is Word.STOPPED)
    except (StoreError, OSError) as error:
        link.failed(error)


def _train(recording: Recording, link: Link, shelf: Path) -> None:
    """Train in as many processes as the trial has, and record the end that it comes to by itself."""
    redirect(recording.folder.output_file)
    with several(recording.run.resources.workers, link.close) as ranks:
        reporter = Reporter(recording, link)
        context = context_of(recording, reporter, Shelf(shelf, hold if ranks.rank else link.hold))
        ending = called(reporter, link, context, ranks)
        if ending is not None:
            ending = ranks.ending(ending)
    if ending is not None and link.left is None:
        recording.end(ending)
