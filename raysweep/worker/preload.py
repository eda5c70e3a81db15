"""What a trainable's source tells before it runs: which installed modules it needs, and whether it calls Ray."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from raysweep.plan.fingerprint import sources
from raysweep.plan.reference import Reference, is_installed, locate

ALWAYS = ("raysweep.worker.child", "raysweep.training.events", "numpy")
WITH_TORCH = ("torch", "raysweep.training.recorder", "raysweep.fusion.lockstep", "raysweep.fusion.fit")
# Of Ray, what only a process of Ray's can do; its reports and checkpoints any process of a trial can.
RAYS_OWN = {
    "get", "put", "wait", "remote", "method", "init", "kill", "cancel", "get_actor", "nodes", "cluster_resources",
    "available_resources", "get_runtime_context", "get_gpu_ids", "data", "util", "serve", "rllib",
}  # fmt: skip


def modules(reference: Reference) -> list[str]:
    """The installed modules that trials of a trainable need, as far as its source names them; never the user's own.

    Raises:
        TrainableError: see `reference.locate`.
    """
    files = sources(reference)
    texts = [file.read_bytes() for file in files]
    named = dict.fromkeys(name for text in texts for name in _imported(_tree(text)) if _is_installed(name))
    uses_torch = any(b"torch" in text.lower() for text in texts)  # perhaps by a name that is put together
    return [*ALWAYS, *(WITH_TORCH if uses_torch else ()), *named]


def calls_ray(reference: Reference) -> bool:
    """Whether a trainable uses more of Ray than Ray Tune's reports, so that its trials must run in Ray's own processes.

    Of its own file, what it does itself and calls there counts: a driver's code often stands beside it.

    Raises:
        TrainableError: see `reference.locate`.
    """
    source = locate(reference)
    if source is None or reference.is_program:
        return False
    others = (_tree(file.read_bytes()) for file in sources(reference) - {source})
    return _calls_ray(_reached(_tree(source.read_bytes()), reference.attribute)) or any(map(_calls_ray, others))


def _reached(tree: ast.Module, name: str) -> ast.Module:
    """Of a module its imports, and the functions and classes that one of them calls, directly or not."""
    defined = {
        node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    }
    found, waiting = list[ast.stmt](), [name]
    while waiting:
        if (node := defined.pop(waiting.pop(), None)) is not None:
            found.append(node)
            waiting += [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return ast.Module(body=[*imports, *found], type_ignores=[])


def _calls_ray(tree: ast.Module) -> bool:
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in RAYS_OWN]
    return any(isinstance(node.value, ast.Name) and node.value.id == "ray" for node in attributes) or any(
        _is_rays_own(name) for name in _imported(tree)
    )


def _is_rays_own(module: str) -> bool:
    top, _, rest = module.partition(".")
    return top == "ray" and rest.partition(".")[0] in RAYS_OWN


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _tree(text: bytes) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module(body=[], type_ignores=[])  # importing it tells


def _is_installed(name: str) -> bool:
    top = name.partition(".")[0]
    if top == "raysweep":
        return True
    spec = PathFinder.find_spec(top, sys.path)
    place = (spec.origin or next(iter(spec.submodule_search_locations or ()), "")) if spec else ""
    return is_installed(Path(place))
