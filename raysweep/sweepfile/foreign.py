"""What stands in files of other tools: keys that say nothing here, keys to write otherwise, parameters as they have it.

Such a parameter must never be taken for a group or a text: `{"low": 0.1, "high": 1}` would train with two constants.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Keys of other tools' files, and what to write instead.
FOREIGN = {
    "num_samples": 'write "samples"',
    "param_space": 'write "parameters"',
    "config": 'write "parameters"',
    "mode": 'write "goal" in "metric"',
}
ANCHORS = "x-"  # begins keys that only hold what YAML refers to elsewhere

_LONE = {"choice", "uniform", "loguniform", "quniform", "qloguniform", "randint", "lograndint", "randn"}
_CALL = re.compile(
    r"\s*(choice|interval|range|glob|((tune|hp|trial|optuna|ax|np|ray\.tune)\.)\w+|"
    r"(q?(log)?uniform|randint|suggest_\w+))\s*\(.*\)\s*",
    re.DOTALL,
)


def foreign_form(written: Any) -> str | None:
    """What to say of a parameter that is written as another tool has it; None where it is not.

    A text or a group that only looks like one is written `{"value": ...}` or `{"parameters": ...}`.
    """
    tool = _tool_of(written)
    if tool is None:
        return None
    return f"is written as {tool} has it; `raysweep convert FILE` says what to write, and so does docs/sweep-file.md"


def foreign_file(content: Mapping[str, Any]) -> str | None:
    """Whose search space a file is that is no sweep file; None where that cannot be told."""
    if "parameters" in content:
        return None
    if "searchSpace" in content:
        return "NNI"
    if isinstance(hydra := content.get("hydra"), dict) and "sweeper" in hydra:
        return "Hydra"
    return next((tool for value in content.values() if (tool := _tool_of(value)) is not None), None)


def _tool_of(written: Any) -> str | None:
    if isinstance(written, str) and _CALL.fullmatch(written):
        return "Hydra or Ray Tune"
    if not isinstance(written, dict):
        return None
    keys = {key for key in written if isinstance(key, str)}
    alone = next(iter(keys)) if len(keys) == 1 else ""
    signs = {
        "NNI": keys >= {"_type", "_value"},
        "Ax": keys >= {"type", "bounds"},
        "Optuna": "type" in keys and bool(keys & {"low", "high", "choices"}),
        "an Optuna study": keys == {"name", "attributes"} and str(written["name"]).endswith("Distribution"),
        "Ray Tune": alone in _LONE and isinstance(written[alone], list),
    }
    return next((tool for tool, is_seen in signs.items() if is_seen), None)
