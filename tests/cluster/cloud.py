"""An AWS of this machine: moto's EC2 and IAM, and a host of namespaces for each instance that moto says is running."""

from __future__ import annotations

import ctypes
import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import yaml
from moto import mock_aws
from moto.server import ThreadedMotoServer

from tests.cluster.machines import CHECKOUT, Hosts

NET = "10.78.0"
PORT = 5000
REGION = "us-west-2"
BUCKET = "results"
ROLE = "ray-autoscaler-v1"  # of the head, by Ray's launcher
INTERVAL = 0.5  # seconds between looks at the instances
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
KEY = "[default]\naws_access_key_id = none\naws_secret_access_key = none\n"  # for ~/.aws/credentials


def cluster_file() -> dict[str, Any]:
    """cluster.yaml, changed only where this AWS differs from the real one."""
    content: dict[str, Any] = yaml.safe_load((CHECKOUT / "cluster.yaml").read_text())
    # nothing resolves AWS's names here, and no metadata service gives the head its role's credentials
    content["provider"]["aws_credentials"] = {
        "endpoint_url": f"http://{NET}.254:{PORT}",
        "aws_access_key_id": "none",
        "aws_secret_access_key": "none",
    }
    content["auth"]["ssh_user"] = "root"  # hosts have no other user
    # there is no internet: the environment of the tests replaces an installation
    install = [line for line in content["setup_commands"] if "uv" in line]
    content["setup_commands"] = [line for line in content["setup_commands"] if line not in install]
    content["setup_commands"].append(f"ln -sfn {sys.prefix} ~/env")
    content["idle_timeout_minutes"] = 0.5  # instead of 5, to see it happen
    for kind in ("head_start_ray_commands", "worker_start_ray_commands"):
        content[kind][-1] += " --object-store-memory=100000000"  # a host's /dev/shm is small
    return content


@dataclass
class Bucket:
    """A bucket in an S3 that all hosts reach.

    Attributes:
        url: as `--backup` takes it.
        s3: moto's, by boto3.
    """

    url: str
    s3: Any

    def read(self, prefix: str, name: str) -> str:
        """The one file of that name below a prefix; empty where there is none yet."""
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"runs/{prefix}").get("Contents", ())
        keys = [one["Key"] for one in found if one["Key"].endswith(f"/{name}")]
        return "".join(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() for key in keys)


@contextmanager
def bucket(hosts: Hosts) -> Iterator[Bucket]:
    """An S3 for the length of the block."""
    with mock_aws(), _served(f"{hosts.prefix}-cli"):
        s3 = boto3.client("s3", REGION)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        address = f"endpoint_override={hosts.net}.254:{PORT}&scheme=http&region={REGION}"
        yield Bucket(f"s3://{BUCKET}/runs?{address}", s3)


@dataclass
class Cloud:
    """The instances, and the hosts that they are.

    Attributes:
        hosts: of namespaces.
        ec2: moto's, by boto3.
        names: the hosts of the instances that run, by instance.
    """

    hosts: Hosts
    ec2: Any
    names: dict[str, str] = field(default_factory=dict)

    def instances(self) -> list[dict[str, Any]]:
        """All instances that there ever were, as EC2 describes them."""
        return [one for group in self.ec2.describe_instances()["Reservations"] for one in group["Instances"]]

    def running(self) -> Counter[str]:
        """How many instances run of each type."""
        return Counter(one["InstanceType"] for one in self.instances() if one["State"]["Name"] == "running")

    def reclaim(self, host: str) -> None:
        """AWS takes a spot instance back, by its host's name; `watch` then cuts its power."""
        (instance,) = (one for one, name in self.names.items() if f"{self.hosts.prefix}-{name}" == host)
        self.ec2.terminate_instances(InstanceIds=[instance])

    def watch(self, over: threading.Event) -> None:
        """Give each instance that runs a host, and take it away when it no longer does."""
        count = 0
        while not over.wait(INTERVAL):
            for one in self.instances():
                name, runs = one["InstanceId"], one["State"]["Name"] == "running"
                if runs and name not in self.names:
                    count += 1
                    self._boot(one, f"h{count}")
                    self.names[name] = f"h{count}"
                elif not runs and name in self.names:
                    self.hosts.remove(self.names.pop(name))

    def _boot(self, instance: dict[str, Any], host: str) -> None:
        self.hosts.add(host, instance["PrivateIpAddress"], instance["PublicIpAddress"])
        asked = self.ec2.describe_key_pairs(KeyNames=[instance["KeyName"]], IncludePublicKey=True)
        self.hosts.write(host, "/etc/ssh/hosts_authorized", asked["KeyPairs"][0]["PublicKey"])


@contextmanager
def running(hosts: Hosts) -> Iterator[Cloud]:
    """An AWS for the length of the block, which the laptop and all instances reach."""
    with mock_aws(), _served(f"{hosts.prefix}-cli"), ThreadPoolExecutor(1) as executor:
        _make_role()
        cloud, over = Cloud(hosts, boto3.client("ec2", REGION)), threading.Event()
        watching = executor.submit(cloud.watch, over)
        try:
            yield cloud
        finally:
            over.set()
            watching.result()


@contextmanager
def _served(network: str) -> Iterator[None]:
    """moto's server in a host's network; it has the same instances as mock_aws in this process."""
    server = ThreadedMotoServer("0.0.0.0", PORT, verbose=False)

    def start() -> None:  # the server's thread inherits the network of the thread that starts it
        with Path("/run/netns", network).open() as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "setns")
        server.start()

    with ThreadPoolExecutor(1) as executor:
        executor.submit(start).result()
    try:
        yield
    finally:
        server.stop()


def _make_role() -> None:
    """The head's role, as in an account that has been used with Ray; the launcher waits long after making one."""
    iam = boto3.client("iam", REGION)
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}))
    iam.create_instance_profile(InstanceProfileName=ROLE)
    iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
