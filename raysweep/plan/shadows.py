"""Files beside a sweep that hide a module of Python's or of ours: whatever imports that gets the user's file."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from raysweep.errors import TrainableError

# What raysweep is made of, as it is imported.
OURS = frozenset(
    ("numpy", "pandas", "pyarrow", "pydantic", "ray", "raysweep", "rich", "scipy", "sklearn", "tensorboard", "torch",
     "torchvision", "yaml")
)  # fmt: skip
# Of Python's modules, what one may well call a file and nothing of ours imports.
UNUSED = frozenset(
    ("aifc", "chunk", "crypt", "filecmp", "getopt", "graphlib", "imghdr", "mailbox", "pipes", "sched", "shelve",
     "sndhdr", "sunau", "symtable", "this", "trace", "turtle", "uu", "venv", "wave")
)  # fmt: skip


def check_shadows(directory: Path) -> None:
    """See that no file in the directory that modules are looked for first hides one that all need.

    Raises:
        TrainableError: one does.
    """
    try:
        names = sorted(path.name for path in directory.iterdir())
    except OSError:  # there is no such directory, and so nothing in it
        return
    needed = (sys.stdlib_module_names - UNUSED) | OURS
    for name in names:
        module = name.removesuffix(".py")
        if module in needed and _is_module(directory / name) and _hides(directory, module):
            whose = "one of Python's own modules" if module in sys.stdlib_module_names else "a package of that name"
            raise TrainableError(
                f"trainable: {directory / name} hides {whose}, {module!r}, from all that runs here; call the "
                f"file something else, such as my_{name}, and change what imports it"
            )


def _is_module(path: Path) -> bool:
    """Whether it can be imported in place of an installed module; a directory without __init__.py cannot."""
    return path.is_file() if path.suffix == ".py" else (path / "__init__.py").is_file()


def _hides(directory: Path, module: str) -> bool:
    """Whether another module has the name; raysweep's own source, beside a sweep file of its own, hides nothing."""
    if module in sys.stdlib_module_names:
        return True
    here, there = PathFinder.find_spec(module, [str(directory)]), getattr(sys.modules.get(module), "__spec__", None)
    if there is None:
        there = PathFinder.find_spec(
            module, [entry for entry in sys.path if Path(entry).resolve() != directory.resolve()]
        )
    return here is not None and there is not None and _real(here.origin) != _real(there.origin)


def _real(origin: str | None) -> str | None:
    return os.path.realpath(origin) if origin else None
