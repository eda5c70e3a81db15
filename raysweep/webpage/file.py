"""What a page shows -> the HTML file: everything in it, and nothing asked of any network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from raysweep.errors import StoreError
from raysweep.store.files import write_text

SCRIPTS = ("echarts.min.js", "state.js", "table.js", "curves.js", "axes.js", "effects.js", "timeline.js", "main.js")


def html(content: Mapping[str, Any], refresh: float | None = None) -> str:
    """The page.

    Args:
        content: what it shows: see `webpage.content`.
        refresh: seconds after which a browser looks for a newer one; None where there will be none.
    """
    data = json.dumps({**content, "refresh": refresh}, allow_nan=False, separators=(",", ":"))
    page = _part("page.html")
    filled = {
        "STYLE": _part("page.css"),
        "DATA": data.replace("<", "\\u003c"),  # no text in it ends the element that it stands in
        "SCRIPTS": "\n".join(f"<script>\n{_part(name)}\n</script>" for name in SCRIPTS),
    }
    for name, text in filled.items():
        page = page.replace(f"<!-- {name} -->", text, 1)
    return page


def _part(name: str) -> str:
    return resources.files("raysweep.webpage.static").joinpath(name).read_text(encoding="utf-8")


def write(file: Path, page: str) -> None:
    """Write the file, or replace it.

    Raises:
        StoreError: it cannot be written.
    """
    if file.is_dir():
        raise StoreError(f"{file} is a directory; name a file for the report, such as {file / 'report.html'}")
    try:
        write_text(file, page)
    except OSError as error:
        raise StoreError(f"{file}: the report cannot be written: {error.strerror or error}") from None
