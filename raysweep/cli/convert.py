"""`convert`: a sweep file for a search space of another tool."""

from __future__ import annotations

import argparse

from raysweep.cli.answer import json_text, note


def convert(options: argparse.Namespace) -> int:
    """Print a sweep file, and what is to be filled in."""
    from raysweep.sweepfile.conversion import converted
    from raysweep.sweepfile.file import read_content
    from raysweep.sweepfile.spec import check

    content, notes = converted(read_content(options.file), str(options.file))
    check({"name": options.file.stem, **content}, "the sweep file")
    print(json_text(content))
    for told in notes:
        note(told)
    return 0
