"""What a trial costs on a GPU: trainings that only touch it, on two halves of one.

    python -m benchmarks.cuda --trials 40 --rounds 3

A process for each trial makes a CUDA context for each; Ray Tune's reused actors keep the one that they have.
"""

from __future__ import annotations

from argparse import Namespace

from benchmarks.benchmark import Benchmark, Option
from benchmarks.contest import Contender, alternate, call, last_line
from benchmarks.table import Findings, Row

TOUCH = "benchmarks.contenders.cuda"
OWN, TUNE = "raysweep", "Ray Tune, actors reused"


def measure(options: Namespace) -> Findings:
    """All ways in turn."""
    contenders = [
        Contender(name, call(f"{TOUCH}:{function}", trials=options.trials), last_line)
        for name, function in ((OWN, "run_raysweep"), (TUNE, "run_tune"))
    ]
    measures = alternate(contenders, options.rounds)
    each = {name: [m.figures["seconds"] / options.trials * 1000 for m in taken] for name, taken in measures.items()}
    ready = {name: [m.figures["ready"] * 1000 for m in taken] for name, taken in measures.items()}
    rows = [
        Row("a trial that touches its GPU", each[OWN], TUNE, each[TUNE], "ms"),
        Row("until the GPU has answered", ready[OWN], TUNE, ready[TUNE], "ms"),
    ]
    return Findings(rows, [f"trials that touch their GPU: {options.trials} of each way"])


BENCHMARK = Benchmark(__doc__, {"trials": Option(40, 4, "of each way")}, measure)

if __name__ == "__main__":
    BENCHMARK.main()
