"""Where a sweep should have gone further: all that tie with the winner lie at one end of an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raysweep.results.scales import Scale
from raysweep.results.seeds import Configuration
from raysweep.results.statistics import Statistics


@dataclass(frozen=True)
class Edge:
    """An end of an axis that the best configurations lie at.

    Attributes:
        name: the axis.
        value: the end.
        word: "smallest" or "largest".
        scale: the axis.
    """

    name: str
    value: float
    word: str
    scale: Scale

    def told(self, tied: int) -> str:
        """What is to be said of it, where so many configurations are tied."""
        whose = "the winner has" if tied == 1 else f"all {tied} that are tied have"
        return f"{self.name}: {whose} {self.value:g}, the {self.word} that was tried; the best may lie beyond it"


def edges(statistics: Statistics) -> Iterator[Edge]:
    """The axes at an end of which all that tie with the winner lie, or the winner alone where there are no ties."""
    best = leaders(statistics)
    for name in dict.fromkeys(name for one in statistics.found for name in one.parameters):
        scale = Scale.of(one.parameters[name] for one in statistics.found if name in one.parameters)
        word = scale.edge(one.parameters[name] for one in best if name in one.parameters) if scale and best else None
        if scale is not None and word is not None:
            yield Edge(name, scale.values[0 if word == "smallest" else -1], word, scale)


def leaders(statistics: Statistics) -> Sequence[Configuration]:
    """The configurations that are tied with the winner, and itself; itself alone where none were compared."""
    if statistics.ties is not None:
        return statistics.tied
    return [statistics.winner] if statistics.winner is not None else []
