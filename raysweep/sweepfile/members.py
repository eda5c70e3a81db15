"""The members of a sweep file that are objects of their own: the metric, resources, checkpoints, early stopping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from raysweep.store.records import Report

NOTHING = "of W&B; means nothing here, and is ignored"


class Model(BaseModel):
    """What all parts of a sweep file have in common: no other keys, and no value taken for one of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Metric(Model):
    """The metric that trials are compared by."""

    name: str = Field(min_length=1, description="as the training function reports it")
    goal: Literal["minimize", "maximize"] = Field("minimize", description="which end of it is better")
    target: float | None = Field(
        None, allow_inf_nan=False, description="a value that is good enough: once a trial reaches it, the sweep ends"
    )
    impute: Any = Field(None, description=NOTHING)
    at: str = Field(
        "best",
        pattern=r"^(best|last|mean-of-last-[1-9][0-9]{0,8})$",
        description='which value of it counts of a trial: "best", "last" or "mean-of-last-5"',
    )

    @property
    def is_named(self) -> bool:
        """Whether there is one; without, trials have no order."""
        return bool(self.name)

    def reaches(self, value: object) -> bool:
        """Whether a value is at `target`, or past it."""
        if self.target is None or not isinstance(value, (int, float)):
            return False
        return value >= self.target if self.goal == "maximize" else value <= self.target

    @property
    def last(self) -> int:
        """How many of a trial's last reports count; 0 where its best one does."""
        return 0 if self.at == "best" else 1 if self.at == "last" else int(self.at.rpartition("-")[2])

    def better(self, value: float, than: float) -> bool:
        """Whether `value` is better: a number than an infinite one, which says that something broke; these than NaN."""
        if math.isfinite(value) != math.isfinite(than):
            return math.isfinite(value)
        if than != than or value != value:
            return value == value
        return value > than if self.goal == "maximize" else value < than

    def best(self, reports: Iterable[Report]) -> Report | None:
        """The best of the reports that have the metric as a number; None where none has.

        Where any of them came with a checkpoint, only those count: the best epoch is one to go back to.
        """
        best: Report | None = None
        for report in reports:
            if isinstance(report.metrics.get(self.name), (int, float)) and self._beats(report, best):
                best = report
        return best

    def _beats(self, report: Report, best: Report | None) -> bool:
        if best is None or (report.checkpoint is None) != (best.checkpoint is None):
            return best is None or report.checkpoint is not None
        return self.better(float(report.metrics[self.name]), float(best.metrics[self.name]))


def unranked() -> Metric:
    """The metric of a sweep file that has none."""
    return Metric.model_construct(_fields_set=set(), name="", goal="minimize", target=None, impute=None, at="best")


class Resources(Model):
    """What one trial occupies while it runs."""

    cpu: float = Field(default=1, ge=0, allow_inf_nan=False, description="CPUs; also the number of threads of a trial")
    gpu: float = Field(default=0, ge=0, allow_inf_nan=False, description="GPUs; a fraction shares one between trials")
    workers: int = Field(
        default=1, ge=1, description="processes that train a trial together, by torch.distributed; they share all of it"
    )

    @field_validator("gpu")
    @classmethod
    def _whole_above_one(cls, gpu: float) -> float:
        if gpu > 1 and gpu != int(gpu):
            raise ValueError("above 1 it must be a whole number (Ray splits one GPU, not two)")
        return gpu

    @property
    def threads(self) -> int:
        """How many threads each process of a trial may use."""
        return max(1, int(self.cpu / self.workers))


Fuse = Annotated[
    Literal["auto", False] | Annotated[int, Field(ge=2)],
    Field(
        description='train trials of equal shape as one program: "auto", or the most that a group has; see fusion.md'
    ),
]


class Checkpoints(Model):
    """Which of a trial's checkpoints are kept; the best one, by the metric, always is."""

    last: int = Field(1, ge=1, description="how many of the last ones")


class EarlyStopping(Model):
    """Stops trials that do worse than others, by Ray Tune's schedulers."""

    type: Literal["asha", "median", "hyperband"]
    grace: int = Field(1, ge=1, description="epochs that every trial gets")
    reduction: int = Field(4, ge=2, description="of asha and hyperband: one in so many goes on")
    max_epochs: int | None = Field(None, ge=1, description="of asha and hyperband: the parameter epochs")


class EarlyTerminate(Model):
    """W&B's way to write early stopping; its hyperband decides at each rung as Ray Tune's asha does.

    W&B's rungs are `min_iter` times powers of `eta`, or `max_iter` divided by powers of it, `s` of them:
    https://docs.wandb.ai/guides/sweeps/sweep-config-keys/#early_terminate
    """

    type: Literal["hyperband"]
    min_iter: int | None = Field(None, ge=1, description="reports before the first rung")
    max_iter: int | None = Field(None, ge=1, description="reports of a whole trial; the rungs are parts of it")
    s: int | None = Field(None, ge=1, description="with max_iter: how many rungs")
    eta: float = Field(3, gt=1, description="one in so many goes on; each rung is so many times the one before")
    strict: bool = Field(False, description="understood: asha decides at each rung, which W&B calls strict")

    @model_validator(mode="after")
    def _has_rungs(self) -> EarlyTerminate:
        if self.min_iter is None and (self.max_iter is None or self.s is None):
            raise ValueError('needs "min_iter", or "max_iter" and "s"')
        return self

    @property
    def grace(self) -> int:
        """The first rung."""
        if self.max_iter is None or self.s is None:
            return self.min_iter or 1
        return max(1, int(self.max_iter / self.eta**self.s))
