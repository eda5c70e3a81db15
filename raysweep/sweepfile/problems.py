"""What is wrong between the keys of a sweep file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from raysweep.sweepfile.command import MACROS, SCRIPT, python_part, unknown_macros
from raysweep.sweepfile.limits import limit, seconds
from raysweep.sweepfile.parameters import (
    Axis,
    Constant,
    Derived,
    Parameter,
    ParameterError,
    dotted,
    every,
    flat,
    json_value,
    nearest,
)
from raysweep.sweepfile.parsing import mistakes
from raysweep.sweepfile.sweep import Sweep
from raysweep.sweepfile.wording import Problem


def problems(spec: Sweep, recorded: bool = False) -> Iterator[Problem]:
    """All that is wrong between the keys; the record of a run may say more than a file."""
    wrong = [(".".join(("parameters", *error.path)), str(error)) for error in mistakes(spec.parameters)]
    yield from wrong
    yield from _value_problems(((f"defaults.{name}", value) for name, value in flat(spec.defaults).items()))
    yield from _limit_problems(spec)
    yield from _metric_problems(spec)
    yield from _program_problems(spec)
    if wrong:
        return  # what refers to parameters would be said to be wrong, too
    known = {dotted(p.path): p for p in every(spec.parsed)}
    always = {dotted(p.path) for p in spec.parsed}
    yield from _expression_problems(spec.parsed)
    yield from _zip_problems(spec.zip, spec.axes)
    yield from _exclude_problems(spec.exclude, known)
    if spec.folds is not None and spec.folds not in spec.axes:
        yield "folds", f"there is no axis {spec.folds!r}; {nearest(spec.folds, spec.axes)}"
    for key in spec.untracked:
        if key not in known:
            yield "untracked", f"there is no parameter {key!r}; {nearest(key, known)}"
        elif not isinstance(known[key], Constant) or key not in always:
            yield (
                "untracked",
                f"{key!r} varies, and only a constant can be left out of a trial's identity",
            )
    if not recorded:
        yield from _problems_of_a_file(spec, known)
    if "continues" in spec.model_fields_set and spec.continues and spec.continued is None:
        yield "continues", f"{spec.continues!r} is no constant number among the parameters"
    if spec.early_stopping is not None and spec.early_stopping.type != "median" and not spec.max_epochs:
        yield "early_stopping", 'needs "max_epochs", since there is no parameter epochs to tell it'
    if spec.samples and not spec.is_random:
        yield "samples", "nothing is random here; remove it, or give a parameter a distribution"
    if spec.method != "grid" and spec.is_random and not (spec.samples or spec.run_cap):
        yield (
            "method",
            f'a {spec.method} search needs "samples" (or "run_cap"): how many trials to draw; --samples 20 on the '
            "command line says it, too",
        )


def _problems_of_a_file(spec: Sweep, known: Iterable[str]) -> Iterator[Problem]:
    for key in spec.defaults:
        if key not in known:
            yield f"defaults.{key}", f"there is no parameter {key!r}; {nearest(key, known)}"
    for name in spec.drawn_once if "method" in spec.model_fields_set else ():  # W&B refuses it as well
        yield (
            f"parameters.{name}",
            'is drawn at random, and a grid does not say how often: add "samples": 1 (or more) to the file, write '
            'a list of values, or "method": "random"',
        )


def _metric_problems(spec: Sweep) -> Iterator[Problem]:
    for key in ("early_stopping", "early_terminate") if not spec.metric.is_named else ():
        if getattr(spec, key) is not None:
            yield key, 'needs a "metric", by which trials are compared'
    if spec.method == "bayes" and not spec.metric.is_named:
        yield "method", 'bayes needs a "metric", which it searches the best value of'
    if spec.early_stopping is not None and spec.early_terminate is not None:
        yield "early_terminate", 'is early stopping, too; keep either it or "early_stopping"'


def _program_problems(spec: Sweep) -> Iterator[Problem]:
    if spec.program is None:
        for key in ("command", "report"):
            if getattr(spec, key) is not None:
                yield key, 'belongs to a "program"; a "trainable" is called, and reports by itself'
        return
    if spec.trainable != f"{spec.program}:{SCRIPT}":
        yield "program", 'is there, and "trainable" as well; keep one of them'
    if wrong := unknown_macros(spec.command or ()):
        yield "command", f"there is no {wrong[0]}; there are {', '.join(f'${{{name}}}' for name in MACROS)}"
    if spec.report is not None and python_part(spec.command) is None:
        yield "report", "needs a command that starts the program with Python, within which it is read"
    if spec.process == "ray":
        yield "process", 'is "ray", in whose processes no program can run; remove it'


def _limit_problems(spec: Sweep) -> Iterator[Problem]:
    if spec.budget is not None:
        try:
            seconds(spec.budget)
        except ValueError as error:
            yield "budget", str(error)
    for key, value in spec.stop.items():
        try:
            limit(key, value, spec.is_better_low(key))
        except ValueError as error:
            yield f"stop.{key}", str(error)


def _expression_problems(parameters: Sequence[Parameter]) -> Iterator[Problem]:
    """Names in expressions that are none, or that need each other in a circle."""
    derived = {dotted(p.path): p.expression for p in every(parameters) if isinstance(p, Derived)}
    names = {dotted(p.path) for p in every(parameters)}
    for name, expression in derived.items():
        for used in sorted(expression.names - names):
            yield f"parameters.{name}", f"there is no parameter {used!r}; {nearest(used, names)}"
        needed, seen = {*expression.names}, set[str]()
        while needed:
            seen |= needed
            needed = {used for one in needed if one in derived for used in derived[one].names} - seen
        if name in seen:
            yield f"parameters.{name}", "is computed from itself"


def _exclude_problems(entries: Iterable[Mapping[str, Any]], known: Mapping[str, Any]) -> Iterator[Problem]:
    for index, entry in enumerate(entries):
        if not entry:
            yield f"exclude[{index}]", "is empty and would drop every trial; name at least one parameter"
        for key, value in flat(entry).items():
            if key not in known:
                yield f"exclude[{index}]", f"there is no parameter {key!r}; {nearest(key, known)}"
            yield from _value_problems([(f"exclude[{index}].{key}", value)])


def _value_problems(values: Iterable[tuple[str, Any]]) -> Iterator[Problem]:
    for where, value in values:
        try:
            json_value((where,), value)
        except ParameterError as error:
            yield where, str(error)


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
