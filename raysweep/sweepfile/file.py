"""A sweep file on disk, JSON, YAML or TOML, with the command line's overrides -> SweepSpec."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysweep.errors import SpecError
from raysweep.sweepfile.foreign import foreign_file
from raysweep.sweepfile.parameters import nearest
from raysweep.sweepfile.spec import SweepSpec, check

YAML = (".yaml", ".yml")
SUFFIXES = (".json", ".toml", *YAML)  # of sweep files


def load_spec(path: Path, overrides: Sequence[str] = (), samples: int | None = None) -> SweepSpec:
    """Read and check a sweep file: JSON, YAML or TOML.

    Args:
        path: the file.
        overrides: `NAME=VALUE[,VALUE...]` each, as of `--set`.
        samples: takes the place of the file's `samples`.

    Raises:
        SpecError: the file cannot be read or is wrong; the text names file and keys, one a line.
    """
    raw = read_content(path)
    if not isinstance(raw, dict):
        raise SpecError(f'{path}: a sweep file is an object, {{"trainable": ..., "parameters": ...}}')
    if (tool := foreign_file(raw)) is not None:
        raise SpecError(f"{path}: is a search space of {tool}, and no sweep file; `raysweep convert` makes one of it")
    for override in overrides:
        _override(raw, override)
    told = {} if samples is None else {"samples": samples}
    return check({"name": path.stem, **raw, **told}, str(path))


def read_content(path: Path) -> Any:
    """What a JSON, YAML or TOML file holds.

    Raises:
        SpecError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except IsADirectoryError:
        raise SpecError(f"{path}: is a directory; give a sweep file, such as {path / 'grid.json'}") from None
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no such file; `raysweep init` writes one to start from") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is no text in UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    if not text.strip():
        raise SpecError(f"{path}: is empty; `raysweep init` writes a sweep file to start from")
    try:
        return _parse(path.suffix.lower(), text)
    except ValueError as error:  # what json and tomllib raise derives from it
        raise SpecError(f"{path}: {error}") from None
    except RecursionError:
        raise SpecError(f"{path}: is nested too deeply") from None


def _parse(suffix: str, text: str) -> Any:
    if suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"is not TOML: {error}") from None
    if suffix in YAML:
        from raysweep.sweepfile.yaml import parse_yaml

        return parse_yaml(text)
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error} (sweep files in YAML end in .yaml, in TOML in .toml)") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} stands twice in one object")
        result[key] = value
    return result


def _override(raw: dict[str, Any], text: str) -> None:
    """Apply one `NAME=VALUE[,VALUE...]` to the parameters of a raw sweep file."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip("+") or not value:
        raise SpecError(f"--set {text}: write NAME=VALUE, or NAME=VALUE,VALUE for an axis")
    group = raw.setdefault("parameters", {})
    new, path = name.startswith("+"), name.lstrip("+").split(".")
    for step in [*path[:-1], None]:
        if isinstance(group, dict) and isinstance(group.get("parameters"), dict):
            group = group["parameters"]  # W&B's way to write a group
        if not isinstance(group, dict):
            raise SpecError(f"--set {text}: {name!r} lies in something that is no group of parameters")
        key = step if step is not None else path[-1]
        if key not in group and not new:
            raise SpecError(f"--set {text}: there is no {key!r} in the file; {nearest(key, group)}; +{name} adds one")
        if step is None:
            try:
                group[key] = _value(value)
            except (ValueError, RecursionError) as error:
                raise SpecError(f"--set {text}: {error}") from None
        else:
            group = group.setdefault(key, {})


def _value(text: str) -> Any:
    """JSON where it is JSON, a list where there are commas, and else text."""
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError:
        parts = text.split(",")
        if not all(parts):
            raise ValueError("a value is missing beside a comma") from None
        return [_value(part) for part in parts] if len(parts) > 1 else text
