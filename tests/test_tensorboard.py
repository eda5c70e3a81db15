"""What TensorBoard itself reads of a run: scalars, histograms, images, graph, and the HParams table over HTTP."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import raysweep
from raysweep.results.results import Results
from raysweep.sweepfile.spec import check
from raysweep.training.events import EventLog

Ask = Callable[[str, dict[str, Any]], Any]


def digits(folder: Path, name: str, **parameters: Any) -> Results:
    content = {
        "name": name,
        "trainable": "raysweep.vision:train",
        "metric": {"name": "val_accuracy", "goal": "maximize"},
        "parameters": {"dataset": "digits", "limit": 300, "epochs": 2, **parameters},
    }
    return raysweep.run(check(content, name), runs=folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, ray_2_cpus: None) -> Path:
    """Two sweeps with different axes, and a trial that is still at work."""
    folder = tmp_path_factory.mktemp("runs")
    digits(folder, "first", lr=[0.01, 1e-05])
    digits(folder, "second", batch_size=[32, 64], network="mlp")
    log = EventLog(folder / "third/x=1-0123456789")
    log.session_start({"x": 1, "flag": True, "layers": [1, 2], "nothing": None}, "x=1-0123456789")
    log.scalars({"loss": 0.5}, 1)
    log.close()
    return folder


@pytest.fixture(scope="module")
def ask(runs: Path) -> Iterator[Ask]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "raysweep", "tensorboard", "--runs", str(runs), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def request(path: str, body: dict[str, Any]) -> Any:
        url = f"http://127.0.0.1:{port}/data/plugin/hparams/{path}"
        sent = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(sent, timeout=30) as answer:
            return json.load(answer)

    try:
        _wait_for(lambda: len(request("experiment", {}).get("hparamInfos", [])) >= 7)
        yield request
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except (urllib.error.URLError, ConnectionError):
            pass  # it is still starting, or has read nothing yet
        time.sleep(0.5)
    raise TimeoutError("TensorBoard did not read the runs")


def test_everything_of_a_trial_is_in_its_event_file(runs: Path) -> None:
    trial = raysweep.load("first", runs).trials[0]
    events = EventAccumulator(str(trial.path), size_guidance={"histograms": 0})
    events.Reload()
    tags = events.Tags()
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "epoch_duration", "run_duration"} <= set(tags["scalars"])
    assert tags["images"] == ["images"] and tags["graph"]
    assert {"conv1.weight", "conv1.weight.grad"} <= set(tags["histograms"])
    losses = [(event.step, event.value) for event in events.Scalars("val_loss")]
    assert losses == [(report.epoch, pytest.approx(report.metrics["val_loss"], rel=1e-6)) for report in trial.reports]
    assert [event.step for event in events.Histograms("conv1.weight")] == [1, 2]


def test_hparams_lists_all_axes_of_all_sweeps(ask: Ask) -> None:
    experiment = ask("experiment", {"experimentName": ""})
    assert {"lr", "batch_size", "network", "x", "flag", "layers"} <= {i["name"] for i in experiment["hparamInfos"]}
    assert {"val_accuracy", "loss"} <= {info["name"]["tag"] for info in experiment["metricInfos"]}


def test_hparams_lists_every_trial_also_while_it_runs(ask: Ask) -> None:
    names = ("lr", "batch_size", "x", "flag", "layers", "nothing")
    columns = [{"hparam": name, "includeInResult": True} for name in names]
    statuses = ["STATUS_SUCCESS", "STATUS_RUNNING", "STATUS_UNKNOWN", "STATUS_FAILURE"]
    wanted = {"allowedStatuses": statuses, "colParams": columns, "startIndex": 0, "sliceSize": 100}
    groups = ask("session_groups", {"experimentName": "", **wanted})["sessionGroups"]
    by_name = {group["name"]: group for group in groups}
    assert len(by_name) == 5
    hparams = [group["hparams"] for group in groups]
    assert sorted(h["lr"] for h in hparams if "lr" in h) == [1e-05, 0.01]
    assert sorted(h["batch_size"] for h in hparams if "batch_size" in h) == [32, 64]
    running = by_name["x=1-0123456789"]
    assert running["hparams"] == {"x": 1, "flag": "true", "layers": "[1, 2]", "nothing": "null"}
    assert running["sessions"][0]["status"] in ("STATUS_RUNNING", "STATUS_UNKNOWN")
    done = [g["sessions"][0]["status"] for name, g in by_name.items() if name != "x=1-0123456789"]
    assert done == ["STATUS_SUCCESS"] * 4


def test_a_trial_that_goes_on_hides_what_it_repeats(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    for step, value in ((1, 1.0), (2, 2.0), (3, 3.0)):
        log.scalars({"loss": value}, step)
    log.close()
    time.sleep(1.1)  # event files are read in the order of their names, which hold the second
    log = EventLog(tmp_path, resumed_at=2)
    log.scalars({"loss": 30.0}, 3)
    log.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_a_parameter_that_no_float_can_hold_is_shown_as_text(tmp_path: Path) -> None:
    events = EventLog(tmp_path)
    events.session_start({"large": 10**400, "nan": math.nan, "number": 3}, "trial")
    events.close()
    (path,) = tmp_path.iterdir()
    start = next(
        HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info.hparams
        for event in LegacyEventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.tag.endswith("session_start_info")
    )
    shown = {name: (value.string_value, value.number_value) for name, value in start.items()}
    assert shown == {"large": (str(10**400), 0.0), "nan": ("NaN", 0.0), "number": ("", 3.0)}
