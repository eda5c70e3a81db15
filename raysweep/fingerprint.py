"""A trainable's source code as a short text that changes when it does."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from raysweep.reference import Reference, locate

DIGITS = 10


def fingerprint(reference: Reference) -> str | None:
    """The hash of the trainable's source file and of the files beside it that it imports, directly or not.

    Installed packages do not count: their versions are recorded with each run. None where there is no source.

    Raises:
        TrainableError: there is no such trainable.
    """
    source = locate(reference)
    if source is None:
        return None
    digest = hashlib.sha256()
    for file in sorted(_closure(source), key=lambda path: path.relative_to(source.parent)):
        digest.update(str(file.relative_to(source.parent)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:DIGITS]


def _closure(source: Path) -> set[Path]:
    found, waiting = set[Path](), [source]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += [path for name in _imports(file) if (path := _beside(source.parent, name)) is not None]
    return found


def _imports(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # importing it will tell
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield base
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _beside(directory: Path, module: str) -> Path | None:
    """The file of a module that lies in the trainable's own directory."""
    if not module:
        return None
    base = directory.joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)
