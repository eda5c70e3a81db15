"""What a preflight says of nodes that differ, and of a cluster that can grow."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
import ray
import yaml

import raysweep
from raysweep.cli import program as cli
from raysweep.engine.autoscaling import Autoscaling, autoscaling
from raysweep.engine.nodes import Cluster
from raysweep.engine.preflight import Facts, problems
from raysweep.errors import ClusterError
from raysweep.sweepfile.members import Resources

VERSIONS = {"Python": "3.11.7", "raysweep": "0.1.0", "ray": "2.60.0", "torch": "2.9.0"}
CHECKOUT = Path(__file__).parents[1]


def test_nodes_that_are_alike_have_no_problem() -> None:
    assert list(problems([Facts("head", VERSIONS), Facts("worker", VERSIONS, ahead=2.0)])) == []


def test_each_difference_is_told_with_what_to_do() -> None:
    other = {**VERSIONS, "Python": "3.11.9", "torch": None}
    told = list(problems([Facts("head", VERSIONS), Facts("a", other), Facts("b", VERSIONS, ahead=-90.0)]))
    assert told == [
        "a: Python is 3.11.9; install 3.11.7, as on head",
        "a: torch is not installed; install 2.9.0, as on head",
        "b: its clock is -90 s off head's; set it, or let NTP do so",
    ]


def test_a_node_that_cannot_answer_is_told_once() -> None:
    assert list(problems([Facts("head", VERSIONS), Facts("a", problem="it hangs")])) == ["a: it hangs"]


def test_the_cluster_file_says_which_nodes_may_come() -> None:
    plan = autoscaling(CHECKOUT / "cluster.yaml")
    assert plan == Autoscaling(expected=1, possible=({"CPU": 4.0, "GPU": 1.0},) * 4)
    cluster = Cluster(({"CPU": 0.0, "GPU": 0.0},), is_private=False, plan=plan)
    cluster.check(Resources(cpu=1, gpu=0.25))
    assert cluster.slots(Resources(cpu=1, gpu=0.25)) == 0
    assert cluster.most_slots(Resources(cpu=1, gpu=0.25)) == 16
    with pytest.raises(ClusterError, match=r"asks for 8 CPU and 1 GPU, .*; the largest of 5 has 4 CPU and 1 GPU"):
        cluster.check(Resources(cpu=8, gpu=1))


def test_what_is_no_cluster_file_says_nothing(tmp_path: Path) -> None:
    for text in ("", "- 1", "a: b", "{", yaml.safe_dump({"available_node_types": {"x": None}})):
        (tmp_path / "file.yaml").write_text(text)
        assert autoscaling(tmp_path / "file.yaml") == Autoscaling()
    assert autoscaling(tmp_path / "missing.yaml") == Autoscaling()


def test_doctor_finds_nothing_and_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ray_2_cpus: None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("def train(config): pass\n")
    sweep = {"trainable": "train.py:train", "metric": {"name": "loss", "goal": "minimize"}, "parameters": {"x": [1]}}
    (tmp_path / "fine.json").write_text(json.dumps(sweep))
    assert cli.main(["doctor", "fine.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["node", "Python", "raysweep", "ray", "torch"]
    assert lines[1].split()[1:4] == [platform.python_version(), raysweep.__version__, ray.__version__]
    assert lines[-1] == "nothing would break a run"

    (tmp_path / "large.json").write_text(json.dumps({**sweep, "resources": {"cpu": 64}}))
    assert cli.main(["doctor", "large.json"]) == 1
    assert "problem: resources: a trial asks for 64 CPU" in capsys.readouterr().out

    (tmp_path / "broken.py").write_text("import no_such_module\ndef train(config): pass\n")
    (tmp_path / "broken.json").write_text(json.dumps({**sweep, "trainable": "broken.py:train"}))
    assert cli.main(["doctor", "broken.json"]) == 1
    assert "No module named 'no_such_module'" in capsys.readouterr().out
