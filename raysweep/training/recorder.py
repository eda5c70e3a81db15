"""The bookkeeping around a training loop: count, time, draw, save, report, and go on where it stopped."""

from __future__ import annotations

import json
import logging
import math
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from raysweep.errors import TrainableError
from raysweep.training import summaries
from raysweep.training.randomness import random_states, set_random_states
from raysweep.training.ranks import rank
from raysweep.training.reporting import TrialContext, checkpoint, current_trial, report_epoch
from raysweep.training.tally import Tally, correct, mean, samples_of
from raysweep.training.weights import NETWORK, TRAINING, WEIGHTS, loaded

Batch = TypeVar("Batch")
RESERVED = ("optimizer", "scheduler", "random", "epoch")  # what is in a checkpoint besides `state`


class Stateful(Protocol):
    """What has a state to save."""

    def state_dict(self) -> Any:
        """The state."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Take up a state."""


class Recorder:
    """Keeps the books of a training loop, which stays a plain loop.

        recorder = raysweep.Recorder(network, optimizer=optimizer)
        for epoch in recorder.epochs(config["epochs"]):
            for images, labels in recorder.batches(loader):
                predictions = network(images)
                loss = F.cross_entropy(predictions, labels)
                optimizer.zero_grad(); loss.backward(); optimizer.step()
                recorder.count(loss, predictions, labels)

    After each epoch it reports `loss` (mean per sample), `accuracy`, `epoch_duration` and `run_duration`
    (seconds), `samples_per_second` and what metrics() was given; in a sweep it also saves a checkpoint
    and writes to TensorBoard what is no scalar. Nothing it does changes the numbers of the training.

    Args:
        network: what is trained.
        optimizer: saved and restored with the network.
        scheduler: of the learning rate; saved and restored, never stepped.
        state: what else is saved and restored, by a name of yours: whatever has state_dict() and load_state_dict(),
            such as a GradScaler; no other classes than torch.load(weights_only=True) takes may be in it.
        histograms: every how many epochs to write histograms of each parameter and its gradient;
            0 or False for never.
        images: whether to show the first batch, where it is one of images, as a grid.
        graph: whether to show the network's graph, where it can be traced with the first batch.
        checkpoint: whether to save the state of every epoch. Without it a trial that is interrupted
            starts again at its first epoch, and its weights are not kept.
        description: what to keep beside the weights, in network.json, to build the network again.

    Raises:
        TrainableError: `description` cannot be written as JSON, or a name in `state` is one of the recorder's own.
    """

    def __init__(  # noqa: PLR0913 - each is a keyword, and independent of the others
        self,
        network: nn.Module,
        *,
        optimizer: Optimizer | None = None,
        scheduler: LRScheduler | None = None,
        state: Mapping[str, Stateful] | None = None,
        histograms: int = 1,
        images: bool = True,
        graph: bool = True,
        checkpoint: bool = True,
        description: Mapping[str, object] | None = None,
    ) -> None:
        self._network = network
        self._stateful: dict[str, Stateful | None] = {"optimizer": optimizer, "scheduler": scheduler, **(state or {})}
        if taken := {*RESERVED} & {*(state or {})}:
            raise TrainableError(f"the recorder's state cannot be called {min(taken)!r}, which it uses itself")
        self._histograms = int(histograms)
        self._images = images
        self._graph = graph
        self._checkpoint = checkpoint
        self._description = None if description is None else _as_json(description)
        self._first_batch = True
        self._drawn: tuple[Any, Any] | None = None  # the graph
        self._epoch_start = 0.0
        self._tally = Tally()
        self._metrics: dict[str, object] = {}

    def epochs(self, count: int) -> Iterator[int]:
        """Yield the epochs 1 to `count`; the loop's body trains one, and its end reports it.

        A trial that was interrupted goes on: the network, the optimizer, the scheduler and the random
        states are restored from the last checkpoint, and the first epoch is the one after it. An epoch
        that is left with `break` is not reported.
        """
        done = self._restore()
        trial = current_trial()
        earlier = trial.run_duration if trial is not None and done else 0.0
        run_start = time.perf_counter() - earlier
        for epoch in range(done + 1, count + 1):
            self._tally, self._metrics = Tally(), {}
            self._epoch_start = time.perf_counter()
            yield epoch
            metrics = self._tally.metrics()  # waits for the device, so the times below are true
            now = time.perf_counter()
            durations = {"epoch_duration": now - self._epoch_start, "run_duration": now - run_start}
            self._close(epoch, {**metrics, **durations, **self._tally.speed(now - self._epoch_start)})

    def batches(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """Yield what `loader` yields, unchanged; the first batch of the trial is also drawn.

        The image grid and the graph are of a batch `(inputs, targets)` whose inputs are one tensor.
        """
        for batch in loader:
            if self._first_batch:
                self._first_batch = False
                start = time.perf_counter()
                self._draw(batch)
                self._epoch_start += time.perf_counter() - start  # drawing is no part of the epoch
            yield batch

    def count(
        self,
        loss: Tensor | float,
        predictions: Tensor | None = None,
        targets: Tensor | None = None,
        *,
        size: int | None = None,
    ) -> None:
        """Count one batch of N samples; on CUDA this waits for nothing.

        Args:
            loss: the mean over the batch, one element.
            predictions: (N, classes) scores; the largest is the prediction. Without them, as in a
                regression, there is no accuracy.
            targets: (N,) integers, the true classes.
            size: N, where there are no predictions to tell it.

        Raises:
            TrainableError: the shapes are not these, or nothing tells N.
        """
        average = mean(loss)
        if predictions is None:
            samples = samples_of(targets, size)
        else:
            samples = len(predictions)
            self._tally.correct = self._tally.correct + correct(predictions, targets)
            self._tally.classified += samples
        self._tally.samples += samples
        self._tally.loss = self._tally.loss + average * samples

    def count_epoch(self, loss: float, correct: int | None, samples: int, seconds: float) -> None:
        """Count a whole epoch at once, as it was counted elsewhere.

        Args:
            loss: summed over the samples.
            correct: how many of them were predicted; None where there are no classes.
            samples: how many there were.
            seconds: what the epoch has taken.
        """
        self._tally = Tally(loss, correct or 0, 0 if correct is None else samples, samples)
        self._epoch_start = time.perf_counter() - seconds

    @property
    def loss(self) -> float:
        """The mean loss of what was counted in this epoch; NaN where nothing was."""
        return self._tally.metrics().get("loss", math.nan)

    def metrics(self, **values: object) -> None:
        """Report these with the current epoch, such as `val_loss=...`; they replace the recorder's own."""
        self._metrics.update(values)

    def draw_as(self, other: Recorder) -> None:
        """Show the graph that another has drawn, whose network has the same modules."""
        self._drawn = other._drawn

    def _close(self, epoch: int, counted: Mapping[str, float]) -> None:
        trial = current_trial()
        if trial is not None and not rank() and self._histograms and epoch % self._histograms == 0:
            trial.events.add(summaries.histograms(self._network), epoch)
        metrics = {**counted, **self._metrics}
        saves = trial is not None and self._checkpoint
        if saves and rank():  # nothing of it is kept, but a state may be one that all processes put together
            with tempfile.TemporaryDirectory(prefix="raysweep-") as folder:
                self._save(Path(folder), epoch)
        report_epoch(metrics, (lambda folder: self._save(folder, epoch)) if saves else None)

    def _draw(self, batch: object) -> None:
        trial = current_trial()
        if trial is None or rank() or not isinstance(batch, (tuple, list)) or not isinstance(batch[0], Tensor):
            return
        if self._images and (grid := summaries.image_grid(batch[0])) is not None:
            trial.events.add(grid, 0)
        if self._graph:
            self._draw_graph(trial, batch[0])

    def _draw_graph(self, trial: TrialContext, inputs: Tensor) -> None:
        try:
            self._drawn = self._drawn or summaries.network_graph(self._network, inputs)
            trial.events.graph(*self._drawn)
        except Exception as error:  # a network may raise anything, and can be trained without a graph
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            name = type(self._network).__name__
            logging.getLogger(__name__).warning("no graph of %s, it cannot be traced: %s", name, reason)

    def _save(self, folder: Path, epoch: int) -> None:
        _save(self._network.state_dict(), folder / WEIGHTS)
        states = {name: owner.state_dict() for name, owner in self._stateful.items() if owner is not None}
        _save({**states, "random": random_states(), "epoch": epoch}, folder / TRAINING)
        if self._description is not None:
            (folder / NETWORK).write_text(self._description, encoding="utf-8")

    def _restore(self) -> int:
        """Take up the last checkpoint; returns its epoch, 0 where there is none."""
        folder = checkpoint()
        if folder is None:
            return 0
        if not (folder / TRAINING).is_file():
            raise TrainableError(
                f"the checkpoint {folder} has no {TRAINING}, so it was not saved by a Recorder; "
                "start the trial again without it"
            )
        self._network.load_state_dict(_load(folder / WEIGHTS))
        state = _load(folder / TRAINING)
        for name, owner in self._stateful.items():
            if owner is not None and name in state:
                owner.load_state_dict(state[name])
        set_random_states(state["random"])
        self._first_batch = False  # drawn before the trial was interrupted
        return int(state["epoch"])


def _as_json(description: Mapping[str, object]) -> str:
    try:
        return json.dumps(description, indent=2) + "\n"
    except (TypeError, ValueError) as error:
        raise TrainableError(f"the recorder's description cannot be written as JSON: {error}") from None


def _save(content: object, path: Path) -> None:
    with path.open("wb", buffering=2**20) as file:  # of a path torch only says that it cannot be written, and not why
        torch.save(content, file)


def _load(path: Path) -> Any:
    try:
        return loaded(path)
    except ValueError as error:
        raise TrainableError(
            f"the checkpoint {path} cannot be read: {error}; move the trial's folder away, and it is trained anew"
        ) from None
