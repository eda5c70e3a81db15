"""The watchdog, with a Ray that is said to be dead; tests/test_interruptions.py kills a real one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from raysweep import cluster, watchdog
from raysweep.progress import Progress
from raysweep.watchdog import Watchdog


def wait_for(told: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not told():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "INTERVAL", 0.01)


def test_a_death_is_told_and_what_follows_from_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "dead", lambda: "raylet")
    progress = Progress()
    with Watchdog(progress):
        wait_for(lambda: progress.fault)
        raise RuntimeError("an actor cannot be reached")
    assert progress.reason.startswith("Ray's raylet has died; ") and "run again" in progress.reason


def test_an_interruption_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "dead", lambda: "raylet")
    progress = Progress()
    with pytest.raises(KeyboardInterrupt), Watchdog(progress):
        wait_for(lambda: progress.fault)
        raise KeyboardInterrupt


def test_an_error_of_the_living_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "dead", lambda: None)
    with pytest.raises(RuntimeError), Watchdog(Progress()):
        raise RuntimeError


def test_a_shutdown_is_no_death(monkeypatch: pytest.MonkeyPatch) -> None:
    looking, is_over, looked = threading.Event(), threading.Event(), threading.Event()

    def dead() -> str:
        looking.set()
        is_over.wait(10)
        looked.set()
        return "raylet"

    monkeypatch.setattr(cluster, "dead", dead)
    progress = Progress()
    with Watchdog(progress):
        assert looking.wait(10)
    is_over.set()  # the block has ended while it looked, and Ray was shut down
    assert looked.wait(10)
    time.sleep(0.05)
    assert progress.fault is None
