"""The house: ARCHITECTURE.md's rooms are the folders that there are, and each imports only those below it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import raysweep

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "raysweep"
# The list of rooms is the table in ARCHITECTURE.md, from the command line down to the disk.
ROOMS = re.findall(r"^\| `(\w+)/` \|", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE)


def imported(file: Path) -> Iterator[str]:
    """The modules of ours that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(file: Path) -> set[str]:
    """The rooms that a file imports from; "" for the top of the package."""
    parts = [name.split(".") for name in imported(file)]
    return {part[1] if part[1] in ROOMS else "" for part in parts if part[0] == "raysweep" and len(part) > 1}


def test_the_rooms_in_the_documentation_are_those_on_disk() -> None:
    assert sorted(ROOMS) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "__main__.py", "errors.py"]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    below = ROOMS[ROOMS.index(room) :]
    wrong = {
        str(file.relative_to(ROOT)): sorted(found)
        for file in sorted((PACKAGE / room).rglob("*.py"))
        if "starter" not in file.parts and (found := rooms(file) - {*below, ""})
    }
    assert not wrong


def test_no_room_hides_what_the_package_gives() -> None:
    """Importing `raysweep.report` would set that name to the room."""
    assert not {*ROOMS, "errors"} & {*raysweep.__all__} - {"vision"}  # which gives itself


def modules() -> list[Path]:
    return [file for file in sorted(PACKAGE.rglob("*.py")) if "starter" not in file.parts]


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_module_says_what_it_answers(file: Path) -> None:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert docstring is not None and docstring.strip().splitlines()[0].endswith((".", ":", "`"))


# Where Ray's private names may be used; the second line is of Tune's sessions, which are to move to the first.
MAY = {"engine/internals.py",
       "worker/actor.py", "worker/classes.py", "worker/function.py"}  # fmt: skip


def private(file: Path) -> list[str]:
    """The private names of Ray that a file uses: those that it imports, spells out, or names in a text."""
    used = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            used += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            used += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            used.append(ast.unparse(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            used.append(node.value)
    return [name for name in used if re.fullmatch(r"ray(\.\w+)*\._\w*(\.\w+)*", name)]


def test_private_names_of_ray_are_in_one_file() -> None:
    using = {str(file.relative_to(PACKAGE)) for file in modules() if private(file)}
    assert using <= MAY
    assert "engine/internals.py" in using


@pytest.mark.parametrize("text", ["import ray._private.worker", "from ray._private import parameter", "ray._raylet.x()",
                                  "from ray.train._internal import session", "from ray.tune import _x",
                                  "sys.modules['ray._private.worker']"])  # fmt: skip
def test_a_private_name_is_seen(tmp_path: Path, text: str) -> None:
    (tmp_path / "module.py").write_text(text)
    assert private(tmp_path / "module.py")


def test_no_module_imports_another_in_a_circle() -> None:
    names = {str(file.relative_to(ROOT).with_suffix("")).replace("/", "."): file for file in modules()}
    arrows = {
        name: {other for part in imported(file) if (other := _module(part, names))} for name, file in names.items()
    }
    done: set[str] = set()
    while free := {name for name, others in arrows.items() if name not in done and others <= done | {name}}:
        done |= free
    assert not arrows.keys() - done, "these import each other"


def _module(name: str, names: dict[str, Path]) -> str | None:
    return name if name in names else name.rpartition(".")[0] if name.rpartition(".")[0] in names else None
