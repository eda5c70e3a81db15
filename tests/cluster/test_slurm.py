"""A sweep on SLURM, whose own daemons run on hosts made of namespaces: two nodes, one of them the login node."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.machines import CHECKOUT, EPOCHS, TRAIN, Hosts, wait_for

pytestmark = [pytest.mark.hosts, pytest.mark.root, pytest.mark.timeout(900)]
DAEMONS = ("slurmctld", "slurmd", "munged", "sbatch")
HOME = "/home/shared"
CONFIG = """\
ClusterName=hosts
SlurmctldHost={prefix}-h1({net}.1)
AuthType=auth/munge
SlurmUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
StateSaveLocation=/var/tmp/slurm
SlurmdSpoolDir=/var/tmp/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmdTimeout=10
SchedulerParameters=sched_interval=2,bf_interval=2
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

# slurmd looks for some even where nothing uses them; the hosts have none
CGROUPS = "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/var/tmp/cgroups"


class Slurm:
    """A cluster with SLURM, and what a user does on its login node."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts

    def start(self) -> None:
        name = "NodeName={prefix}-h{number} NodeAddr={net}.{number} CPUs=1 State=UNKNOWN"
        where = {"prefix": self.hosts.prefix, "net": self.hosts.net}
        nodes = "\n".join(name.format(number=number, **where) for number in (1, 2))
        for host in ("h1", "h2"):
            self.hosts.write(host, "/etc/slurm/slurm.conf", CONFIG.format(nodes=nodes, **where))
            self.hosts.write(host, "/etc/slurm/cgroup.conf", CGROUPS)
            self.start_node(host)
        self.hosts.sh("h1", "mkdir -p /var/tmp/slurm; slurmctld")
        wait_for(lambda: self.hosts.sh("h1", "sinfo --noheader --format=%D --states=idle").split() == ["2"])

    def start_node(self, host: str) -> None:
        munge = "mkdir -p -m 755 /run/munge; chown munge /run/munge; runuser -u munge -- munged --force"
        self.hosts.sh(
            host, f"echo 'hosts' | sha512sum >/etc/munge/munge.key; {munge}; mkdir -p /var/tmp/slurmd; slurmd"
        )

    def sh(self, line: str) -> str:
        """A line on the login node, in the shared home."""
        return self.hosts.sh("h1", f"export HOME={HOME} PYTHONPATH={CHECKOUT}; cd {HOME}; {line}")

    def prepare(self, name: str, **parameters: object) -> None:
        """A sweep in the shared home."""
        content = {
            "name": name,
            "trainable": "train.py:train",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": [1, 2, 3, 4], "epochs": len(EPOCHS), "pause": 1, **parameters},
            "retries": 5,
        }
        self.hosts.write("h1", f"{HOME}/{name}.json", json.dumps(content))
        self.hosts.write("h1", f"{HOME}/train.py", TRAIN)

    def submit(self, name: str, options: str = "") -> str:
        """Submit it; returns the job's number."""
        told = self.sh(f"raysweep run {name}.json --slurm --json -- --nodes=2 {options}")
        return str(json.loads(told)["job"])

    def log(self, name: str, job: str) -> str:
        return self.sh(f"cat {name}-{job}.log 2>/dev/null || true")

    def wait(self, name: str, job: str, text: str, seconds: float = 120) -> None:
        """Wait until a job has said something."""
        try:
            wait_for(lambda: text in self.log(name, job), seconds)
        except AssertionError:
            queue = self.sh("squeue; sinfo")
            raise AssertionError(f"{text!r} was not said, but:\n{self.log(name, job)}\n{queue}") from None

    def check_whole(self, name: str) -> set[str]:
        """Every trial is done, with each epoch once; returns the hosts that trained."""
        rows = json.loads(self.sh(f"cat runs/{name}/results.json"))
        assert [row["state"] for row in rows] == ["done"] * 4
        history = json.loads(self.sh(f"cat runs/{name}/history.json"))
        for trial in {row["trial"] for row in history}:
            assert [row["epoch"] for row in history if row["trial"] == trial] == EPOCHS
        return {row["host"] for row in history}


@pytest.fixture(scope="module")
def slurm(needs_namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if missing := [tool for tool in DAEMONS if shutil.which(tool, path="/usr/sbin:/usr/bin") is None]:
        pytest.skip(f"not installed: {', '.join(missing)}: apt-get install slurm-wlm munge")
    hosts = Hosts(tmp_path_factory.mktemp("slurm"), prefix="sl", net="10.79.0", shared=HOME)
    try:
        hosts.up(2)
        cluster = Slurm(hosts)
        cluster.start()
        yield cluster
    finally:
        hosts.down()


def test_a_sweep_is_one_job_on_both_nodes(slurm: Slurm) -> None:
    slurm.prepare("simple", pause=3)
    job = slurm.submit("simple")
    refused = slurm.sh("raysweep run simple.json --slurm 2>&1 || true")
    assert f"simple: job {job} of SLURM trains it already, or is to (" in refused
    slurm.wait("simple", job, "epoch 1")
    assert "at work" in slurm.sh("raysweep status simple 2>&1")
    assert slurm.hosts.code("h2", f"RAY_AUTH_MODE=disabled ray status --address={slurm.hosts.net}.1:{20000 + int(job)}")
    slurm.wait("simple", job, "4 done")
    assert "2 at once on 2 nodes" in slurm.log("simple", job)
    assert slurm.check_whole("simple") == {"sl-h1", "sl-h2"}
    wait_for(lambda: not slurm.sh("squeue --noheader").strip())
    for host in ("h1", "h2"):
        assert not slurm.hosts.sh(host, "ls -d /tmp/raysweep-job-* || true; pgrep raylet || true").strip()
    assert not slurm.sh("ls .ray").strip()


def test_a_job_whose_time_is_up_goes_on(slurm: Slurm) -> None:
    slurm.prepare("long", pause=12)
    job = slurm.submit("long", "--time=3 --signal=B:USR1@120")  # so after a minute
    slurm.wait("long", job, "the time is up; the job is queued again, and goes on", 240)
    slurm.sh(f"scontrol update JobId={job} StartTime=now; scontrol update JobId={job} TimeLimit=10")
    slurm.wait("long", job, "4 done", 600)
    assert "interrupted)" in slurm.log("long", job)
    slurm.check_whole("long")


def test_a_job_whose_node_has_failed_goes_on(slurm: Slurm) -> None:
    slurm.prepare("failed", pause=3)
    job = slurm.submit("failed")
    slurm.wait("failed", job, "epoch 2")
    slurm.hosts.crash("h2")
    slurm.hosts.boot("h2")
    slurm.start_node("h2")
    slurm.sh(f"scontrol update JobId={job} StartTime=now || true")
    slurm.wait("failed", job, "4 done", 600)
    slurm.check_whole("failed")


def test_what_sbatch_refuses_is_told(slurm: Slurm) -> None:
    slurm.prepare("refused")
    told = slurm.sh("raysweep run refused.json --slurm -- --partition=none 2>&1; echo $?")
    assert "sbatch has refused: sbatch: error: invalid partition specified: none" in told
    assert told.split()[-1] == "2"


def test_the_script_of_the_repository_is_the_one_that_is_submitted() -> None:
    script = CHECKOUT / "clusters/slurm.sbatch"
    assert script.resolve() == Path(CHECKOUT, "raysweep/remote/slurm.sbatch").resolve()
