"""How fast a trial's checkpoints reach the head without a shared file system, against a plain copy.

    python -m benchmarks.storage --megabytes 100 1000

A trial on another node (a second raylet on this machine, made blind for the run directory) saves a checkpoint with
each of its reports. A report ends when its checkpoint is on the head, so an epoch's duration is the transfer's, less
what the same trial takes on the driver's node, where a report ends when the checkpoint is copied.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from raysweep.store.directory import RunDirectory
from raysweep.store.folder import TrialFolder
from raysweep.transfer.mirror import Here, Mirror
from raysweep.transfer.receiver import Line, serving

RAY_FILES = 500_000_000  # bytes of a node's object store


@contextmanager
def two_nodes() -> Iterator[None]:
    """A head, and another node on this machine."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": RAY_FILES},
    )
    try:
        cluster.add_node(num_cpus=1, object_store_memory=RAY_FILES)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


@ray.remote(num_cpus=1)  # type: ignore[untyped-decorator]  # Ray is not typed
def reports(folder: str, head: str | None, source: str, count: int) -> tuple[list[float], list[float], int]:
    """Seconds to save a checkpoint, and to have it on the head; and by how many bytes this process grew."""
    trial = TrialFolder(Path(folder))
    place = Here(trial)
    if head is not None:
        copy = TrialFolder(
            Path(tempfile.mkdtemp(prefix="storage-", dir=Path(source).parent)) / "copy" / trial.path.name
        )
        place = Mirror(copy, Line(head, trial.path.name))
    place.open()
    place.folder.path.mkdir(exist_ok=True)
    before, saving, sending = memory(), [], []
    for number in range(count):
        started = time.perf_counter()
        name = f"checkpoint_{number:06d}"
        place.folder.save_checkpoint(Path(source), name)
        saved = time.perf_counter()
        place.folder.prune_checkpoints([name])
        place.reported(with_checkpoint=True)
        saving.append(saved - started)
        sending.append(time.perf_counter() - saved)
    grown = memory() - before
    place.close()
    return saving, sending, grown


def memory() -> int:
    """The most that this process has held so far, in bytes, without what it shares with Ray's object store."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--count", type=int, default=5, help="checkpoints of each size")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="raysweep-storage-"))
    run = RunDirectory(folder / "run")
    run.create()
    try:
        with two_nodes(), serving(run) as head:
            for size in options.megabytes:
                measure(folder, run, head, size, options.count)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, run: RunDirectory, head: str, megabytes: int, count: int) -> None:
    """One size."""
    source = folder / f"{megabytes} MB"
    source.mkdir()
    block = bytes(range(256)) * 4096
    with (source / "weights.pt").open("wb") as file:
        for _ in range(megabytes):
            file.write(block)
    saving, sending, grown = ray.get(reports.remote(str(run.trial("there").path), head, str(source), count))
    plain, _, _ = ray.get(reports.remote(str(run.trial("here").path), None, str(source), count))
    copy, sent = statistics.median(plain), statistics.median(sending)
    print(
        f"{megabytes} MB: a plain copy {copy:.2f} s ({megabytes / copy:.0f} MB/s); on another node saved in "
        f"{statistics.median(saving):.2f} s and on the head {sent:.2f} s later ({megabytes / sent:.0f} MB/s, "
        f"{sent / copy:.1f} copies); the worker grew by {grown / 2**20:.0f} MiB; medians of {count}",
        flush=True,
    )
    shutil.rmtree(source)


if __name__ == "__main__":
    main()
