"""The sweep file -> SweepSpec; all validation that needs neither Ray nor torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from raysweep.errors import SpecError
from raysweep.sweepfile.foreign import ANCHORS
from raysweep.sweepfile.problems import problems
from raysweep.sweepfile.sweep import Sweep
from raysweep.sweepfile.wording import Problem, in_words

# Stands for a key that is missing or wrong, so that the others can be checked as well.
_SOUND = {"name": "sweep", "trainable": "train.py:train", "metric": {"name": "loss"}}


class SweepSpec(Sweep):
    """A sweep file, checked."""


def check(raw: Mapping[str, Any], source: str, *, recorded: bool = False) -> SweepSpec:
    """A sweep given as a dict, checked.

    Args:
        raw: its content.
        source: where it comes from, for messages.
        recorded: whether it is that of a run directory, and no file that a person has written.

    Raises:
        SpecError: it is wrong; each line names `source` and the key, all that are wrong at once.
    """
    content = {key: value for key, value in raw.items() if not (isinstance(key, str) and key.startswith(ANCHORS))}
    try:
        spec, wrong = _validated(content)
        told = [*wrong, *(problems(spec, recorded) if spec else ())]
    except RecursionError:
        spec, told = None, [("parameters", "are nested too deeply")]
    if told or spec is None:
        raise SpecError("\n".join(f"{source}: {key}: {message}" for key, message in told))
    return spec


def _validated(content: Mapping[str, Any]) -> tuple[SweepSpec | None, list[Problem]]:
    """The sweep, and what is wrong with single keys: with those of `_SOUND` in their place, where that helps."""
    try:
        return SweepSpec.model_validate(dict(content)), []
    except ValidationError as error:
        errors = error.errors()
    told = [in_words(dict(one)) for one in errors]
    wrong = {step for one in errors for step in one["loc"][:1]}  # a key that is no text has none
    sound = {key: value for key, value in content.items() if key not in wrong}
    try:
        spec = SweepSpec.model_validate({**sound, **{key: _SOUND[key] for key in _SOUND if key in wrong}})
    except ValidationError:  # there are no parameters
        spec = None
    return spec, list(dict(reversed(told)).items())[::-1]  # one for each key: the first branch of a union
