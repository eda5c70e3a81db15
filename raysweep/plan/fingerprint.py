"""A trainable's source code as a short text that changes when it does."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raysweep.plan.reference import Reference, locate

DIGITS = 10
OURS = ("raysweep", "ray")  # whose versions are recorded with each run


def fingerprint(reference: Reference) -> str | None:
    """The hash of the trainable's source file and of the user's own files that it imports, directly or not.

    Installed packages do not count: their versions are recorded with each run. None where there is no source.

    Raises:
        TrainableError: there is no such trainable.
    """
    source = locate(reference)
    if source is None:
        return None
    places = [(Path(os.path.relpath(file, source.parent)), file) for file in sources(reference)]
    digest = hashlib.sha256()
    for place, file in sorted(places):
        digest.update(str(place).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:DIGITS]


def sources(reference: Reference) -> set[Path]:
    """The files that `fingerprint` reads.

    Raises:
        TrainableError: there is no such trainable.
    """
    source = locate(reference)
    found = set[Path]()
    if source is not None:
        package = _package(reference, source)
        waiting = [source, *package.parents()]
        while waiting:
            file = waiting.pop()
            if file not in found:
                found.add(file)
                waiting += [path for named in _imports(file) for path in package.files(file, named)]
    return found


@dataclass(frozen=True)
class _Import:
    """A module's name as a file imports it, and how many dots stand before it."""

    name: str
    dots: int = 0


def _imports(file: Path) -> Iterator[_Import]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return  # importing it will tell
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_Import(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # what is imported from a package may be a module in it
            yield from (_Import(f"{node.module or ''}.{alias.name}".strip("."), node.level) for alias in node.names)


@dataclass(frozen=True)
class _Package:
    """Where a trainable's own modules are found.

    Attributes:
        directory: the trainable's file's.
        beside: where modules of any name may be the user's own: beside the trainable, and beside the sweep file.
        root: what the trainable's package lies in; what else does may be installed there.
        name: of the package; empty where the trainable is in none.
    """

    directory: Path
    beside: tuple[Path, ...]
    root: Path
    name: str

    def parents(self) -> Iterator[Path]:
        """What importing the trainable executes before its own file."""
        if self.name and self.name not in OURS:
            yield from _executed(self.root, ".".join(self.directory.relative_to(self.root).parts))

    def files(self, file: Path, imported: _Import) -> Iterator[Path]:
        """The files of the user's that an import in `file` executes."""
        if imported.dots:
            yield from _executed(file.parents[min(imported.dots, len(file.parents)) - 1], imported.name)
            return
        top = imported.name.partition(".")[0]
        places = [*self.beside, *([self.root] if top == self.name else [])]
        place = next((place for place in places if _has(place, top)), None)
        if place is not None:
            executed = _executed(place, imported.name)
            yield from (path for path in executed if top not in OURS or path.is_relative_to(self.directory))


def _package(reference: Reference, source: Path) -> _Package:
    root = source.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    if reference.file is None:  # a package need not have such a file
        depth = reference.module.count(".") + (source.name == "__init__.py")
        root = source.parents[depth]
    name = source.relative_to(root).parts[0] if root != source.parent else ""
    return _Package(source.parent, (source.parent, reference.directory), root, name)


def _has(place: Path, top: str) -> bool:
    return (place / top).is_dir() or (place / f"{top}.py").is_file()


def _executed(place: Path, name: str) -> Iterator[Path]:
    """The files that importing a module from a directory executes: those of the packages on the way, and its own."""
    base = place
    yield from (file for file in [base / "__init__.py"] if not name and file.is_file())
    for part in name.split(".") if name else ():
        base = base / part
        if (base / "__init__.py").is_file():
            yield base / "__init__.py"
        elif base.with_suffix(".py").is_file():
            yield base.with_suffix(".py")
            return  # what follows is defined in it
