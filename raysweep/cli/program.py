"""The command line: verbs to functions; alone prints and decides exit codes.

Exit codes: 0 all trials done; 1 the sweep ended and some trials failed; 2 the command line or the sweep file
is wrong, nothing was started; 3 Ray, the disk or the backup failed in mid-sweep; 130 interrupted. After these two
the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from raysweep.cli import compare, effects, plan, report, results, run, start, streams, suggest, tensorboard, work
from raysweep.cli.answer import say
from raysweep.cli.exit_codes import INTERRUPTED, WRONG
from raysweep.cli.on_slurm import split
from raysweep.cli.parser import Parser, difference, positive
from raysweep.errors import BROKEN_OFF, BrokenOffError, RaysweepError, SpecError


def entry() -> NoReturn:
    """The `raysweep` command."""
    streams.open_all()
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    given, sbatch = split(arguments)
    options = _parser().parse_args(_joined(given), argparse.Namespace(given=given, sbatch=sbatch))
    try:
        return int(_function(options)(options))
    except RaysweepError as error:
        say(f"raysweep: {error}")
        return BROKEN_OFF if isinstance(error, BrokenOffError) else WRONG
    except KeyboardInterrupt:
        return INTERRUPTED


def _function(options: argparse.Namespace) -> Any:
    """What does the command: here, or with --cluster and --slurm there."""
    if options.sbatch and not getattr(options, "slurm", False):  # argparse would run without it
        raise SpecError(f"{' '.join(options.sbatch)}: stands after --, and is for sbatch; add --slurm, or leave it out")
    for name in ("slurm", "cluster"):
        if getattr(options, name, None):
            return getattr(import_module(f"raysweep.cli.on_{name}"), options.verb.__name__)
    return options.verb


def _joined(arguments: list[str]) -> list[str]:
    """`--sort-by -loss` as `--sort-by=-loss`: argparse takes -loss for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--sort-by":
            joined[-1] = f"--sort-by={argument}"
        else:
            joined.append(argument)
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="raysweep",
        description="Hyper-parameter sweeps of PyTorch training functions on Ray Tune.",
        epilog="RUN is a run directory, its name below --runs, or the sweep file.",
        allow_abbrev=False,
    )
    from raysweep import __version__

    parser.add_argument("--version", action="version", version=f"raysweep {__version__}")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def verb(name: str, function: Any, summary: str, details: str = "") -> argparse.ArgumentParser:
        described = f"{summary[0].upper()}{summary[1:]}. {details}".strip()
        sub = verbs.add_parser(name, help=summary, description=described, allow_abbrev=False)
        sub.set_defaults(verb=function)
        return sub

    _add_run(verb("run", run.run, "train what is missing of a sweep", _RUN_HELP))
    _add_plan(verb("plan", plan.plan, "show what would run, without starting anything"))
    _add_results(verb("results", results.results, "the leaderboard, best trial first; also writes the tables"))
    _add_best(verb("best", results.best, "the best trial: its configuration and where its weights are"))
    _add_effects(verb("effects", effects.effects, "what mattered: the share of each axis, and the mean of each value"))
    _add_compare(
        verb("compare", compare.compare, "two runs: which configurations are better or worse in OTHER, if any")
    )
    next_one = verb("suggest", suggest.suggest, "a sweep file to go on with, made of what a sweep has shown")
    next_one.add_argument("run", metavar="RUN")
    _add_runs(next_one)
    _add_report(verb("report", report.report, "one HTML file of a run, or of several: look at it, and send it"))
    status = verb("status", work.status, "what runs now, and how many trials stand where")
    status.add_argument("run", metavar="RUN")
    status.add_argument("--json", action="store_true", help="the answer as JSON on stdout")
    _add_runs(status)
    _add_cluster(status)
    stop = verb("stop", work.stop, "let a run finish its epochs and stop; the second time, end it now")
    stop.add_argument("run", metavar="RUN")
    _add_runs(stop)
    _add_cluster(stop)
    board = verb("tensorboard", tensorboard.tensorboard, "TensorBoard over one run, or over all of them")
    board.add_argument("run", metavar="RUN", nargs="?", help="one run; all of --runs where it is not given")
    board.add_argument("--port", type=positive, default=6006, help="default: 6006")
    _add_runs(board)
    doctor = verb("doctor", _doctor, "what would break a run: versions, code, storage, resources, clocks of every node")
    doctor.add_argument("grid", metavar="GRID", nargs="?", type=Path, help="a sweep file that is to be run")
    _add_runs(doctor)
    _add_ship(doctor)
    convert = verb("convert", _convert, "a sweep file for a search space of NNI, Hydra's sweepers or an Optuna study")
    convert.add_argument("file", metavar="FILE", type=Path)
    init = verb("init", start.init, f"write a starter sweep: {' and '.join(start.STARTER)}")
    init.add_argument("directory", metavar="DIR", nargs="?", type=Path, default=Path(), help="default: here")
    verb("schema", start.schema, "print the JSON Schema of a sweep file")
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from raysweep.cli.doctor import doctor

    return doctor(options)


def _convert(options: argparse.Namespace) -> int:
    from raysweep.cli.convert import convert

    return convert(options)


_RUN_HELP = (
    "Finished trials are not run again, interrupted ones go on from their last checkpoint. Exit codes: 0 all trials "
    "done, 1 some failed, 2 the command line or the sweep file is wrong (nothing was started), 3 Ray, the disk or the "
    "backup failed in mid-sweep, 130 interrupted (after these two the state is saved)."
)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        default=Path("runs"),
        help="where run directories are; default: runs",
    )


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cluster", metavar="FILE", type=Path, help="on the cluster that `ray up FILE` started; results come here"
    )


def _add_ship(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ship",
        metavar="PATH",
        action="append",
        default=[],
        help="a file or directory beside GRID that a cluster gets although git ignores it, or it is data or may be "
        "secret",
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
    parser.add_argument(
        "--samples", metavar="N", type=positive, help="how many trials a search draws, where the file does not say it"
    )
    parser.add_argument("--yes", action="store_true", help="plan more than 10,000 trials")
    parser.add_argument("--json", action="store_true", help="the answer as JSON on stdout")
    _add_runs(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_grid(parser)
    parser.add_argument(
        "--preflight", action="store_true", help="first see that one trial of each shape runs, for some seconds each"
    )
    parser.add_argument("--retry-failed", action="store_true", help="run the failed trials again")
    parser.add_argument("--retry-stopped", action="store_true", help="go on with trials that early stopping ended")
    parser.add_argument("--fresh-code", action="store_true", help="repeat trials whose training code has changed since")
    parser.add_argument(
        "--max-failures",
        metavar="N",
        type=int,
        help="stop after N failed trials; 0: never; default: when the first 5 all fail the same way",
    )
    _add_cluster(parser)
    parser.add_argument("--slurm", action="store_true", help="submit it to SLURM; what follows after -- is for sbatch")
    parser.add_argument(
        "--dry-run", action="store_true", help="only show which files --cluster would get, or how --slurm calls sbatch"
    )
    _add_ship(parser)
    parser.add_argument(
        "--backup",
        metavar="URL",
        help="keep a copy of the run directory in an object store, such as s3://bucket/runs, and go on from it where "
        "the run directory is lost",
    )
    parser.add_argument("--isolate", action="store_true", help="a fresh process for each trial; slower")


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _add_grid(parser)
    parser.add_argument(
        "--estimate", action="store_true", help="how long it will take; rehearses trials of shapes that never ran"
    )
    parser.add_argument("--price", metavar="PRICE", type=difference, help="of the machine's hour: what it will cost")


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--sort-by", metavar="NAME", help="a column; -NAME for descending")
    parser.add_argument("--top", metavar="N", type=positive, help="only the first N")
    parser.add_argument(
        "--where", metavar="CONDITION", action="append", default=[], help='such as "lr=0.1" or "accuracy>0.9"'
    )
    parser.add_argument(
        "--group-by",
        metavar="NAMES",
        help="average over these parameters, with commas between them; none: one row per trial; default: the seed axis",
    )
    parser.add_argument(
        "--margin", type=difference, default=0.0, help="a difference of the metric that does not matter"
    )
    parser.add_argument("--format", choices=("table", "csv", "json", "md", "latex", "html"), default="table")
    _add_runs(parser)
    _add_cluster(parser)


def _add_effects(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--format", choices=("table", "csv", "json", "md"), default="table")
    _add_runs(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("other", metavar="OTHER", help="the run that is held against it")
    parser.add_argument("--format", choices=("table", "csv", "json", "md"), default="table")
    _add_runs(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="+")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="default: report.html in the run directory; of several runs, here"
    )
    parser.add_argument("--watch", action="store_true", help="write it again while a run is at work")
    _add_runs(parser)


def _add_best(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--export", metavar="FILE", type=Path, help="write its weights, and what rebuilds the network")
    parser.add_argument("--json", action="store_true", help="the answer as JSON on stdout")
    _add_runs(parser)
