"""A class trainable; apart from functions.py, whose trials need no Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ray import tune


class Stepper(tune.Trainable):  # type: ignore[misc]  # Ray ships no types
    """A class trainable that counts its steps, and keeps the count in its checkpoint."""

    def setup(self, config: dict[str, Any]) -> None:
        self.count = 0
        self.log = Path(config["log"])

    def step(self) -> dict[str, Any]:
        self.count += 1
        with self.log.open("a") as log:
            log.write(f"{self.config['x']} {self.count}\n")
        return {"loss": 1 / self.count, "nested": {"count": self.count}}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "count.json").write_text(json.dumps(self.count))

    def load_checkpoint(self, checkpoint: str) -> None:
        self.count = json.loads(Path(checkpoint, "count.json").read_text())
