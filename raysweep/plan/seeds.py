"""What a trial's random generators start from: the `seed` among its parameters, or the sweep's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from raysweep.plan.identity import canonical
from raysweep.sweepfile.parameters import SEED, flat

BOUND = 2**63  # what torch, numpy and Python can all start from is less than this


def seed_of(config: Mapping[str, Any], sweep_seed: int) -> int:
    """The number that a trial's generators start from, from 0 to 2**63 - 1.

    Every parameter that is called `seed` counts, also in a group. A single one that is a whole number from 0 to
    2**63 - 1, however it is written or drawn, is the number itself. Anything else, a text, a fraction, a larger or a
    negative number, several seeds, is hashed: trials whose seeds differ start differently. A seed that is null is one
    as well, made from the sweep's. A trial without a seed starts from the sweep's.
    """
    seeds = {name: value for name, value in flat(config).items() if name.rpartition(".")[2] == SEED}
    if not seeds:
        return sweep_seed if sweep_seed < BOUND else _hashed({"sweep_seed": sweep_seed})
    if len(seeds) == 1 and (number := _number(next(iter(seeds.values())))) is not None:
        return number
    unset = {"sweep_seed": sweep_seed} if None in seeds.values() else {}
    return _hashed({**seeds, **unset})


def _number(value: object) -> int | None:
    """A whole number that is a seed as it is; a trial's identity takes 1.0 and 1 for the same."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        return None
    return int(value) if 0 <= value < BOUND else None


def _hashed(seeds: Mapping[str, Any]) -> int:
    return int.from_bytes(hashlib.sha256(canonical(seeds).encode()).digest()[:8]) % BOUND
