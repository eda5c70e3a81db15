"""What a run changes of the process that it is in, for as long as it lasts: environment, handlers, loggers, imports."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

# Which environment variables Ray sets by itself, in whichever process it is used: its own, and the debugger's.
RAYS = ("RAY_", "TUNE_", "PYTHONBREAKPOINT")


@contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Have these environment variables, None for not having one, for the length of the block; also put Ray's back."""
    before = dict(os.environ)
    for name, value in changes.items():
        _set(name, value)
    try:
        yield
    finally:
        for name in {*before, *os.environ}:
            if name in changes or name.startswith(RAYS):
                _set(name, before.get(name))


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    elif os.environ.get(name) != value:
        os.environ[name] = value


@contextmanager
def handlers() -> Iterator[None]:
    """Put back the signal handlers that are replaced in the block.

    Ray takes SIGTERM over when it starts, and answers it by printing a stack; Tune takes SIGUSR1.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers, and Ray does not try to elsewhere
        return
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:  # None: not set by Python
                signal.signal(number, handler)


@contextmanager
def quiet(names: Sequence[str]) -> Iterator[None]:
    """Silence loggers for the length of the block; the first is one that Ray gives other levels and handlers, too."""
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level, found, propagate in before:
            logger.setLevel(level)
            logger.handlers[:] = found
            logger.propagate = propagate


@contextmanager
def imports() -> Iterator[None]:
    """Put back where modules are looked for, and those that another took the place of: a user's file has any name."""
    path, modules = list(sys.path), dict(sys.modules)
    try:
        yield
    finally:
        sys.path[:] = path
        sys.modules.update(modules)


@contextmanager
def all_kept(changes: Mapping[str, str | None], loggers: Sequence[str]) -> Iterator[None]:
    """All of these for the length of a block."""
    with environment(changes), handlers(), quiet(loggers):
        yield
