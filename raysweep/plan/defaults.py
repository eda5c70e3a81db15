"""What earlier trials used before a parameter was in the sweep file: the run directory remembers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysweep.errors import SpecError
from raysweep.plan.identity import canonical
from raysweep.sweepfile.spec import SweepSpec


def with_earlier_defaults(spec: SweepSpec, before: Mapping[str, Any], run: Path) -> SweepSpec:
    """The sweep with the `defaults` that trials in its run directory were identified by, though its file has lost them.

    Args:
        spec: the sweep.
        before: the sweep as it was last run; empty before the first time.
        run: its run directory.

    Raises:
        SpecError: a default is another one now.
    """
    earlier = before.get("defaults")
    if not isinstance(earlier, dict):
        return spec
    for name, value in earlier.items():
        if name in spec.defaults and canonical(spec.defaults[name]) != canonical(value):
            raise SpecError(
                f"{spec.name}: defaults.{name}: was {json.dumps(value)} when the trials in {run} ran; what they "
                "used cannot change. Put it back, or give the sweep another name"
            )
    lost = {name: value for name, value in earlier.items() if name not in spec.defaults}
    return spec.model_copy(update={"defaults": {**spec.defaults, **lost}}) if lost else spec
