"""The Tune trainable around a user's: one actor, which takes on trials one after another.

Ray Tune schedules; each trial runs, and records itself, in a process of its own. So the driver's work per report does
not grow with what is recorded, and a trial's state does not depend on the driver's life. A user's exception is recorded
and the trial ends as far as Tune is concerned: Tune's failures are then lost workers and nothing else, which is what
`retries` is for.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.result import DONE, TIME_TOTAL_S, TRAINING_ITERATION, TRIAL_ID

from raysweep.plan.reconciliation import Standing
from raysweep.plan.run import Run
from raysweep.transfer.staging import shelves
from raysweep.worker import preload
from raysweep.worker.attempt import Attempt, Told
from raysweep.worker.forkserver import connected
from raysweep.worker.members import Members
from raysweep.worker.process import ForkedProcess, ForkServer, Process, ThreadProcess

COMPARED = "compared"  # the metric's value in a result, whose own name may be one of Tune's, such as "done"
TOLD = "told"  # where the driver finds what it is told of each trial in a result, behind its id
PAUSED = "paused"  # Tune's name for the state of a trial that a scheduler pauses; there is no such file


def attempt(
    run: Run, standings: Sequence[Standing], launch: Callable[[], Process], shelf: Path, held: dict[str, int]
) -> Attempt | Members:
    """An attempt at a group of trials, which may be of one."""
    if len(standings) == 1:
        return Attempt(run, standings[0], launch, shelf, held)
    return Members(run, standings, launch, shelf, held)


class SweepTrainable(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """Runs the trials that its configuration names, by the first one, under "trial", and after a reset the next."""

    _server: ForkServer | None = None  # of this process, where there is no other
    _line: socket.socket | None = None  # to the fork server

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What a trial occupies; plain in the configuration, since Tune pickles a factory anew for each trial."""
        return tune.PlacementGroupFactory([config["needs"]])

    def setup(
        self, config: dict[str, Any], run: Run, trials: Mapping[str, Standing], groups: Mapping[str, Sequence[str]]
    ) -> None:
        """Get ready for a trial.

        Args:
            config: the trial's id, under "trial", and what it occupies, under "needs"; of one that was suggested
                meanwhile, under "standing", itself.
            run: what it belongs to.
            trials: the trials that were missing when the run began, by id.
            groups: the ids of those that are trained in one process, by the first one.
        """
        self._run, self._trials, self._groups = run, trials, groups
        self._held = getattr(self, "_held", {})  # for as long as this process lives
        ids = groups.get(config["trial"], [config["trial"]])
        standings = [trials.get(id) or config["standing"] for id in ids]
        self._attempt = attempt(run, standings, self._launch, shelves(), self._held)

    def _launch(self) -> Process:
        if self._run.in_ray:
            from raysweep.worker.child import thread

            return ThreadProcess(thread)
        try:
            return ForkedProcess(self._connected())
        except ChildProcessError:  # it was killed
            self._disconnect()
            return ForkedProcess(self._connected())

    def _connected(self) -> socket.socket:
        """The connection to this machine's fork server, or to one of this process's own."""
        if self._line is None and self._run.forks is not None and self._server is None:
            with contextlib.suppress(OSError):  # it is gone
                self._line = connected(self._run.forks)
        if self._line is None:
            self._server = ForkServer(preload.modules(self._run.reference))
            self._line = self._server.connect()
        return self._line

    def _disconnect(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def train(self) -> dict[str, Any]:
        """Let the trial train until its next report, or its end; returns what the driver needs to know of it."""
        told = self._told()
        last, metric = self._attempt.last, self._run.metric.name
        return {
            **({COMPARED: last.metrics[metric]} if last and metric in last.metrics else {}),
            TRIAL_ID: self.trial_id,
            TRAINING_ITERATION: last.epoch if last else 0,
            TIME_TOTAL_S: last.run_duration if last else 0.0,
            DONE: self._attempt.is_over,
            TOLD: [[trial, one.plain()] for trial, one in told.items()],  # of a dict Tune would make others
        }

    def _told(self) -> Mapping[str, Told]:
        if isinstance(self._attempt, Members):
            return self._attempt.advance()
        return {self._attempt.id: self._attempt.advance()}

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """A scheduler pauses the trial: its state is in its folder already, which is let go of.

        The process waits for its next trial, and another may take this one up. Nothing is saved the way Tune would,
        which needs storage that all nodes share; what is returned only says that the trial can go on.
        """
        from ray.train._internal.checkpoint_manager import _TrainingResult

        self._attempt.close()
        return _TrainingResult(tune.Checkpoint.from_directory(f"{os.sep}{PAUSED}"), {})

    def restore(self, checkpoint_path: object) -> None:
        """Nothing to do: train() goes on from the trial's folder."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Get ready for the next trial."""
        self._attempt.close()
        SweepTrainable.setup(
            self, new_config, self._run, self._trials, self._groups
        )  # with_parameters() has wrapped self.setup
        return True

    def cleanup(self) -> None:
        """Let go of the trial."""
        self._attempt.close()
        self._disconnect()
