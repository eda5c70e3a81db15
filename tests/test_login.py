"""The way from a laptop to the head, with a real sshd here: whose keys are believed, and whose the port is."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from raysweep.errors import ClusterError
from raysweep.remote import jobs, login
from raysweep.remote.login import Login
from raysweep.remote.relay import relayed

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin:/bin")
pytestmark = pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed")


@dataclass(frozen=True)
class Here(Login):
    """A head on this machine.

    Attributes:
        port: of its sshd.
        folder: with what the user's own ssh would have in ~/.ssh.
    """

    port: int = 22
    folder: Path = Path()

    @property
    def ssh(self) -> list[str]:
        own = ["-F", "none", "-p", str(self.port), "-o", f"UserKnownHostsFile={self.folder}/known_hosts"]
        return [*super().ssh, *own]


def keygen(file: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def head(folder: Path, key: str, port: int) -> Iterator[None]:
    """An sshd with a host key of that name."""
    host = folder / key if (folder / key).exists() else keygen(folder / key)
    options = {"HostKey": host, "AuthorizedKeysFile": folder / "user.pub", "StrictModes": "no", "PidFile": "none"}
    options |= {"ListenAddress": f"127.0.0.1:{port}", "UsePAM": "no"}
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
    process = subprocess.Popen([str(SSHD), "-D", "-f", "/dev/null", *words], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not answers(port):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


class JobServer(http.server.BaseHTTPRequestHandler):
    """Ray's job server, as far as a client looks at it first; keeps what it was asked with."""

    seen: list[str | None]

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        body = json.dumps({"version": "4", "ray_version": "2", "ray_commit": "", "session_name": ""}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Nothing to stderr."""


@contextmanager
def served() -> Iterator[tuple[int, list[str | None]]]:
    """A job server on this machine; its port, and the tokens that it was shown."""
    seen: list[str | None] = []
    handler = type("Handler", (JobServer,), {"seen": seen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], seen
        server.shutdown()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """The login at a launched cluster's head on this machine, with a host key's file in a folder with a blank."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "my config"))
    known = login._known_hosts("my cluster/1")
    return Here("127.0.0.1", key=keygen(tmp_path / "user"), known=known, port=free_port(), folder=tmp_path)


def test_the_token_goes_through_the_tunnel_and_nowhere_else(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Login, "of", classmethod(lambda cls, file: here))
    monkeypatch.setattr(jobs, "TOKEN", tmp_path / "token")
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with served() as (port, seen), served() as (proxy, leaked), head(tmp_path, "host", here.port):
        monkeypatch.setattr(login, "JOBS_PORT", port)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        before = dict(os.environ)
        with jobs.head_of(tmp_path / "cluster.yaml"):
            pass
        assert dict(os.environ) == before
    assert seen and set(seen) == {"Bearer secret"}
    assert leaked == []


def test_a_launched_machines_key_is_remembered(here: Here, tmp_path: Path) -> None:
    assert here.known is not None and here.known.parent.stat().st_mode & 0o77 == 0
    with head(tmp_path, "host", here.port), here.tunnel():
        assert "ssh-ed25519" in here.known.read_text()
    with head(tmp_path, "host", here.port), here.tunnel():
        pass
    with (
        head(tmp_path, "another", here.port),
        pytest.raises(ClusterError, match=r"another than in .*known_hosts/my_cluster_1; .* remove that file"),
        here.tunnel(),
    ):
        raise AssertionError("connected")


def test_a_fixed_machine_is_one_that_the_users_ssh_knows(here: Here, tmp_path: Path) -> None:
    fixed = Here("127.0.0.1", key=here.key, port=here.port, folder=tmp_path)
    with head(tmp_path, "host", here.port):
        with pytest.raises(ClusterError, match=r"log in once, and compare it: ssh 127\.0\.0\.1"), fixed.tunnel():
            raise AssertionError("connected")
        (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{here.port} {(tmp_path / 'host.pub').read_text()}")
        with fixed.tunnel():
            pass
    with head(tmp_path, "another", here.port), pytest.raises(ClusterError, match="log in once"), fixed.tunnel():
        raise AssertionError("connected")


def test_where_nobody_answers_it_is_told(here: Here) -> None:
    with pytest.raises(ClusterError, match=r"ssh cannot connect: .*refused.*; is the cluster up\?"), here.tunnel():
        raise AssertionError("connected")


def listeners(port: int) -> set[str]:
    """The sockets that listen at a port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{words[9]}]" for words in lines if words[1].endswith(f":{port:04X}") and words[3] == "0A"}


def test_the_port_is_this_processs(tmp_path: Path) -> None:
    with relayed(tmp_path / "none") as port:
        own = {str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
        (listener,) = listeners(port)
        assert listener in own
        with closing(socket.create_connection(("127.0.0.1", port))) as near:
            assert near.recv(1) == b""  # there is nobody at the other end
    assert not listeners(port)


def test_a_relay_carries_much_both_ways_at_once(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)

    def echo(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            received = bytearray()
            while piece := connection.recv(65536):
                received += piece
            connection.sendall(received[::-1])

    with socket.socket(socket.AF_UNIX) as server, relayed(tmp_path / "socket") as port:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        for _ in range(4):
            threading.Thread(target=echo, args=(server,), daemon=True).start()
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
        for near in connections:
            near.sendall(data)
            near.shutdown(socket.SHUT_WR)  # one side has ended, and the other goes on
        for near in connections:
            with near, near.makefile("rb") as file:
                assert file.read() == data[::-1]
