"""The command line: verbs to functions; alone prints and decides exit codes.

Exit codes: 0 all trials done; 1 the sweep ended and some trials failed; 2 the command line or the sweep file
is wrong, nothing was started; 130 interrupted, the state is saved.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from raysweep.errors import RaysweepError, SpecError, StoreError
from raysweep.parameters import nearest

if TYPE_CHECKING:
    import pandas as pd

    from raysweep.reconciliation import Again
    from raysweep.results import Results

FAILED, WRONG, INTERRUPTED = 1, 2, 130
STARTER = ("grid.json", "train.py")


def entry() -> NoReturn:
    """The `raysweep` command."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    options = _parser().parse_args(_joined(arguments))
    try:
        return int(options.verb(options))
    except RaysweepError as error:
        print(f"raysweep: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `raysweep results | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _joined(arguments: list[str]) -> list[str]:
    """`--sort-by -loss` as `--sort-by=-loss`: argparse takes -loss for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--sort-by":
            joined[-1] = f"--sort-by={argument}"
        else:
            joined.append(argument)
    return joined


class _Parser(argparse.ArgumentParser):
    """argparse, naming the nearest known command or option where one is wrong."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but each command refuses for itself what it does not know."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: -"):
            wrong = message.split()[2].partition("=")[0]
            known = [option for action in self._actions for option in action.option_strings]
            message = f"there is no option {wrong}; {nearest(wrong, known)}"
        elif message.startswith("argument COMMAND: invalid choice: "):
            wrong = message.split("'")[1]
            message = f"there is no command {wrong!r}; {nearest(wrong, self._commands())}"
        print(f"raysweep: {message}\ntry: {self.prog} --help", file=sys.stderr)
        sys.exit(WRONG)

    def _commands(self) -> list[str]:
        return [name for action in self._actions if action.metavar == "COMMAND" for name in action.choices or ()]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="raysweep",
        description="Hyper-parameter sweeps of PyTorch training functions on Ray Tune.",
        epilog="RUN is a run directory, its name below --runs, or the sweep file.",
        allow_abbrev=False,
    )
    from raysweep import __version__

    parser.add_argument("--version", action="version", version=f"raysweep {__version__}")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def verb(name: str, function: Any, summary: str, details: str = "") -> argparse.ArgumentParser:
        described = f"{summary[0].upper()}{summary[1:]}. {details}".strip()
        sub = verbs.add_parser(name, help=summary, description=described, allow_abbrev=False)
        sub.set_defaults(verb=function)
        return sub

    _add_run(verb("run", _run, "train what is missing of a sweep", _RUN_HELP))
    _add_plan(verb("plan", _plan, "show what would run, without starting anything"))
    _add_results(verb("results", _results, "the leaderboard, best trial first; also writes the tables"))
    _add_best(verb("best", _best, "the best trial: its configuration and where its weights are"))
    board = verb("tensorboard", _tensorboard, "TensorBoard over one run, or over all of them")
    board.add_argument("run", metavar="RUN", nargs="?", help="one run; all of --runs where it is not given")
    board.add_argument("--port", type=_positive, default=6006, help="default: 6006")
    _add_runs(board)
    init = verb("init", _init, f"write a starter sweep: {' and '.join(STARTER)}")
    init.add_argument("directory", metavar="DIR", nargs="?", type=Path, default=Path(), help="default: here")
    verb("schema", _schema, "print the JSON Schema of a sweep file")
    return parser


_RUN_HELP = (
    "Finished trials are not run again, interrupted ones go on from their last checkpoint. Exit codes: 0 all trials "
    "done, 1 some failed, 2 the command line or the sweep file is wrong (nothing was started), 130 interrupted (the "
    "state is saved)."
)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        default=Path("runs"),
        help="where run directories are; default: runs",
    )


def _add_grid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("grid", metavar="GRID", type=Path, help="the sweep file: .json, .yaml or .toml")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="override a parameter: lr=0.1, lr=0.1,0.01 (an axis), optimizer.name=sgd; +name=1 adds one",
    )
    parser.add_argument("--yes", action="store_true", help="plan more than 10,000 trials")
    parser.add_argument("--json", action="store_true", help="the answer as JSON on stdout")
    _add_runs(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_grid(parser)
    parser.add_argument("--retry-failed", action="store_true", help="run the failed trials again")
    parser.add_argument("--retry-stopped", action="store_true", help="go on with trials that early stopping ended")
    parser.add_argument("--fresh-code", action="store_true", help="repeat trials whose training code has changed since")
    parser.add_argument(
        "--max-failures",
        metavar="N",
        type=int,
        help="stop after N failed trials; 0: never; default: when the first 5 all fail the same way",
    )
    parser.add_argument("--isolate", action="store_true", help="a fresh process for each trial; slower")


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _add_grid(parser)


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--sort-by", metavar="NAME", help="a column; -NAME for descending")
    parser.add_argument("--top", metavar="N", type=_positive, help="only the first N")
    parser.add_argument(
        "--where", metavar="CONDITION", action="append", default=[], help='such as "lr=0.1" or "accuracy>0.9"'
    )
    parser.add_argument("--format", choices=("table", "csv", "json", "md"), default="table")
    _add_runs(parser)


def _add_best(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--export", metavar="FILE", type=Path, help="write its weights, and what rebuilds the network")
    parser.add_argument("--json", action="store_true", help="the answer as JSON on stdout")
    _add_runs(parser)


def _run(options: argparse.Namespace) -> int:
    from raysweep import display, spec, sweep, trials

    grid = spec.load(options.grid, options.set)
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
            ),
        )
    except KeyboardInterrupt:
        print(f"interrupted; the state is saved, and the same command goes on: {_command()}", file=sys.stderr)
        return INTERRUPTED
    _tell(results, time.monotonic() - started, options.json)
    if results.failed:
        return FAILED
    return 0 if all(trial.state.is_finished for trial in results.trials) else INTERRUPTED


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


def _command() -> str:
    return " ".join(["raysweep", *sys.argv[1:]])


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
        _print_table(results.leaderboard(top=5))
    for error, trials in _grouped(results).items():
        print(f"failed: {error} ({len(trials)} trials, such as {trials[0]})", file=sys.stderr)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    print(f"{told} in {duration(seconds)}; results in {_near(results.directory)}", file=sys.stderr)


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


def _plan(options: argparse.Namespace) -> int:
    from raysweep import spec, trials
    from raysweep.display import summary
    from raysweep.reconciliation import reconcile
    from raysweep.reference import Reference, locate
    from raysweep.store import RunDirectory

    grid = spec.load(options.grid, options.set)
    planned = trials.plan(grid, None if options.yes else trials.LIMIT)
    locate(Reference(grid.trainable, options.grid.parent.resolve()))
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
        print(f"{standing.state:<12}{standing.trial.name}")
    for folder in reconciliation.dropped:
        print(f"{'dropped':<12}{folder.path.name}")
    print(summary(grid, reconciliation, len(todo)), file=sys.stderr)
    return 0


def _results(options: argparse.Namespace) -> int:
    from raysweep.results import load

    results = load(options.run, options.runs)
    table = results.leaderboard(sort_by=options.sort_by, top=options.top, where=options.where)
    if options.format == "csv":
        print(table.to_csv(index=False), end="")
    elif options.format == "json":
        print(table.to_json(orient="records", indent=1))
    elif options.format == "md":
        print(_markdown(table))
    else:
        _print_table(table)
    if os.access(results.directory, os.W_OK):
        results.write()
    return 0


def _best(options: argparse.Namespace) -> int:
    from raysweep.results import load

    results = load(options.run, options.runs)
    facts = _best_facts(results)
    if options.export:
        from raysweep.weights import export

        export(results.best, options.export)
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


def _tensorboard(options: argparse.Namespace) -> int:
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


def _init(options: argparse.Namespace) -> int:
    there = [name for name in STARTER if (options.directory / name).exists()]
    if there:
        raise SpecError(f"{options.directory / there[0]}: is there already; give another DIR")
    try:
        options.directory.mkdir(parents=True, exist_ok=True)
        for name in STARTER:
            (options.directory / name).write_bytes(files("raysweep").joinpath("starter", name).read_bytes())
    except OSError as error:
        raise StoreError(f"{options.directory}: cannot be written ({error.strerror}); give another DIR") from None
    print(f"wrote {' and '.join(STARTER)}; try: raysweep run {options.directory / STARTER[0]}")
    return 0


def _schema(options: argparse.Namespace) -> int:
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


def _markdown(table: pd.DataFrame) -> str:
    cells = [[str(name) for name in table.columns], ["---"] * len(table.columns), *_texts(table)]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in cells)


def _texts(table: pd.DataFrame) -> list[list[str]]:
    from raysweep.display import number

    return [["" if v != v else number(v) for v in row] for row in table.itertuples(index=False, name=None)]


def _print_table(table: pd.DataFrame) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    numeric = {name for name in table.columns if table[name].dtype.kind in "if"}
    for name in table.columns:
        shown.add_column(str(name), justify="right" if name in numeric else "left", no_wrap=True)
    for row in _texts(table):
        shown.add_row(*row)
    piped = None if sys.stdout.isatty() else max(shutil.get_terminal_size().columns, 10_000)
    Console(width=piped, highlight=False).print(shown)
