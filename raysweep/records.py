"""What is known of a trial: its state, its record, and one Report per epoch; all JSON, never pickles."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

FORMAT = 1  # of all records in a run directory; a reader refuses a newer one

_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def whole(text: str) -> str:
    """A text that every file can hold: half a character (a lone surrogate) is written as its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class State(StrEnum):
    """Where a trial stands."""

    NEW = "new"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    EXTENDED = "extended"  # done, but the sweep file now asks for more epochs or has another limit
    DONE = "done"
    STOPPED = "stopped"  # by early stopping
    FAILED = "failed"
    OUT_OF_MEMORY = "out of memory"

    @property
    def is_finished(self) -> bool:
        """Whether `run` leaves such a trial alone."""
        return self in (State.DONE, State.STOPPED) or self.is_failure

    @property
    def is_failure(self) -> bool:
        """Whether such a trial ended with an error."""
        return self in (State.FAILED, State.OUT_OF_MEMORY)


@dataclass(frozen=True)
class TrialError:
    """What a trial failed with.

    Attributes:
        type: the exception's class.
        message: its text, or what raysweep found wrong.
    """

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    @classmethod
    def of(cls, error: BaseException) -> TrialError:
        """The record of an exception, which may be one that fails to tell its text."""
        try:
            message = whole(str(error))
        except Exception:
            message = "its text cannot be shown: its __str__ failed"
        return cls(type(error).__name__, message)

    @property
    def state(self) -> State:
        """What a trial with this error is: out of memory, or failed."""
        memory = self.type in ("MemoryError", "OutOfMemoryError") or any(
            text in self.message
            for text in ("CUDA out of memory", "can't allocate memory")  # both torch's
        )
        return State.OUT_OF_MEMORY if memory else State.FAILED


@dataclass(frozen=True)
class Reached:
    """The limit of `stop` that ended a trial, and the value that reached it."""

    name: str
    value: float


@dataclass(frozen=True)
class TrialRecord:
    """trial.json: which trial a folder holds, and where it stands.

    Attributes:
        id, name, trainable, config: as planned.
        state: RUNNING from its start until it ends.
        error: why it failed.
        limit: which limit of `stop` ended it.
        code: the fingerprint of the training function's source, of the first attempt.
        attempts: how often it was started.
        started, ended: seconds since 1970, of the last attempt.
        host, pid: where the last attempt ran.
    """

    id: str
    name: str
    trainable: str
    config: Mapping[str, Any]
    state: State
    error: TrialError | None = None
    limit: Reached | None = None
    code: str | None = None
    attempts: int = 1
    started: float | None = None
    ended: float | None = None
    host: str | None = None
    pid: int | None = None

    def to_json(self) -> str:
        """The record as JSON text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> TrialRecord:
        """The record that a text holds.

        Raises:
            ValueError: it is no such record, or one of a newer version.
        """
        raw = json.loads(text)
        if not isinstance(raw, dict) or not isinstance(version := raw.pop("format", None), int):
            raise ValueError("is no record of a trial")
        if version > FORMAT:
            raise ValueError(f"was written by a newer raysweep (format {version}; this one knows {FORMAT})")
        try:
            error, limit = raw.pop("error", None), raw.pop("limit", None)
            return cls(
                **raw | {"state": State(raw["state"])},
                error=TrialError(**error) if error else None,
                limit=Reached(**limit) if limit else None,
            )
        except (KeyError, TypeError) as problem:
            raise ValueError(f"is no record of a trial: {problem}") from None


@dataclass(frozen=True)
class Report:
    """One line of result.json: what a trial reported after an epoch.

    Attributes:
        epoch: from 1.
        time: seconds since 1970.
        epoch_duration, run_duration: seconds; the latter over all attempts that count.
        metrics: numbers and text, as reported.
        checkpoint: the folder of the checkpoint that came with it.
    """

    epoch: int
    time: float
    epoch_duration: float
    run_duration: float
    metrics: Mapping[str, float | str] = field(default_factory=dict)
    checkpoint: str | None = None

    def to_json(self) -> str:
        """The report as one line of JSON; NaN and the infinities as text, since JSON has none."""
        metrics = {name: _written(value) for name, value in self.metrics.items()}
        line = {
            "epoch": self.epoch,
            "time": self.time,
            "epoch_duration": self.epoch_duration,
            "run_duration": self.run_duration,
            "metrics": metrics,
            "checkpoint": self.checkpoint,
        }
        return json.dumps(line, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Report:
        """The report that a line holds.

        Raises:
            ValueError: it is none.
        """
        try:
            raw = json.loads(line)
            raw["metrics"] = {name: _SPECIAL.get(value, value) for name, value in raw["metrics"].items()}
            for name, kind in (("epoch", int), ("epoch_duration", (int, float)), ("run_duration", (int, float))):
                if not isinstance(raw[name], kind):
                    raise TypeError(f"{name} is {raw[name]!r}")
            return cls(**raw)
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError(f"is no report: {problem}") from None


def _written(value: float | str) -> float | str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value
