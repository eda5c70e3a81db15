"""A copy of the run directory in an S3 of this machine, and what comes back from it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from raysweep.cli import program as cli
from raysweep.errors import BrokenOffError, SpecError, StoreError
from raysweep.results.reading import load
from raysweep.store.directory import RunDirectory
from raysweep.store.folder import TrialFolder
from raysweep.store.records import Report, State, TrialRecord
from raysweep.transfer.backup import INDEX, Backup
from raysweep.transfer.bucket import Bucket

# moto's and botocore's own
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
FUNCTIONS = Path(__file__).parent / "functions.py"


def ignore(text: str) -> None:
    """Nobody is told."""


@dataclass
class S3:
    """An S3 with one bucket, and what it holds."""

    port: int
    files: Any = field(init=False)

    def __post_init__(self) -> None:
        self.files = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{self.port}", scheme="http", region="us-west-2", allow_bucket_creation=True
        )

    def url(self, folder: str, bucket: str = "results") -> str:
        return f"s3://{bucket}/{folder}?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-west-2"

    def names(self, folder: str) -> set[str]:
        """The files of a folder, but for whose it is."""
        root = f"results/{folder}"
        found = self.files.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
        names = {info.path.removeprefix(f"{root}/") for info in found if info.type == fs.FileType.File}
        return names - {INDEX}

    def content(self, folder: str) -> dict[str, bytes]:
        """Those files.

        Raises:
            OSError: one has been deleted since they were listed.
        """
        return {name: self.files.open_input_stream(f"results/{folder}/{name}").read() for name in self.names(folder)}

    def has(self, folder: str, name: str, text: bytes = b"") -> bool:
        """Whether there is a file with such a name in which this text is."""
        found = [known for known in self.names(folder) if re.fullmatch(name, known)]
        return any(text in self.files.open_input_stream(f"results/{folder}/{known}").read() for known in found)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "none")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        there = S3(server.get_host_and_port()[1])
        there.files.create_dir("results")
        try:
            yield there
        finally:
            server.stop()


@pytest.fixture
def store(tmp_path: Path) -> RunDirectory:
    """A run directory of one trial at work."""
    store = RunDirectory(tmp_path / "runs" / "sweep")
    store.create()
    store.write_sweep({"name": "sweep"}, [])
    store.trial("x=1-abc").write(TrialRecord("abc", "x=1", "train.py:train", {"x": 1}, State.RUNNING))
    return store


def report(folder: TrialFolder, epoch: int) -> None:
    """What a worker writes for an epoch, in its order."""
    source = folder.path.parents[2] / "checkpoint"
    source.mkdir(exist_ok=True)
    (source / "weights").write_bytes(str(epoch).encode() * 1000)
    name = f"checkpoint_{epoch:06d}"
    folder.save_checkpoint(source, name)
    with folder.result_file.open("a") as file:
        file.write(Report(epoch, time.time(), 1.0, 1.0, {"loss": 1.0}, name).to_json() + "\n")
    folder.prune_checkpoints([name])


def kept(directory: Path) -> dict[str, bytes]:
    """What is to be in the copy of a run directory."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    parts = {path: path.relative_to(directory) for path in files}
    return {
        str(part): path.read_bytes() for path, part in parts.items() if part.name[0] != "." and ".tmp" not in str(part)
    }


def test_the_copy_is_what_the_run_directory_is(s3: S3, store: RunDirectory) -> None:
    folder = store.trial("x=1-abc")
    report(folder, 1)
    with Backup(store, s3.url("whole"), ignore) as backup:
        backup.begin()
        report(folder, 2)
        folder.output_file.write_text("said")
        (store.path / "x=1-abc" / ".result.json.tmp").touch()
    assert kept(store.path).keys() == {
        "sweep.json",
        "x=1-abc/trial.json",
        "x=1-abc/result.json",
        "x=1-abc/output.log",
        "x=1-abc/checkpoint_000002/weights",
    }
    assert s3.content("whole/sweep") == kept(store.path)


def test_what_is_deleted_by_mistake_is_still_in_the_copy(s3: S3, store: RunDirectory) -> None:
    report(store.trial("x=1-abc"), 1)
    with Backup(store, s3.url("mistake"), ignore) as backup:
        backup.begin()
    before = kept(store.path)
    with Backup(store, s3.url("mistake"), ignore) as backup:
        backup.begin()
        shutil.rmtree(store.trial("x=1-abc").path)
    with Backup(store, s3.url("mistake"), ignore) as backup:
        backup.begin()
        shutil.rmtree(store.path)
    assert s3.content("mistake/sweep") == before


def test_only_what_has_changed_is_copied_again(s3: S3, store: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    with Backup(store, s3.url("again"), ignore) as backup:
        backup.begin()
    put = []
    monkeypatch.setattr("raysweep.transfer.bucket.Bucket.put", lambda self, file, name, size: put.append(name))
    report(store.trial("x=1-abc"), 1)
    with Backup(store, s3.url("again"), ignore) as backup:
        backup.begin()
    assert put == ["x=1-abc/checkpoint_000001/weights", "x=1-abc/result.json"]


def test_one_can_go_on_from_the_copy_at_any_moment(
    s3: S3, store: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a trial writes as fast as it can, its reports in the copy never name a checkpoint that is not there."""
    monkeypatch.setattr("raysweep.transfer.backup.INTERVAL", 0.0)
    folder, over = store.trial("x=1-abc"), threading.Event()

    def write() -> None:
        epoch = 0
        while not over.is_set():
            report(folder, epoch := epoch + 1)
            time.sleep(0.02)

    writer = threading.Thread(target=write, daemon=True)
    seen = set()
    with Backup(store, s3.url("moving"), ignore) as backup:
        writer.start()
        backup.begin()
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            try:
                before, after = s3.content("moving/sweep"), s3.content("moving/sweep")
            except OSError:
                continue
            lines = before.get("x=1-abc/result.json", b"").decode().splitlines()
            if lines and before == after:  # it did not change while it was read
                name = json.loads(lines[-1])["checkpoint"]
                assert before[f"x=1-abc/{name}/weights"] == str(len(lines)).encode() * 1000
                seen.add(name)
        over.set()
        writer.join()
    assert len(seen) > 1
    assert s3.content("moving/sweep") == kept(store.path)


@pytest.mark.parametrize("writes", range(4))
def test_a_copy_that_is_cut_off_is_one_to_go_on_from(
    s3: S3, store: RunDirectory, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """After any number of writes: checkpoint, reports, record, and the old checkpoint's end."""
    folder, place = store.trial("x=1-abc"), f"cut{writes}"
    report(folder, 1)
    with Backup(store, s3.url(place), ignore) as backup:
        backup.begin()
    report(folder, 2)
    folder.write(TrialRecord("abc", "x=1", "train.py:train", {"x": 1}, State.DONE))
    left = iter(range(writes))

    def limited(call: Callable[..., None]) -> Callable[..., None]:
        def write(*arguments: Any) -> None:
            if INDEX not in arguments and next(left, None) is None:
                raise OSError("the machine is lost")
            call(*arguments)

        return write

    for method in ("put", "write", "delete"):
        monkeypatch.setattr(Bucket, method, limited(getattr(Bucket, method)))
    with pytest.raises(BrokenOffError, match="the machine is lost"), Backup(store, s3.url(place), ignore) as backup:
        backup.begin()
    copy = s3.content(f"{place}/sweep")
    lines = copy["x=1-abc/result.json"].decode().splitlines()
    assert copy[f"x=1-abc/{json.loads(lines[-1])['checkpoint']}/weights"] == str(len(lines)).encode() * 1000
    assert len(lines) == (1 if writes < 2 else 2)
    record = TrialRecord.from_json(copy["x=1-abc/trial.json"].decode())
    assert record.state is (State.RUNNING if writes < 3 else State.DONE)


def test_a_run_directory_that_is_lost_comes_back(s3: S3, store: RunDirectory) -> None:
    report(store.trial("x=1-abc"), 1)
    with Backup(store, s3.url("lost"), ignore) as backup:
        backup.begin()
    before = kept(store.path)
    shutil.rmtree(store.path)
    with Backup(store, s3.url("lost"), ignore) as backup:
        assert kept(store.path) == before
        backup.begin()
    assert list(store.path.parent.iterdir()) == [store.path]


def test_another_directorys_copy_is_not_touched(s3: S3, store: RunDirectory, tmp_path: Path) -> None:
    with Backup(store, s3.url("mine"), ignore) as backup:
        backup.begin()
    other = RunDirectory(tmp_path / "other" / "sweep")
    with Backup(other, s3.url("mine"), ignore) as backup:  # goes on on another machine
        backup.begin()
    with (
        pytest.raises(
            StoreError, match=r"^s3://results/mine/sweep: is the copy of another run directory, or .* gone on"
        ),
        Backup(store, s3.url("mine"), ignore) as backup,
    ):
        backup.begin()
    with Backup(store, s3.url("yours"), ignore) as backup:  # another place is free
        backup.begin()
    assert s3.content("yours/sweep") == kept(store.path)


def test_a_claim_that_was_cut_off_is_no_obstacle(s3: S3, store: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    with Backup(store, s3.url("claimed"), ignore) as backup:
        backup.begin()
    with monkeypatch.context() as patch:

        def fail(*arguments: Any) -> None:
            raise OSError("the connection is lost")

        patch.setattr("raysweep.transfer.bucket.Bucket.write", fail)
        with (
            pytest.raises(StoreError, match="cannot be used: the connection is lost"),
            Backup(store, s3.url("claimed"), ignore) as backup,
        ):
            backup.begin()
    with Backup(store, s3.url("claimed"), ignore) as backup:
        backup.begin()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("results", r"--backup results: cannot be used: .*scheme"),
        ("ftp://results/x", r"--backup ftp://results/x: cannot be used: "),
        ("file:///tmp/x", r"--backup file:///tmp/x: names no bucket; write s3://bucket/folder, or --runs DIR"),
        ("/tmp/x", r"--backup /tmp/x: names no bucket"),
        ("s3://?region=us-west-2", r"names no bucket"),
        ("s3://key:secret@results/x", r"^--backup s3://\.\.\.: has credentials in it, .* put them into"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(store: RunDirectory, url: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        Backup(store, url, ignore)
    assert "secret" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_told_before_anything_starts(s3: S3, store: RunDirectory) -> None:
    with (
        pytest.raises(StoreError, match=r"^s3://nothing/x/sweep: cannot be used: "),
        Backup(store, s3.url("x", "nothing"), ignore) as backup,
    ):
        backup.begin()


def test_a_store_that_fails_is_told_and_tried_again(
    s3: S3, store: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raysweep.transfer.backup.INTERVAL", 0.05)
    told, works = list[str](), threading.Event()
    put: Callable[..., None] = Bucket.put

    def sometimes(self: Bucket, *arguments: Any) -> None:
        if not works.is_set():
            raise OSError("slow down")
        put(self, *arguments)

    monkeypatch.setattr(Bucket, "put", sometimes)
    with (
        pytest.raises(
            BrokenOffError, match=r"could not be completed \(slow down\); all is in .*same command completes"
        ),
        Backup(store, s3.url("failing"), told.append) as backup,
    ):
        backup.begin()
        time.sleep(0.5)
    assert told == ["s3://results/failing/sweep: cannot be brought up to date, and is tried again: slow down"]
    with Backup(store, s3.url("failing"), told.append) as backup:
        backup.begin()
        time.sleep(0.2)
        works.set()
    assert s3.content("failing/sweep") == kept(store.path)


@pytest.mark.slow
def test_a_sweep_goes_on_where_its_machine_was_lost(s3: S3, tmp_path: Path) -> None:
    """A run that is killed, and its run directory deleted; the same command trains only what the copy lacks."""
    grid = tmp_path / "grid.json"
    log = tmp_path / "log"
    content = {
        "trainable": "functions.py:counted",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"log": str(log), "x": [1, 2, 3], "epochs": 30, "pause": 0.1},
        "max_concurrent": 1,
    }
    grid.write_text(json.dumps(content))
    shutil.copy(FUNCTIONS, tmp_path)
    runs = tmp_path / "runs"
    arguments = ["run", str(grid), "--runs", str(runs), "--backup", s3.url("killed")]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": "local"}
    command = [
        sys.executable,
        "-c",
        "from raysweep.transfer import backup; from raysweep.cli.program import entry; backup.INTERVAL = 0.2; entry()",
    ]
    first = subprocess.Popen([*command, *arguments], env=environment, stderr=subprocess.DEVNULL)
    # a trial's copy is made after another's, so that of the first one's end may come after the second one's beginning
    while not (
        s3.has("killed/grid", r"x=1-\w+/trial.json", b'"done"') and s3.has("killed/grid", r"x=2-\w+/result.json")
    ):
        assert first.poll() is None
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    shutil.rmtree(runs)
    trained = len(log.read_text().splitlines())
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "grid: is brought back from s3://results/killed/grid\n" in done.stderr
    assert "3 done" in done.stderr
    epochs = log.read_text().splitlines()
    assert 90 <= len(epochs) <= 90 + 12  # those after the last copy are trained again, and no others
    assert epochs[trained].split()[0] == "2"
    results = load("grid", runs)
    assert [[r.epoch for r in trial.reports] for trial in results.trials] == [list(range(1, 31))] * 3
    assert s3.content("killed/grid") == kept(results.directory)


def test_the_command_line_says_what_is_wrong(
    sweep_file: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["run", str(sweep_file()), "--runs", str(tmp_path / "runs"), "--backup", "/mnt/copy"]) == 2
    assert capsys.readouterr().err.startswith("raysweep: --backup /mnt/copy: names no bucket;")
    assert not (tmp_path / "runs").exists()
