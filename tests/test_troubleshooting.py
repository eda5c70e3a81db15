"""docs/troubleshooting.md has every message that raysweep can make, in its words, and no message that it cannot."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from raysweep.sweepfile.foreign import FOREIGN

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
SHOWN = "".join(re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
TOLD = {"halting", "noticed", "tell", "_tell"}  # what is called with a notice for people
TELLING = 4  # letters: a text with fewer, such as "{file}: {error}", only frames another


def pattern_of(node: ast.AST) -> str | None:
    """A string as a regular expression, in which anything may stand where a value is put in; None for other nodes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(pattern_of(part) or ".*?" for part in node.values)
    return None


def is_telling(pattern: str | None) -> bool:
    return pattern is not None and " " in pattern.strip() and len(re.sub(r"[^A-Za-z]", "", pattern)) >= TELLING


def modules() -> dict[Path, ast.Module]:
    files = [path for path in sorted((ROOT / "raysweep").rglob("*.py")) if "starter" not in path.parts]
    return {file.relative_to(ROOT): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def messages(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and pattern of each message: what errors are made of, notices, and what is wrong with a sweep or a node."""
    for node in ast.walk(module):
        parts: list[ast.expr] = []
        if isinstance(node, ast.Call) and makes_message(node.func):
            parts = node.args
        elif isinstance(node, ast.FunctionDef) and "problems" in node.name:
            found = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Yield) and inner.value]
            parts = [value.elts[-1] if isinstance(value, ast.Tuple) else value for value in found]
        yield from ((part.lineno, pattern) for part in parts if is_telling(pattern := pattern_of(part)) and pattern)


def makes_message(function: ast.expr) -> bool:
    name = getattr(function, "id", getattr(function, "attr", ""))
    return (name.endswith("Error") and name != "AttributeError") or name in TOLD  # that one is Python's own


def texts(node: ast.AST) -> Iterator[str]:
    """The pattern of each line of text within a node; a part of a text is none of its own."""
    if (pattern := pattern_of(node)) is not None:
        yield from pattern.split("\\\n")  # an escaped end of a line
    else:
        for inner in ast.iter_child_nodes(node):
            yield from texts(inner)


def test_every_message_is_explained() -> None:
    made = {f"{file}:{line}": text for file, module in modules().items() for line, text in messages(module)}
    assert len(made) > 150
    missing = {where: text for where, text in made.items() if not re.search(text, SHOWN)}
    assert not missing, "a ```text block of docs/troubleshooting.md is to show these"


def test_what_is_said_of_other_tools_keys_is_explained() -> None:
    for key, text in FOREIGN.items():
        before, _, after = text.partition("{value}")
        assert re.search(f"{key}: {re.escape(before)}.*{re.escape(after)}", SHOWN)


def test_what_is_explained_can_be_said() -> None:
    known = {text for module in modules().values() for text in texts(module) if is_telling(text)}
    compiled = [re.compile(text) for text in known]
    unknown = [line for line in SHOWN.splitlines() if not any(text.search(line) for text in compiled)]
    assert not unknown, "raysweep has no such messages"


def test_every_section_has_its_messages_before_its_explanation() -> None:
    sections = re.split(r"^#+ .*\n", PAGE, flags=re.MULTILINE)
    assert all(section.count("```text") <= 1 for section in sections)
    assert all(section.startswith("\n```text") for section in sections if "```text" in section)
