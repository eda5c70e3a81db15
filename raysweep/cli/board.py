"""What is printed of a leaderboard: the table, and beside it how to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raysweep.cli.answer import note

if TYPE_CHECKING:
    from raysweep.results.board import Board


def show(board: Board) -> None:
    """Print a leaderboard."""
    from raysweep.results import tables

    tables.show(board.readable, list(board.optional))
    for remark in board.remarks:
        note(remark)
