"""SSH to a cluster's head, as `ray up` has set it up: a tunnel to its job server, and files brought back.

By OpenSSH and rsync, with the user's own configuration and agent: what Ray's launcher has for both,
`ray.autoscaler.sdk.run_on_cluster(port_forward=...)` and `rsync`, checks no host keys, and leaves nothing out.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from raysweep.engine.surroundings import quiet
from raysweep.errors import ClusterError
from raysweep.remote.relay import relayed

JOBS_PORT = 8265  # of the dashboard, which also takes jobs; on the head it listens on localhost only
PATIENCE = 30.0  # seconds to wait for the tunnel
VANISHED, PARTIAL = 24, 23  # rsync's exit codes where files went while it copied, and where it could not read some
NOT_THERE = "No such file or directory"
FOREIGN = "Host key verification failed"
FIXED = "local"  # Ray's name for the provider of machines that are there, and not launched
OPTIONS = {
    "LogLevel": "ERROR",
    "IdentitiesOnly": "yes",
    "ControlPath": "none",  # a connection of one's own, whose end is the tunnel's
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
        known: where the keys of a cluster's launched machines are remembered; None where the user's own ssh knows them.
    """

    host: str
    user: str = ""
    key: Path | None = None
    proxy: str | None = None
    known: Path | None = None

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
            known=None if config["provider"].get("type") == FIXED else _known_hosts(config["cluster_name"]),
        )

    @property
    def target(self) -> str:
        """user@host."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def ssh(self) -> list[str]:
        """The ssh command with its options, without the target."""
        options = {**OPTIONS, **({"ProxyCommand": self.proxy} if self.proxy else {})}
        if self.known is not None:  # the first key that a machine shows is believed, and no other later
            options |= {"StrictHostKeyChecking": "accept-new", "UserKnownHostsFile": _quoted(self.known)}
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
        # and no links, through which the head could write elsewhere; checkpoints have none, since they are copied whole
        command = ["rsync", "--recursive", "--times", "--compress", *rules]
        command += ["--rsh", shlex.join(self.ssh), f"{self.target}:{source}/", f"{target}/"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        is_gone = done.returncode == VANISHED or (done.returncode == PARTIAL and NOT_THERE in done.stderr)
        if done.returncode and not is_gone:
            raise ClusterError(f"{self.host}: rsync failed: {done.stderr.strip()}")
        return not is_gone

    @contextmanager
    def tunnel(self) -> Iterator[int]:
        """A tunnel to the head's job server for the length of the block; yields its port on this machine.

        The port is this process's, and ssh listens at a socket that only this user reaches: whoever else on this
        machine may wait for a token gets none.

        Raises:
            ClusterError: ssh cannot connect.
        """
        with tempfile.TemporaryDirectory(prefix="raysweep-", dir="/tmp") as folder:  # a socket's path is short
            file = Path(folder, "jobs")
            command = [*self.ssh, "-N", "-L", f"{file}:127.0.0.1:{JOBS_PORT}", self.target]
            # in a session of its own, or Ctrl-C would end it before the question what to do
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
            ) as process:
                try:
                    self._wait(process, file)
                    with relayed(file) as port:
                        yield port
                finally:
                    process.terminate()

    def _wait(self, process: subprocess.Popen[str], file: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        while not file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.terminate()
                told = process.communicate()[1].strip()
                raise ClusterError(f"{self.host}: ssh cannot connect: {self._reason(told)}")
            time.sleep(0.1)

    def _reason(self, told: str) -> str:
        """What ssh said, and what to do."""
        if FOREIGN not in told:
            return f"{told or 'it does not answer'}; is the cluster up? (`ray up`)"
        if self.known is None:
            return f"its key is not one that ssh knows; log in once, and compare it: ssh {self.target}\n{told}"
        return f"its key is another than in {self.known}; where the cluster was launched anew, remove that file\n{told}"


def _known_hosts(cluster: str) -> Path:
    """The file with the host keys of a cluster's machines."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "raysweep" / "known_hosts"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ClusterError(f"{folder}: host keys cannot be remembered here: {error.strerror}") from None
    return folder / re.sub(r"[^\w.-]", "_", cluster)


def _quoted(file: Path) -> str:
    """A path as ssh's options take it, which may be several, and have %-marks."""
    return '"' + str(file).replace("%", "%%") + '"'


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
    with quiet(("ray",)), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield sdk
