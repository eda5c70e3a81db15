"""What the C library's settings for trials' processes gain: training steps with them and without, in one thread each.

    python -m benchmarks.allocation --batch-sizes 100 1000

Two processes train at once, as on two slots, each in a thread, as trials do.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Mapping
from statistics import mean

from benchmarks.benchmark import Benchmark, Option
from benchmarks.table import Findings, Row

PROCESSES = 2


def measure(options: Namespace) -> Findings:
    """Each batch size with and without the settings, in turn."""
    from raysweep.engine.environment import WORKER_ENVIRONMENT

    settings = {name: value for name, value in WORKER_ENVIRONMENT.items() if name.startswith("MALLOC_")}
    rows = []
    for size in options.batch_sizes:
        rounds = [
            (_together(size, options.images, settings), _together(size, options.images, {}))
            for _ in range(options.rounds)
        ]
        with_them, without = ([taken[which] for taken in rounds] for which in (0, 1))
        rows.append(Row(f"an epoch of {options.images:,} images in batches of {size}", with_them, "without", without))
    return Findings(rows, [f"lenet; {' '.join(f'{name}={value}' for name, value in settings.items())}"])


def _together(size: int, images: int, settings: Mapping[str, str]) -> float:
    """Seconds of an epoch, the mean of processes that train at once."""
    command = ["env", *(f"{name}={value}" for name, value in settings.items()), sys.executable, "-m", __spec__.name]
    started = [
        subprocess.Popen([*command, "--one", str(size), str(images)], stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    return mean(float(process.communicate()[0]) for process in started)


def train(size: int, images: int) -> None:
    """Train an epoch to warm up and one that counts, and print its seconds."""
    import torch

    from raysweep.vision.options import Options
    from raysweep.vision.training import Training

    torch.set_num_threads(1)
    training = Training.build(Options(dataset="fashion_mnist", batch_size=size, limit=images))
    loader = training.data.train.loader(size, shuffle=True)
    for _ in range(2):
        started = time.perf_counter()
        for inputs, labels in loader:
            training.step(inputs, labels)
    print(time.perf_counter() - started)


BENCHMARK = Benchmark(
    __doc__,
    {
        "batch_sizes": Option([100, 1000], [100], "images in a batch"),
        "images": Option(20_000, 1000, "of Fashion-MNIST"),
    },
    measure,
)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        thread = threading.Thread(target=train, args=[int(argument) for argument in sys.argv[2:]])
        thread.start()
        thread.join()
    else:
        BENCHMARK.main()
