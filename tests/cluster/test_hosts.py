"""A sweep from a laptop on a cluster of three hosts, and what may happen to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cluster import cloud
from tests.cluster.machines import EPOCHS, Laptop, nodes, wait_for

pytestmark = [pytest.mark.hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]


def test_one_command_brings_the_results_to_the_laptop(laptop: Laptop) -> None:
    laptop.prepare("simple", pause=2)
    told = laptop.raysweep("run simple.json")
    assert "3 at once on 3 nodes (3 CPU, 0 GPU)" in told
    assert "4 done" in told
    laptop.check_whole("simple")
    assert laptop.hosts_of("simple") == {"rs-h1", "rs-h2", "rs-h3"}
    there = laptop.sh("cd runs/simple; ls *; cat */output.log")
    assert there.count("events.out.tfevents") == 4
    assert there.count("checkpoint_") == 1  # the best trial's
    for epoch in EPOCHS:
        assert f"epoch {epoch} on rs-h2" in there
    assert laptop.sh("raysweep best simple").startswith("x=1")
    assert "nothing to run" in laptop.raysweep("run simple.json")  # running twice is free


def test_on_the_head_itself_no_option_is_needed(laptop: Laptop) -> None:
    laptop.prepare("direct", "h1", pause=2)
    told = laptop.hosts.sh("h1", "cd ~/project; RAY_AUTH_MODE=token raysweep run direct.json 2>&1")
    assert "3 at once on 3 nodes" in told
    assert "4 done" in told
    printed = laptop.hosts.sh("h1", "cat ~/project/runs/direct/*/output.log")
    assert all(f"epoch 4 on rs-{host}" in printed for host in ("h1", "h2", "h3"))
    told = laptop.hosts.sh("h1", "cd ~/project; RAY_AUTH_MODE=token raysweep doctor direct.json 2>&1")
    assert "nothing would break a run" in told
    assert all(f"rs-{host}" in told for host in ("h1", "h2", "h3"))


def test_a_sweep_goes_on_without_the_laptop(laptop: Laptop) -> None:
    laptop.prepare("detached", pause=8)  # so that it is at work after what follows, on slow cores too
    laptop.start("run detached.json")
    laptop.wait_for_line("epoch 1")
    laptop.hosts.sh("cli", "pkill -INT -f '[r]aysweep run detached.json'")
    code, told = laptop.wait()
    assert code == 130, told
    assert "goes on; see it again: raysweep run detached.json" in told
    assert "at work" in laptop.raysweep("status detached")
    assert '"at_work": true' in laptop.raysweep("status detached --json")
    told = laptop.raysweep("run detached.json")
    assert "is at work on the cluster" in told
    assert "4 done" in told
    laptop.check_whole("detached")


def test_a_sweep_can_be_stopped_and_goes_on(laptop: Laptop) -> None:
    laptop.prepare("stopped", pause=5)  # longer than `stop` takes to reach the head
    laptop.start("run stopped.json")
    laptop.wait_for_line("epoch 1")
    laptop.raysweep("stop stopped")
    code, told = laptop.wait()
    assert code == 130
    assert "asked to stop" in told
    assert "x" in laptop.raysweep("results stopped")
    laptop.start_on_terminal("run stopped.json")
    laptop.wait_for_line(": started")
    laptop.type("\\003")
    laptop.wait_for_line("detach, and let the sweep go on? [Y/n: stop it]")
    laptop.type("n\\n")
    code, told = laptop.wait()
    assert code == 130
    assert "asked to stop" in told
    laptop.raysweep("run stopped.json")
    laptop.check_whole("stopped")


def lose(laptop: Laptop, name: str, host: str, how: Callable[[str], None]) -> None:
    """Start a sweep, and lose a worker that trains for it."""
    laptop.prepare(name, pause=3)
    laptop.start(f"run {name}.json")
    laptop.wait_for_host(name, host)
    how(host)
    seconds = wait_for(lambda: nodes(laptop.hosts) == 2)
    print(f"noticed after {seconds:.1f} s")
    assert seconds < 15


def test_a_worker_that_is_unplugged_and_comes_back(laptop: Laptop) -> None:
    lose(laptop, "unplugged", "h2", laptop.hosts.unplug)
    laptop.hosts.plug("h2")
    assert laptop.wait()[0] == 0
    laptop.check_whole("unplugged")
    wait_for(lambda: nodes(laptop.hosts) == 3, 180)  # the autoscaler starts Ray there anew


def test_a_worker_loses_its_power_and_boots_again(laptop: Laptop) -> None:
    lose(laptop, "crashed", "h3", laptop.hosts.crash)
    laptop.hosts.boot("h3")
    laptop.hosts.start_ray("h3")
    assert laptop.wait()[0] == 0
    laptop.check_whole("crashed")


def test_a_host_is_added_and_used(laptop: Laptop) -> None:
    laptop.prepare("added", pause=7, x=list(range(1, 13)))  # so that some are left when the host has come
    laptop.start("run added.json")
    laptop.wait_for_line("epoch 1")
    laptop.hosts.add("h4")
    laptop.hosts.copy_token("h4")
    laptop.hosts.start_ray("h4")
    code, _ = laptop.wait()
    assert code == 0
    laptop.check_whole("added", trials=12)
    assert "rs-h4" in laptop.hosts_of("added")
    laptop.hosts.crash("h4")
    wait_for(lambda: nodes(laptop.hosts) == 3)


def test_nobody_without_the_token(laptop: Laptop) -> None:
    status = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8265/api/jobs/"
    assert laptop.hosts.sh("h1", status) == "401"
    token = laptop.hosts.sh("cli", "cat ~/.ray/auth_token").strip()
    assert laptop.hosts.sh("h1", f"{status} -H 'Authorization: Bearer {token}'") == "200"
    laptop.check_secret("h1", "h2")


def test_the_dashboard_cannot_be_reached_from_outside(laptop: Laptop) -> None:
    assert laptop.hosts.code("cli", "curl -s -m 5 http://10.77.0.1:8265/") == 7  # connection refused


def test_the_head_is_lost_and_the_same_commands_go_on(laptop: Laptop) -> None:
    laptop.prepare("headless", pause=3)
    laptop.start("run headless.json")
    laptop.wait_for_host("headless", "h2")
    laptop.hosts.crash("h1")
    code, told = laptop.wait()
    assert code != 0
    assert "the connection is lost" in told
    laptop.hosts.boot("h1")
    laptop.launch("up")
    wait_for(lambda: nodes(laptop.hosts) == 3)
    told = laptop.raysweep("run headless.json")
    (planned,) = (line for line in told.splitlines() if line.startswith("headless: 4 trials"))
    assert "interrupted" in planned  # trials that were at work go on
    laptop.check_whole("headless")


# moto's and botocore's own
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_head_is_lost_with_its_disk_and_the_copy_goes_on(laptop: Laptop) -> None:
    laptop.prepare("copied", pause=6)
    with cloud.bucket(laptop.hosts) as bucket:
        laptop.hosts.write("h1", "~/.aws/credentials", cloud.KEY)
        laptop.start(f"run copied.json --backup '{bucket.url}'")
        wait_for(lambda: bucket.read("copied/x=1-", "result.json").count("\n") >= 2)
        laptop.hosts.crash("h1")
        assert "the connection is lost" in laptop.wait()[1]
        laptop.hosts.boot("h1")
        laptop.hosts.sh("h1", "rm -r ~/runs/copied")  # as on a new machine
        laptop.launch("up")
        wait_for(lambda: nodes(laptop.hosts) == 3)
        copied = bucket.read("copied/x=1-", "result.json")
        told = laptop.raysweep(f"run copied.json --backup '{bucket.url}'")
        assert "copied: is brought back from s3://results/runs/copied" in told
        assert bucket.read("copied/x=1-", "result.json") == laptop.sh("cat runs/copied/x=1-*/result.json")
    laptop.check_whole("copied")
    assert laptop.sh("cat runs/copied/x=1-*/result.json").startswith(copied)  # it was not trained again
