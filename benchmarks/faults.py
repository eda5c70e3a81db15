"""Kill everything at random moments, until the sweep is done; then compare with an undisturbed run.

    python -m benchmarks.faults --kills 50

Each round starts `raysweep run` on the same sweep file, waits for a random time, and sends a signal to the
driver, to one trial's worker, to the raylet, to Ray's GCS, or to all of them at once (a power cut), until the
sweep has completed and enough was killed; a sweep that completes earlier is extended by more epochs. At the
end every planned trial must be there exactly once, with the very numbers of the undisturbed run, and nothing
may be left: no temporary file, no process, no lock.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import raysweep
from benchmarks.processes import MARK, marked, send
from raysweep.results.results import Results
from raysweep.store.directory import RunDirectory
from raysweep.store.files import TEMPORARY
from raysweep.store.records import State

# what is killed, how, and how often as against the others
KINDS = {
    "driver SIGINT": 2,
    "driver SIGTERM": 2,
    "driver SIGKILL": 4,
    "worker SIGKILL": 8,
    "raylet SIGKILL": 2,
    "gcs SIGKILL": 1,
    "power cut": 3,
}


def sweep_file(folder: Path, trials: int, epochs: int) -> Path:
    """A sweep of benchmarks/faulty.py."""
    content = {
        "name": "faults",
        "trainable": f"{Path(__file__).parent / 'faulty.py'}:train",
        "metric": {"name": "accuracy", "goal": "maximize"},
        "parameters": {
            "lr": [0.01, 0.003, 0.001],
            "seed": list(range(trials // 3)),
            "batch_size": 16,
            "epochs": epochs,
            "log": str(folder / "epochs.log"),
        },
        "untracked": ["log"],
        "retries": 100,  # of workers, which are killed again and again here
    }
    path = folder / "faults.json"
    path.write_text(json.dumps(content))
    return path


@dataclass
class Tally:
    """What was done to a sweep, and what it cost."""

    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    seconds: float = 0.0


def _kill(kind: str, driver: subprocess.Popen[bytes], mark: str, chance: random.Random) -> bool:
    """Do one act of violence; False where its target is not there."""
    alive = marked(mark)
    if kind == "power cut":
        for pid in alive:
            send(pid, signal.SIGKILL)
        return True
    if kind.startswith("driver"):
        return send(driver.pid, signal.Signals[kind.rpartition(" ")[2]])
    pattern = {"worker": "ray::SweepTrainable", "raylet": "/raylet/raylet", "gcs": "gcs_server"}[
        kind.split(maxsplit=1)[0]
    ]
    targets = sorted(pid for pid, command in alive.items() if pattern in command)
    return bool(targets) and send(chance.choice(targets), signal.SIGKILL)


def _start(grid: Path, runs: Path, mark: str, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, MARK: mark, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": "local"}
    command = [sys.executable, "-m", "raysweep", "run", str(grid), "--runs", str(runs), "--max-failures", "0"]
    with log.open("ab") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)


def disturb(grid: Path, runs: Path, kills: int, chance: random.Random, tally: Tally) -> None:
    """Run a sweep to its end, killing at random on the way."""
    mark = uuid.uuid4().hex
    log = runs.parent / "faults.log"
    while True:
        tally.rounds += 1
        started = time.monotonic()
        driver, shot = _start(grid, runs, mark, log), ""
        while driver.poll() is None:
            _wait(driver, chance.uniform(0.5, 20.0))
            if driver.poll() is None and tally.kills.total() < kills:
                kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
                if _kill(kind, driver, mark, chance):
                    tally.kills[kind] += 1
                    shot = kind
                    print(f"{tally.kills.total():4d}  {kind}", flush=True)
        tally.seconds += time.monotonic() - started
        if driver.returncode == 0:
            return
        # a Ray that is shot while it starts does not start, which is exit code 2
        is_wrong = driver.returncode == 2 and not shot.startswith(("raylet", "gcs"))
        if is_wrong or raysweep.load("faults", runs).failed:
            raise AssertionError(f"the sweep failed (exit code {driver.returncode}); see {log}")


def _wait(driver: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        driver.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def check(results: Results, expected: Results, mark: str | None = None) -> None:
    """See that a disturbed sweep came to the undisturbed one's results, and left nothing behind."""
    assert [t.id for t in results.trials] == [t.id for t in expected.trials]
    assert all(trial.state is State.DONE for trial in results.trials), results.frame()["state"].value_counts()
    for ours, theirs in zip(results.trials, expected.trials, strict=True):
        assert [_numbers(r) for r in ours.reports] == [_numbers(r) for r in theirs.reports], ours.name
    folders = [path for path in results.directory.iterdir() if path.is_dir()]
    assert len(folders) == len(results.trials), "a trial has two folders, or something was left"
    left = [path for path in results.directory.rglob("*") if path.name.endswith(TEMPORARY) or path.name[0] == "."]
    assert not left, left
    assert not RunDirectory(results.directory).is_locked()


def _numbers(report: Any) -> dict[str, object]:
    """What must be equal to the last bit: everything but times."""
    times = ("epoch_duration", "run_duration", "samples_per_second")
    return {"epoch": report.epoch} | {name: v for name, v in report.metrics.items() if name not in times}


def main(arguments: Sequence[str] | None = None) -> Tally:
    """Run the undisturbed sweep, the disturbed one, compare them and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    chance, tally = random.Random(options.seed), Tally()
    epochs = options.epochs
    while tally.kills.total() < options.kills or not tally.rounds:
        grid = sweep_file(folder, options.trials, epochs)
        disturb(grid, folder / "disturbed", options.kills, chance, tally)
        epochs += options.epochs
    begun = len((folder / "epochs.log").read_text().splitlines())
    calm = time.monotonic()
    mark = uuid.uuid4().hex
    quiet = _start(grid, folder / "calm", mark, folder / "calm.log")
    assert quiet.wait() == 0
    calm = time.monotonic() - calm
    time.sleep(5)
    assert not marked(mark), "processes were left"
    results = raysweep.load("faults", folder / "disturbed")
    expected = raysweep.load("faults", folder / "calm")
    check(results, expected)
    _report(tally, results, begun, calm)
    shutil.rmtree(folder)
    return tally


def _report(tally: Tally, results: Results, begun: int, calm: float) -> None:
    attempts = [json.loads((trial.path / "trial.json").read_text())["attempts"] for trial in results.trials]
    wanted = sum(len(trial.reports) for trial in results.trials)
    print(f"kills survived: {tally.kills.total()} ({', '.join(f'{n} x {kind}' for kind, n in tally.kills.items())})")
    print(f"runs: {tally.rounds}; attempts per trial: median {median(attempts):g}, most {max(attempts)}")
    print(f"epochs repeated: {begun - wanted}, of {wanted} (at most one per running trial and kill)")
    print("all metrics equal to an undisturbed run's")
    print(f"wall time: {tally.seconds:.0f} s, undisturbed {calm:.0f} s, so lost {tally.seconds - calm:.0f} s")


if __name__ == "__main__":
    main()
