"""A run directory belongs to one experiment: another one of the same name is refused, and a moved one goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from raysweep.cli.program import main
from raysweep.errors import SpecError
from raysweep.plan.origin import check_origin, source_of
from raysweep.plan.reference import Reference
from raysweep.store.directory import RunDirectory
from raysweep.store.journal import logged
from tests.sweeps import TRAIN, content


def experiment(folder: Path, trainable: str = "train.py:train", file: str = "train.py") -> Path:
    """A sweep file called grid.json, and its training function."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(TRAIN)
    grid = folder / "grid.json"
    grid.write_text(json.dumps(content(trainable=trainable)))
    return grid


def reference(grid: Path) -> Reference:
    return Reference(json.loads(grid.read_text())["trainable"], grid.parent)


def ran(grid: Path, runs: Path, keeps_source: bool = True) -> RunDirectory:
    """The run directory after the sweep was run; version 0.1.0 did not keep what it was trained with."""
    store = RunDirectory(runs / "grid")
    store.create()
    with logged({"name": "grid", **json.loads(grid.read_text())}, store, grid.parent, source_of(reference(grid))):
        pass
    if not keeps_source:
        raw = store.sweep()
        for run in raw["runs"]:
            del run["source"]
        store.write_sweep(raw["spec"], raw["runs"])
    return store


def check(grid: Path, store: RunDirectory) -> None:
    check_origin("grid", store.path, store.earlier(), reference(grid))


versions = pytest.mark.parametrize("keeps_source", [True, False], ids=["now", "0.1.0"])


@versions
def test_the_same_sweep_file_goes_on(tmp_path: Path, keeps_source: bool) -> None:
    grid = experiment(tmp_path / "a")
    check(grid, ran(grid, tmp_path / "runs", keeps_source))


@versions
def test_another_of_the_same_name_is_refused(tmp_path: Path, keeps_source: bool) -> None:
    one, other = experiment(tmp_path / "a"), experiment(tmp_path / "b")
    store = ran(one, tmp_path / "runs", keeps_source)
    with pytest.raises(SpecError) as refusal:
        check(other, store)
    for part in ("grid: ", str(tmp_path / "a/train.py"), str(tmp_path / "b/train.py"), '"name"', "--runs DIR"):
        assert part in str(refusal.value)
    check(one, store)


@versions
def test_a_folder_that_was_moved_goes_on(tmp_path: Path, keeps_source: bool) -> None:
    store = ran(experiment(tmp_path / "a"), tmp_path / "runs", keeps_source)
    shutil.move(tmp_path / "a", tmp_path / "b")
    check(tmp_path / "b/grid.json", store)


def test_a_folder_that_is_reached_in_another_way_is_the_same(tmp_path: Path) -> None:
    store = ran(experiment(tmp_path / "a"), tmp_path / "runs")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    check(tmp_path / "link/grid.json", store)


def test_another_trainable_in_the_same_sweep_file_goes_on(tmp_path: Path) -> None:
    store = ran(experiment(tmp_path / "a"), tmp_path / "runs")
    check(experiment(tmp_path / "a", "other.py:train", "other.py"), store)


def test_another_trainable_from_another_place_is_refused(tmp_path: Path) -> None:
    store = ran(experiment(tmp_path / "a"), tmp_path / "runs")
    with pytest.raises(SpecError, match="another experiment of this name"):
        check(experiment(tmp_path / "b", "other.py:train", "other.py"), store)


def test_a_module_that_is_found_in_another_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = experiment(tmp_path / "sweeps", "swept:train")
    for folder in ("a", "b"):
        experiment(tmp_path / folder, file="swept.py")
    monkeypatch.syspath_prepend(tmp_path / "a")
    store = ran(grid, tmp_path / "runs")
    check(grid, store)
    monkeypatch.syspath_prepend(tmp_path / "b")
    with pytest.raises(SpecError, match=r"trains with \S+a/swept\.py; this one trains with \S+b/swept\.py"):
        check(grid, store)


def test_the_same_trainable_from_another_place_goes_on(tmp_path: Path) -> None:
    store = ran(experiment(tmp_path / "a", "raysweep.vision:train"), tmp_path / "runs")
    check(experiment(tmp_path / "b", "raysweep.vision:train"), store)


def test_raysweeps_own_trainable_is_the_same_in_every_checkout(tmp_path: Path) -> None:
    grid = experiment(tmp_path / "a", "raysweep.vision:train")
    store = ran(grid, tmp_path / "runs")
    raw = store.sweep()
    elsewhere = tmp_path / "other/raysweep/vision/__init__.py"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_text(TRAIN)
    raw["runs"][-1]["source"] = str(elsewhere)  # as an earlier version recorded it of a checkout that is still there
    store.write_sweep(raw["spec"], raw["runs"])
    check(grid, store)


def test_an_installed_trainable_has_no_place(tmp_path: Path) -> None:
    grid = experiment(tmp_path / "lib/site-packages")
    assert source_of(reference(grid)) is None


def test_rays_copies_of_a_folder_are_one_place(tmp_path: Path) -> None:
    one, two = experiment(tmp_path / "_ray_pkg_1"), experiment(tmp_path / "_ray_pkg_2")
    store = ran(one, tmp_path / "runs")
    check(two, store)
    check(experiment(tmp_path / "home"), store)  # the results were brought there
    inner = experiment(tmp_path / "_ray_pkg_2/b")
    with pytest.raises(SpecError, match="another experiment"):
        check(inner, store)


@pytest.mark.parametrize("entry", [{}, {"directory": 3}, {"directory": "/nowhere", "source": 3}])
@pytest.mark.parametrize("spec", [{}, {"trainable": 3}, {"trainable": "x"}])
def test_records_that_do_not_say_belong_to_all(tmp_path: Path, entry: dict[str, Any], spec: dict[str, Any]) -> None:
    store = RunDirectory(tmp_path / "runs/grid")
    store.create()
    store.write_sweep(spec, [entry])
    check(experiment(tmp_path / "a"), store)


@pytest.mark.parametrize("command", ["plan", "run", "results", "best", "status", "stop", "tensorboard"])
def test_every_command_refuses_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    runs = tmp_path / "runs"
    ran(experiment(tmp_path / "a"), runs)
    other = experiment(tmp_path / "b")
    assert main([command, str(other), "--runs", str(runs)]) == 2
    told = capsys.readouterr().err
    assert "another experiment of this name" in told and str(tmp_path / "a/train.py") in told


def test_results_outlive_the_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = experiment(tmp_path / "a")
    ran(grid, tmp_path / "runs")
    (tmp_path / "a/train.py").unlink()
    assert main(["status", str(grid), "--runs", str(tmp_path / "runs")]) == 0
