"""Why trainings cannot be one program; they are then trained one after another, which is never wrong."""

from __future__ import annotations


class RefusedError(Exception):
    """These trainings cannot be stacked; the text says what stands against it."""
