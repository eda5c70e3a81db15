"""Where a training function's own SummaryWriter writes: under the trial, where its scalars stand beside ours."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysweep.training.reporting import current_trial
from raysweep.worker.settings import when_imported

MODULE = "torch.utils.tensorboard.writer"
OWN = "own"  # the folder in the trial's; two writers of one folder hide each other's events from TensorBoard


def keep_summaries(folder: Path) -> None:
    """Let a SummaryWriter without a directory write into the trial's folder instead of ./runs.

    Its `add_hparams` adds the metrics as scalars: the trial's parameters are in the HParams table already, where a run
    more for each call would stand beside every trial.
    """
    when_imported(MODULE, lambda module: _change(module.SummaryWriter, folder / OWN))


def _change(writer: Any, folder: Path) -> None:
    make = writer.__init__

    @functools.wraps(make)
    def __init__(self: Any, log_dir: Any = None, comment: str = "", *rest: Any, **options: Any) -> None:  # noqa: N807
        trial = current_trial()  # of several in one process, the one at work
        own = folder if trial is None else trial.directory / OWN
        make(self, log_dir or f"{own}{comment}", comment, *rest, **options)
        self._has_own_place = not log_dir

    add = writer.add_hparams

    @functools.wraps(add)
    def add_hparams(
        self: Any, hparam_dict: Mapping[str, Any], metric_dict: Mapping[str, Any], *rest: Any, **options: Any
    ) -> None:
        if not self._has_own_place:
            add(self, hparam_dict, metric_dict, *rest, **options)
            return
        for name, value in metric_dict.items():
            self.add_scalar(name, value, options.get("global_step"))

    writer.__init__, writer.add_hparams = __init__, add_hparams
