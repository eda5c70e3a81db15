"""Two trainables as one writes them for Ray Tune; raysweep runs them as they are, and is not imported.

raysweep run examples/ray_tune/function.json    a function that reports and saves checkpoints
raysweep run examples/ray_tune/class.json       a class with step(), which runs until "stop" ends it
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from ray import tune


def quadratic(x: float, lr: float) -> float:
    """One step of gradient descent on x²."""
    return x - lr * 2 * x


def train(config: dict[str, Any]) -> None:
    """A function trainable: it goes on from its checkpoint where there is one."""
    x, start = float(config["x"]), 0
    checkpoint = tune.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            state = json.loads(Path(folder, "state.json").read_text())
        x, start = state["x"], state["step"] + 1
    for step in range(start, config["steps"]):
        x = quadratic(x, config["lr"])
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "state.json").write_text(json.dumps({"x": x, "step": step}))
            tune.report({"loss": x * x, "x": x}, checkpoint=tune.Checkpoint.from_directory(folder))


class Descent(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """A class trainable."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin a trial."""
        self.x = float(config["x"])
        self.lr = config["lr"]

    def step(self) -> dict[str, float]:
        """Train for one epoch."""
        self.x = quadratic(self.x, self.lr)
        return {"loss": self.x * self.x, "x": self.x}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, float]:
        """What load_checkpoint() is given to go on."""
        return {"x": self.x}

    def load_checkpoint(self, checkpoint: dict[str, float] | None) -> None:
        """Go on."""
        if checkpoint is not None:
            self.x = checkpoint["x"]
