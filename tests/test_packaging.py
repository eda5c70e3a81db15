"""What pyproject.toml says is so, and the wheel is all that one needs: where there is no source, it runs a sweep."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

import raysweep

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, without anything of this environment."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, ROOT, cwd=directory)
    [wheel] = directory.iterdir()
    return wheel


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """A new environment's commands. What the wheel needs is the tests' own: it is large, and is there."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    [packages] = (tmp_path / "env/lib").glob("python*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))  # not what is in its own .pth files: our source
    commands = tmp_path / "env/bin"
    install = ("install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", wheel)
    run(sys.executable, "-m", "pip", "--python", commands / "python", *install, cwd=tmp_path)
    return commands


@pytest.mark.slow
def test_the_wheel_has_all_of_the_package_and_nothing_else(wheel: Path) -> None:
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "raysweep").rglob("*") if path.is_file()}
    there = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in there if ".dist-info/" not in name} == {name for name in here if "__pycache__" not in name}
    assert "raysweep/py.typed" in there
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in there)


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    where = run(installed / "python", "-c", "import raysweep; print(raysweep.__file__)", cwd=folder)
    assert where.startswith(str(tmp_path / "env"))
    assert "raysweep run" in run(installed / "raysweep", "init", cwd=folder)
    run(installed / "raysweep", "run", "grid.json", cwd=folder)
    results = raysweep.load("starter", folder / "runs")
    assert [trial.state for trial in results.trials] == [raysweep.State.DONE] * 8
    assert results.frame()["accuracy"].notna().all()
    assert "accuracy" in run(installed / "raysweep", "best", "starter", cwd=folder)


def test_the_versions_of_python_are_the_same_wherever_they_are_told() -> None:
    classified = [c.rpartition(":: ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    oldest, newest = classified[0], classified[-1]
    major, _, minor = newest.partition(".")
    assert PROJECT["requires-python"] == f">={oldest},<{major}.{int(minor) + 1}"
    assert classified == [f"3.{minor}" for minor in range(int(oldest[2:]), int(newest[2:]) + 1)]
    for page in ("README.md", "docs/index.md"):
        assert f"Python {oldest} to {newest} on Linux" in (ROOT / page).read_text()


def test_ray_is_the_same_wherever_it_is_needed() -> None:
    extras = PROJECT["optional-dependencies"].values()
    needed = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    assert len({line.partition("]")[2] for line in needed if line.startswith("ray[")}) == 1
