"""raysweep as a library: `raysweep.run` in another's program, which it leaves as it found it."""

from __future__ import annotations

import inspect
import json
import logging
import os
import pkgutil
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import raysweep
from raysweep.errors import SpecError, TrainableError
from tests.conftest import SweepFile
from tests.sweeps import content

ROOT = Path(__file__).parents[1]
LOGGERS = ("ray", "ray.tune", "ray.train", "ray.data")


def test_the_interface_is_all_there() -> None:
    assert set(raysweep.__all__) <= set(dir(raysweep))
    for name in raysweep.__all__:
        assert getattr(raysweep, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        raysweep.rnu  # noqa: B018 - that it raises is what is tested


def ours() -> Iterator[str]:
    """The names of all classes that the package defines."""
    for info in pkgutil.walk_packages(raysweep.__path__, "raysweep."):
        if not re.search("starter|__main__|integrations", info.name):  # of those each needs a library of its own
            module = import_module(info.name)
            yield from (name for name, one in vars(module).items() if getattr(one, "__module__", "") == info.name)


def named(of: Any) -> Iterator[str]:
    """What a function takes and returns, or what a class's public members are."""
    if inspect.isfunction(of):
        yield from map(str, inspect.get_annotations(of).values())
    elif isinstance(of, property):
        yield from named(of.fget)
    elif inspect.isclass(of):
        yield from (str(field.type) for field in fields(of)) if is_dataclass(of) else ()
        for name, member in vars(of).items():
            yield from () if name.startswith("_") else named(member)


def test_whatever_run_takes_returns_and_raises_can_be_imported() -> None:
    told = [raysweep.run, raysweep.RunOptions, raysweep.Progress, raysweep.Results, raysweep.TrialResult]
    needed = {name for one in told for text in named(one) for name in re.findall(r"\w+", text)} & set(ours())
    raised = set(re.findall(r"\w+Error", inspect.getdoc(raysweep.run) or ""))
    assert {"SweepSpec", "Again", "Trial", "State", "Results"} <= needed  # it does find something
    assert needed | raised <= set(raysweep.__all__)


Surroundings = dict[str, Any]


def surroundings() -> Surroundings:
    """What a program has that others could change."""
    loggers = {name: logging.getLogger(name) for name in LOGGERS}
    return {
        "environment": dict(os.environ),
        "directory": Path.cwd(),
        "path": list(sys.path),
        "module": sys.modules.get("train"),
        "loggers": {name: (one.level, list(one.handlers), one.propagate) for name, one in loggers.items()},
        "root": (logging.getLogger().level, list(logging.getLogger().handlers)),
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "hooks": (sys.excepthook, threading.excepthook),
    }


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A program that has no Ray at work, with settings that a run would change."""
    import ray
    import ray.data
    import ray.tune  # what these change when they are imported is theirs

    assert not ray.is_initialized()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "train", ModuleType("train"))
    settings = {
        "RAY_ADDRESS": "local",
        "RAY_AUTH_MODE": "disabled",
        "TUNE_RESULT_DIR": "/mine",
        "MALLOC_ARENA_MAX": "7",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(logging.getLogger("ray.tune"), "level", logging.DEBUG)
    before = {number: signal.signal(number, _handle) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _handle(number: int, frame: object) -> None:
    raise AssertionError("nobody sent a signal")


def test_two_runs_leave_the_program_as_it_was(program: None, sweep_file: SweepFile) -> None:
    before = surroundings()
    first = raysweep.run(str(sweep_file(name="mine")))
    assert surroundings() == before
    assert {trial.state for trial in first.trials} == {raysweep.State.DONE}

    grown: Mapping[str, Any] = content(name="mine", parameters={"lr": [0.1, 0.01, 0.001]})
    results: list[raysweep.Results] = []
    thread = threading.Thread(target=lambda: results.append(raysweep.run(grown, runs="runs")))
    thread.start()
    thread.join()
    assert surroundings() == before
    (second,) = results
    assert [trial.best and trial.best.metrics["loss"] for trial in second.trials] == [0.1, 0.01, 0.001]
    assert second.directory == first.directory


def test_a_run_that_is_wrong_leaves_it_as_it_was_too(program: None, sweep_file: SweepFile) -> None:
    before = surroundings()
    with pytest.raises(SpecError, match="the sweep: parameters: is missing"):
        raysweep.run(content(name="mine", parameters=None))
    (sweep_file().parent / "train.py").write_text("import no_such_module\ndef train(config): pass\n")
    with pytest.raises(TrainableError, match="No module named 'no_such_module'"):
        raysweep.run(content(name="mine"))
    assert surroundings() == before


NOTEBOOK = """
import asyncio, json, os
import raysweep

async def cell():  # a notebook has a loop at work, and no __main__ file
    for count in (1, 2):
        sweep = {"name": "mine", "trainable": "train.py:train", "metric": {"name": "loss", "goal": "minimize"},
                 "parameters": {"lr": list(range(count))}}
        before = dict(os.environ)
        results = raysweep.run(sweep)
        assert dict(os.environ) == before, {*os.environ.items()} ^ {*before.items()}
        print(json.dumps([str(trial.state) for trial in results.trials]))

asyncio.run(cell())
"""


def test_in_a_notebook_with_rays_authentication(tmp_path: Path, sweep_file: SweepFile) -> None:
    sweep_file()  # with its train.py
    environment = {**os.environ, "HOME": str(tmp_path), "RAY_ADDRESS": "local", "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_AUTH_MODE", None)  # Ray then makes a token, and sets this by itself
    command = [sys.executable, "-W", "ignore", "-"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, input=NOTEBOOK, text=True, capture_output=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [["done"], ["done", "done"]]


SURVIVOR = """
import os, pathlib, signal, sys, threading, time
import raysweep

LOG = pathlib.Path("log").resolve()
SWEEP = {"name": "mine", "trainable": "functions.py:counted", "metric": {"name": "loss", "goal": "minimize"},
         "parameters": {"x": [1, 2, 3], "epochs": 20, "pause": 0.3, "log": str(LOG)}}

def kill():
    while not LOG.exists() or LOG.read_text().count("\\n") < 4:
        time.sleep(0.1)
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        words = stat.read_text().split()
        if words[1] == "(gcs_server)" and int(words[3]) == os.getpid():
            os.kill(int(words[0]), signal.SIGKILL)

threading.Thread(target=kill).start()
try:
    raysweep.run(SWEEP, directory=sys.argv[1])
except raysweep.BrokenOffError as error:
    print(error)
print({str(trial.state) for trial in raysweep.run(SWEEP, directory=sys.argv[1]).trials})
"""


@pytest.mark.slow
def test_a_program_outlives_the_ray_that_a_run_started(tmp_path: Path) -> None:
    environment = {**os.environ, "RAY_ADDRESS": "local", "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", SURVIVOR, str(ROOT / "tests")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr
    told, states = done.stdout.splitlines()
    assert told.startswith("Ray's gcs_server has died; see that this machine has memory left")
    assert states == "{'done'}"
    assert len(set((tmp_path / "log").read_text().splitlines())) == 60
