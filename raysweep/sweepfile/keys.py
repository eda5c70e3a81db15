"""The keys of a sweep file: what may stand in it, and what each means."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from raysweep.sweepfile.command import SCRIPT
from raysweep.sweepfile.members import (
    NOTHING,
    Checkpoints,
    EarlyStopping,
    EarlyTerminate,
    Fuse,
    Metric,
    Model,
    Resources,
    unranked,
)

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")  # of a folder, everywhere


class Ignored(Model):
    """Keys of W&B that mean nothing here: a file that has them works, and is told of them once."""

    project: Any = Field(None, description=NOTHING)
    entity: Any = Field(None, description=NOTHING)
    controller: Any = Field(None, description=NOTHING)
    job: Any = Field(None, description=NOTHING)
    image_uri: Any = Field(None, description=NOTHING)
    scheduler: Any = Field(None, description=NOTHING)
    api_version: Any = Field(None, alias="apiVersion", description=NOTHING)
    kind: Any = Field(None, description=NOTHING)


class Keys(Ignored):
    """All keys."""

    schema_: str | None = Field(None, alias="$schema", description="this schema, for editors")
    name: str = Field(description="names the run directory; the file's stem")
    description: str | None = Field(None, description="for people")
    trainable: str = Field(description='"package.module:function", or "train.py:function" beside this file')
    program: str | None = Field(
        None, description='instead of a trainable: a script, "train.py" or "package.module", run as from a shell'
    )
    command: list[str] | None = Field(
        None, min_length=1, description="how the program is started, with W&B's macros; by default by Python"
    )
    report: Literal["wandb", "tensorboard"] | None = Field(
        None, description="what a program's metrics are read off; by default it calls raysweep.report"
    )
    metric: Metric = Field(default_factory=unranked, description="what trials are compared by")
    method: Literal["grid", "random", "bayes"] = Field(
        "grid", description="random draws from lists, too; bayes searches with Optuna"
    )
    parameters: dict[str, Any]
    samples: int | None = Field(None, ge=1, description="draws per grid point, where something is random")
    run_cap: int | None = Field(None, ge=1, description="at most this many trials, the first ones of the plan")
    sweep_seed: int = Field(0, ge=0, description="what the random draws, and trials without a seed, start from")
    zip: list[list[str]] = Field([], description="groups of axes that advance together")
    exclude: list[dict[str, Any]] = Field([], description="drop each combination that matches all of one entry")
    resources: Resources = Field(default_factory=Resources)
    max_concurrent: int | None = Field(None, ge=1, description="at most this many trials at once")
    stop: dict[str, float | str] = Field(
        {}, description='per trial: "epoch", "time" ("10m"), a metric\'s limit, also as "<= 0.1"'
    )
    early_stopping: EarlyStopping | None = Field(None, description="stop trials that do worse than others")
    early_terminate: EarlyTerminate | None = Field(None, description="early stopping as W&B has it")
    budget: float | str | None = Field(None, description='time for a whole run ("2h"); then it stops as after `stop`')
    checkpoints: Checkpoints = Field(default_factory=Checkpoints)
    defaults: dict[str, Any] = Field(
        {}, description="parameter to value: what earlier trials used, before the parameter was in this file"
    )
    continues: str | None = Field(
        "epochs", description="the constant that says how long to train: raising it goes on with trials that are done"
    )
    untracked: list[str] = Field([], description="constants that are not part of a trial's identity")
    folds: str | None = Field(
        None, description="the axis that is a part of the same data: results average over it as over seeds"
    )
    process: Literal["own", "ray"] | None = Field(
        None, description="own: each trial in a new process; ray: inside Ray's, for functions that call Ray themselves"
    )
    fuse: Fuse = False
    retries: int = Field(1, ge=0, description="for lost workers and nodes; exceptions are not retried")

    @model_validator(mode="before")
    @classmethod
    def _trains_with_its_program(cls, content: Any) -> Any:
        """A program is a trainable, too: that of the name `__main__`."""
        program = content.get("program") if isinstance(content, dict) else None
        if not isinstance(program, str) or "trainable" in content:
            return content
        return {**content, "trainable": f"{program}:{SCRIPT}"}

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        """A title, such as "lr / batch size", as a folder is called: lr-batch-size."""
        folder = name if NAME.fullmatch(name) else re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")
        if not NAME.fullmatch(folder):
            raise ValueError("cannot name a folder")
        return folder

    @property
    def ignored(self) -> list[str]:
        """The keys in the file that mean nothing here, in its order."""
        found = [Ignored.model_fields[key].alias or key for key in Ignored.model_fields if key in self.model_fields_set]
        return [*found, *(["metric.impute"] if "impute" in self.metric.model_fields_set else [])]
