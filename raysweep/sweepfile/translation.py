"""One parameter as another tool writes it -> as a sweep file does."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_CALL = re.compile(r"\s*(?:[\w.]+\.)?(\w+)\s*\((.*)\)\s*", re.DOTALL)


def translated(written: Any) -> Any:
    """A parameter of NNI's, Optuna's, Ax's, Hydra's or Ray Tune's as a sweep file has it; any other as it is.

    Raises:
        ValueError: there is nothing that would be the same here.
    """
    if isinstance(written, str):
        return _text(written)
    return _object(written) if isinstance(written, Mapping) else written


def _object(written: Mapping[str, Any]) -> Any:
    keys = set(written)
    if {"_type", "_value"} <= keys:
        return _named(str(written["_type"]), list(written["_value"]))
    if keys == {"name", "attributes"}:
        return _optuna(str(written["name"]), written["attributes"])
    if "type" in keys and keys & {"low", "high", "choices", "bounds", "values", "value"}:
        return _typed(written)
    name = next(iter(written)) if len(written) == 1 else ""
    if name in _FORMS and isinstance(written[name], list):
        return _named(name, written[name])
    return {key: translated(value) for key, value in written.items()}


def is_foreign(written: Any) -> bool:
    """Whether it is written otherwise here."""
    try:
        return bool(translated(written) != written)
    except ValueError:
        return True


def _distribution(name: str, low: float, high: float, **more: float) -> Any:
    """A range; of one value, that value."""
    return {"distribution": name, "min": low, "max": high, **more} if low < high else low


def _choice(*values: Any) -> Any:
    """A list; of NNI's alternatives, which have a `_name`, ours."""
    if not any(isinstance(value, Mapping) for value in values):
        return list(values)
    return {"one_of": [_branch(value) for value in values]}


def _branch(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {"name" if key == "_name" else key: translated(member) for key, member in value.items()}


def _whole(low: float, end: float) -> Any:
    """Whole numbers, the last of which is no more a part of it, as in Python."""
    return _distribution("int_uniform", low, end - 1)


def _stepped(low: float, end: float, step: float = 1) -> Any:
    """Hydra's range, whose end is no more a part of it."""
    count = -(-(end - low) // step)
    return {"range": [low, low + (count - 1) * step, step]}


# By the names that NNI, Hydra and Ray Tune share.
_NAMED: dict[str, Callable[..., Any]] = {
    "choice": _choice,
    "uniform": lambda low, high: _distribution("uniform", low, high),
    "interval": lambda low, high: _distribution("uniform", low, high),
    "loguniform": lambda low, high, base=10: _distribution("log_uniform_values", low, high),
    "quniform": lambda low, high, q: _distribution("q_uniform", low, high, q=q),
    "qloguniform": lambda low, high, q: _distribution("q_log_uniform_values", low, high, q=q),
    "randint": _whole,
    "lograndint": lambda low, end, base=10: _distribution("q_log_uniform_values", low, end - 1, q=1),
    "range": _stepped,
    "normal": lambda mu, sigma: {"distribution": "normal", "mu": mu, "sigma": sigma},
    "randn": lambda mu=0, sigma=1: {"distribution": "normal", "mu": mu, "sigma": sigma},
    "qnormal": lambda mu, sigma, q: {"distribution": "q_normal", "mu": mu, "sigma": sigma, "q": q},
    "lognormal": lambda mu, sigma: {"distribution": "log_normal", "mu": mu, "sigma": sigma},
    "qlognormal": lambda mu, sigma, q: {"distribution": "q_log_normal", "mu": mu, "sigma": sigma, "q": q},
}
_FORMS = _NAMED.keys() - {"range"}  # that stand alone in an object; `range` is a form of ours, too


def _named(name: str, arguments: Sequence[Any]) -> Any:
    try:
        return _NAMED[name](*arguments)
    except (KeyError, TypeError):
        raise ValueError(f"{name}({', '.join(map(str, arguments))}) has no like here") from None


def _optuna(name: str, attributes: Mapping[str, Any]) -> Any:
    """A distribution of an Optuna study, also of older versions."""
    kind = "int" if name.startswith("Int") else "categorical" if name.startswith("Categorical") else "float"
    is_log = "LogUniform" in name or bool(attributes.get("log"))
    return _typed({"type": kind, **attributes, "log": is_log, "step": attributes.get("step") or attributes.get("q")})


def _typed(written: Mapping[str, Any]) -> Any:
    """A parameter that says its type: of Optuna's sweeper for Hydra, and of Ax."""
    kind = written["type"]
    if kind == "fixed":
        return written["value"]
    if kind in ("categorical", "choice"):
        return list(written["choices"] if "choices" in written else written["values"])
    low, high = written["bounds"] if "bounds" in written else (written["low"], written["high"])
    is_log, step = bool(written.get("log") or written.get("log_scale")), written.get("step")
    is_whole = kind == "int" or written.get("value_type") == "int" or (kind == "range" and isinstance(low, int))
    if is_whole and not is_log:
        return _distribution("int_uniform", low, high) if step in (None, 1) else {"range": [low, high, step]}
    if is_log:
        return _distribution("q_log_uniform_values", low, high, q=1) if is_whole else _named("loguniform", [low, high])
    return {"range": [low, high, step]} if step else _named("uniform", [low, high])


def _text(written: str) -> Any:
    """What Hydra's command line would make of a text: `choice(1, 2)`, `tag(log, interval(1, 9))`, `1,2,3`."""
    call = _CALL.fullmatch(written)
    if call is None:
        parts = _parts(written)
        return [_word(part) for part in parts] if len(parts) > 1 and all(parts) else written
    name, inner = call[1], _parts(call[2])
    if name in ("shuffle", "sort", "float", "str"):
        return _text(inner[0])
    if name == "tag":
        found = _text(inner[-1])
        is_log = "log" in inner[:-1] and isinstance(found, dict) and found.get("distribution") == "uniform"
        return {**found, "distribution": "log_uniform_values"} if is_log else found
    if name == "int":
        found = _text(inner[0])
        is_range = isinstance(found, dict) and found.get("distribution") == "uniform"
        return _distribution("int_uniform", int(found["min"]), int(found["max"])) if is_range else found
    if name not in _NAMED:
        raise ValueError(f"{written} has no like here")
    arguments = [_word(part) for part in inner]
    return _named(name, arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else arguments)


def _parts(text: str) -> list[str]:
    """What stands between commas, those within brackets and quotes left alone."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if letter == "," and not depth and not quote:
            parts.append("")
            continue
        parts[-1] += letter
        if letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
        elif not quote:
            depth += (letter in "([{") - (letter in ")]}")
    return [part.strip() for part in parts]


def _word(text: str) -> Any:
    """A number, a list, true, null, or a text, with quotes or without."""
    words = {"true": True, "false": False, "null": None, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
