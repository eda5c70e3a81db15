"""cluster.yaml as Ray's AWS launcher uses it, against moto's EC2 and IAM."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

CHECKOUT = Path(__file__).parents[1]
WORKER = {"ray-node-type": "worker"}

# moto's and botocore's own
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """cluster.yaml with what the launcher adds to it: the key, the network, the head's role."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir()
    environment = {
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-west-2",
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    }
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(time, "sleep", lambda seconds: None)  # the launcher waits half a minute for IAM
        from ray.autoscaler import sdk

        content = yaml.safe_load((CHECKOUT / "cluster.yaml").read_text())
        yield sdk.bootstrap_config(content, no_config_cache=True)


def instances() -> list[Any]:
    client = boto3.client("ec2")
    return [one for group in client.describe_instances()["Reservations"] for one in group["Instances"]]


def provider(config: dict[str, Any]) -> Any:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    return AWSNodeProvider(config["provider"], config["cluster_name"])


def launch(config: dict[str, Any], kind: str, tags: dict[str, str]) -> None:
    provider(config).create_node(copy.deepcopy(config["available_node_types"][kind]["node_config"]), tags, 1)


def test_nothing_but_ssh_is_open_to_the_outside(config: dict[str, Any]) -> None:
    kinds = config["available_node_types"].values()
    (used,) = {group for kind in kinds for group in kind["node_config"]["SecurityGroupIds"]}
    (group,) = boto3.client("ec2").describe_security_groups(GroupIds=[used])["SecurityGroups"]
    outside = [rule for rule in group["IpPermissions"] if rule["IpRanges"] or rule["Ipv6Ranges"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in outside] == [(22, 22)]
    inside = [rule for rule in group["IpPermissions"] if rule not in outside]
    assert [pair["GroupId"] for rule in inside for pair in rule["UserIdGroupPairs"]] == [used]


def test_it_needs_no_key_of_ones_own(config: dict[str, Any]) -> None:
    key = Path(config["auth"]["ssh_private_key"])
    assert key.is_file()
    assert key.stat().st_mode & 0o077 == 0


def test_workers_are_spot_instances_and_are_terminated(config: dict[str, Any]) -> None:
    launch(config, "head", {"ray-node-type": "head"})
    launch(config, "gpu", WORKER)
    head, worker = sorted(instances(), key=lambda one: str(one["InstanceType"]), reverse=True)
    assert (head["InstanceType"], head.get("InstanceLifecycle")) == ("m7i.large", None)
    assert (worker["InstanceType"], worker["InstanceLifecycle"]) == ("g5.xlarge", "spot")
    there = provider(config)
    (name,) = there.non_terminated_nodes(WORKER)
    there.terminate_node(name)
    assert {one["InstanceId"]: one["State"]["Name"] for one in instances()}[name] == "terminated"


def test_the_instance_type_has_what_the_file_says(config: dict[str, Any]) -> None:
    resources = config["available_node_types"]["gpu"]["resources"]
    assert (resources["CPU"], resources["GPU"]) == (4, 1)
    told = boto3.client("ec2").describe_instance_types(InstanceTypes=["g5.xlarge"])["InstanceTypes"][0]
    assert told["VCpuInfo"]["DefaultVCpus"] == 4
    assert sum(gpu["Count"] for gpu in told["GpuInfo"]["Gpus"]) == 1
