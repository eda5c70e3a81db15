"""What is kept beside the weights, to build their network again and to give it images as it knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raysweep.errors import TrainableError
from raysweep.vision.data import DataSet, Statistics
from raysweep.vision.options import Options


@dataclass(frozen=True)
class Description:
    """A network and what it classifies.

    Attributes:
        network: its name, as `Options.network` has it.
        channels: of the images it takes, 1 or 3.
        size: height and width in pixels.
        classes: the names of the classes, by label.
        hidden: the sizes of mlp's hidden layers, if they were given.
        normalize: what images are normalised by; None where they are in [0, 1].
        dataset: what it was trained on.
    """

    network: str
    channels: int
    size: tuple[int, int]
    classes: tuple[str, ...]
    hidden: tuple[int, ...] | None = None
    normalize: Statistics | None = None
    dataset: str = ""

    @classmethod
    def of(cls, options: Options, data: DataSet) -> Description:
        """The network that `options` asks for, for `data`."""
        return cls(
            network=options.network,
            channels=data.channels,
            size=data.size,
            classes=data.classes,
            hidden=options.hidden,
            normalize=data.normalize,
            dataset=options.dataset,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: object, path: Path) -> Description:
        """What `to_json` gave.

        Args:
            values: the parsed JSON.
            path: the file they are from, for the error.

        Raises:
            TrainableError: they are something else.
        """
        if not isinstance(values, Mapping):
            raise TrainableError(f"{path} does not describe a network; it was not written by raysweep.vision")
        try:
            height, width = values["size"]
            hidden, normalize = values["hidden"], values["normalize"]
            return cls(
                network=str(values["network"]),
                channels=int(values["channels"]),
                size=(int(height), int(width)),
                classes=tuple(map(str, values["classes"])),
                hidden=None if hidden is None else tuple(map(int, hidden)),
                normalize=None if normalize is None else _statistics(normalize),
                dataset=str(values["dataset"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise TrainableError(f"{path} does not describe a network of raysweep.vision ({reason})") from None


def _statistics(values: Mapping[str, Any]) -> Statistics:
    return Statistics(mean=tuple(map(float, values["mean"])), std=tuple(map(float, values["std"])))
