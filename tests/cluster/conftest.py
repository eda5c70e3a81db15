"""Clusters of hosts, and a laptop beside each, all made of namespaces on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
import yaml

from tests.cluster.machines import Hosts, Laptop, cluster_file, nodes, wait_for

TOOLS = ("sshd", "ip", "rsync", "nsenter", "unshare")


@pytest.fixture(scope="session")
def needs_namespaces() -> None:
    """Skip where hosts cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("namespaces need root")
    if missing := [tool for tool in TOOLS if shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin") is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="session")
def hosts(needs_namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Three hosts and a laptop, running."""
    hosts = Hosts(tmp_path_factory.mktemp("hosts"))
    try:
        hosts.up(3)
        yield hosts
    finally:
        hosts.down()


@pytest.fixture(scope="session")
def laptop(hosts: Hosts) -> Iterator[Laptop]:
    """The laptop of somebody who has started the cluster as the README says."""
    hosts.write("cli", "~/cluster.yaml", yaml.safe_dump(cluster_file()))
    laptop = Laptop(hosts)
    laptop.start_cluster()
    wait_for(lambda: nodes(hosts) == 3)
    yield laptop
    laptop.launch("down")
