"""Hosts made of namespaces on this machine, and what a user does on the laptop among them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
HEAD = "10.77.0.1"
EPOCHS = [1, 2, 3, 4]
TRAIN = """\
import json, pathlib, socket, tempfile, time
import raysweep

def train(config):
    folder = raysweep.checkpoint()
    done = json.loads((folder / "epoch.json").read_text()) if folder else 0
    for epoch in range(done + 1, config["epochs"] + 1):
        time.sleep(config["pause"])
        print("epoch", epoch, "on", socket.gethostname())
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "epoch.json").write_text(json.dumps(epoch))
            raysweep.report({"loss": config["x"] / epoch, "host": socket.gethostname()}, checkpoint=folder)
"""


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> float:
    """Wait until something is so; returns how many seconds that took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + seconds, "it did not happen"
        time.sleep(0.2)
    return time.monotonic() - started


@dataclass
class Hosts:
    """The machines: h1 is the cluster's head, h2 and more are its workers, cli is the laptop.

    Attributes:
        state: a directory for keys, process ids and logs.
        prefix: of the machines' names.
        net: the first three numbers of the addresses of those that are given none.
        shared: a directory that all of them see, as by NFS; empty for none.
    """

    state: Path
    prefix: str = "rs"
    net: str = "10.77.0"
    shared: str = ""

    def _call(self, *arguments: str, timeout: float = 300) -> str:
        environment = {
            **os.environ,
            "HOSTS_STATE": str(self.state),
            "HOSTS_PREFIX": self.prefix,
            "HOSTS_NET": self.net,
            "HOSTS_SHARED": self.shared,
            "HOSTS_BIND": " ".join(dict.fromkeys((sys.prefix, str(CHECKOUT)))),
        }
        done = subprocess.run(
            [str(HERE / "hosts.sh"), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def up(self, count: int) -> None:
        self._call("up", str(count))

    def down(self) -> None:
        self._call("down")

    def add(self, host: str, *addresses: str) -> None:
        """A new machine, with these addresses or the one of its number."""
        self._call("add", host, *addresses)

    def remove(self, host: str) -> None:
        """A machine is gone, with its disk."""
        self._call("remove", host)

    def crash(self, host: str) -> None:
        """A power cut."""
        self._call("crash", host)

    def boot(self, host: str) -> None:
        self._call("boot", host)

    def unplug(self, host: str) -> None:
        self._call("unplug", host)

    def plug(self, host: str) -> None:
        self._call("plug", host)

    def sh(self, host: str, line: str, timeout: float = 300) -> str:
        """Run a line of shell on a host, as a user who has just logged in; returns its output.

        Raises:
            RuntimeError: its exit code is not 0.
        """
        return self._call("sh", host, f"export PATH={sys.prefix}/bin:$PATH; {line}", timeout=timeout)

    def code(self, host: str, line: str) -> int:
        """The exit code of a line of shell."""
        return int(self.sh(host, f"({line}) >&2; echo $?").split()[-1])

    def write(self, host: str, path: str, text: str) -> None:
        """Write a file on a host."""
        self.sh(host, f"mkdir -p $(dirname {path}); cat > {path} <<'END'\n{text}\nEND")

    def copy_token(self, host: str) -> None:
        """Give a host the cluster's token."""
        self.write(host, "~/.ray/auth_token", self.sh("cli", "cat ~/.ray/auth_token").strip())
        self.sh(host, f"chmod 600 ~/.ray/auth_token; ln -sfn {sys.prefix} ~/env")

    def start_ray(self, host: str) -> None:
        """Join the cluster, as the cluster file has it done on a worker."""
        lines = cluster_file()["worker_start_ray_commands"]
        for line in lines:
            self.sh(host, f"export RAY_HEAD_IP={HEAD}; {line}")


def cluster_file(workers: int = 2) -> dict[str, Any]:
    """clusters/on-prem.yaml with these hosts filled in; the environment of the tests replaces an installation."""
    content: dict[str, Any] = yaml.safe_load((CHECKOUT / "clusters" / "on-prem.yaml").read_text())
    content["provider"] |= {"head_ip": HEAD, "worker_ips": [f"10.77.0.{number + 2}" for number in range(workers)]}
    content["auth"] = {"ssh_user": "root", "ssh_private_key": "~/hosts_key"}
    content["setup_commands"] = ["chmod 600 ~/.ray/auth_token", f"ln -sfn {sys.prefix} ~/env"]
    for kind in ("head_start_ray_commands", "worker_start_ray_commands"):
        content[kind][-1] += " --num-cpus=1 --object-store-memory=100000000"
    return content


@dataclass
class Laptop:
    """What a user does: files in ~/project, and commands there."""

    hosts: Hosts

    def start_cluster(self) -> None:
        """What the README says, with the cluster file in the home directory; its user has seen the head's key."""
        self.hosts.sh("cli", f"mkdir -p -m 700 ~/.ssh; ssh-keyscan {HEAD} >>~/.ssh/known_hosts 2>/dev/null || true")
        make = "RAY_AUTH_MODE=token ray get-auth-token --generate >/dev/null && chmod 600 ~/.ray/auth_token"
        self.hosts.sh("cli", make)
        self.launch("up")

    def launch(self, verb: str) -> None:
        """`ray up` or `ray down`."""
        log = f"~/ray-{verb}.log"
        line = f"RAY_AUTH_MODE=token ray {verb} --yes ~/cluster.yaml >{log} 2>&1 || (cat {log}; false)"
        self.hosts.sh("cli", f"cd {CHECKOUT}; {line}")  # the file's paths are relative to the checkout

    def prepare(self, name: str, host: str = "cli", gpu: int = 0, **keys: Any) -> None:
        """Write a sweep file and its training function, on the laptop or on another host."""
        parameters = {"x": [1, 2, 3, 4], "epochs": len(EPOCHS), "pause": 0.5, **keys}
        content = {
            "name": name,
            "trainable": "train.py:train",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": parameters,
            "retries": 5,
            "resources": {"cpu": 1, "gpu": gpu},
        }
        self.hosts.write(host, f"~/project/{name}.json", json.dumps(content))
        self.hosts.write(host, "~/project/train.py", TRAIN)

    def sh(self, line: str, timeout: float = 300) -> str:
        return self.hosts.sh("cli", f"cd ~/project; {line}", timeout)

    def raysweep(self, line: str) -> str:
        """Run a raysweep command; returns stdout and stderr."""
        return self.sh(f"raysweep {line} --cluster ../cluster.yaml 2>&1")

    def start(self, line: str) -> None:
        """Run a raysweep command, and do not wait for it."""
        command = f"setsid env --default-signal=INT raysweep {line} --cluster ../cluster.yaml"
        self.sh(f"rm -f ../log; ({command} </dev/null >../log 2>&1; echo $? >../code) &>/dev/null &")

    def start_on_terminal(self, line: str) -> None:
        """As `start`, with a terminal, for which `type` types."""
        command = f"exec raysweep {line} --cluster ../cluster.yaml"
        self.sh("rm -f ../log ../keys; mkfifo ../keys; (sleep infinity >../keys &) &>/dev/null")  # holds it open
        line = f"setsid env --default-signal=INT script -qefc '{command}' ../log <../keys"
        self.sh(f"({line} >/dev/null 2>&1; echo $? >../code) &>/dev/null &")

    def type(self, text: str) -> None:
        """Type on the terminal of the command that was started; "\\003" is Ctrl-C."""
        self.sh(f"printf '{text}' >../keys")

    def wait(self, seconds: float = 240) -> tuple[int, str]:
        """Wait for the command that was started; returns its exit code and what it said."""
        wait_for(lambda: self.hosts.sh("cli", "cat ~/code 2>/dev/null || true").strip(), seconds)
        return int(self.hosts.sh("cli", "cat ~/code; rm ~/code")), self.log()

    def wait_for_line(self, text: str, seconds: float = 90) -> None:
        """Wait until the command that was started has said something."""
        self._wait(lambda: text in self.log(), seconds)

    def wait_for_host(self, name: str, host: str) -> None:
        """Wait until a trial of a sweep has printed on a host, and this has reached the head."""
        line = f"grep -qs 'epoch 2 on {self.hosts.prefix}-{host}' ~/runs/{name}/*/output.log"
        self._wait(lambda: self.hosts.code("h1", line) == 0)

    def log(self) -> str:
        """What the command that was started has said so far."""
        return self.hosts.sh("cli", "cat ~/log 2>/dev/null || true")

    def _wait(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        try:
            wait_for(condition, seconds)
        except AssertionError:
            raise AssertionError(f"it did not happen; the command said:\n{self.log()}") from None

    def results(self, name: str) -> list[dict[str, Any]]:
        """The rows of the results table on the laptop."""
        rows: list[dict[str, Any]] = json.loads(self.sh(f"cat runs/{name}/results.json"))
        return rows

    def history(self, name: str) -> list[dict[str, Any]]:
        """The rows of the history on the laptop."""
        rows: list[dict[str, Any]] = json.loads(self.sh(f"cat runs/{name}/history.json"))
        return rows

    def records(self, name: str) -> list[dict[str, Any]]:
        """The trials' records on the laptop."""
        line = f"for file in runs/{name}/*/trial.json; do tr -d '\\n' <$file; echo; done"
        return [json.loads(record) for record in self.sh(line).splitlines()]

    def check_whole(self, name: str, trials: int = 4) -> None:
        """Every trial is done, with each epoch once."""
        assert [row["state"] for row in self.results(name)] == ["done"] * trials
        history = self.history(name)
        for trial in {row["trial"] for row in history}:
            assert [row["epoch"] for row in history if row["trial"] == trial] == EPOCHS

    def hosts_of(self, name: str) -> set[str]:
        """The names of the machines that trained."""
        return {row["host"] for row in self.history(name)}

    def check_secret(self, *machines: str) -> None:
        """The token is on the laptop and on these machines, and only its owner can read it."""
        token = self.hosts.sh("cli", "cat ~/.ray/auth_token").strip()
        for host in ("cli", *machines):
            assert self.hosts.sh(host, "stat -c %a ~/.ray/auth_token").strip() == "600"
            assert self.hosts.code(host, f"grep -rqs {token} /tmp /dev/shm ~/*.yaml ~/*log") != 0
            assert token not in self.hosts.sh(host, "ps -eo args")


def nodes(hosts: Hosts) -> int:
    """How many nodes of the cluster are alive."""
    line = "import ray; print('alive:', sum(node['Alive'] for node in ray.nodes()))"
    script = f"import logging, ray; ray.init('auto', logging_level=logging.ERROR, log_to_driver=False); {line}"
    return int(hosts.sh("h1", f'RAY_AUTH_MODE=token python -c "{script}" 2>/dev/null').split("alive:")[1].split()[0])
