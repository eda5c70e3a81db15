"""A time limit that holds also for a training function that never reports."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Deadline:
    """Calls `expire` from a thread of its own, unless it is moved or cancelled before.

    Args:
        seconds: from now.
        expire: what to call.
    """

    def __init__(self, seconds: float, expire: Callable[[], None]) -> None:
        self._expire = expire
        self._timer = threading.Timer(0, expire)
        self.move(seconds)

    def move(self, seconds: float) -> None:
        """Let it pass `seconds` from now instead."""
        self._timer.cancel()
        self._timer = threading.Timer(max(0.0, seconds), self._expire)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """Let it never pass."""
        self._timer.cancel()
