"""A file that hides a module of Python's or of ours is found before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysweep.cli.program import main
from raysweep.errors import TrainableError
from raysweep.plan.shadows import check_shadows
from tests.conftest import SweepFile

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["types.py", "json.py", "ray.py", "random.py", "torch/__init__.py", "yaml.py"])
@pytest.mark.parametrize("command", ["plan", "run"])
def test_it_is_named(
    sweep_file: SweepFile, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, command: str
) -> None:
    grid = sweep_file()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert main([command, str(grid), "--runs", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().err
    top = name.partition("/")[0]
    assert str(tmp_path / top) in told and f"such as my_{top}" in told
    assert not (tmp_path / "runs").exists()


def test_it_is_looked_for_beside_the_trainable(sweep_file: SweepFile, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("def train(config): ...\n")
    (tmp_path / "code" / "types.py").touch()
    assert main(["plan", str(sweep_file(trainable="code/train.py:train"))]) == 2
    (tmp_path / "code" / "types.py").rename(tmp_path / "types.py")
    assert main(["plan", str(sweep_file(trainable="code/train.py:train"))]) == 0


@pytest.mark.parametrize("name", ["test.py", "wave.py", "utils.py", "json", "types.txt", "ray/data.py", "model.py"])
def test_other_files_hide_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    check_shadows(tmp_path)


def test_a_copy_of_the_source_that_is_used_hides_nothing() -> None:
    check_shadows(ROOT)


def test_a_directory_that_is_not_there_hides_nothing(tmp_path: Path) -> None:
    check_shadows(tmp_path / "missing")
    check_shadows(tmp_path)


def test_another_raysweep_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raysweep.py").touch()
    monkeypatch.syspath_prepend(ROOT)
    with pytest.raises(TrainableError, match=r"raysweep\.py hides a package of that name, 'raysweep'"):
        check_shadows(tmp_path)
