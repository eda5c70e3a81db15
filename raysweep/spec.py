"""The sweep file -> SweepSpec; all validation that needs neither Ray nor torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from raysweep.errors import SpecError
from raysweep.limits import Limit, limit, seconds
from raysweep.parameters import Axis, Constant, Draw, Parameter, ParameterError, dotted, json_value, nearest, parse
from raysweep.records import Report

Problem = tuple[str, str]  # the key's path in the file, and what is wrong there

# Keys of other tools' files, and what to write instead.
FOREIGN = {
    "program": 'raysweep calls a function, not a script: write "trainable": "{value}:train"',
    "command": 'raysweep calls a function, not a command: write "trainable": "train.py:train"',
    "project": "runs are grouped by folder here: use --runs DIR, and remove this line",
    "entity": "there is no account here: remove this line",
    "early_terminate": 'write "early_stopping": {"type": "asha"}',
    "num_samples": 'write "samples"',
    "param_space": 'write "parameters"',
    "config": 'write "parameters"',
    "mode": 'write "goal" in "metric"',
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Metric(_Model):
    """The metric that trials are compared by."""

    name: str = Field(min_length=1, description="as the training function reports it")
    goal: Literal["minimize", "maximize"] = Field(description="which end of it is better")

    def better(self, value: float, than: float) -> bool:
        """Whether `value` is better; a number is better than NaN."""
        if than != than or value != value:
            return value == value
        return value > than if self.goal == "maximize" else value < than

    def best(self, reports: Iterable[Report]) -> Report | None:
        """The best of the reports that have the metric as a number; None where none has.

        Where any of them came with a checkpoint, only those count: the best epoch is one to go back to.
        """
        best: Report | None = None
        for report in reports:
            if isinstance(report.metrics.get(self.name), (int, float)) and self._beats(report, best):
                best = report
        return best

    def _beats(self, report: Report, best: Report | None) -> bool:
        if best is None or (report.checkpoint is None) != (best.checkpoint is None):
            return best is None or report.checkpoint is not None
        return self.better(float(report.metrics[self.name]), float(best.metrics[self.name]))


class Resources(_Model):
    """What one trial occupies while it runs."""

    cpu: float = Field(default=1, ge=0, allow_inf_nan=False, description="CPUs; also the number of threads of a trial")
    gpu: float = Field(default=0, ge=0, allow_inf_nan=False, description="GPUs; a fraction shares one between trials")

    @field_validator("gpu")
    @classmethod
    def _whole_above_one(cls, gpu: float) -> float:
        if gpu > 1 and gpu != int(gpu):
            raise ValueError("above 1 it must be a whole number (Ray splits one GPU, not two)")
        return gpu


class Checkpoints(_Model):
    """Which of a trial's checkpoints are kept; the best one, by the metric, always is."""

    last: int = Field(1, ge=1, description="how many of the last ones")


class EarlyStopping(_Model):
    """Stops trials that do worse than others, by Ray Tune's schedulers."""

    type: Literal["asha", "median", "hyperband"]
    grace: int = Field(1, ge=1, description="epochs that every trial gets")
    reduction: int = Field(4, ge=2, description="of asha and hyperband: one in so many goes on")
    max_epochs: int | None = Field(None, ge=1, description="of asha and hyperband: the parameter epochs")


class SweepSpec(_Model):
    """A sweep file, checked."""

    schema_: str | None = Field(None, alias="$schema", description="this schema, for editors")
    name: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$", description="names the run directory; the file's stem"
    )
    description: str | None = Field(None, description="for people")
    trainable: str = Field(description='"package.module:function", or "train.py:function" beside this file')
    metric: Metric
    method: Literal["grid", "random"] = Field("grid", description="random draws from lists, too")
    parameters: dict[str, Any]
    samples: int | None = Field(None, ge=1, description="draws per grid point, where something is random")
    run_cap: int | None = Field(None, ge=1, description="at most this many trials, the first ones of the plan")
    sweep_seed: int = Field(0, ge=0, description="what the random draws, and trials without a seed, start from")
    zip: list[list[str]] = Field([], description="groups of axes that advance together")
    exclude: list[dict[str, Any]] = Field([], description="drop each combination that matches all of one entry")
    resources: Resources = Field(default_factory=Resources)
    max_concurrent: int | None = Field(None, ge=1, description="at most this many trials at once")
    stop: dict[str, float | str] = Field(
        {}, description='per trial: "epoch", "time" ("10m"), a metric\'s limit, also as "<= 0.1"'
    )
    early_stopping: EarlyStopping | None = Field(None, description="stop trials that do worse than others")
    budget: float | str | None = Field(None, description='time for a whole run ("2h"); then it stops as after `stop`')
    checkpoints: Checkpoints = Field(default_factory=Checkpoints)
    defaults: dict[str, Any] = Field(
        {}, description="parameter to value: what earlier trials used, before the parameter was in this file"
    )
    continues: str | None = Field(
        "epochs", description="the constant that says how long to train: raising it goes on with trials that are done"
    )
    untracked: list[str] = Field([], description="constants that are not part of a trial's identity")
    retries: int = Field(1, ge=0, description="for lost workers and nodes; exceptions are not retried")

    @cached_property
    def parsed(self) -> tuple[Parameter, ...]:
        """The parameters in the order of the file."""
        return parse(self.parameters, random=self.method == "random")

    @cached_property
    def axes(self) -> dict[str, Axis]:
        """The axes by dotted name."""
        return {dotted(p.path): p for p in self.parsed if isinstance(p, Axis)}

    @property
    def draws(self) -> list[Draw]:
        """The parameters that are drawn at random."""
        return [p for p in self.parsed if isinstance(p, Draw)]

    @property
    def n_samples(self) -> int:
        """Draws per grid point; 1 where nothing is random."""
        return self.samples or (self.run_cap if self.method == "random" and self.run_cap else 1)

    @property
    def continued(self) -> str | None:
        """The parameter that `continues` names, where it is there and has one value, a number."""
        for parameter in self.parsed:
            if dotted(parameter.path) == self.continues and isinstance(parameter, Constant):
                return self.continues if isinstance(parameter.value, (int, float)) else None
        return None

    @property
    def max_epochs(self) -> int | None:
        """How many epochs a trial has at the most, where it is known."""
        if self.early_stopping is not None and self.early_stopping.max_epochs:
            return self.early_stopping.max_epochs
        epochs = [p for p in self.parsed if p.path == ("epochs",) and not isinstance(p, Draw)]
        values = [v for p in epochs for v in (p.values if isinstance(p, Axis) else (p.value,))]
        return max(values) if values and all(isinstance(v, int) for v in values) else None

    @property
    def limits(self) -> dict[str, Limit]:
        """The limits of `stop` as (comparison, number), `time` in seconds."""
        return {key: limit(key, value, self._is_better_low(key)) for key, value in self.stop.items()}

    def _is_better_low(self, key: str) -> bool:
        return key == self.metric.name and self.metric.goal == "minimize"

    def problems(self) -> Iterator[Problem]:
        """What is wrong between the keys."""
        try:
            known = {dotted(p.path): p for p in self.parsed}
        except ParameterError as error:
            yield ".".join(("parameters", *error.path)), str(error)
            return
        yield from _zip_problems(self.zip, self.axes)
        yield from _exclude_problems(self.exclude, known)
        for key in self.untracked:
            if key not in known:
                yield "untracked", f"there is no parameter {key!r}; {nearest(key, known)}"
            elif not isinstance(known[key], Constant):
                yield (
                    "untracked",
                    f"{key!r} varies, and only a constant can be left out of a trial's identity",
                )
        for key in self.defaults:
            if key not in known:
                yield f"defaults.{key}", f"there is no parameter {key!r}; {nearest(key, known)}"
        if "continues" in self.model_fields_set and self.continues and self.continued is None:
            yield "continues", f"{self.continues!r} is no constant number among the parameters"
        yield from self._limit_problems()
        if self.early_stopping is not None and self.early_stopping.type != "median" and not self.max_epochs:
            yield "early_stopping", 'needs "max_epochs", since there is no parameter epochs to tell it'
        if self.samples and not self.draws:
            yield "samples", "nothing is random here; remove it, or give a parameter a distribution"
        if self.method == "random" and not (self.samples or self.run_cap):
            yield "method", 'a random search needs "samples" (or "run_cap"): how many trials to draw'

    def _limit_problems(self) -> Iterator[Problem]:
        if self.budget is not None:
            try:
                seconds(self.budget)
            except ValueError as error:
                yield "budget", str(error)
        for key, value in self.stop.items():
            try:
                limit(key, value, self._is_better_low(key))
            except ValueError as error:
                yield f"stop.{key}", str(error)


def _exclude_problems(entries: Iterable[Mapping[str, Any]], known: Mapping[str, Any]) -> Iterator[Problem]:
    for index, entry in enumerate(entries):
        if not entry:
            yield f"exclude[{index}]", "is empty and would drop every trial; name at least one parameter"
        for key, value in flat(entry).items():
            if key not in known:
                yield f"exclude[{index}]", f"there is no parameter {key!r}; {nearest(key, known)}"
            try:
                json_value((key,), value)
            except ParameterError as error:
                yield f"exclude[{index}].{key}", str(error)


def _zip_problems(groups: Sequence[Sequence[str]], axes: Mapping[str, Axis]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, group in enumerate(groups):
        where = f"zip[{index}]"
        if len(group) < 2:
            yield where, "names fewer than two axes; there is nothing to advance together"
        for name in group:
            if name not in axes:
                yield where, f"there is no axis {name!r}; {nearest(name, axes)}"
            if name in seen:
                yield where, f"{name!r} is named twice"
            seen.add(name)
        lengths = {name: len(axes[name].values) for name in group if name in axes}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {n}" for name, n in lengths.items())
            yield where, f"zipped axes must be equally long: {told}"


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration with dotted keys: {"a": {"b": 1}} -> {"a.b": 1}."""
    result: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            result.update(flat(value, f"{prefix}{key}."))
        else:
            result[f"{prefix}{key}"] = value
    return result


def check(raw: Mapping[str, Any], source: str) -> SweepSpec:
    """A sweep given as a dict, checked.

    Raises:
        SpecError: it is wrong; each line names `source` and the key.
    """
    try:
        spec = SweepSpec.model_validate(dict(raw))
        problems = list(spec.problems())
    except ValidationError as error:
        told = [_problem(dict(e), raw) for e in error.errors()]
        problems = list(dict(reversed(told)).items())[::-1]  # one for each key: the first branch of a union
    except RecursionError:
        problems = [("parameters", "are nested too deeply")]
    if problems:
        raise SpecError("\n".join(f"{source}: {key}: {message}" for key, message in problems))
    return spec


def _problem(error: Mapping[str, Any], raw: Mapping[str, Any]) -> Problem:
    """One of pydantic's errors in our words."""
    steps = [step for step in error["loc"] if step not in ("float", "str")]  # branches of a union
    where = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).removeprefix(".")
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        hint = FOREIGN.get(str(steps[-1])) if len(steps) == 1 else None
        if hint:
            return where, hint.replace("{value}", str(value))
        return (
            where,
            f"there is no such key; {nearest(str(steps[-1]), _keys(steps[0] if steps[1:] else None))}",
        )
    if kind == "missing":
        return where, "is missing, and must be given"
    if where == "name":
        hint = "use letters, digits, '.', '_' and '-', at most 100"
        return where, f'{_shown(value)} cannot name a folder; give a "name" to the sweep: {hint}'
    if where == "metric" and not isinstance(value, dict):
        return where, f'write {{"name": ..., "goal": "maximize"}}, or "minimize"; it is {_shown(value)}'
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("String should", "should")
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "an object", message)
    message = message.replace("a valid list", "a list").replace("a valid string", "text")
    return where, f"{message} (it is {_shown(value)})"


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except ValueError:  # a number of too many digits, or a list that holds itself
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys(model: object) -> list[str]:
    owners: dict[str, type[BaseModel]] = {"metric": Metric, "resources": Resources}
    owner = owners.get(str(model), SweepSpec)
    return [field.alias or name for name, field in owner.model_fields.items()]
