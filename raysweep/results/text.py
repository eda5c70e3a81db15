"""Numbers, durations and text as people read them."""

from __future__ import annotations

import re

# What a terminal obeys, and what turns or breaks a line: controls, directions of writing, halves of characters.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """Text in one line, with control characters as their escapes, such as `\\x1b`: shown, and not obeyed."""
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shown_lines(text: str) -> str:
    """As `shown`, in as many lines as the text has."""
    return "\n".join(map(shown, text.replace("\t", "    ").split("\n")))


def duration(seconds: float) -> str:
    """Seconds as people say them: 8s, 2m05s, 1h02m."""
    total = round(seconds)
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m{total % 60:02d}s"
    return f"{total // 3600}h{total % 3600 // 60:02d}m"


def number(value: object) -> str:
    """A value, short, and as a sweep file writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.5g}" if isinstance(value, float) else "" if value is None else shown(str(value))
