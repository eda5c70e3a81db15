"""What --slurm hands to SLURM, without one; with one it is in tests/cluster/test_slurm.py."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.cli.on_slurm import split
from raysweep.cli.program import main
from raysweep.remote.slurm import Submission
from tests.conftest import SweepFile

SCRIPT = Path(__file__).parents[1] / "clusters/slurm.sbatch"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("run grid.json --slurm -- --nodes=4 -t 8:00", ("run grid.json --slurm", "--nodes=4 -t 8:00")),
        ("run --slurm grid.json --", ("run --slurm grid.json", "")),
        ("run --slurm grid.json", ("run --slurm grid.json", "")),
    ],
)
def test_what_follows_is_for_sbatch(arguments: str, expected: tuple[str, str]) -> None:
    ours, theirs = split(arguments.split())
    assert (" ".join(ours), " ".join(theirs)) == expected


def test_the_call_of_sbatch_is_shown(
    sweep_file: SweepFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep_file(name="nightly")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split("run sweep.json --set lr=0.1 --slurm --dry-run -- --nodes=2 --job-name='my own'")) == 0
    shown = shlex.split(capsys.readouterr().out)
    assert shown[:2] == ["sbatch", "--parsable"]
    assert f"--chdir={tmp_path}" in shown
    assert f"--output={tmp_path}/nightly-%j.log" in shown
    assert shown.index("--job-name=my own") > shown.index("--job-name=raysweep-nightly")  # the last one counts
    command = [sys.executable, "-m", "raysweep", "run", "sweep.json", "--set", "lr=0.1"]
    assert shown[shown.index("slurm.sbatch") + 1 :] == command


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run sweep.json --slurm", "--slurm: there is no squeue here; use a login node of a SLURM cluster"),
        ("run sweep.json --slurm --cluster c.yaml", "--slurm and --cluster: are two clusters; leave one of them out"),
        ("run sweep.json --slurm --set rate=1", "there is no 'rate' in the file"),
        ("run sweep.json -- --nodes=2", "--nodes=2: stands after --, and is for sbatch; add --slurm"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_submitted(
    line: str, told: str, sweep_file: SweepFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sweep_file().parent)
    monkeypatch.setenv("PATH", "/nowhere")
    try:
        code: object = main(line.split())
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert told in capsys.readouterr().err


def test_the_script_is_one_for_bash_and_says_what_it_wants() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    done = subprocess.run(["bash", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.split("]")[0]) == (2, "usage: sbatch [OPTIONS")
    directives = [line for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"#SBATCH --requeue", "#SBATCH --signal=B:USR1@120"} <= {*directives}
    assert Submission("a", ["x"], [], Path("/home")).sbatch("s")[-2:] == ["s", "x"]
