"""What two runs were made with: versions, commit, code, machine, as far as it is different."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from raysweep.errors import StoreError
from raysweep.results.trial import TrialResult
from raysweep.store.directory import RunDirectory
from raysweep.store.folder import TrialFolder

DIGITS = 12  # of a commit


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """What is different about how two runs were made, a line each."""
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield f"{name} was {before.get(name) or 'not recorded'} and is {after.get(name) or 'not recorded'}"


def made_with(directory: Path, trainable: str, trials: Iterable[TrialResult]) -> dict[str, str]:
    """What a run was made with the last time, by name; what is not on record is not there."""
    run = RunDirectory(directory)
    runs = run.earlier()["runs"]
    last: Mapping[str, Any] = runs[-1] if runs else {}
    commit = str(last.get("commit") or "")
    versions = last.get("versions")
    facts = {"python": last.get("python"), **(versions if isinstance(versions, dict) else {})}
    facts["commit"] = commit[:DIGITS] + ("+" if commit.endswith("+") else "")
    code = sorted({code for trial in trials if (code := _code(run.trial(trial.path.name)))})
    facts |= {"host": last.get("host"), "trainable": trainable, "code": ", ".join(code)}
    return {name: str(value) for name, value in facts.items() if value}


def _code(folder: TrialFolder) -> str | None:
    """The fingerprint of the code that a trial was trained with, where it is on record."""
    with contextlib.suppress(StoreError):
        record = folder.record()
        return record.code if record else None
    return None
