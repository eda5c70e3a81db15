"""The command line: verbs to functions; alone prints and decides exit codes.

Exit codes: 0 all trials done; 1 the sweep ended and some trials failed; 2 the command line or the sweep file
is wrong, nothing was started; 3 Ray, the disk or the backup failed in mid-sweep; 130 interrupted. After these two
the same command goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from raysweep import commands
from raysweep.commands import INTERRUPTED, WRONG
from raysweep.errors import BROKEN_OFF, BrokenOffError, RaysweepError
from raysweep.parameters import nearest


def entry() -> NoReturn:
    """The `raysweep` command."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    options = _parser().parse_args(_joined(arguments))
    try:
        return int(_function(options)(options))
    except RaysweepError as error:
        print(f"raysweep: {error}", file=sys.stderr)
        return BROKEN_OFF if isinstance(error, BrokenOffError) else WRONG
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `raysweep results | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _function(options: argparse.Namespace) -> Any:
    """What does the command: here, or with --cluster there."""
    if getattr(options, "cluster", None) is None:
        return options.verb
    from raysweep import remote_commands

    return getattr(remote_commands, options.verb.__name__)


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

    _add_run(verb("run", commands.run, "train what is missing of a sweep", _RUN_HELP))
    _add_plan(verb("plan", commands.plan, "show what would run, without starting anything"))
    _add_results(verb("results", commands.results, "the leaderboard, best trial first; also writes the tables"))
    _add_best(verb("best", commands.best, "the best trial: its configuration and where its weights are"))
    status = verb("status", commands.status, "what runs now, and how many trials stand where")
    status.add_argument("run", metavar="RUN")
    status.add_argument("--json", action="store_true", help="the answer as JSON on stdout")
    _add_runs(status)
    _add_cluster(status)
    stop = verb("stop", commands.stop, "let a run finish its epochs and stop; the second time, end it now")
    stop.add_argument("run", metavar="RUN")
    _add_runs(stop)
    _add_cluster(stop)
    board = verb("tensorboard", commands.tensorboard, "TensorBoard over one run, or over all of them")
    board.add_argument("run", metavar="RUN", nargs="?", help="one run; all of --runs where it is not given")
    board.add_argument("--port", type=_positive, default=6006, help="default: 6006")
    _add_runs(board)
    doctor = verb("doctor", _doctor, "what would break a run: versions, code, storage, resources, clocks of every node")
    doctor.add_argument("grid", metavar="GRID", nargs="?", type=Path, help="a sweep file that is to be run")
    _add_runs(doctor)
    init = verb("init", commands.init, f"write a starter sweep: {' and '.join(commands.STARTER)}")
    init.add_argument("directory", metavar="DIR", nargs="?", type=Path, default=Path(), help="default: here")
    verb("schema", commands.schema, "print the JSON Schema of a sweep file")
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from raysweep.doctor import doctor

    return doctor(options)


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
    _add_cluster(parser)
    parser.add_argument(
        "--backup",
        metavar="URL",
        help="keep a copy of the run directory in an object store, such as s3://bucket/runs, and go on from it where "
        "the run directory is lost",
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
    _add_cluster(parser)


def _add_best(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--export", metavar="FILE", type=Path, help="write its weights, and what rebuilds the network")
    parser.add_argument("--json", action="store_true", help="the answer as JSON on stdout")
    _add_runs(parser)
