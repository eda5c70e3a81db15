"""How a program is started for a trial: W&B's `command`, with its macros, and the trial's parameters as arguments."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raysweep.sweepfile.parameters import flat

SCRIPT = "__main__"  # stands for a function in a trainable that is a program: "train.py:__main__"
DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")  # as W&B has it
MACROS = (
    "env", "interpreter", "program", "args", "args_no_hyphens", "args_no_boolean_flags", "args_json", "args_json_file",
)  # fmt: skip
_MACRO = re.compile(r"\$\{([^}]*)\}")
_INTERPRETER = re.compile(r"(\$\{interpreter\}|(.*/)?python[\d.]*)")
_OPTIONS = ("-u", "-B", "-m")  # of Python's, which change nothing for a trial in a process that is ready


def unknown_macros(command: Sequence[str]) -> list[str]:
    """The macros in a command that there are not; `${envvar:NAME}` is an environment variable."""
    found = (match[1] for part in command for match in _MACRO.finditer(part))
    return [f"${{{name}}}" for name in found if name not in MACROS and not name.startswith("envvar:")]


def arguments(config: Mapping[str, Any], form: str = "args", file: Path | None = None) -> list[str]:
    """A trial's parameters as arguments; those of groups have dotted names.

    Args:
        config: the trial's configuration.
        form: one of the macros that begin with "args".
        file: where `args_json_file` is to be written.
    """
    if form == "args_json":
        return [json.dumps(config)]
    if form == "args_json_file":
        assert file is not None  # given where it is asked for
        file.write_text(json.dumps(config), encoding="utf-8")
        return [str(file)]
    values = flat(config)
    if form == "args_no_hyphens":
        return [f"{name}={value}" for name, value in values.items()]
    flags = form == "args_no_boolean_flags"
    told = {name: value for name, value in values.items() if not (flags and value is False)}
    return [f"--{name}" if flags and value is True else f"--{name}={value}" for name, value in told.items()]


def python_part(command: Sequence[str] | None) -> list[str] | None:
    """What follows the program in a command that is Python's; None where it starts something else."""
    parts = list(command or DEFAULT)
    if parts[:1] == ["${env}"] or parts[:1] == ["/usr/bin/env"]:
        parts = parts[1:]
    if not parts or not _INTERPRETER.fullmatch(parts[0]):
        return None
    parts = parts[1:]
    while parts and parts[0] in _OPTIONS:
        parts = parts[1:]
    return parts[1:] if parts[:1] == ["${program}"] else None


def expanded(parts: Sequence[str], program: str, config: Mapping[str, Any], file: Path) -> list[str]:
    """Parts of a command for one trial.

    Args:
        parts: with macros.
        program: what `${program}` is.
        config: the trial's configuration.
        file: where its parameters are written, where the command wants them in a file.
    """
    words: list[str] = []
    for part in parts:
        name = part[2:-1] if _MACRO.fullmatch(part) else ""
        if name.startswith("args"):
            words += arguments(config, name, file)
        else:
            words.append(_MACRO.sub(lambda match: _word(match[1], program, config, file), part))
    return words


def _word(name: str, program: str, config: Mapping[str, Any], file: Path) -> str:
    if name.startswith("args"):
        return " ".join(arguments(config, name, file))
    if name.startswith("envvar:"):
        return os.environ.get(name.partition(":")[2], "")
    return {"env": "/usr/bin/env", "interpreter": sys.executable, "program": program}[name]
