"""Training functions that do what nobody should, for test_bad_input: `do` in a configuration names what."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray import tune

import raysweep


class SilentError(Exception):
    """Says nothing."""


class StubbornError(Exception):
    """Cannot be pickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")
        self.lock = sys.stderr

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("no pickles here")


class RudeError(Exception):
    """Cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def _raise(error: BaseException) -> None:
    raise error


def _forever(depth: int = 0) -> int:
    return 1 + _forever(depth + 1)


def _different_keys() -> None:
    for epoch in range(1, 4):
        raysweep.report({"loss": 1 / epoch, f"only_{epoch}": epoch})


def _prints() -> None:
    for _ in range(2000):
        print("é" * 100)
    sys.stderr.write("\0\x1b[31m")
    raysweep.report({"loss": 0.5})


def _yields() -> Iterator[dict[str, float]]:
    yield {"loss": 0.5}
    yield {"loss": 0.25}


def _closes_its_output() -> None:
    raysweep.report({"loss": 0.5})
    sys.stdout.close()
    print("still here")


def _reports_then_raises() -> None:
    raysweep.report({"loss": 0.5})
    raise ValueError("too late")


def _reports_then_exits() -> None:
    raysweep.report({"loss": 0.5})
    sys.exit(0)


def _saves(odd: Callable[[Path], object]) -> None:
    """Save a checkpoint in which something is odd."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "weights").touch()
        odd(Path(folder, "odd"))
        raysweep.report({"loss": 0.5}, checkpoint=folder)


def _opens_too_many() -> None:
    handle = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (handle + 1, handle + 1))
    for _ in range(3):
        with contextlib.suppress(OSError):
            raysweep.report({"loss": 0.5})


ACTIONS: dict[str, Callable[[], object]] = {
    "raise": lambda: _raise(ValueError("no luck")),
    "raise_late": _reports_then_raises,
    "raise_silently": lambda: _raise(SilentError()),
    "raise_unpicklable": lambda: _raise(StubbornError("this", "that")),
    "raise_unprintable": lambda: _raise(RudeError()),
    "raise_non_ascii": lambda: _raise(ValueError("zu groß: 日本\ud800")),
    "raise_many_lines": lambda: _raise(ValueError("first\nsecond")),
    "raise_group": lambda: _raise(ExceptionGroup("several", [ValueError("a"), TypeError("b")])),
    "exit": lambda: sys.exit(3),
    "exit_well": sys.exit,
    "exit_after_a_report": _reports_then_exits,
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "stop_iteration": lambda: _raise(StopIteration()),
    "recurse": _forever,
    "report_nothing": lambda: None,
    "report_empty": lambda: raysweep.report({}),
    "report_text": lambda: raysweep.report({"loss": "small"}),
    "report_text_beside": lambda: raysweep.report({"loss": 0.5, "note": "small"}),
    "report_tensor": lambda: raysweep.report({"loss": torch.zeros(2, 3)}),
    "report_array": lambda: raysweep.report({"loss": np.zeros(4)}),
    "report_scalar_tensor": lambda: raysweep.report({"loss": torch.tensor(0.5, requires_grad=True)}),
    "report_numpy": lambda: raysweep.report({"loss": np.float32(0.5), "count": np.int64(3), "ok": np.bool_(True)}),
    "report_none": lambda: raysweep.report({"loss": None}),
    "report_list": lambda: raysweep.report({"loss": [0.5]}),
    "report_complex": lambda: raysweep.report({"loss": 1j}),
    "report_number": lambda: raysweep.report(0.5),  # type: ignore[arg-type]  # that is the point
    "report_numbered": lambda: raysweep.report({1: 0.5}),  # type: ignore[dict-item]  # that is the point
    "report_other": lambda: raysweep.report({"accuracy": 0.5}),
    "report_nan": lambda: raysweep.report({"loss": float("nan")}),
    "report_infinity": lambda: raysweep.report({"loss": float("inf")}),
    "report_huge": lambda: raysweep.report({"loss": 0.5, "steps": 10**400}),
    "report_different_keys": _different_keys,
    "report_own_columns": lambda: raysweep.report({"loss": 0.5, "trial": 1, "state": "x", "epoch": 9, "path": "/"}),
    "report_missing_checkpoint": lambda: raysweep.report({"loss": 0.5}, checkpoint="no/such/folder"),
    "report_file": lambda: raysweep.report({"loss": 0.5}, checkpoint=__file__),
    "report_dangling_checkpoint": lambda: _saves(lambda path: path.symlink_to("nowhere")),
    "report_pipe_checkpoint": lambda: _saves(os.mkfifo),
    "full_elsewhere": lambda: _raise(OSError(errno.ENOSPC, "No space left on device", "/elsewhere/data")),
    "open_too_many": _opens_too_many,
    "tune_missing_checkpoint": lambda: tune.report({"loss": 0.5}, checkpoint=tune.Checkpoint("/no/such/folder")),
    "tune_text": lambda: tune.report({"loss": "small"}),
    "tune_list": lambda: tune.report({"loss": [1]}),
    "return_dict": lambda: {"loss": 0.5},
    "return_number": lambda: 0.5,
    "return_text": lambda: "0.5",
    "return_tensor_dict": lambda: {"loss": torch.zeros(2)},
    "yield": _yields,
    "print": _prints,
    "close_output": _closes_its_output,
}


def act(config: dict[str, Any]) -> object:
    """Do what the configuration says."""
    return ACTIONS[config["do"]]()


def two(config: dict[str, Any], more: int) -> None:
    """Takes too much."""


def none() -> None:
    """Takes nothing."""


async def later(config: dict[str, Any]) -> None:
    """Has to be awaited."""
    await asyncio.sleep(0)


async def stream(config: dict[str, Any]) -> AsyncIterator[int]:
    """Has to be awaited again and again."""
    yield 1


number = 5


class Plain:
    """A class that Ray Tune cannot run."""
