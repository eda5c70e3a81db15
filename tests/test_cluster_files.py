"""The cluster files that are shipped: valid by Ray's own schema, and what they promise."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml

CHECKOUT = Path(__file__).parents[1]
AWS = CHECKOUT / "cluster.yaml"
FILES = [AWS, *sorted((CHECKOUT / "clusters").glob("*.yaml"))]
SCHEMA = Path(ray.autoscaler.__file__).with_name("ray-schema.json")


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def content(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(request.param.read_text())
    return loaded


def test_it_is_valid_by_rays_schema(content: dict[str, Any]) -> None:
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))


def test_rays_launcher_takes_it(content: dict[str, Any]) -> None:
    """As `ray up` reads it, before it talks to a cloud."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(content))


def test_token_authentication_is_on_for_every_command(content: dict[str, Any]) -> None:
    for kind in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert all("RAY_AUTH_MODE=token" in command for command in content[kind])
    assert content["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert content["setup_commands"][0] == "chmod 600 ~/.ray/auth_token"


def test_the_dashboard_listens_on_localhost_only(content: dict[str, Any]) -> None:
    start = content["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in start
    assert "0.0.0.0" not in yaml.safe_dump(content)


def test_a_lost_node_is_noticed_within_15_seconds(content: dict[str, Any]) -> None:
    words = content["head_start_ray_commands"][-1].replace(";", " ").split()
    health = {word.split("=")[0]: int(word.split("=")[1]) for word in words if word.startswith("RAY_health_check")}
    period, timeout, threshold = (
        health[f"RAY_health_check_{name}"] for name in ("period_ms", "timeout_ms", "failure_threshold")
    )
    assert (period + timeout) * threshold < 15_000


def test_of_the_checkout_what_an_installation_needs_travels(content: dict[str, Any]) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"], *packages}
    assert needed == {path for path in content["file_mounts"].values() if not path.startswith("~")}
    assert all(content["file_mounts"][f"~/raysweep/{path}"] == path for path in needed)


def test_aws_head_is_small_and_workers_are_spot_from_zero() -> None:
    content = yaml.safe_load(AWS.read_text())
    assert content["provider"]["cache_stopped_nodes"] is False
    types = content["available_node_types"]
    head = types.pop(content["head_node_type"])
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    for worker in types.values():
        assert worker["min_workers"] == 0 < worker["max_workers"] <= content["max_workers"]
        assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
        assert worker["resources"]["GPU"] >= 1


JOB = CHECKOUT / "clusters/kuberay/rayjob.yaml"


def test_the_job_for_kubernetes_is_valid_by_kuberays_schema() -> None:
    """The schema has all names of each object that the file has; others are refused, which Kubernetes would drop."""
    schema = json.loads((CHECKOUT / "tests/data/rayjob.schema.json").read_text())
    [job] = [part for part in yaml.safe_load_all(JOB.read_text()) if part["kind"] == "RayJob"]
    jsonschema.validate(job, schema)
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["minReplica"] = 0
    with pytest.raises(jsonschema.ValidationError, match="'minReplica' was unexpected"):
        jsonschema.validate(job, schema)


def test_its_volumes_are_there_and_its_image_has_what_an_installation_needs() -> None:
    claim, job = yaml.safe_load_all(JOB.read_text())
    cluster = job["spec"]["rayClusterSpec"]
    for template in (part["template"]["spec"] for part in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])):
        mounted = {mount["name"] for container in template["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in template["volumes"]}
    claimed = [
        volume.get("persistentVolumeClaim") for volume in cluster["headGroupSpec"]["template"]["spec"]["volumes"]
    ]
    assert {"claimName": claim["metadata"]["name"]} in claimed
    image = JOB.with_name("Dockerfile").read_text()
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    needed = [
        project["project"]["readme"],
        *project["project"]["license-files"],
        "raysweep /home/ray/raysweep/raysweep",
    ]
    assert all(part in image for part in needed)
    newest = project["project"]["dependencies"][0].partition(",<2.")[2]
    assert f"rayproject/ray:2.{int(newest) - 1}." in image


def test_the_readme_says_what_the_file_says() -> None:
    section = (CHECKOUT / "README.md").read_text().partition("## Cluster\n")[2].partition("\n## ")[0]
    block = section.partition("```sh\n")[2].partition("```")[0]
    commands = [command.strip() for line in block.splitlines() for command in line.split("&&")]
    assert len(commands) == 7
    header = AWS.read_text().partition("cluster_name:")[0]
    for command in commands:
        assert command in header
