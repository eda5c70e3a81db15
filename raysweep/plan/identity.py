"""What makes a trial the one that it is: its configuration as a text, and the id that is the text's hash.

A trial's id is the first 10 hex digits of the SHA-256 of its trainable's name and its resolved configuration, in a
canonical form: keys sorted, members of a group in place, numbers by their value (1 and 1.0 are the same; -0.0 is 0;
true is not 1), text as it is. It depends on neither the order of the file, nor on how a value is written, nor on other
trials. Of a program its `command` counts, where there is one. Left out are what is `untracked`, the constant that
`continues` names, and parameters that have the value in `defaults`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from raysweep.sweepfile.parameters import Path, flat
from raysweep.sweepfile.spec import SweepSpec

ID_DIGITS = 10  # 40 bits: of 10,000 trials two collide once in 20,000 sweeps, and then plan() says so


def trial_id(spec: SweepSpec, config: Mapping[str, Any]) -> str:
    """The id of a configuration."""
    return hashed(identity(spec, config))


def hashed(form: str) -> str:
    """The id of what `identity` gives."""
    return hashlib.sha256(form.encode()).hexdigest()[:ID_DIGITS]


def identity(spec: SweepSpec, config: Mapping[str, Any]) -> str:
    """The text that tells a configuration from all others of the sweep."""
    left_out = {tuple(name.split(".")) for name in (*spec.untracked, spec.continued or "")}
    values = flat(config) if spec.defaults else {}
    for name, default in spec.defaults.items():
        if canonical(values.get(name)) == canonical(default):
            left_out.add(tuple(name.split(".")))
    started = {"command": spec.command} if spec.command else {}
    return canonical({"trainable": spec.trainable, "config": _without(config, left_out), **started})


def _without(config: Mapping[str, Any], paths: set[Path], prefix: Path = ()) -> dict[str, Any]:
    """A configuration less some parameters, and less the groups that this empties."""
    kept: dict[str, Any] = {}
    for key, value in config.items():
        path = (*prefix, key)
        inside = any(left_out[: len(path)] == path != left_out for left_out in paths)
        if inside and isinstance(value, Mapping):
            if group := _without(value, paths, path):
                kept[key] = group
        elif path not in paths:
            kept[key] = value
    return kept


def canonical(value: Any) -> str:
    """A JSON value as the text that identity is computed from."""
    if type(value) is int:  # the most common value, and json.dumps takes ten times as long
        return repr(value)
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
