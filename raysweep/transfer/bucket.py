"""A folder in an object store, such as s3://bucket/runs: files put there whole, and brought back."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyarrow import ArrowException, fs

from raysweep.errors import SpecError

PIECE = 2**20  # bytes in memory at a time


class Bucket:
    """The folder of that name below a URL.

    Args:
        url: as pyarrow takes it; what it asks for in its query is pyarrow's, such as `region`, `endpoint_override`.
        name: of the folder.

    Raises:
        SpecError: the URL is none of an object store, holds credentials, or cannot be resolved.
    """

    def __init__(self, url: str, name: str) -> None:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise SpecError(
                f"--backup {parts.scheme}://...: has credentials in it, which would end up in logs; put them into "
                "~/.aws/credentials or the environment, or give the machine a role"
            )
        # small files, which most are, then take one request instead of three
        option = f"{'&' if parts.query else '?'}allow_delayed_open=true" if parts.scheme == "s3" else ""
        try:
            files, path = fs.FileSystem.from_uri(url + option)
        except (ArrowException, OSError) as error:
            raise SpecError(f"--backup {url}: cannot be used: {error}") from None
        if isinstance(files, fs.LocalFileSystem) or not path:
            raise SpecError(f"--backup {url}: names no bucket; write s3://bucket/folder, or --runs DIR for a disk")
        self.url = f"{parts.scheme}://{path.rstrip('/')}/{name}"
        self._files: Any = fs.SubTreeFileSystem(f"{path.rstrip('/')}/{name}", files)

    def read(self, name: str) -> bytes | None:
        """A small file's content; None where there is no such file.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        if self._files.get_file_info(name).type != fs.FileType.File:
            return None
        with self._files.open_input_stream(name) as file:
            return bytes(file.read())

    def write(self, name: str, data: bytes) -> None:
        """Put a small file there.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        with self._files.open_output_stream(name) as file:
            file.write(data)

    def put(self, file: Path, name: str, size: int) -> None:
        """Put the first `size` bytes of a file there; what is appended meanwhile is for the next time.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: the store does not answer, or refuses.
        """
        with file.open("rb") as source, self._files.open_output_stream(name) as target:
            while size > 0 and (piece := source.read(min(PIECE, size))):
                target.write(piece)
                size -= len(piece)

    def delete(self, name: str) -> None:
        """Delete a file; one that is not there is none to delete.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        with contextlib.suppress(FileNotFoundError):
            self._files.delete_file(name)

    def fetch(self, target: Path) -> None:
        """Bring everything into a directory.

        Raises:
            OSError: the store does not answer or refuses, or the disk is full.
        """
        fs.copy_files("", str(target), source_filesystem=self._files, chunk_size=PIECE)
