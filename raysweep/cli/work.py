"""`status` and `stop`: of a run at work."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import time
from collections import Counter

from raysweep.cli.answer import json_text, say
from raysweep.errors import StoreError
from raysweep.store.directory import RunDirectory
from raysweep.store.lease import Holder
from raysweep.store.records import State

PATIENCE = 10.0  # seconds for a run that has taken the directory to say so in its journal
PAUSE = 0.1  # seconds between two looks


def status(options: argparse.Namespace) -> int:
    """Show what runs now."""
    from raysweep.results.reading import load
    from raysweep.results.text import duration, number, shown

    results = load(options.run, options.runs)
    store = RunDirectory(results.directory)
    for problem in results.problems:
        say(problem)
    counts = Counter(str(trial.state) for trial in results.trials)
    running = [trial for trial in results.trials if trial.state is State.RUNNING]
    metric = results.spec.metric.name
    if options.json:
        rows = [{"trial": t.id, "name": t.name, "epoch": t.last.epoch if t.last else 0} for t in running]
        print(json_text({"name": results.spec.name, "at_work": store.is_locked(), "counts": counts, "running": rows}))
        return 0
    for trial in running:
        if (last := trial.last) is None:
            told = "no report yet"
        else:
            value, trained = number(last.metrics.get(metric)), duration(last.run_duration)
            told = ", ".join([f"epoch {last.epoch}", *([f"{metric} {value}"] if metric else []), trained])
        print(shown(f"{trial.name}: {told}"))
    stopping = ", asked to stop" if store.stop_requested() else ""
    work = f"{store.holder() or 'a run'} is at work{stopping}" if store.is_locked() else "no run is at work"
    say(f"{results.spec.name}: {', '.join(f'{n} {state}' for state, n in counts.items())}; {work}")
    return 0


def stop(options: argparse.Namespace) -> int:
    """Let a run finish its epochs; the second time, end it now."""
    from raysweep.results.reading import find

    store = find(options.run, options.runs)
    holder = _at_work(store)
    if not store.stop_requested():
        store.request_stop()
        print("asked to stop: running trials finish their epoch; `stop` again to end them now")
        return 0
    if holder.host != platform.node():
        raise StoreError(f"{store.path}: the run is on {holder.host}; end process {holder.pid} there")
    if not holder.is_alive:
        raise StoreError(
            f"{store.path}: it cannot be told whether process {holder.pid} is the run; see, and end it yourself"
        )
    os.kill(holder.pid, signal.SIGINT)
    print(f"ended process {holder.pid}; the state is saved")
    return 0


def _at_work(store: RunDirectory) -> Holder:
    """Who runs the sweep; a run that has just begun is waited for, since it takes back requests that came before.

    Raises:
        StoreError: no run is at work, or none that says so in its journal.
    """
    deadline = time.monotonic() + PATIENCE
    while store.is_locked():
        holder, journaled = store.holder(), store.journaled()
        if holder and journaled and holder.is_same(journaled) and not holder.has_died:
            return holder
        if time.monotonic() > deadline:
            raise StoreError(f"{store.path}: a run is just starting here, or ending; try again")
        time.sleep(PAUSE)
    raise StoreError(f"{store.path}: no run is at work here")
