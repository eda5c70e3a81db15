"""The verbs of the command line: each takes the parsed options, prints its answer and returns the exit code."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shlex
import signal
import sys
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.errors import SpecError, StoreError
from raysweep.records import State
from raysweep.store import RunDirectory

if TYPE_CHECKING:
    import pandas as pd

    from raysweep.reconciliation import Again
    from raysweep.results import Results

FAILED, WRONG, INTERRUPTED = 1, 2, 130
STARTER = ("grid.json", "train.py")


def run(options: argparse.Namespace) -> int:
    """Train what is missing."""
    from raysweep import display, sweep, sweepfile, trials

    grid = sweepfile.load(options.grid, options.set)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        results = sweep.run(
            grid,
            runs=options.runs,
            directory=options.grid.parent,
            progress=display.for_stream(sys.stderr),
            options=sweep.Options(
                again=_again(options),
                isolate=options.isolate,
                max_failures=options.max_failures,
                limit=None if options.yes else trials.LIMIT,
                backup=options.backup,
            ),
        )
    except KeyboardInterrupt:
        print(
            f"interrupted; the state is saved, and the same command goes on: {_command(*sys.argv[1:])}", file=sys.stderr
        )
        return INTERRUPTED
    _tell(results, time.monotonic() - started, options.json)
    if results.failed:
        return FAILED
    return 0 if all(trial.state.is_finished for trial in results.trials) else INTERRUPTED


def _show(results: Results, table: pd.DataFrame) -> None:
    from raysweep.tables import show

    metrics = dict.fromkeys(name for trial in results.trials if trial.last for name in trial.last.metrics)
    optional = [name for name in metrics if name != results.spec.metric.name]
    show(table, [*optional, "seconds", "state"])


def _again(options: argparse.Namespace) -> frozenset[Again]:
    from raysweep.reconciliation import Again

    asked = {
        Again.FAILED: options.retry_failed,
        Again.STOPPED: options.retry_stopped,
        Again.OTHER_CODE: options.fresh_code,
    }
    return frozenset(again for again, wanted in asked.items() if wanted)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _command(*arguments: str) -> str:
    """A command line as the user can type it, in the way that this one was called."""
    program = ["python", "-m", "raysweep"] if sys.argv[0].endswith("__main__.py") else ["raysweep"]
    return shlex.join([*program, *arguments])


def _tell(results: Results, seconds: float, as_json: bool) -> None:
    counts = Counter(str(trial.state) for trial in results.trials)
    if as_json:
        best = _best_facts(results) if results.ranked() else None
        failed = [{"trial": t.id, "name": t.name, "error": str(t.error)} for t in results.failed]
        print(_json({"name": results.spec.name, "directory": str(results.directory), "seconds": seconds,
                     "counts": counts, "best": best, "failed": failed}))  # fmt: skip
        return
    from raysweep.display import duration

    if results.ranked():
        _show(results, results.leaderboard(top=5))
    for error, trials in _grouped(results).items():
        print(f"failed: {error} ({len(trials)} trials, such as {trials[0]})", file=sys.stderr)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    print(f"{told} in {duration(seconds)}; results in {_near(results.directory)}", file=sys.stderr)


def status(options: argparse.Namespace) -> int:
    """Show what runs now."""
    from raysweep.display import duration, number
    from raysweep.results import load

    results = load(options.run, options.runs)
    store = RunDirectory(results.directory)
    counts = Counter(str(trial.state) for trial in results.trials)
    running = [trial for trial in results.trials if trial.state is State.RUNNING]
    metric = results.spec.metric.name
    if options.json:
        rows = [{"trial": t.id, "name": t.name, "epoch": t.last.epoch if t.last else 0} for t in running]
        print(_json({"name": results.spec.name, "at_work": store.is_locked(), "counts": counts, "running": rows}))
        return 0
    for trial in running:
        if (last := trial.last) is None:
            print(f"{trial.name}: no report yet")
        else:
            value, trained = number(last.metrics.get(metric)), duration(last.run_duration)
            print(f"{trial.name}: epoch {last.epoch}, {metric} {value}, {trained}")
    stopping = ", asked to stop" if store.stop_requested() else ""
    work = f"process {store.holder().get('pid')} is at work{stopping}" if store.is_locked() else "no run is at work"
    print(f"{results.spec.name}: {', '.join(f'{n} {state}' for state, n in counts.items())}; {work}", file=sys.stderr)
    return 0


def stop(options: argparse.Namespace) -> int:
    """Let a run finish its epochs; the second time, end it now."""
    from raysweep.results import find

    store = find(options.run, options.runs)
    if not store.is_locked():
        raise StoreError(f"{store.path}: no run is at work here")
    if not store.stop_requested():
        store.request_stop()
        print("asked to stop: running trials finish their epoch; `stop` again to end them now")
        return 0
    holder = store.holder()
    if holder.get("host") != platform.node():
        raise StoreError(f"{store.path}: the run is on {holder.get('host')}; end process {holder.get('pid')} there")
    os.kill(int(holder["pid"]), signal.SIGINT)
    print(f"ended process {holder['pid']}; the state is saved")
    return 0


def _near(path: Path) -> Path:
    """The path as short as it can be written: from here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _grouped(results: Results) -> dict[str, list[str]]:
    """The names of failed trials by their error's first line."""
    groups: dict[str, list[str]] = {}
    for trial in results.failed:
        first = str(trial.error).strip().splitlines()
        groups.setdefault(first[0] if first else "unknown", []).append(trial.name)
    return groups


def plan(options: argparse.Namespace) -> int:
    """Show what would run."""
    from raysweep import sweepfile, trials
    from raysweep.display import summary
    from raysweep.fingerprint import fingerprint
    from raysweep.reconciliation import reconcile
    from raysweep.reference import Reference

    grid = sweepfile.load(options.grid, options.set)
    planned = trials.plan(grid, None if options.yes else trials.LIMIT)
    code = fingerprint(Reference(grid.trainable, options.grid.parent.resolve()))
    run = RunDirectory(options.runs / grid.name)
    reconciliation = reconcile(grid, planned, run, at_work=run.exists() and run.is_locked())
    todo = {standing.trial.id for standing in reconciliation.missing()}
    if options.json:
        rows = [{"trial": s.trial.id, "name": s.trial.name, "state": s.state, "config": s.trial.config}
                for s in reconciliation.standings]  # fmt: skip
        dropped = [folder.path.name for folder in reconciliation.dropped]
        print(_json({"name": grid.name, "trials": rows, "dropped": dropped, "to_run": len(todo)}))
        return 0
    for standing in reconciliation.standings:
        other = "  (trained by other code)" if standing.has_other_code(code) else ""
        print(f"{standing.state:<15}{standing.trial.name}{other}")
    for folder in reconciliation.dropped:
        print(f"{'dropped':<15}{folder.path.name}")
    print(summary(grid, reconciliation, len(todo)), file=sys.stderr)
    return 0


def results(options: argparse.Namespace) -> int:
    """Show the leaderboard."""
    from raysweep import tables
    from raysweep.results import load

    results = load(options.run, options.runs)
    table = results.leaderboard(sort_by=options.sort_by, top=options.top, where=options.where)
    if options.format == "csv":
        print(table.to_csv(index=False), end="")
    elif options.format == "json":
        print(table.to_json(orient="records", indent=1))
    elif options.format == "md":
        print(tables.markdown(table))
    else:
        _show(results, table)
    if os.access(results.directory, os.W_OK):
        results.write()
    return 0


def best(options: argparse.Namespace) -> int:
    """Show, and export, the best trial."""
    from raysweep.results import load

    results = load(options.run, options.runs)
    facts = _best_facts(results)
    if options.export:
        from raysweep.weights import export

        best = results.best
        if best.checkpoint is None:
            raise StoreError(f"{best.name}: saved no checkpoint, so there are no weights; use raysweep.Recorder")
        export(best.checkpoint, best.config, options.export)
        facts["exported"] = str(options.export)
    if options.json:
        print(_json(facts))
        return 0
    metric = results.spec.metric.name
    print(f"{facts['name']}\n{metric} {facts['value']:.6g} at epoch {facts['epoch']}")
    print(_json(facts["config"]))
    weights = facts["weights"] and _near(Path(facts["weights"]))
    print(f"weights: {weights or 'none: the trial saved no checkpoint'}")
    if options.export:
        print(f"exported: {options.export}")
    return 0


def _best_facts(results: Results) -> dict[str, Any]:
    best = results.best
    assert best.best is not None  # the best trial has reported the metric
    return {
        "trial": best.id,
        "name": best.name,
        "metric": results.spec.metric.name,
        "value": best.best.metrics[results.spec.metric.name],
        "epoch": best.best.epoch,
        "config": dict(best.config),
        "weights": str(best.checkpoint) if best.checkpoint else None,
    }


def tensorboard(options: argparse.Namespace) -> int:
    """Become TensorBoard."""
    from raysweep.results import find

    directory = find(options.run, options.runs).path if options.run else options.runs
    if not directory.is_dir():
        raise StoreError(f"{directory}: there is no such directory; run a sweep first")
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(directory),
        "--port",
        str(options.port),
    ]
    os.execv(sys.executable, command)


def init(options: argparse.Namespace) -> int:
    """Write a starter sweep."""
    there = [name for name in STARTER if (options.directory / name).exists()]
    if there:
        raise SpecError(f"{options.directory / there[0]}: is there already; give another DIR")
    try:
        options.directory.mkdir(parents=True, exist_ok=True)
        for name in STARTER:
            (options.directory / name).write_bytes(files("raysweep").joinpath("starter", name).read_bytes())
    except OSError as error:
        raise StoreError(f"{options.directory}: cannot be written ({error.strerror}); give another DIR") from None
    print(f"wrote {' and '.join(STARTER)}; try: {_command('run', str(options.directory / STARTER[0]))}")
    return 0


def schema(options: argparse.Namespace) -> int:
    """Print the JSON Schema."""
    from raysweep.schema import shipped

    print(shipped(), end="")
    return 0


def _json(value: object) -> str:
    return json.dumps(_writable(value), indent=1, default=str)


def _writable(value: Any) -> Any:
    """NaN and the infinities as text: JSON has none."""
    if isinstance(value, dict):
        return {key: _writable(member) for key, member in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
