"""The sweep file's `trainable` -> the function or class that it names.

`locate` says whether it exists by reading source text; it imports nothing, so planning stays fast.
`import_trainable` does what it says.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from raysweep.errors import TrainableError
from raysweep.plan.shadows import check_shadows
from raysweep.store.records import TrialError
from raysweep.sweepfile.command import SCRIPT
from raysweep.sweepfile.parameters import nearest

INSTALLED = ("site-packages", "dist-packages")  # the folders of what is installed, and is no code of the user's


@dataclass(frozen=True)
class Reference:
    """What a sweep file's `trainable` says.

    Attributes:
        text: as it is written, "package.module:function" or "train.py:function".
        directory: what a file's path is relative to, and where modules are looked for first.
    """

    text: str
    directory: Path

    @property
    def module(self) -> str:
        """The module's name, or the file's path as written."""
        return self.text.rpartition(":")[0]

    @property
    def attribute(self) -> str:
        """The name of the function or class."""
        return self.text.rpartition(":")[2]

    @property
    def file(self) -> Path | None:
        """The file, where one is named."""
        beside = self.directory / self.module
        if not self.is_program:
            return beside if self.module.endswith(".py") else None
        # W&B looks for a program where it is started
        found = next((place for place in (beside, Path(self.module)) if _is_file(place)), None)
        return found or (beside if self.module.endswith(".py") or "/" in self.module else None)

    @property
    def is_program(self) -> bool:
        """Whether it is a program to be run, and no function to be called."""
        return self.attribute == SCRIPT

    @property
    def search_path(self) -> list[str]:
        """Where modules are looked for: beside the file or the sweep file, then as usual."""
        beside = self.file.parent if self.file else self.directory
        return [str(beside.resolve()), *sys.path]


def locate(reference: Reference) -> Path | None:
    """The source file of the trainable; None where it has none that can be read.

    Raises:
        TrainableError: the text is malformed, there is no such module, file or name, the module is built into Python or
            a mere folder, or a file beside it hides a module that all need.
    """
    if not reference.module or not reference.attribute.isidentifier():
        raise TrainableError(
            f'trainable: {reference.text!r} names no function; write "package.module:function" or "train.py:function"'
        )
    check_shadows(Path(reference.search_path[0]))
    source = _find(reference)
    if source is not None and (not reference.is_program or source.suffix == ".py"):
        _check_name(reference, source)
    return source


def _find(reference: Reference) -> Path | None:
    if reference.file is not None:
        if not _is_file(reference.file):
            raise TrainableError(f"trainable: there is no file {reference.file}")
        return reference.file
    path: Any = reference.search_path
    parts = reference.module.split(".")
    if parts[0] in sys.builtin_module_names:  # it has no file, and comes before any that has
        raise _built_in(reference)
    for depth in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: depth + 1]), path) if parts[depth] else None
        if spec is None:
            missing = ".".join(parts[: depth + 1])
            raise TrainableError(
                f"trainable: there is no module {missing!r}; install it, or run where it can be imported from"
            )
        path = spec.submodule_search_locations
        if path is None and depth < len(parts) - 1:
            raise TrainableError(f"trainable: {'.'.join(parts[: depth + 1])!r} is no package")
    if spec is None or spec.origin is None:
        raise TrainableError(
            f"trainable: {reference.module!r} is a folder without __init__.py, and so has no functions; name a module "
            f'in it, such as "{reference.module}.train:{reference.attribute}"'
        )
    if spec.origin.endswith(".py"):
        return Path(spec.origin)
    if parts[0] in sys.stdlib_module_names:
        raise _built_in(reference)
    return None  # compiled: whether it has the function is known once it is imported


def is_installed(file: Path) -> bool:
    """Whether it belongs to an installed package: the same code from wherever it is used, and its version is known."""
    return any(part in INSTALLED for part in file.parts)


def _built_in(reference: Reference) -> TrainableError:
    """The same, whether a Python has the module in a file of its own, as some have `math`, or in itself."""
    return TrainableError(
        f"trainable: {reference.module!r} is built into Python and has no training functions; name a module or a file "
        'of your own, as in "train.py:train"'
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is too long
        return False


def _check_name(reference: Reference, source: Path) -> None:
    try:
        tree = ast.parse(source.read_bytes(), filename=str(source))
    except (SyntaxError, ValueError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        raise TrainableError(f"trainable: {source} is not valid Python: {error.args[0]}{line}") from None
    except RecursionError:  # an expression that is too long to look into; importing it tells
        return
    if reference.is_program:
        return
    names = set(_names(tree))
    if "*" not in names and "__getattr__" not in names and reference.attribute not in names:
        public = [name for name in names if not name.startswith("_")]
        raise TrainableError(
            f"trainable: {source} has no {reference.attribute!r}; {nearest(reference.attribute, public)}"
        )


def _names(tree: ast.Module) -> Iterator[str]:
    """The names that a module defines, at its top level or within its ifs and trys."""
    for node in _outside_functions(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Global):
            yield from node.names
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.Global))
        else:
            waiting += ast.iter_child_nodes(node)


def import_trainable(reference: Reference, is_known: bool = False) -> Callable[..., Any]:
    """Import the trainable.

    Args:
        reference: which one.
        is_known: whether it has been imported elsewhere before, so that nobody needs to read its source first.

    Raises:
        TrainableError: it cannot be imported, or is nothing that can be called with a configuration.
    """
    if not is_known or reference.is_program:
        locate(reference)
    if reference.is_program:
        return _program  # what is at import is what it does
    sys.path[:0] = [entry for entry in reference.search_path[:1] if entry not in sys.path]
    try:
        module = _import_file(reference.file) if reference.file else importlib.import_module(reference.module)
        target = getattr(module, reference.attribute)
    except AttributeError:
        raise TrainableError(f"trainable: {reference.module} has no {reference.attribute!r}") from None
    except (Exception, SystemExit) as error:  # a user's module may raise anything, or call sys.exit()
        raise TrainableError(f"trainable: importing {reference.module} failed: {_where(error)}") from error
    _check_callable(reference, target)
    return target  # type: ignore[no-any-return]  # checked: it is callable


def _program(config: Any) -> None:
    """Stands for a program, which is run by a trial's process and not called."""
    raise TrainableError("a program is not called")


def _import_file(file: Path) -> ModuleType:
    """Import a file under its own name, as `import` beside it would."""
    name = file.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(file.resolve()):
        return loaded
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    assert spec is not None and spec.loader is not None  # it is a .py file that exists
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _where(error: BaseException) -> str:
    """The error and the line of the user's code that raised it."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    place = f" ({traceback.tb_frame.f_code.co_filename}, line {traceback.tb_lineno})" if traceback else ""
    return f"{TrialError.of(error)}{place}"


def _check_callable(reference: Reference, target: object) -> None:
    if not callable(target):
        raise TrainableError(f"trainable: {reference.text} is a {type(target).__name__}, and not a function or class")
    if inspect.isclass(target):
        if not hasattr(target, "step"):
            raise TrainableError(f"trainable: {reference.text} is a class, but not a ray.tune.Trainable (no step())")
        return
    if inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target):
        raise TrainableError(f"trainable: {reference.text} is async; write a plain function train(config)")
    try:
        inspect.signature(target).bind({})
    except TypeError:
        raise TrainableError(
            f"trainable: {reference.text}{inspect.signature(target)} must take one argument, the configuration"
        ) from None
    except ValueError:
        pass  # some built-in callables have no signature; calling tells
