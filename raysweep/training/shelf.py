"""Data that all trials of a run on a node share, loaded once.

The first trial to ask loads it and writes the arrays into an unnamed file; the others map that file, so that its
pages are in memory once. A mapping is private: where a trial writes into an array, the pages become its own and the
others see nothing of it (in Ray's object store a tensor's writes would be seen by all). The file is reached through
/proc by those who want it and held open by those who have it, so that it is gone with the last of them, however they
end.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import mmap
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle

from raysweep.errors import TrainableError

ALIGNMENT = 64  # bytes: that of the arrays that numpy and torch allocate


@dataclass(frozen=True)
class _Entry:
    """Where some data is.

    Attributes:
        inode: of the unnamed file.
        parts: offset and size in bytes of each buffer in it, and of the pickle that they belong to, which is last.
        holders: the process and file descriptor of those who have it open.
    """

    inode: int
    parts: Sequence[tuple[int, int]]
    holders: Sequence[tuple[int, int]] = ()

    def held(self, process: int, handle: int) -> _Entry:
        """The entry with a process among its holders, and without those that have ended."""
        alive = [(pid, file) for pid, file in self.holders if Path(f"/proc/{pid}").exists()]
        return replace(self, holders=sorted({*alive, (process, handle)}))

    def open(self) -> int | None:
        """The file, where a process still has it."""
        for pid, file in self.holders:
            try:
                handle = os.open(f"/proc/{pid}/fd/{file}", os.O_RDONLY)
            except OSError:
                continue  # it has ended, or has closed it
            if os.fstat(handle).st_ino == self.inode:
                return handle
            os.close(handle)  # another process of the same number
        return None


class Shelf:
    """What the trials of a run share on this node.

    Args:
        directory: where its processes look up what there is.
        hold: has a process that outlives this trial hold a file open, for the trials after it: it is given the name of
            the data and a handle of this process's, and returns its process and its own handle.
    """

    def __init__(self, directory: Path, hold: Callable[[str, int], tuple[int, int]]) -> None:
        self._directory, self._hold = directory, hold

    def get(self, load: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        """See `reporting.shared`; waits while another process loads the same."""
        name = hashlib.sha256(cloudpickle.dumps((load, arguments, options))).hexdigest()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._directory / name).open("a+", encoding="utf-8") as register:
            fcntl.flock(register, fcntl.LOCK_EX)
            entry = _read(register)
            handle = None if entry is None else entry.open()
            if handle is None or entry is None:
                handle, entry = self._keep(load(*arguments, **options))
            _write(register, entry.held(*self._hold(name, handle)))
        data = _mapped(handle, entry.parts)
        os.close(handle)  # what is mapped stays mapped
        return data

    def _keep(self, data: object) -> tuple[int, _Entry]:
        """Write data into a new unnamed file."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = io.BytesIO()
        try:
            _Pickler(pickled, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append).dump(data)
        except Exception as error:  # the data's own methods are called, which may raise anything
            raise TrainableError(f"shared(): what was loaded cannot be pickled: {error}") from error
        parts = []
        try:
            with tempfile.TemporaryFile(dir=self._directory) as file:
                for buffer in [*(one.raw() for one in buffers), pickled.getbuffer()]:
                    file.seek(-file.tell() % ALIGNMENT, os.SEEK_CUR)
                    parts.append((file.tell(), buffer.nbytes))
                    file.write(buffer)
                file.flush()
                handle = os.dup(file.fileno())
        except OSError as error:
            raise TrainableError(f"shared(): {self._directory} has no room for the data: {error.strerror}") from error
        return handle, _Entry(os.fstat(handle).st_ino, parts)


def _read(register: io.TextIOWrapper) -> _Entry | None:
    register.seek(0)
    try:
        return _Entry(**json.load(register))
    except ValueError:  # nothing yet, or a process was killed while it wrote
        return None


def _write(register: io.TextIOWrapper, entry: _Entry) -> None:
    register.seek(0)
    register.truncate()
    json.dump(asdict(entry), register)


def _mapped(handle: int, parts: Sequence[tuple[int, int]]) -> Any:
    """The data in a file, whose pages are shared until they are written to."""
    content = memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_COPY))
    *buffers, pickled = (content[offset : offset + size] for offset, size in parts)
    return pickle.loads(pickled, buffers=buffers)


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]  # cloudpickle ships no types
    """Leaves the contents of tensors to the buffers, as numpy does with those of arrays."""

    def reducer_override(self, value: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is None or type(value) is not torch.Tensor or not _is_plain(value):
            return super().reducer_override(value)
        content = value.contiguous().reshape(-1).view(torch.uint8).numpy()
        return _tensor, (content, value.dtype, tuple(value.shape))


def _is_plain(tensor: Any) -> bool:
    """Whether a tensor is nothing but its numbers, in this computer's memory."""
    import torch

    is_on_cpu = tensor.device.type == "cpu" and tensor.layout is torch.strided
    return is_on_cpu and not tensor.requires_grad and not tensor.is_quantized and not tensor.is_conj()


def _tensor(content: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    import torch

    return torch.from_numpy(content).view(dtype).reshape(shape)
