"""Where a trial listens to the processes that its program has started."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raysweep.errors import TrainableError
from raysweep.training.channel import ADDRESS, LONGEST
from raysweep.worker.messages import Left
from raysweep.worker.reporter import Reporter


class Inbox:
    """Takes reports over a socket for as long as the block lasts; its address is in the environment.

    Args:
        reporter: of the trial.
        left: is called where the trial is over with a report.
    """

    def __init__(self, reporter: Reporter, left: Callable[[], None]) -> None:
        self._reporter, self._left = reporter, left
        self._directory = Path(tempfile.mkdtemp(prefix="raysweep-"))  # only this user may enter it
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Inbox:
        address = str(self._directory / "reports")
        self._listener.bind(address)
        self._listener.listen()
        os.environ[ADDRESS] = address
        threading.Thread(target=self._serve, daemon=True, name="raysweep-reports").start()
        return self

    def __exit__(self, *_: object) -> None:
        os.environ.pop(ADDRESS, None)
        self._listener.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(OSError, ValueError):  # of a process that has ended meanwhile
                    message = json.loads(client.makefile("rb").readline(LONGEST))
                    client.sendall(json.dumps(self._answer(message)).encode() + b"\n")

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if "checkpoint" in message:
            found = self._reporter.checkpoint
            return {"checkpoint": str(found) if found else None}
        place = message["place"]
        try:
            self._reporter.report(message["metrics"], Path(place) if place else None, message["is_counted"])
        except Left:
            self._left()
            return {"left": True}
        except (TrainableError, OSError) as error:
            return {"error": str(error)}
        return {}
