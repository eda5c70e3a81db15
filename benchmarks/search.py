"""Whether a search through raysweep finds as much as Optuna does by itself, killed or not.

    python -m benchmarks.search              20 seeds of 50 trials on Branin and Hartmann6
    python -m benchmarks.search --quick      tiny, to see that it works

Each contender searches a function whose least value is known; the figure is how far the best of the trials is from it.
Optuna is its default sampler, one study in memory, seeded once. The killed search is a process of its own that is ended
with SIGKILL three times on the way and started again on its records. Seeds were chosen before the first run.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median

from raysweep.plan.suggested import parameters_of
from raysweep.search.study import Outcome, Tried, ask
from raysweep.store.directory import RunDirectory
from raysweep.store.suggestions import Suggestion, record, recorded
from raysweep.sweepfile.spec import SweepSpec, check

SEEDS = range(300, 320)
KILLS = (0.25, 0.5, 0.75)  # of the trials
Point = Sequence[float]


def branin(point: Point) -> float:
    """Above its least value; the function of Dixon and Szegő, 1978, from 0 to 1 in both coordinates."""
    x, y = 15 * point[0] - 5, 15 * point[1]
    value = (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
    return value + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.39788735772973816


_A = ((10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14), (3, 3.5, 1.7, 10, 17, 8), (17, 8, 0.05, 10, 0.1, 14))
_P = (
    (1312, 1696, 5569, 124, 8283, 5886),
    (2329, 4135, 8307, 3736, 1004, 9991),
    (2348, 1451, 3522, 2883, 3047, 6650),
    (4047, 8828, 8732, 5743, 1091, 381),
)


def hartmann6(point: Point) -> float:
    """Above its least value; of the same authors."""
    inner = (sum(a * (x - p / 1e4) ** 2 for a, p, x in zip(_A[i], _P[i], point, strict=True)) for i in range(4))
    return 3.32236801141551 - sum(w * math.exp(-one) for w, one in zip((1, 1.2, 3, 3.2), inner, strict=True))


FUNCTIONS: dict[str, tuple[Callable[[Point], float], int]] = {"branin": (branin, 2), "hartmann6": (hartmann6, 6)}


def by_optuna(name: str, seed: int, trials: int) -> float:
    """The best of so many trials of Optuna's own study."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    function, size = FUNCTIONS[name]
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(lambda t: function([t.suggest_float(f"x{i}", 0, 1) for i in range(size)]), n_trials=trials)
    return float(study.best_value)


def sweep(name: str, seed: int, trials: int) -> SweepSpec:
    """The sweep file of the same search."""
    parameters = {f"x{index}": {"min": 0.0, "max": 1.0} for index in range(FUNCTIONS[name][1])}
    content = {"name": name, "trainable": "x.py:x", "metric": {"name": "value"}, "method": "bayes"}
    return check({**content, "run_cap": trials, "sweep_seed": seed, "parameters": parameters}, name)


def go_on(name: str, seed: int, trials: int, directory: Path) -> float:
    """The best of a search that goes on from the records in a directory."""
    spec, run, function = sweep(name, seed, trials), RunDirectory(directory), FUNCTIONS[name][0]
    known = list(recorded(run))
    tried = [Tried(one.parameters, Outcome.COMPLETE, function([*one.parameters.values()])) for one in known]
    while len(known) < trials:
        found = parameters_of(spec, ask(spec, tried, 0))
        known.append(Suggestion(len(known), found))
        record(run, known)
        tried.append(Tried(found, Outcome.COMPLETE, function([*found.values()])))
    return min(one.value for one in tried if one.value is not None)


def killed(name: str, seed: int, trials: int, directory: Path) -> float:
    """The same, in processes that are killed on the way."""
    code = (
        "import sys; from benchmarks.search import go_on, Path; name, seed, trials, path = sys.argv[1:];"
        "go_on(name, int(seed), int(trials), Path(path))"
    )
    for part in (*KILLS, None):
        command = [sys.executable, "-c", code, name, str(seed), str(trials), str(directory)]
        with subprocess.Popen(command) as process:
            while (
                part is not None and len(recorded(RunDirectory(directory))) < part * trials and process.poll() is None
            ):
                time.sleep(0.005)
            if part is not None:
                process.kill()
    return go_on(name, seed, trials, directory)


def main() -> None:
    """Print the figures of all contenders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything works")
    quick = parser.parse_args().quick
    seeds, trials = (SEEDS[:2], 12) if quick else (SEEDS, 50)
    for name in FUNCTIONS:
        figures: dict[str, list[float]] = {"Optuna": [], "raysweep": [], "raysweep, killed three times": []}
        for seed in seeds:
            figures["Optuna"].append(by_optuna(name, seed, trials))
            with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
                figures["raysweep"].append(go_on(name, seed, trials, Path(one)))
                figures["raysweep, killed three times"].append(killed(name, seed, trials, Path(other)))
        show(name, figures)


def show(name: str, figures: dict[str, list[float]]) -> None:
    """Print the rows of one function."""
    from scipy.stats import mannwhitneyu

    for contender, found in figures.items():
        p = mannwhitneyu(found, figures["Optuna"]).pvalue
        print(f"| {name} | {contender} | {fmean(found):.3f} | {median(found):.3f} | {p:.2f} |", flush=True)
    print(json.dumps({name: figures}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
