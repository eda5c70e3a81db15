"""Ray actors that have imported what a trial imports, and hold no data."""

from __future__ import annotations

import sys
import time
from typing import Any

import ray


class Bare:
    """An actor; it is made when it has imported."""

    def __init__(self) -> None:
        import torch
        from ray import tune

        import raysweep.vision.training
        import raysweep.worker.actor

        self.held = (torch, tune, raysweep)

    def ready(self) -> bool:
        """Whether it is made."""
        return True


def main(count: str) -> None:
    """Make so many, say so, and stay."""
    ray.init(include_dashboard=False, log_to_driver=False)
    made: Any = ray.remote(num_cpus=0)(Bare)
    actors = [made.remote() for _ in range(int(count))]
    ray.get([actor.ready.remote() for actor in actors])
    print("ready", flush=True)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
