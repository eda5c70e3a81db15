"""All benchmarks, or some, and one table of what they found.

    python -m benchmarks                          everything, which takes hours
    python -m benchmarks --quick                  tiny sizes, to see that everything works
    python -m benchmarks --only trials reports    some
    python -m benchmarks --output table.md        the table in a file, too

The other tools come with `pip install -e '.[benchmarks]'`, Fashion-MNIST with Debian's package dataset-fashion-mnist.
Each is a command of its own, with options of its own: `python -m benchmarks.trials --help`.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

from benchmarks.benchmark import Benchmark, command_line, common, end_tidily, rounds
from benchmarks.table import Findings, markdown

NAMES = (
    "reference", "allocation", "trials", "reports", "durability", "first_metric", "memory", "reading", "fusion",
    "fused_step",
)  # fmt: skip
SEPARATE = ("storage", "search")  # print what is no time, and run where they are asked for


def main() -> None:
    """Run what is asked for and print the table."""
    end_tidily()
    parser = common(__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES + SEPARATE, default=NAMES, metavar="NAME")
    parser.add_argument("--output", type=Path, help="a file for the table")
    options = parser.parse_args()
    found: list[Findings] = []
    for name in options.only:
        if name in SEPARATE:
            subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
            continue
        benchmark: Benchmark = importlib.import_module(f"benchmarks.{name}").BENCHMARK
        found.append(benchmark.measure(benchmark.sized(options.quick, options.rounds or rounds(options.quick))))
        _show(found, options.output)  # what is there so far, should a later one fail
    print(markdown(found, command_line()))


def _show(found: list[Findings], output: Path | None) -> None:
    if output is not None:
        output.write_text(markdown(found, command_line()), encoding="utf-8")


if __name__ == "__main__":
    main()
