"""Changed, cut and retyped JSON, as a seed has it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

# what a value may turn into; texts are JSON, since some of them no value of Python's makes
VALUES = (
    "null", "true", "false", "0", "-1", "1", "2", "1.5", "-0.0", "1e400", "-1e400", "NaN", "Infinity", "-Infinity",
    str(2**53 + 1), str(2**63), str(-(2**63) - 1), str(2**64), str(10**30), "9" * 400, "9" * 5000, "1e308", "5e-324",
    '""', '"0"', '"NaN"', '"-Infinity"', '"done"', '"running"', '"unreadable"', '"minimize"', '"../../../etc/passwd"',
    '"checkpoint_1/../../x"', '"checkpoint_\\u0000"', '"\\ud800"', '"\\udfff x"', '"\\u001b[31mred"', '"[bold]x[/red]"',
    '"\\u0000"', '"=1+1"', '"' + "x" * 5000 + '"', "[]", "[0]", "[[]]", "[null]", "{}", '{"": 0}', '{"a": {"b": [1]}}',
    '{"\\ud800": 1}', "[" * 50 + "]" * 50, "[" * 3000 + "]" * 3000,
)  # fmt: skip
BYTES = (b"", b"\x00", b"\xff", b"\n", b"{", b"}", b'"', b",", b"0", b"\xed\xa0\x80", b"\\", b"\\ud800", b"\r\n")
MARK = "\ue000"  # stands for a value while the rest is written


def changed(text: str, chance: random.Random) -> bytes:
    """A JSON text with one thing about it changed: a value, a name, some bytes, or its end."""
    return chance.choice((_revalued, _revalued, _revalued, _renamed, _damaged, _cut))(text, chance)


def _revalued(text: str, chance: random.Random) -> bytes:
    content = json.loads(text)
    holder, key = chance.choice(list(_places(content)))
    if chance.random() < 0.1:
        del holder[key]
        return json.dumps(content).encode()
    holder[key] = MARK
    return json.dumps(content, ensure_ascii=False).replace(f'"{MARK}"', chance.choice(VALUES)).encode()


def _renamed(text: str, chance: random.Random) -> bytes:
    content = json.loads(text)
    places = [(holder, key) for holder, key in _places(content) if isinstance(holder, dict)]
    if not places:
        return b"{}"
    holder, key = chance.choice(places)
    holder[chance.choice(["", "x", key.upper(), "epoch", "state", MARK])] = holder.pop(key)
    return json.dumps(content, ensure_ascii=False).replace(MARK, "\\ud800").encode()


def _damaged(text: str, chance: random.Random) -> bytes:
    data = text.encode()
    start = chance.randrange(len(data) + 1)
    return data[:start] + chance.choice(BYTES) + data[start + chance.choice((0, 1, 1, 7)) :]


def _cut(text: str, chance: random.Random) -> bytes:
    data = text.encode()
    return chance.choice((data[: chance.randrange(len(data) + 1)], b"", b"null", b"[]", data * 2, bytes(len(data))))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every member and item of a value, however deep, as what holds it and its name or number."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])
