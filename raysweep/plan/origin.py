"""Whose run directory it is: a sweep of the same name that trains with another file is another experiment."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysweep.errors import SpecError, TrainableError
from raysweep.plan.reference import Reference, is_installed, locate

SHIPPED = "_ray_pkg_"  # begins the name of Ray's copy of a directory; each version of the code has one of its own


def source_of(reference: Reference) -> Path | None:
    """The file that a sweep trains with; None where it has none, or an installed one.

    Raises:
        TrainableError: there is no such trainable.
    """
    source = locate(reference)
    if source is None or _is_ours(reference) or is_installed(source):
        return None
    return source.resolve()


def _is_ours(reference: Reference) -> bool:
    """Whether it is one of raysweep's own, which is the same in every environment and checkout of raysweep."""
    return reference.file is None and reference.module.partition(".")[0] == "raysweep"


def check_origin(name: str, run: Path, before: Mapping[str, Any], reference: Reference) -> None:
    """See that what was run in a directory is the same experiment as what is to be run.

    It is where the trainable's file is the same one. It is, too, where the earlier file is no longer there: the sweep
    file was moved, with its folder. And where the sweep file is in its old place and names another trainable: then it
    was edited, and its trials have other ids.

    Args:
        name: the sweep's.
        run: the run directory.
        before: its sweep.json; see `RunDirectory.earlier`.
        reference: the trainable.

    Raises:
        SpecError: it is another one.
        TrainableError: there is no such trainable.
    """
    ours, theirs = source_of(reference), _earlier(before, reference.directory)
    if ours is None or theirs is None or ours == theirs or _is_edited(before, reference):
        return
    raise SpecError(
        f"{name}: {run} has the results of another experiment of this name, which trains with {theirs}; this one "
        f'trains with {ours}. Give this one a "name" of its own, or another place with --runs DIR'
    )


def _last(before: Mapping[str, Any]) -> Reference | None:
    """The trainable of the last run, relative to where its sweep file was."""
    entry: Mapping[str, Any] = before["runs"][-1] if before["runs"] else {}
    directory, trainable = entry.get("directory"), before["spec"].get("trainable")
    if not isinstance(directory, str) or not isinstance(trainable, str):
        return None
    return Reference(trainable, Path(directory))


def _is_edited(before: Mapping[str, Any], reference: Reference) -> bool:
    last = _last(before)
    return last is not None and last.directory == reference.directory.resolve() and last.text != reference.text


def _earlier(before: Mapping[str, Any], here: Path) -> Path | None:
    """The file that the last run trained with, which version 0.1.0 did not record; None where there is none now."""
    last = _last(before)
    if last is None or _is_ours(last):
        return None
    source = before["runs"][-1].get("source")
    with contextlib.suppress(TrainableError, OSError):  # it is gone, or what is recorded names no file
        if "source" not in before["runs"][-1]:
            source = source_of(last)
        file = _translated(Path(source), here.resolve()) if isinstance(source, (str, Path)) else None
        return file if file is not None and file.is_file() else None
    return None


def _translated(file: Path, here: Path) -> Path | None:
    """A file in Ray's copy of a directory, as it is in the copy that we are in; None where we are in none."""
    theirs, ours = _shipped(file), _shipped(here)
    if theirs is None:
        return file if ours is None else None
    return ours / file.relative_to(theirs) if ours is not None else None


def _shipped(path: Path) -> Path | None:
    """The directory of Ray's that a path lies in."""
    return next((parent for parent in (path, *path.parents) if parent.name.startswith(SHIPPED)), None)
