"""What is used of Ray beside its public interface: each with why, and what would replace it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ray._private import parameter


@contextmanager
def frugal() -> Iterator[None]:
    """Start no more of Ray in the block than a sweep on one machine needs.

    Ray's agent wants port 52365, and where another Ray has that, it tries for 4 s, in which all wait. The log monitor
    carries output to the driver, which is not to have any, and the monitor is the autoscaler's: two processes less
    that import Ray while the first trials' do. Options of `ray.init` would replace it; it has none for these.
    """
    given = parameter.RayParams
    parameter.RayParams = partial(given, dashboard_agent_listen_port=0, include_log_monitor=False, no_monitor=True)
    try:
        yield
    finally:
        parameter.RayParams = given
