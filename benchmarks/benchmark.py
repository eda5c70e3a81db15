"""A benchmark as the command line knows it: its options, in earnest and for a smoke run, and what measures."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.table import Findings, markdown


@dataclass(frozen=True)
class Option:
    """One option, an integer or a list of them or of words.

    Attributes:
        default: its value in earnest.
        quick: its value in a smoke run.
        help: what it says.
    """

    default: Any
    quick: Any
    help: str


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        about: what it measures, and how.
        options: by name.
        measure: takes their values, and `rounds`.
    """

    about: str
    options: dict[str, Option]
    measure: Callable[[Namespace], Findings]

    def sized(self, quick: bool, rounds: int) -> Namespace:
        """The options, all with their defaults."""
        values = {name: option.quick if quick else option.default for name, option in self.options.items()}
        return Namespace(**values, rounds=rounds)

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """The benchmark as a command of its own."""
        end_tidily()
        parser = common(self.about)
        for name, option in self.options.items():
            many = isinstance(option.default, list)
            kind = type(option.default[0] if many else option.default)
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                type=kind,
                nargs="+" if many else None,
                help=f"{option.help} (default {option.default})",
            )
        told = parser.parse_args(arguments)
        options = self.sized(told.quick, told.rounds or rounds(told.quick))
        given = {name: value for name, value in vars(told).items() if value is not None and name in self.options}
        vars(options).update(given)
        print(markdown([self.measure(options)], command_line()))


def end_tidily() -> None:
    """Let SIGTERM end this process as an exception does, so that what it started ends with it."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def common(about: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="of all contenders in turn (default 5, 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything works")
    return parser


def rounds(quick: bool) -> int:
    """How many rounds there are where nothing is said."""
    return 1 if quick else 5


def command_line() -> str:
    """The command that is at work, as one would type it."""
    spec = sys.modules["__main__"].__spec__
    module = spec.name.removesuffix(".__main__") if spec is not None else sys.argv[0]
    return shlex.join(["python", "-m", module, *sys.argv[1:]])
