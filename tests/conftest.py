"""Fixtures of all tests."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import settings

from tests.sweeps import TRAIN, content

if TYPE_CHECKING:
    from raysweep.store.directory import RunDirectory
    from tests.fake_session import FakeSession

settings.register_profile("raysweep", deadline=None, max_examples=60, database=None)  # shared cores have no deadline
settings.load_profile("raysweep")


class SweepFile(Protocol):
    def __call__(self, text: str | None = None, /, *, file: str = "sweep.json", **keys: Any) -> Path: ...


@pytest.fixture
def sweep_file(tmp_path: Path) -> SweepFile:
    """Writes a sweep file, with a train.py beside it: a correct one with `keys` changed, or `text` as it is."""

    def write(text: str | None = None, /, *, file: str = "sweep.json", **keys: Any) -> Path:
        (tmp_path / "train.py").write_text(TRAIN)
        path = tmp_path / file
        path.write_text(json.dumps(content(**keys)) if text is None else text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def store(tmp_path: Path) -> RunDirectory:
    """A run directory, in which nothing was run yet."""
    from raysweep.store.directory import RunDirectory

    directory = RunDirectory(tmp_path / "sweep")
    directory.create()
    return directory


@pytest.fixture(scope="module")
def ray_2_cpus() -> Iterator[None]:
    """A Ray with two CPUs, as raysweep would start it, for all tests of a module."""
    import ray

    from raysweep.engine.environment import DRIVER_ENVIRONMENT, WORKER_ENVIRONMENT

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**DRIVER_ENVIRONMENT, **WORKER_ENVIRONMENT, "RAY_AUTH_MODE": "disabled"}.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        try:
            yield
        finally:
            ray.shutdown()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch with one thread, as a trial of one CPU has it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def session(tmp_path: Path) -> FakeSession:
    """Takes what a trial reports."""
    from tests.fake_session import FakeSession

    return FakeSession(tmp_path)
