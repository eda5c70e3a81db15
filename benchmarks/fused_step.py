"""What a fused step gains: K trainings as one program against the same one after another, in one process.

    python -m benchmarks.fused_step --device cuda --trials 16 --rounds 5

No sweep around it, nothing recorded: only steps of Adam, of batches of 32, alternating. Of a linear network on 8 x 8
pixels, of lenet on 28 x 28, and of a ResNet-18 with layers of a quarter of the width on 32 x 32 in colour.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.benchmark import Benchmark, Option
from benchmarks.contenders.digits import linear
from benchmarks.contenders.enlarged_digits import Quarter, lenet
from benchmarks.table import Findings, Row
from raysweep.fusion.course import Course
from raysweep.fusion.program import Program

BATCH = 32


# the network, the shape of a sample, and the goal on a GPU
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], float | None]] = {
    "linear 64-32-10": (partial(linear, [32]), (1, 8, 8), None),
    "lenet": (lenet, (1, 28, 28), 5.0),
    "resnet18 / 4": (Quarter, (3, 32, 32), 2.0),
}


def courses(build: Callable[[], nn.Module], data: tuple[Tensor, Tensor], device: str, trials: int) -> list[Course]:
    """Trainings with a learning rate and a seed of their own."""
    made = []
    for seed in range(trials):
        torch.manual_seed(seed)
        network = build().to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-4 * (seed + 1))
        made.append(Course(network, optimizer, functional.cross_entropy, data, None, 1, BATCH))
    return made


def alone(trained: list[Course]) -> None:
    """An epoch of each, one after another."""
    for course in trained:
        course.network.train()
        inputs, targets = course.train  # type: ignore[misc]  # of these, a pair
        for start in range(0, len(inputs), BATCH):
            course.step(inputs[start : start + BATCH], targets[start : start + BATCH])


def seconds(work: Callable[[], Any], device: str) -> float:
    """How long it takes until the device has done it."""
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(options: Namespace) -> Findings:
    """Each network in turn; the first round of each warms up."""
    rows = []
    torch.set_num_threads(1)
    for name, (build, shape, goal) in NETWORKS.items():
        samples = options.steps * BATCH
        data = torch.rand(samples, *shape, device=options.device), torch.randint(10, (samples,), device=options.device)
        apart = courses(build, data, options.device, options.trials)
        generators = [torch.Generator().manual_seed(seed) for seed in range(options.trials)]
        program = Program(courses(build, data, options.device, options.trials), generators)
        fused, single = [], []
        for _ in range(options.rounds + 1):
            fused.append(seconds(program.epoch, options.device) / options.steps)
            single.append(seconds(partial(alone, apart), options.device) / options.steps)
        what = f"a step of {options.trials} x {name}, fused"
        bound = None if goal is None or options.device != "cuda" else 1 / goal
        rows.append(Row(what, fused[1:], "one by one", single[1:], at_most=bound))
    device = torch.cuda.get_device_name() if options.device == "cuda" else "one CPU thread"
    return Findings(rows, [f"{device}, torch {torch.__version__}, {options.steps} steps a round"])


BENCHMARK = Benchmark(
    __doc__,
    {
        "device": Option("cpu", "cpu", "cpu or cuda"),
        "trials": Option(16, 2, "trainings"),
        "steps": Option(50, 2, "of each in a round"),
    },
    measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
