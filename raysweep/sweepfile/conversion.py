"""A search space of another tool -> a sweep file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from raysweep.errors import SpecError
from raysweep.sweepfile.translation import is_foreign, translated

_TOOLS = "a search space of NNI's, Hydra's sweeper, or an Optuna study's distributions"
_METHODS = {"gridsearch": "grid", "random": "random"}  # of NNI's tuners; all others search


def converted(content: Any, source: str) -> tuple[dict[str, Any], list[str]]:
    """A sweep file for what another tool searches.

    Args:
        content: what its file holds.
        source: the file, for messages.

    Returns:
        The sweep file's content, and what is to be filled in or looked at in it, a line each.

    Raises:
        SpecError: it is nothing that is known.
    """
    if not isinstance(content, dict):
        raise SpecError(f"{source}: is no object; there is to be {_TOOLS}")
    found, about = _space(content)
    space = {name: json.loads(written) if _is_json(written) else written for name, written in found.items()}
    if not space or not any(map(is_foreign, space.values())):
        raise SpecError(f"{source}: has nothing to convert; there is to be {_TOOLS}")
    parameters, notes = {}, []
    for name, written in space.items():
        try:
            parameters[name] = translated(written)
        except (ValueError, KeyError, TypeError) as error:
            notes.append(f"{name}: is left out: {error}")
    sweep = {**_started(about), **about, "parameters": parameters}
    return sweep, [*notes, *_missing(sweep)]


def _space(content: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The parameters in a file, and what else it says of a sweep."""
    sweeper = _at(content, "hydra", "sweeper") or (content if "sampler" in content or "n_trials" in content else {})
    if isinstance(sweeper, dict) and (sweeper.get("params") or sweeper.get("search_space")):
        return sweeper.get("params") or sweeper["search_space"], _of_hydra(sweeper)
    if isinstance(space := content.get("searchSpace"), dict):
        return space, _of_nni(content)
    if isinstance(space := content.get("parameters"), dict):  # a sweep file with parameters of another tool's
        return space, {key: value for key, value in content.items() if key != "parameters"}
    if isinstance(space := content.get("params"), dict):
        return space, {}
    return {str(name).removeprefix("+"): value for name, value in content.items()}, {}


def _of_hydra(sweeper: Mapping[str, Any]) -> dict[str, Any]:
    direction = sweeper.get("direction")
    goal = direction if direction in ("minimize", "maximize") else "minimize"
    told = {"method": "bayes", "metric": {"name": "loss", "goal": goal}}
    return {**told, **({"run_cap": sweeper["n_trials"]} if isinstance(sweeper.get("n_trials"), int) else {})}


def _of_nni(experiment: Mapping[str, Any]) -> dict[str, Any]:
    tuner = experiment.get("tuner")
    tuner = tuner if isinstance(tuner, dict) else {}
    name = str(tuner.get("name") or tuner.get("builtinTunerName") or "TPE").lower()
    goal = _at(tuner, "classArgs", "optimize_mode") or "maximize"
    told: dict[str, Any] = {"method": _METHODS.get(name, "bayes"), "metric": {"name": "default", "goal": goal}}
    if isinstance(experiment.get("maxTrialNumber"), int):
        told["run_cap"] = experiment["maxTrialNumber"]
    if isinstance(experiment.get("trialConcurrency"), int):
        told["max_concurrent"] = experiment["trialConcurrency"]
    if program := re.fullmatch(r"python3?\s+(?:-m\s+)?(\S+)\s*", str(experiment.get("trialCommand", ""))):
        told["program"] = program[1]
    return told


def _started(about: Mapping[str, Any]) -> dict[str, Any]:
    return {} if {"program", "trainable"} & about.keys() else {"program": "train.py"}


def _missing(sweep: dict[str, Any]) -> Iterator[str]:
    if sweep["parameters"] and "method" not in sweep and any(map(_is_drawn, sweep["parameters"].values())):
        sweep["method"] = "random"
    if sweep.get("method", "grid") != "grid" and not {"run_cap", "samples"} & sweep.keys():
        sweep["run_cap"] = 20
        yield "run_cap: 20 trials are drawn, since the file does not say how many"
    if "metric" not in sweep:
        sweep["metric"] = {"name": "loss", "goal": "minimize"}
    yield f"metric: is {json.dumps(sweep['metric'])}; see that the training reports it"
    if "program" in sweep:
        yield 'program: takes the parameters as arguments, as in --lr=0.1; or name a "trainable", which is a function'


def _is_drawn(written: Any) -> bool:
    return isinstance(written, dict) and ("distribution" in written or any(map(_is_drawn, written.values())))


def _is_json(written: Any) -> bool:
    """Whether it is a distribution as Optuna's database has it, which is a text."""
    return isinstance(written, str) and written.lstrip().startswith('{"')


def _at(content: Any, *path: str) -> Any:
    for step in path:
        content = content.get(step) if isinstance(content, dict) else None
    return content
