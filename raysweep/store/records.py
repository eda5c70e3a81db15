"""What is known of a trial: its state, its record, and one Report per epoch; all JSON, never pickles.

Records are checked as they are read, by pydantic, which reads JSON faster than the standard library does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

FORMAT = 1  # of all records in a run directory; a reader refuses a newer one

_CHECKED = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]  # what tables can hold
_Count = Annotated[int, Field(ge=1, lt=2**63)]
_Seconds = Annotated[float, Field(ge=0)]
_Checkpoint = Annotated[str, Field(pattern=r"^checkpoint_[\w.+=-]+$")]  # a folder's name, and never a path
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_QUOTED = re.compile(r"'+(NaN|-?Infinity)")  # the text of that name; see Report.to_json


def _read(value: Any) -> Any:
    """A number that was written as text, since JSON has none, and whatever else there is."""
    if isinstance(value, str):
        return value[1:] if _QUOTED.fullmatch(value) else _SPECIAL.get(value, value)
    return value


_Number = Annotated[float, Field(allow_inf_nan=True), BeforeValidator(_read)]


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
    UNREADABLE = "unreadable"  # its record or its reports are damaged; a run sets them aside and begins anew
    FAILED = "failed"
    OUT_OF_MEMORY = "out of memory"

    @property
    def is_recorded(self) -> bool:
        """Whether a record can say so; else it is what a record means for a sweep file."""
        return self not in (State.EXTENDED, State.UNREADABLE)

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

    __pydantic_config__ = _CHECKED

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

    __pydantic_config__ = _CHECKED

    name: str
    value: _Int64 | _Number


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
        seal: of result.json when the trial ended, by which it is known again; None where nobody told.
    """

    __pydantic_config__ = _CHECKED

    id: str
    name: str
    trainable: str
    config: Mapping[str, Any]
    state: State
    error: TrialError | None = None
    limit: Reached | None = None
    code: str | None = None
    attempts: _Count = 1
    started: float | None = None
    ended: float | None = None
    host: str | None = None
    pid: _Count | None = None
    seal: str | None = None

    def to_json(self) -> str:
        """The record as JSON text."""
        content = {"format": FORMAT, **asdict(self)}
        if self.limit is not None:
            content["limit"]["value"] = _written(self.limit.value)
        return json.dumps(content, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> TrialRecord:
        """The record that a text holds.

        Raises:
            ValueError: it is no such record, or one of a newer version; it says which field is wrong.
        """
        try:
            return _stripped(_records().validate_json(text))
        except ValidationError:
            content = _loaded(text, "is no record of a trial")
        if isinstance(content, dict) and isinstance(version := content.get("format"), int) and version > FORMAT:
            raise ValueError(f"was written by a newer raysweep (format {version}; this one knows {FORMAT})")
        try:
            return _stripped(_records().validate_json(json.dumps(content)))
        except ValidationError as error:
            raise ValueError(f"is no record of a trial: {_told(error)}") from None


def _recorded(state: State) -> State:
    if not state.is_recorded:
        raise ValueError(f"{state.value!r} is no state that a record has")
    return state


@dataclass(frozen=True, kw_only=True)
class _Written(TrialRecord):
    """The record as it is written."""

    state: Annotated[State, AfterValidator(_recorded)]
    format: Annotated[int, Field(ge=1, le=FORMAT)]


def _stripped(written: _Written) -> TrialRecord:
    values = dict(vars(written))
    del values["format"]
    return TrialRecord(**values)


@dataclass(frozen=True)
class Report:
    """One line of result.json: what a trial reported after an epoch.

    Attributes:
        epoch: from 1.
        time: seconds since 1970.
        epoch_duration, run_duration: seconds; the latter over all attempts that count.
        metrics: numbers and text, as reported.
        checkpoint: the folder of the checkpoint that came with it.
        counted: whether a Recorder counted the epoch and measured the times; without one, how many reports an epoch
            has is the training function's business.
    """

    __pydantic_config__ = _CHECKED

    epoch: _Count
    time: float
    epoch_duration: _Seconds
    run_duration: _Seconds
    metrics: Mapping[str, _Int64 | float | str] = field(default_factory=dict)
    checkpoint: _Checkpoint | None = None
    counted: bool = False

    def to_json(self) -> str:
        """The report as one line of JSON.

        NaN and the infinities are written as text, since JSON has none: "NaN". So that a metric which is that very text
        stays one, it is written with a quote before it, "'NaN"; and one that has quotes there with one more.
        """
        metrics = {name: _written(value) for name, value in self.metrics.items()}
        line: dict[str, Any] = {
            "epoch": self.epoch,
            "time": self.time,
            "epoch_duration": self.epoch_duration,
            "run_duration": self.run_duration,
            "metrics": metrics,
            "checkpoint": self.checkpoint,
        }
        return json.dumps(line | ({"counted": True} if self.counted else {}), allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> Report:
        """The report that a line holds.

        Raises:
            ValueError: it is none; it says which field is wrong.
        """
        try:
            report = _report().validate_json(line)
        except ValidationError:
            content = _loaded(line, "is no report")
            try:
                report = _report().validate_json(json.dumps(content))
            except ValidationError as error:
                raise ValueError(f"is no report: {_told(error)}") from None
        return _with_numbers(report)

    @classmethod
    def all_of(cls, lines: bytes) -> list[Report]:
        """The reports that lines hold, which are read at once: a history can have many.

        Raises:
            ValueError: one of them holds none.
        """
        try:
            reports = _reports().validate_json(b"[" + lines.strip().replace(b"\n", b",") + b"]")
        except ValidationError as error:
            raise ValueError(_told(error)) from None
        has_words = b'NaN"' in lines or b'Infinity"' in lines
        return [_with_numbers(report) for report in reports] if has_words else reports


# built when they are first needed: planning a new sweep needs none
@cache
def _records() -> TypeAdapter[_Written]:
    return TypeAdapter(_Written)


@cache
def _report() -> TypeAdapter[Report]:
    return TypeAdapter(Report)


@cache
def _reports() -> TypeAdapter[list[Report]]:
    return TypeAdapter(list[Report])


def _with_numbers(report: Report) -> Report:
    """A report whose NaN and infinities, which JSON has only as text, are numbers again."""
    return replace(report, metrics={name: _read(value) for name, value in report.metrics.items()})


def _loaded(text: str | bytes, problem: str) -> Any:
    """What a JSON text says, all of it such that other files can hold it.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return _whole(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{problem}: {error or 'it is nested too deeply'}") from None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {whole(key): _whole(member) for key, member in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _told(error: ValidationError) -> str:
    """The first thing that is wrong, with the field that it is in."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in first["loc"][:2])  # and not which kind of value it was tried as
    return f"{where}: {first['msg']}" if where else first["msg"]


def _written(value: float | str) -> float | str:
    if isinstance(value, str):
        return f"'{value}" if value in _SPECIAL or _QUOTED.fullmatch(value) else value
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value
