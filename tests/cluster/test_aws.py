"""cluster.yaml from `ray up` to `ray down` on a simulated AWS, whose instances are hosts of namespaces.

The tests are one story, in this order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from tests.cluster import cloud
from tests.cluster.cloud import Cloud
from tests.cluster.machines import Hosts, Laptop, nodes, wait_for

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # moto's and botocore's own
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
HEAD, WORKER = "m7i.large", "g5.xlarge"
PATIENCE = 240  # seconds that instances may take to come or go


@pytest.fixture(scope="module")
def aws(needs_namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A laptop, and an AWS without instances."""
    hosts = Hosts(tmp_path_factory.mktemp("aws"), "aws", cloud.NET)
    try:
        hosts.up(0)
        with cloud.running(hosts) as there:
            yield there
    finally:
        hosts.down()


@pytest.fixture(scope="module")
def laptop(aws: Cloud) -> Laptop:
    """The laptop of somebody who has started the cluster as the README says."""
    aws.hosts.write("cli", "~/cluster.yaml", yaml.safe_dump(cloud.cluster_file()))
    laptop = Laptop(aws.hosts)
    laptop.start_cluster()
    return laptop


def test_the_head_comes_up_alone(aws: Cloud, laptop: Laptop) -> None:
    assert aws.running() == {HEAD: 1}
    assert nodes(laptop.hosts) == 1


def test_a_sweep_brings_workers(aws: Cloud, laptop: Laptop) -> None:
    laptop.prepare("scaled", gpu=1, x=[1, 2], pause=2)
    laptop.start("run scaled.json")
    laptop.wait_for_line("epoch 2", PATIENCE)
    assert 1 <= aws.running()[WORKER] <= 2
    laptop.check_secret(*aws.names.values())
    code, told = laptop.wait(PATIENCE)
    assert code == 0, told
    laptop.check_whole("scaled", trials=2)
    assert "aws-h1" not in laptop.hosts_of("scaled")  # the head trains nothing
    assert laptop.sh("raysweep best scaled").startswith("x=1")


def test_reclaimed_instances_are_replaced_and_their_trials_go_on(aws: Cloud, laptop: Laptop) -> None:
    laptop.prepare("reclaimed", gpu=1, x=[1, 2], pause=5)
    laptop.start("run reclaimed.json")
    lost = set()
    for x in (1, 2):
        laptop.wait_for_line(f"x={x}: epoch 2", PATIENCE)
        lost.add(host := json.loads(laptop.hosts.sh("h1", f"cat ~/runs/reclaimed/x={x}-*/trial.json"))["host"])
        aws.reclaim(host)
    code, told = laptop.wait(PATIENCE)
    assert code == 0, told
    laptop.check_whole("reclaimed", trials=2)
    for record in laptop.records("reclaimed"):
        on = {row["epoch"]: row["host"] for row in laptop.history("reclaimed") if row["trial"] == record["id"]}
        assert record["attempts"] > 1
        assert on[1] == on[2] in lost  # these epochs were not trained again
        assert on[4] == record["host"] not in lost


def test_idle_workers_go(aws: Cloud, laptop: Laptop) -> None:
    wait_for(lambda: aws.running() == {HEAD: 1}, PATIENCE)


def test_nothing_is_left(aws: Cloud, laptop: Laptop) -> None:
    laptop.launch("down")
    assert {one["State"]["Name"] for one in aws.instances()} == {"terminated"}
