"""One trial as a worker is told of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raysweep.reference import Reference


@dataclass(frozen=True)
class Job:
    """What a worker is told of a trial; plain data, so that it travels as JSON.

    Attributes:
        folder: the absolute path of the trial's folder.
        id, name, config: as planned.
        trainable: the sweep file's text, and `directory` what it is relative to.
        metric, goal: what trials are compared by.
        stop: limits of "epoch", "time" (seconds) and metrics, each as (comparison, number).
        keep_last: how many of the last checkpoints are kept, beside the best.
        code: the fingerprint of the training function's source.
        resources: "CPU" and "GPU" that it occupies, as Ray names them.
        gpu: the part of a GPU that the sweep file gives it, whose memory it may use; it may occupy more.
        threads: of torch and OpenMP.
        seed: what the random generators start from.
        is_paced: whether each report waits for a scheduler, which may stop the trial.
        head: the name of the actor that serves the run directory on a cluster; see `mirror.place`.
    """

    folder: str
    id: str
    name: str
    config: dict[str, Any]
    trainable: str
    directory: str
    metric: str
    goal: str
    stop: dict[str, tuple[str, float]]
    keep_last: int
    code: str | None
    resources: dict[str, float]
    gpu: float
    threads: int
    seed: int
    is_paced: bool = False
    head: str | None = None

    @property
    def reference(self) -> Reference:
        """The trainable."""
        return Reference(self.trainable, Path(self.directory))

    def to_json(self) -> str:
        """The job as text: what Tune carries without copying it again and again."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job that a text holds."""
        return cls(**json.loads(text))
