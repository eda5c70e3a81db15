"""SweepSpec -> the trials, with stable ids; pure, needs neither Ray nor torch.

Identity. A trial's id is the first 10 hex digits of the SHA-256 of its trainable's name and its resolved
configuration, in a canonical form: keys sorted, members of a group in place,
numbers by their value (1 and 1.0 are the same; -0.0 is 0; true is not 1), text as it is. It depends on
neither the order of the file, nor on how a value is written, nor on other trials. Left out are what is
`untracked`, the constant that `continues` names, and parameters that have the value in `defaults`.

Order. Axes are sorted by their path and the first one varies fastest, as in Ray Tune's own grid search;
a zipped group stands where its first axis does; samples vary slowest.

Randomness. Sample k of a parameter is a function of the sweep's seed, the parameter's name and k alone.
So every grid point meets the same k draws (comparisons are paired, and averaging over `seed` works), and
more samples or more values leave earlier trials as they were.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raysweep.distributions import SMALLEST
from raysweep.errors import SpecError
from raysweep.parameters import Axis, Path, dotted
from raysweep.spec import SweepSpec, flat

ID_DIGITS = 10  # 40 bits: of 10,000 trials two collide once in 20,000 sweeps, and then plan() says so
NAME_LENGTH = 100  # of a folder; file systems take 255 bytes, and event files add to it
LIMIT = 10_000  # trials that are planned without asking

Assignment = tuple[tuple[Path, Any], ...]


@dataclass(frozen=True)
class Trial:
    """One planned trial.

    Attributes:
        id: the hash of its configuration.
        number: its place in the plan, from 1.
        name: what is different about it, and its id: the name of its folder.
        config: what the training function is called with; not to be changed.
    """

    id: str
    number: int
    name: str
    config: Mapping[str, Any]


def size(spec: SweepSpec) -> int:
    """How many combinations the file spans, before `exclude`, duplicates and `run_cap`."""
    return math.prod(len(choices) for choices in _choices(spec)) * spec.n_samples


def plan(spec: SweepSpec, limit: int | None = LIMIT) -> tuple[Trial, ...]:
    """The trials of a sweep, in order and without duplicates.

    Args:
        spec: the sweep.
        limit: how many combinations may be expanded; None for any number.

    Raises:
        SpecError: there are more than `limit`, none is left, or two ids collide.
    """
    combinations = size(spec)
    if limit is not None and min(combinations, spec.run_cap or combinations) > limit:
        raise SpecError(
            f"{spec.name}: the parameters span {combinations:,} trials, more than {limit:,}; give --yes to go "
            'on, or fewer values, "zip", "run_cap", or "samples" of a "distribution"'
        )
    configs = dict(itertools.islice(_distinct(spec), spec.run_cap))
    if not configs:
        raise SpecError(f"{spec.name}: exclude: drops all {combinations:,} combinations; no trial is left")
    names = _names(spec, configs)
    return tuple(Trial(id, number, names[id], config) for number, (id, config) in enumerate(configs.items(), start=1))


def _distinct(spec: SweepSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    seen: dict[str, str] = {}
    excluded = [{key: canonical(value) for key, value in flat(entry).items()} for entry in spec.exclude]
    for config in configurations(spec):
        if excluded and _matches(config, excluded):
            continue
        form = canonical(_identity(spec, config))
        id = hashlib.sha256(form.encode()).hexdigest()[:ID_DIGITS]
        if seen.setdefault(id, form) != form:
            raise SpecError(f"{spec.name}: the ids of two trials collide ({id}); change sweep_seed or a constant")
        if seen[id] is form:
            yield id, config


def trial_id(spec: SweepSpec, config: Mapping[str, Any]) -> str:
    """The id of a configuration."""
    return hashlib.sha256(canonical(_identity(spec, config)).encode()).hexdigest()[:ID_DIGITS]


def _identity(spec: SweepSpec, config: Mapping[str, Any]) -> dict[str, Any]:
    left_out = {tuple(name.split(".")) for name in (*spec.untracked, spec.continued or "")}
    values = flat(config) if spec.defaults else {}
    for name, default in spec.defaults.items():
        if canonical(values.get(name)) == canonical(default):
            left_out.add(tuple(name.split(".")))
    return {"trainable": spec.trainable, "config": _without(config, left_out)}


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


def configurations(spec: SweepSpec) -> Iterator[dict[str, Any]]:
    """All combinations as nested configurations, in order, each one anew; excluded and equal ones as well."""
    fixed = [(p.path, getattr(p, "value", None)) for p in spec.parsed]  # holds the order of the file
    choices = _choices(spec)
    for sample in range(spec.n_samples):
        drawn = [(draw.path, draw.distribution.draw(_uniform(spec, draw.path, sample))) for draw in spec.draws]
        for chosen in itertools.product(*reversed(choices)):
            yield _nested([*fixed, *drawn, *itertools.chain.from_iterable(chosen)])


def _choices(spec: SweepSpec) -> list[list[Assignment]]:
    """For each axis, or zipped group, what it assigns in turn; sorted by path."""
    zipped = {name: group[0] for group in spec.zip for name in group}
    groups: dict[str, list[Axis]] = {}
    for name, axis in sorted(spec.axes.items(), key=lambda item: item[1].path):
        groups.setdefault(zipped.get(name, name), []).append(axis)
    return [
        list(zip(*([(axis.path, value) for value in axis.values] for axis in group), strict=True))
        for group in groups.values()
    ]


def _uniform(spec: SweepSpec, path: Path, sample: int) -> float:
    # seeding with text is stable over Python versions and processes (random.seed, version 2)
    return random.Random(f"{spec.sweep_seed}/{dotted(path)}/{sample}").uniform(SMALLEST, 1 - SMALLEST)


def _nested(assignments: Iterable[tuple[Path, Any]]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for path, value in assignments:
        group = config
        for step in path[:-1]:
            group = group.setdefault(step, {})
        group[path[-1]] = _copied(value)
    return config


def _copied(value: Any) -> Any:
    """A trial's own copy: no two configurations share a list or an object."""
    if isinstance(value, dict):
        return {key: _copied(member) for key, member in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _matches(config: Mapping[str, Any], entries: Iterable[Mapping[str, str]]) -> bool:
    values = {key: canonical(value) for key, value in flat(config).items()}
    return any(all(values.get(key) == wanted for key, wanted in entry.items()) for entry in entries)


def varying(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The dotted names of the parameters that differ between configurations, in order."""
    first: dict[str, str] = {}
    differ: dict[str, bool] = {}
    for config in configs:
        for key, value in flat(config).items():
            if not differ.get(key):
                differ[key] = first.setdefault(key, text := canonical(value)) != text
    return [key for key, differs in differ.items() if differs]


def _names(spec: SweepSpec, configs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    keys = [key for key in varying(configs.values()) if key not in spec.untracked]
    lasts = [key.removesuffix(".name").rpartition(".")[2] for key in keys]  # optimizer.name is the optimizer
    shown = {key: last if lasts.count(last) == 1 else key for key, last in zip(keys, lasts, strict=True)}
    return {id: name(id, shown, config) for id, config in configs.items()}


def name(id: str, shown: Mapping[str, str], config: Mapping[str, Any]) -> str:
    """The name of a trial's folder, such as `lr=0.01,seed=0-3fa9c1d2e0`.

    Args:
        id: the trial's id.
        shown: which parameters to show: dotted name to what to call it.
        config: the trial's configuration.
    """
    values = flat(config)
    parts = [f"{_safe(label)}={_brief(values[key])}" for key, label in shown.items() if key in values]
    text = ",".join(parts)[: NAME_LENGTH - ID_DIGITS - 1].rstrip(",=")
    return f"{text or 'trial'}-{id}"


def _brief(value: Any) -> str:
    if isinstance(value, str):
        return _safe(value)[-24:]
    text = canonical(value)
    if isinstance(value, float) and len(text) > 17:
        text = repr(value)  # 1e+87, and not its 88 digits
    return text if isinstance(value, (int, float)) else _safe(text.strip("[]{}").replace(",", "x"))[:24]


def _safe(text: str) -> str:
    """Only characters that every file system and shell takes as they are."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text).strip("_") or "_"
