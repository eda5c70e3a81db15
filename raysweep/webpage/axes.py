"""The parameters that differ between trials, as axes that a chart can draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysweep.results.frames import cell
from raysweep.results.scales import Scale
from raysweep.results.text import number

ABSENT = ""  # the value of a parameter that a trial does not have


@dataclass(frozen=True)
class Axis:
    """A parameter that differs between trials.

    Attributes:
        name: the parameter's, dotted.
        values: one for each trial: a number where `is_number`, and else an index of `texts`.
        texts: the different values as people read them, in the order of the sweep file; none of numbers.
        is_geometric: whether it is drawn on a logarithmic scale.
    """

    name: str
    values: tuple[float, ...]
    texts: tuple[str, ...] = ()
    is_geometric: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it has numbers."""
        return not self.texts

    @classmethod
    def of(cls, name: str, values: Sequence[Any]) -> Axis:
        """That of a parameter with these values, one for each trial; None where a trial has no such parameter."""
        scale = Scale.of(values)
        if scale is not None:
            return cls(name, tuple(values), is_geometric=scale.is_geometric)
        told = [ABSENT if value is None else number(cell(value)) for value in values]
        texts = {text: index for index, text in enumerate(dict.fromkeys(told))}
        return cls(name, tuple(texts[text] for text in told), tuple(texts))

    def content(self) -> dict[str, Any]:
        """The axis as the page reads it."""
        return {
            "name": number(self.name),
            "values": list(self.values),
            "texts": list(self.texts),
            "log": self.is_geometric,
        }


def axes(parameters: Sequence[Mapping[str, Any]], names: Iterable[str]) -> Iterator[Axis]:
    """The axes of trials with these parameters, of those names; what is the same in all trials is none."""
    for name in names:
        axis = Axis.of(name, [one.get(name) for one in parameters])
        if len(set(axis.values)) > 1:
            yield axis
