"""A port of this process, whose connections go on to a socket's file: for clients that speak to ports only."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PIECE = 2**16  # bytes in memory at a time


class _Connection(socketserver.BaseRequestHandler):
    """One connection, until both sides have ended it."""

    server: _Server

    def handle(self) -> None:
        """Carry what comes, both ways."""
        with socket.socket(socket.AF_UNIX) as far, contextlib.suppress(OSError):
            far.connect(str(self.server.file))
            there = threading.Thread(target=_carry, args=(self.request, far), daemon=True)
            there.start()
            _carry(far, self.request)
            there.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False  # a connection that is still open does not keep the block

    def __init__(self, file: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.file = file


def _carry(source: Any, target: Any) -> None:
    with contextlib.suppress(OSError):  # one side is gone
        while data := source.recv(PIECE):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(file: Path) -> Iterator[int]:
    """A port on this machine for the length of the block, which nobody else can have in its place.

    Args:
        file: of the socket where connections go.
    """
    with _Server(file) as server:
        threading.Thread(target=server.serve_forever, daemon=True, name="raysweep-relay").start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
