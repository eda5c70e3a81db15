"""SweepSpec -> the trials, with stable ids; pure, needs neither Ray nor torch.

A random search with `run_cap` draws on past equal draws and excluded ones, until it has so many trials or there are no
others. In which order, and with which draws, is told in `configurations`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysweep.errors import SpecError
from raysweep.plan.configurations import choices, configurations
from raysweep.plan.identity import canonical, hashed, identity, trial_id
from raysweep.plan.names import names
from raysweep.plan.suggested import configurations_of, searched
from raysweep.store.suggestions import Suggestion
from raysweep.sweepfile.distributions import Categorical
from raysweep.sweepfile.parameters import Draw, OneOf, Parameter, dotted, every, flat
from raysweep.sweepfile.spec import SweepSpec

LIMIT = 10_000  # trials that are planned without asking
PATIENCE = 50  # draws without a new trial, per trial and 200 more, before a random search takes them all for found


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
    return math.prod(map(len, choices(spec, 0))) * spec.n_samples


def plan(spec: SweepSpec, limit: int | None = LIMIT, suggestions: Sequence[Suggestion] = ()) -> tuple[Trial, ...]:
    """The trials of a sweep, in order and without duplicates.

    Args:
        spec: the sweep.
        limit: how many combinations may be expanded; None for any number.
        suggestions: those on record, of a sweep that searches: it has their trials.

    Raises:
        SpecError: there are more than `limit`, none is left, or two ids collide.
    """
    if spec.method == "bayes":
        return _suggested(spec, suggestions)
    combinations = size(spec)
    if limit is not None and min(combinations, spec.run_cap or combinations) > limit:
        raise SpecError(
            f"{spec.name}: the parameters span {combinations:,} trials, more than {limit:,}; give --yes to go "
            'on, or fewer values, "zip", "run_cap", or "samples" of a "distribution"'
        )
    configs = dict(itertools.islice(_distinct(spec), spec.run_cap))
    if not configs:
        raise SpecError(f"{spec.name}: exclude: drops all {combinations:,} combinations; no trial is left")
    called = names(configs, spec.untracked)
    return tuple(Trial(id, number, called[id], config) for number, (id, config) in enumerate(configs.items(), start=1))


def _suggested(spec: SweepSpec, suggestions: Iterable[Suggestion]) -> tuple[Trial, ...]:
    wanted = (config for one in suggestions for config in configurations_of(spec, one))
    configs = {trial_id(spec, config): config for config in itertools.islice(wanted, spec.run_cap)}
    shown = [*dict.fromkeys(dotted(p.path) for p in every(searched(spec))), *spec.axes]
    called = names(configs, spec.untracked, shown)
    return tuple(Trial(id, number, called[id], config) for number, (id, config) in enumerate(configs.items(), start=1))


def is_excluded(spec: SweepSpec, config: Mapping[str, Any]) -> bool:
    """Whether `exclude` drops a configuration."""
    return bool(spec.exclude) and _matches(config, _excluded(spec))


def _excluded(spec: SweepSpec) -> list[dict[str, str]]:
    return [{key: canonical(value) for key, value in flat(entry).items()} for entry in spec.exclude]


def _distinct(spec: SweepSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    seen: dict[str, str] = {}
    excluded = _excluded(spec)
    different, idle, found = _different(spec), 0, 0
    for config in configurations(spec):
        form = identity(spec, config)
        id = hashed(form)
        if seen.setdefault(id, form) != form:
            raise SpecError(f"{spec.name}: the ids of two trials collide ({id}); change sweep_seed or a constant")
        if seen[id] is form and not (excluded and _matches(config, excluded)):
            yield id, config
            idle, found = 0, found + 1
        elif spec.draws_on and (idle := idle + 1) > PATIENCE * (found + 200):
            return  # what may be left is too improbable
        if len(seen) == different:
            return


def _different(spec: SweepSpec) -> int | None:
    """How many different configurations a random search can draw; None where that is any number."""
    return _count(spec.parsed) if spec.draws_on else None


def _count(parameters: Iterable[Parameter]) -> int | None:
    total = 1
    for parameter in parameters:
        if isinstance(parameter, OneOf):
            counts = [_count(branch) for branch in parameter.branches]
            count = None if None in counts else sum(count or 0 for count in counts)
        elif isinstance(parameter, Draw):
            one = parameter.distribution
            count = len({*map(canonical, one.values)}) if isinstance(one, Categorical) else one.count
        else:
            continue
        if count is None:
            return None
        total *= count
    return total


def _matches(config: Mapping[str, Any], entries: Iterable[Mapping[str, str]]) -> bool:
    values = {key: canonical(value) for key, value in flat(config).items()}
    return any(all(values.get(key) == wanted for key, wanted in entry.items()) for entry in entries)
