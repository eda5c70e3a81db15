"""The fork server of a run on this machine: started when it is needed, and asked first whether the trainable loads."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from raysweep.engine.environment import WORKER_ENVIRONMENT
from raysweep.errors import ClusterError, TrainableError
from raysweep.plan.reference import Reference, import_trainable
from raysweep.worker import preload
from raysweep.worker.messages import Probe
from raysweep.worker.process import ForkServer


@dataclass
class Forks:
    """Processes for trials, which have imported what those need while Ray starts.

    Args:
        reference: the trainable.
        threads: how many of them a trial may use.
        in_ray: whether its trials run in Ray's own processes instead.
    """

    reference: Reference
    threads: int
    in_ray: bool
    _server: ForkServer | None = field(default=None, init=False)
    _is_checked: bool = field(default=False, init=False)

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._server is not None:
            self._server.close()

    @property
    def address(self) -> Path | None:
        """Where the fork server listens."""
        return self._server.address if self._server is not None else None

    def check(self) -> None:
        """See that the trainable can be imported; in a process of its own, as the trials will be.

        Raises:
            TrainableError: it cannot.
            ClusterError: no process can be started.
        """
        if self._is_checked:
            return
        if self.in_ray:
            import_trainable(self.reference)
        else:
            self._probe()
        self._is_checked = True

    def _probe(self) -> None:
        try:
            if self._server is None:
                # as Ray has it in its own processes
                environment = {"OMP_NUM_THREADS": str(self.threads), **os.environ, **WORKER_ENVIRONMENT}
                self._server = ForkServer(preload.modules(self.reference), environment)
            wrong = self._server.ask(Probe(self.reference, dict(os.environ), str(Path.cwd())))
        except EOFError:
            wrong = f"trainable: importing {self.reference.module} ends the process; see what it does at import"
        except (ChildProcessError, OSError) as error:
            raise ClusterError(f"no process for trials can be started: {error}") from None
        if wrong is not None:
            raise TrainableError(wrong)
