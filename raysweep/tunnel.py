"""SSH to a cluster's head, as `ray up` has set it up: a tunnel to its job server, and files brought back."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from raysweep.errors import ClusterError

JOBS_PORT = 8265  # of the dashboard, which also takes jobs; on the head it listens on localhost only
PATIENCE = 30.0  # seconds to wait for the tunnel
VANISHED, PARTIAL = 24, 23  # rsync's exit codes where files went while it copied, and where it could not read some
NOT_THERE = "No such file or directory"
OPTIONS = {  # Ray's own: a cloud's addresses are used again by machines with other keys
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": os.devnull,
    "LogLevel": "ERROR",
    "IdentitiesOnly": "yes",
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "ConnectTimeout": "20",
}


@dataclass(frozen=True)
class Login:
    """How to log in at a cluster's head.

    Attributes:
        host: its address.
        user: the name there; empty for one's own.
        key: the private key's file; None for ssh's own choice.
        proxy: the ProxyCommand, where there is one.
    """

    host: str
    user: str = ""
    key: Path | None = None
    proxy: str | None = None

    @classmethod
    def of(cls, file: Path) -> Login:
        """The login at the running head of a cluster file.

        Raises:
            ClusterError: the file cannot be used, or no cluster of it is running.
        """
        config = _bootstrapped(file)
        auth = config.get("auth", {})
        key = auth.get("ssh_private_key")
        return cls(
            host=_head_address(file),
            user=auth.get("ssh_user", ""),
            key=Path(key).expanduser() if key else None,
            proxy=auth.get("ssh_proxy_command"),
        )

    @property
    def target(self) -> str:
        """user@host."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def ssh(self) -> list[str]:
        """The ssh command with its options, without the target."""
        options = {**OPTIONS, **({"ProxyCommand": self.proxy} if self.proxy else {})}
        command = ["ssh", *(["-i", str(self.key)] if self.key else [])]
        return command + [part for name, value in options.items() for part in ("-o", f"{name}={value}")]

    def fetch(self, source: str, target: Path, rules: Sequence[str] = ()) -> bool:
        """Bring a directory's contents here; what is here already in the same version is not sent again.

        Returns whether all of it came; what is removed on the head in the meantime does not.

        Args:
            source: the directory on the head, relative to the home directory there.
            target: the directory here, made where it is missing.
            rules: of rsync, such as "--exclude=*.tmp".

        Raises:
            ClusterError: rsync or ssh failed.
        """
        target.mkdir(parents=True, exist_ok=True)
        command = ["rsync", "--archive", "--compress", "--no-owner", "--no-group", *rules]
        command += ["--rsh", shlex.join(self.ssh), f"{self.target}:{source}/", f"{target}/"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        is_gone = done.returncode == VANISHED or (done.returncode == PARTIAL and NOT_THERE in done.stderr)
        if done.returncode and not is_gone:
            raise ClusterError(f"{self.host}: rsync failed: {done.stderr.strip()}")
        return not is_gone

    @contextmanager
    def tunnel(self) -> Iterator[int]:
        """A tunnel to the head's job server for the length of the block; yields its port on this machine.

        Raises:
            ClusterError: ssh cannot connect.
        """
        port = _free_port()
        command = [*self.ssh, "-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{JOBS_PORT}", self.target]
        # in a session of its own, or Ctrl-C would end it before the question what to do
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            self._wait(process, port)
            yield port
        finally:
            process.terminate()
            process.communicate()

    def _wait(self, process: subprocess.Popen[str], port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                process.terminate()
                told = process.communicate()[1].strip() or "it does not answer"
                raise ClusterError(f"{self.host}: ssh cannot connect: {told}; is the cluster up? (`ray up`)")
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _bootstrapped(file: Path) -> dict[str, Any]:
    """The cluster file with what Ray's launcher fills in, such as the key that it made."""
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClusterError(f"{file}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ClusterError(f"{file}: is not valid YAML: {error}") from None
    if not isinstance(config, dict):
        raise ClusterError(f"{file}: is no cluster file")
    try:
        with _launcher() as sdk:
            filled: dict[str, Any] = sdk.bootstrap_config(config)
    except Exception as error:  # whatever a cloud's library raises
        raise ClusterError(f"{file}: Ray's cluster launcher refuses it: {error}") from None
    return filled


def _head_address(file: Path) -> str:
    try:
        with _launcher() as sdk:
            return str(sdk.get_head_node_ip(str(file)))
    except Exception as error:  # Ray's launcher raises RuntimeError, a cloud's library anything
        raise ClusterError(f"{file}: no head of this cluster is running ({error}); start it: ray up {file}") from None


@contextmanager
def _launcher() -> Iterator[Any]:
    """Ray's cluster launcher, which talks a lot; what goes wrong it raises."""
    try:
        from ray.autoscaler import sdk
    except ImportError as error:
        raise ClusterError(f"--cluster needs more of Ray ({error}): pip install 'raysweep[cluster]'") from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield sdk
