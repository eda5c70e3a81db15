"""A command line taken apart: argparse, with errors that say what is meant, and the numbers that it takes."""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any, NoReturn

from raysweep.cli.answer import say
from raysweep.cli.exit_codes import WRONG
from raysweep.sweepfile.parameters import nearest


class Parser(argparse.ArgumentParser):
    """argparse, naming the nearest known command or option where one is wrong."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but each command refuses for itself what it does not know."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and what may be meant, and end with the exit code of a wrong command line."""
        if message.startswith("unrecognized arguments: -"):
            wrong = message.split()[2].partition("=")[0]
            known = [option for action in self._actions for option in action.option_strings]
            message = f"there is no option {wrong}; {nearest(wrong, known)}"
        elif message.startswith("argument COMMAND: invalid choice: "):
            wrong = message.split("'")[1]
            message = f"there is no command {wrong!r}; {nearest(wrong, self._commands())}"
        say(f"raysweep: {message}\ntry: {self.prog} --help")
        sys.exit(WRONG)

    def _commands(self) -> list[str]:
        return [name for action in self._actions if action.metavar == "COMMAND" for name in action.choices or ()]


def positive(text: str) -> int:
    """A whole number from 1 on, of the command line."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def difference(text: str) -> float:
    """A number from 0 on, of the command line."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return number
