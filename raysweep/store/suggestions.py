"""suggestions.jsonl: what a search has suggested, one line each, on record before the trials of it start."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raysweep.errors import StoreError
from raysweep.store import files
from raysweep.store.directory import RunDirectory

SUGGESTIONS = "suggestions.jsonl"
CURE = "restore it, or move it away: then the search begins anew"


@dataclass(frozen=True)
class Suggestion:
    """One configuration that a search has suggested; its trials are it with each seed.

    Attributes:
        ordinal: its place, from 0; what was told of the ones before it is what they had reached by then.
        parameters: what was searched for, by dotted name.
        running: the ordinals of earlier ones that had not ended by then.
        attempt: how often the search was asked; more than once where it suggested what had been tried.
        versions: of the packages that it depends on.
    """

    ordinal: int
    parameters: Mapping[str, Any]
    running: Sequence[int] = ()
    attempt: int = 0
    versions: Mapping[str, str] | None = None


def recorded(run: RunDirectory) -> tuple[Suggestion, ...]:
    """The suggestions in a run directory, in order; none where no search was run there.

    Raises:
        StoreError: they are damaged.
    """
    path = run.path / SUGGESTIONS
    try:
        lines = files.read(path).decode("utf-8").splitlines()
        found = tuple(_suggestion(json.loads(line)) for line in lines)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"{path}: is damaged: {error}; {CURE}") from None
    if any(one.ordinal != ordinal for ordinal, one in enumerate(found)):
        raise StoreError(f"{path}: is damaged: a line is missing; {CURE}")
    return found


def record(run: RunDirectory, suggestions: Sequence[Suggestion]) -> None:
    """Write all suggestions of a run directory: the earlier ones, and the one that is new.

    Raises:
        OSError: they cannot be written.
    """
    text = "".join(f"{json.dumps(asdict(one))}\n" for one in suggestions)
    files.write_text(run.path / SUGGESTIONS, text, run.fence)


def _suggestion(raw: Any) -> Suggestion:
    given = (raw.get("ordinal"), raw.get("parameters")) if isinstance(raw, dict) else (None, None)
    if not isinstance(given[0], int) or not isinstance(given[1], dict):
        raise ValueError("a line is no suggestion")
    return Suggestion(**raw)
