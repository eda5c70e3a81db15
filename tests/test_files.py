"""The one writer of files, what it copies, and what an error of the disk means."""

from __future__ import annotations

import ast
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysweep.errors import StoreError, TrainableError
from raysweep.store import files
from raysweep.store.fault import fault
from raysweep.store.files import Lines, replacing, write_text

PACKAGE = Path(__file__).parents[1] / "raysweep"


class NoMoreError(Exception):
    """This process may write no more."""


def closed() -> None:
    raise NoMoreError


class TestReplacing:
    def test_gives_each_writer_a_name_of_its_own(self, tmp_path: Path) -> None:
        """As two who write the same table at once need."""
        path = tmp_path / "results.csv"
        with replacing(path) as ours, replacing(path) as theirs:
            ours.write_text("ours")
            theirs.write_text("theirs")
        assert path.read_text() == "ours"
        assert list(tmp_path.iterdir()) == [path]

    def test_leaves_what_was_there_where_the_fence_is_closed(self, tmp_path: Path) -> None:
        write_text(tmp_path / "file", "old")
        with pytest.raises(NoMoreError):
            write_text(tmp_path / "file", "new", closed)
        assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]

    def test_replaces_a_directory(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            with replacing(tmp_path / "folder") as temporary:
                temporary.mkdir()
                (temporary / name).touch()
        assert [path.name for path in (tmp_path / "folder").iterdir()] == ["two"]

    def test_takes_names_as_long_as_the_disk_does(self, tmp_path: Path) -> None:
        name = "é" * 127
        write_text(tmp_path / name, "text")
        assert (tmp_path / name).read_text() == "text"


class TestLines:
    def test_are_whole_or_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that is full in the middle of a line leaves nothing that spoils the next one."""
        path, write = tmp_path / "lines", os.write
        lines = Lines(path)
        lines.add("one")
        parts: Iterator[int] = iter([2])

        def full(handle: int, data: bytes) -> int:
            if (size := next(parts, None)) is None:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(handle, data[:size])

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space"):
                lines.add("two")
        lines.add("three")
        lines.close()
        assert path.read_text() == "one\nthree\n"

    def test_are_not_written_where_the_fence_is_closed(self, tmp_path: Path) -> None:
        lines = Lines(tmp_path / "lines", closed)
        with pytest.raises(NoMoreError):
            lines.add("one")
        lines.close()
        assert (tmp_path / "lines").read_bytes() == b""

    def test_of_one_who_lost_the_file_go_nowhere(self, tmp_path: Path) -> None:
        path = tmp_path / "lines"
        earlier = Lines(path)
        write_text(path, "kept\n")
        earlier.add("too late")
        earlier.close()
        assert path.read_text() == "kept\n"

    def test_are_each_synced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[int] = []
        monkeypatch.setattr(os, "fdatasync", lambda handle: synced.append(os.fstat(handle).st_size))
        lines = Lines(tmp_path / "lines")
        for _ in range(3):
            lines.add("123")
        lines.close()
        assert synced == [4, 8, 12]


class TestCopies:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        (tmp_path / "source" / "part").mkdir(parents=True)
        (tmp_path / "source" / "weights").write_text("w")
        (tmp_path / "target").mkdir()
        return tmp_path / "source"

    def test_of_links_are_what_they_point_to(self, source: Path, tmp_path: Path) -> None:
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared" / "tokens").write_text("t")
        (source / "folder").symlink_to(tmp_path / "shared")
        (source / "file").symlink_to(source / "weights")
        files.copy_tree(source, tmp_path / "target")
        copied = {str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*")}
        assert copied == {"part", "weights", "folder", "folder/tokens", "file"}
        assert not any(path.is_symlink() for path in (tmp_path / "target").rglob("*"))

    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("dangling", r"source/odd: is a link to something that is not there"),
            ("pipe", r"source/odd: is neither a file nor a folder, and cannot be copied"),
            ("circle", r"source/odd: is a link to a folder that it is in"),
            ("itself", r"source/odd: is a link to something that is not there"),
        ],
    )
    def test_of_what_cannot_be_copied_are_the_trials_failure(
        self, source: Path, tmp_path: Path, kind: str, message: str
    ) -> None:
        odd = source / "odd"
        if kind == "pipe":
            os.mkfifo(odd)
        else:
            odd.symlink_to({"dangling": Path("nowhere"), "circle": source, "itself": odd}[kind])
        caught: list[BaseException] = []

        def copy() -> None:
            try:
                files.copy_tree(source, tmp_path / "target")
            except BaseException as error:
                caught.append(error)

        thread = threading.Thread(target=copy, daemon=True)  # which a pipe would hold up
        thread.start()
        thread.join(10)
        assert caught and isinstance(caught[0], TrainableError)
        with pytest.raises(TrainableError, match=message):
            raise caught[0]


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trial.json")
    with pytest.raises(OSError, match="not a regular file"):
        files.read(tmp_path / "trial.json")


def test_what_is_set_aside_is_never_overwritten(tmp_path: Path) -> None:
    for text in ("one", "two"):
        (tmp_path / "file").write_text(text)
        files.set_aside(tmp_path / "file")
    there = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert there == {"file.unreadable-1": "one", "file.unreadable-2": "two"}
    assert all(files.is_aside(name) for name in there)
    assert not files.is_aside("x=.unreadable-0123456789")


def test_only_what_the_dead_left_is_removed(tmp_path: Path) -> None:
    dead, alive, users = ".sweep.json.999999999-abcd.tmp", f".results.csv.{os.getpid()}-abcd.tmp", "notes.tmp"
    for name in (dead, alive, users):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    files.remove_left(tmp_path, alone=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([alive, users])
    files.remove_left(tmp_path, alone=True)
    assert [path.name for path in tmp_path.iterdir()] == [users]


class TestFaults:
    """Only what concerns all trials ends a sweep, and it says what it is."""

    @pytest.mark.parametrize(
        ("number", "cure"),
        [
            (errno.ENOSPC, "make room"),
            (errno.EDQUOT, "quota"),
            (errno.EROFS, "make it writable"),
            (errno.EIO, "see to the disk"),
            (errno.ESTALE, "see to the disk"),
        ],
    )
    def test_of_the_disk_concern_all(self, tmp_path: Path, number: int, cure: str) -> None:
        told = fault(OSError(number, os.strerror(number)), tmp_path)
        assert isinstance(told, StoreError)
        assert str(told).startswith(f"{tmp_path}: cannot be written: {os.strerror(number)}; ") and cure in str(told)

    def test_of_a_directory_that_is_gone_concern_all(self, tmp_path: Path) -> None:
        error = FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "x"))
        assert "put the directory back" in str(fault(error, tmp_path / "gone"))
        assert fault(error, tmp_path) is None

    @pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EMFILE, errno.EISDIR, errno.ELOOP, errno.EACCES])
    def test_of_another_kind_are_the_trials_own(self, tmp_path: Path, number: int) -> None:
        assert fault(OSError(number, os.strerror(number)), tmp_path) is None

    def test_that_users_code_met_elsewhere_are_the_trials_own(self, tmp_path: Path) -> None:
        full = OSError(errno.ENOSPC, "No space left on device")
        assert fault(full, tmp_path, ours=False) is None  # there is room here
        assert fault(OSError(errno.ENOSPC, "No space", "/elsewhere/x"), tmp_path, ours=False) is None
        assert fault(OSError(errno.EROFS, "Read-only", str(tmp_path / "x")), tmp_path, ours=False) is not None

    def test_that_users_code_met_on_a_full_disk_concern_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk: Any = os.statvfs(tmp_path)
        full = os.statvfs_result([*disk[:3], 0, 0, *disk[5:]])
        monkeypatch.setattr(os, "statvfs", lambda path: full)
        assert "make room" in str(fault(OSError(errno.ENOSPC, "No space left on device"), tmp_path, ours=False))


WRITES = {"write_text", "write_bytes", "rename", "replace", "copytree", "copyfile", "copy2"}  # of files, not of text
FREE = {
    "store/files.py": "it is the one writer",
    "transfer/receiver.py": "writes parts of files into what `files.replacing` then gives its name",
    "transfer/mirror.py": "fetches a copy, which is thrown away with its process",
    "transfer/backup.py": "brings a whole run directory back, which has no name before it is synced",
    "results/frames.py": "writes tables into what `files.replacing` then gives its name",
    "training/recorder.py": "writes a checkpoint into a temporary folder, of which the store keeps a copy",
    "training/shelf.py": "keeps a register of shared data, which goes with the run",
    "vision/sources.py": "fetches data sets, which are no results, and has a lock of its own for it",
    "integrations/loop.py": "writes a checkpoint into a temporary folder, of which the store keeps a copy",
    "integrations/transformers.py": "copies a checkpoint of the Trainer's into such a folder",
    "sweepfile/command.py": "writes a script's arguments, anew at each start, for the script alone",
    "cli/start.py": "makes a user's first files, and never where there is one",
}


def test_there_is_one_writer_of_files() -> None:
    found = {
        str(file.relative_to(PACKAGE))
        for file in sorted(PACKAGE.rglob("*.py"))
        if "starter" not in file.parts
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _writes(node)
    }
    assert found == FREE.keys()


def _writes(call: ast.Call) -> bool:
    """Whether a call writes, renames or copies a file; of a path `.replace` has one argument, of text two.

    And `.rename` of a table has its columns by name.
    """
    if not isinstance(call.func, ast.Attribute) or ast.unparse(call.func.value) == "files":
        return False
    name = call.func.attr
    if name == "open":
        return any(isinstance(part, ast.Constant) and str(part.value)[:1] in "wax" for part in call.args)
    return name in WRITES and not (name in ("replace", "rename") and len(call.args) != 1)
