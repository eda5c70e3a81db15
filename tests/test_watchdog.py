"""The watchdog, with a Ray that is said to be dead; tests/test_interruptions.py kills a real one."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from raysweep.driver import watchdog
from raysweep.driver.progress import Progress
from raysweep.driver.watchdog import Watchdog
from raysweep.engine.processes import Processes
from raysweep.errors import BROKEN_OFF


@dataclass(frozen=True)
class Said(Processes):
    """Processes of which `answer` says whether they live."""

    pids: Mapping[str, int] = field(default_factory=dict)
    answer: Callable[[], str | None] = lambda: None

    def dead(self) -> str | None:
        return self.answer()


def said(answer: str | None) -> Said:
    return Said(answer=lambda: answer)


def wait_for(told: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not told():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "INTERVAL", 0.01)


def test_a_death_is_told_and_what_follows_from_it_is_not() -> None:
    progress = Progress()
    with Watchdog(progress, said("raylet"), may_exit=False):
        wait_for(lambda: progress.fault)
        raise RuntimeError("an actor cannot be reached")
    assert progress.reason.startswith("Ray's raylet has died; ") and "run again" in progress.reason


def test_an_interruption_stays_one() -> None:
    progress = Progress()
    with pytest.raises(KeyboardInterrupt), Watchdog(progress, said("raylet"), may_exit=False):
        wait_for(lambda: progress.fault)
        raise KeyboardInterrupt


def test_an_error_of_the_living_is_not_swallowed() -> None:
    with pytest.raises(RuntimeError), Watchdog(Progress(), said(None), may_exit=False):
        raise RuntimeError


def test_a_shutdown_is_no_death() -> None:
    looking, is_over, looked = threading.Event(), threading.Event(), threading.Event()

    def dead() -> str:
        looking.set()
        is_over.wait(10)
        looked.set()
        return "raylet"

    progress = Progress()
    with Watchdog(progress, Said(answer=dead), may_exit=False):
        assert looking.wait(10)
    is_over.set()  # the block has ended while it looked, and Ray was shut down
    assert looked.wait(10)
    time.sleep(0.05)
    assert progress.fault is None


def test_a_block_that_waits_for_the_dead_is_left_and_the_process_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "GRACE", 0.05)
    progress, left = Progress(), threading.Event()

    def block() -> None:
        with Watchdog(progress, said("gcs_server"), may_exit=False):
            while True:
                try:
                    time.sleep(0.01)
                except Exception:  # as Tune does, which then waits for more of what never comes
                    time.sleep(3600)
        left.set()

    threading.Thread(target=block, daemon=True).start()  # a run may be in any thread
    assert left.wait(10)
    assert progress.reason.startswith("Ray's gcs_server has died")


def test_a_process_that_is_not_ours_is_never_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(watchdog, "GRACE", 0.0)
    monkeypatch.setattr("os._exit", ended.append)
    for may_exit in (False, True):
        with Watchdog(Progress(), said("raylet"), may_exit):
            time.sleep(0.3)
    assert ended == [BROKEN_OFF]


def test_the_end_of_a_process_is_seen_before_and_after_it_is_waited_for() -> None:
    child = subprocess.Popen(["sleep", "60"])
    processes = Processes({"raylet": child.pid})
    assert processes.dead() is None
    processes.kill()
    wait_for(processes.dead)
    assert child.wait() == -signal.SIGKILL  # nobody was told in Ray's place
    assert processes.dead() == "raylet"
    processes.kill()
