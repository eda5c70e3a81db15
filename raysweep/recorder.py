"""The bookkeeping around a training loop: count, time, draw, save, report, and go on where it stopped."""

from __future__ import annotations

import json
import logging
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from raysweep import summaries
from raysweep.errors import TrainableError
from raysweep.reporting import TrialContext, checkpoint, current_trial, report
from raysweep.weights import NETWORK, TRAINING, WEIGHTS

Batch = TypeVar("Batch")


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
        histograms: every how many epochs to write histograms of each parameter and its gradient;
            0 or False for never.
        images: whether to show the first batch, where it is one of images, as a grid.
        graph: whether to show the network's graph, where it can be traced with the first batch.
        checkpoint: whether to save the state of every epoch. Without it a trial that is interrupted
            starts again at its first epoch, and its weights are not kept.
        description: what to keep beside the weights, in network.json, to build the network again.

    Raises:
        TrainableError: `description` cannot be written as JSON.
    """

    def __init__(  # noqa: PLR0913 - each is a keyword, and independent of the others
        self,
        network: nn.Module,
        *,
        optimizer: Optimizer | None = None,
        scheduler: LRScheduler | None = None,
        histograms: int = 1,
        images: bool = True,
        graph: bool = True,
        checkpoint: bool = True,
        description: Mapping[str, object] | None = None,
    ) -> None:
        self._network = network
        self._stateful = {"optimizer": optimizer, "scheduler": scheduler}
        self._histograms = int(histograms)
        self._images = images
        self._graph = graph
        self._checkpoint = checkpoint
        self._description = None if description is None else _as_json(description)
        self._first_batch = True
        self._epoch_start = 0.0
        self._tally = _Tally()
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
            self._tally, self._metrics = _Tally(), {}
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
        mean = _mean(loss)
        if predictions is None:
            samples = _samples(targets, size)
        else:
            samples = len(predictions)
            self._tally.correct = self._tally.correct + _correct(predictions, targets)
            self._tally.classified += samples
        self._tally.samples += samples
        self._tally.loss = self._tally.loss + mean * samples

    def metrics(self, **values: object) -> None:
        """Report these with the current epoch, such as `val_loss=...`; they replace the recorder's own."""
        self._metrics.update(values)

    def _close(self, epoch: int, counted: Mapping[str, float]) -> None:
        trial = current_trial()
        if trial is not None and self._histograms and epoch % self._histograms == 0:
            trial.events.add(summaries.histograms(self._network), epoch)
        metrics = {**counted, **self._metrics}
        if trial is None or not self._checkpoint:
            report(metrics)
            return
        with tempfile.TemporaryDirectory(prefix="raysweep-") as folder:
            self._save(Path(folder), epoch)
            report(metrics, checkpoint=folder)

    def _draw(self, batch: object) -> None:
        trial = current_trial()
        if trial is None or not isinstance(batch, (tuple, list)) or not isinstance(batch[0], Tensor):
            return
        if self._images and (grid := summaries.image_grid(batch[0])) is not None:
            trial.events.add(grid, 0)
        if self._graph:
            self._draw_graph(trial, batch[0])

    def _draw_graph(self, trial: TrialContext, inputs: Tensor) -> None:
        try:
            trial.events.graph(*summaries.network_graph(self._network, inputs))
        except Exception as error:  # a network may raise anything, and can be trained without a graph
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            name = type(self._network).__name__
            logging.getLogger(__name__).warning("no graph of %s, it cannot be traced: %s", name, reason)

    def _save(self, folder: Path, epoch: int) -> None:
        torch.save(self._network.state_dict(), folder / WEIGHTS)
        states = {name: owner.state_dict() for name, owner in self._stateful.items() if owner is not None}
        torch.save({**states, "random": _random_states(), "epoch": epoch}, folder / TRAINING)
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
        _set_random_states(state["random"])
        self._first_batch = False  # drawn before the trial was interrupted
        return int(state["epoch"])


@dataclass
class _Tally:
    """What count() adds up in one epoch, as tensors on the network's device."""

    loss: Tensor | float = 0.0  # summed over samples, float64
    correct: Tensor | int = 0
    classified: int = 0  # samples that came with predictions
    samples: int = 0

    def metrics(self) -> dict[str, float]:
        """The means per sample, of what was counted."""
        values = {"loss": float(self.loss) / self.samples} if self.samples else {}
        if self.classified:
            values["accuracy"] = int(self.correct) / self.classified
        return values

    def speed(self, seconds: float) -> dict[str, float]:
        """Training samples per second of the whole epoch, what was validated in it included."""
        return {"samples_per_second": self.samples / seconds} if self.samples and seconds > 0 else {}


def _mean(loss: Tensor | float) -> Tensor | float:
    """The loss in float64, as `.item()` would give it, but still on its device."""
    if not isinstance(loss, Tensor):
        return float(loss)
    if loss.numel() != 1:
        raise TrainableError(
            f"count() takes the batch's mean loss, one number; it was given a tensor of shape "
            f"{tuple(loss.shape)}: use reduction='mean', or loss.mean()"
        )
    return loss.detach().reshape(()).double()


def _samples(targets: Tensor | None, size: int | None) -> int:
    if size is not None:
        return size
    if targets is None:
        raise TrainableError("count(loss) cannot know how many samples the batch has: add size=len(batch)")
    return len(targets)


def _correct(predictions: Tensor, targets: Tensor | None) -> Tensor:
    shape = None if targets is None else tuple(targets.shape)
    if predictions.ndim != 2 or predictions.shape[1] < 2 or targets is None or shape != predictions.shape[:1]:
        raise TrainableError(
            "count() takes predictions of shape (N, classes) and targets of shape (N,); it was given "
            f"{tuple(predictions.shape)} and {shape}. Without classes, use count(loss, size=N)"
        )
    return torch.eq(predictions.detach().argmax(dim=1), targets).sum()


def _as_json(description: Mapping[str, object]) -> str:
    try:
        return json.dumps(description, indent=2) + "\n"
    except (TypeError, ValueError) as error:
        raise TrainableError(f"the recorder's description cannot be written as JSON: {error}") from None


def _load(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _random_states() -> dict[str, Any]:
    """The states of all generators, in types that torch.load(weights_only=True) takes."""
    numpy_state: Any = np.random.get_state(legacy=False)
    words = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return {
        "python": random.getstate(),
        "numpy": {**numpy_state, "state": {"key": words, "pos": int(numpy_state["state"]["pos"])}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if cuda else [],
    }


def _set_random_states(states: Mapping[str, Any]) -> None:
    random.setstate(states["python"])
    words = states["numpy"]["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**states["numpy"], "state": {**states["numpy"]["state"], "key": words}})
    torch.set_rng_state(states["torch"])
    # A trial may go on on a machine with other GPUs; there the generators keep the trial's seed.
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
