"""The report: what it says, and that a browser shows it without asking any network or running what a sweep says."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysweep.cli.program import main
from raysweep.errors import SpecError, StoreError
from raysweep.plan.trials import plan
from raysweep.results.reading import load
from raysweep.results.trial import TrialResult
from raysweep.store.directory import RunDirectory
from raysweep.store.records import Report, State, TrialError, TrialRecord
from raysweep.sweepfile.spec import check
from raysweep.webpage.axes import Axis
from raysweep.webpage.content import content
from raysweep.webpage.file import html, write
from raysweep.webpage.learning import clip, curves, encoded
from raysweep.webpage.timeline import timeline

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>document.title = 'obeyed'</script>"
EPOCHS = 4


def run(runs: Path, name: str = "hostile", epochs: int = EPOCHS, **parameters: Any) -> RunDirectory:
    """A run whose names and errors are hostile: one trial failed, one diverged."""
    axes = {"lr": [0.001, 0.01, 0.1], "opt": ["sgd", HOSTILE], "seed": [0, 1], **parameters}
    raw = {
        "name": name,
        "description": f"of {HOSTILE}",
        "trainable": "train.py:train",
        "metric": {"name": "loss[/x]", "goal": "minimize"},
        "parameters": axes,
    }
    spec, store = check(raw, name), RunDirectory(runs / name)
    store.create()
    store.write_sweep(raw, [{"started": 1e9, "ended": 2e9, "host": HOSTILE, "command": "run"}])
    for trial in plan(spec, limit=None):
        config, number = trial.config, trial.number
        failed = number == 1
        store.trial(trial.name).write(
            TrialRecord(
                trial.id, trial.name, spec.trainable, config, State.FAILED if failed else State.DONE,
                error=TrialError("RuntimeError", f"at {number}: {HOSTILE} [/red]\x1b[31m") if failed else None,
                started=1e9 + number, ended=1e9 + number + 1.5, host=f"node{number % 2}",
            )
        )  # fmt: skip
        losses = [config["lr"] + 0.001 * config["seed"] + 1 / epoch for epoch in range(1, epochs + 1)]
        if number == 2:
            losses[-1] = math.nan
        store.trial(trial.name).keep_reports(
            [Report(epoch, 0.0, 1.0, float(epoch), {"loss[/x]": loss, "accuracy": 1 / (1 + loss), "note": HOSTILE})
             for epoch, loss in enumerate(losses, start=1)]
        )  # fmt: skip
    return store


def floats(text: str) -> list[float]:
    import base64

    return list(map(float, np.frombuffer(base64.b64decode(text), dtype="<f4")))


def trial(number: int, **known: Any) -> TrialResult:
    given = {"state": State.DONE, "error": None, "reports": (), "best": None, "path": Path("x"), **known}
    return TrialResult(number, str(number), str(number), {}, **given)


# What it says


def test_numbers_are_as_javascript_reads_them() -> None:
    assert floats(encoded([1.5, -2.0])) == [1.5, -2.0]
    assert math.isnan(floats(encoded([math.nan]))[0])


def test_what_diverged_does_not_flatten_the_rest() -> None:
    values = [number / 100 for number in range(100)]
    assert clip(values) is None
    ends = clip([*values, 1e9, math.inf, math.nan])
    assert ends is not None
    assert ends[0] == 0 and 1 < ends[1] < 3
    assert clip([]) is None
    assert clip([3.0] * 5) is None


def test_curves_say_epochs_only_where_they_are_not_counted() -> None:
    reports = [Report(epoch, 0.0, 1.0, 1.0, {"loss": epoch / 2}) for epoch in (1, 2, 3)]
    counted = curves([trial(1, reports=tuple(reports)), trial(2)], "loss")
    assert (counted["counts"], counted["epochs"], floats(counted["values"])) == ([3, 0], None, [0.5, 1.0, 1.5])
    some = curves([trial(1, reports=(reports[0], reports[2]))], "loss")
    assert floats(some["epochs"]) == [1, 3]


def test_slots_are_found_from_when_trials_ran() -> None:
    times = [("a", 0.0, 2.0), ("a", 1.0, 3.0), ("a", 2.0, 4.0), ("b", 0.0, None), ("a", None, None)]
    trials = [trial(n, host=host, started=start, ended=end) for n, (host, start, end) in enumerate(times)]
    told = timeline(trials, now=9.0)
    assert told["slots"] == ["a 1", "a 2", "b 1"]
    rows = [[0, 0, 0.0, 2e3], [1, 1, 1e3, 3e3], [2, 0, 2e3, 4e3], [3, 2, 0.0, 9e3]]
    assert sorted(told["stretches"]) == rows


def test_axes_are_numbers_or_texts() -> None:
    assert Axis.of("lr", [0.1, 0.001, 0.01]).is_geometric
    assert not Axis.of("width", [1, 2, 3]).is_geometric
    mixed = Axis.of("opt", ["sgd", None, True, [1, 2], "sgd"])
    assert mixed.texts == ("sgd", "", "true", "[1, 2]")
    assert mixed.values == (0, 1, 2, 3, 0)


def test_seconds_are_those_of_the_leaderboard(tmp_path: Path) -> None:
    store = run(tmp_path, lr=[0.1], opt=["sgd"], seed=[0])
    [folder] = [store.trial(one.name) for one in load(store.path).trials]
    folder.keep_reports([Report(1, 0.0, 2.0, 2.5, {"loss[/x]": 1.0, "run_duration": 2.0}, counted=True)])
    results = load(store.path)
    assert content([results])["trials"]["seconds"] == results.leaderboard()["seconds"].tolist() == [2.0]


def test_what_it_shows_is_what_the_tables_say(tmp_path: Path) -> None:
    results = load(run(tmp_path).path)
    told = content([results])
    summary = results.summary()
    assert [row["mean"] for row in told["configurations"]][: len(summary)] == pytest.approx(
        list(summary["loss[/x]"]), nan_ok=True
    )
    assert [axis["name"] for axis in told["axes"]] == ["lr", "opt", "seed"]
    assert {row["n"] for row in told["configurations"]} == {1, 2}
    assert told["trials"]["values"]["loss[/x]"][2] == results.judged(results.trials[2]).metrics["loss[/x]"]  # type: ignore[union-attr]  # it has one
    assert "\\x1b[31m" in told["trials"]["error"][0]
    assert sum(told["metrics"][0]["counts"]) == EPOCHS * len(results)


def test_runs_of_one_metric_are_told_apart_and_others_refused(tmp_path: Path) -> None:
    one, two = load(run(tmp_path).path), load(run(tmp_path, "second").path)
    told = content([one, two])
    assert told["axes"][0]["texts"] == ["hostile", "second"]
    assert next(row["trials"] for row in told["configurations"] if row["run"] == 1)[0] >= len(one)
    raw = {**RunDirectory(two.directory).sweep()["spec"], "metric": {"name": "accuracy", "goal": "maximize"}}
    RunDirectory(two.directory).write_sweep(raw, [])
    with pytest.raises(SpecError, match="by 'accuracy' \\(maximize\\); a report of both needs one metric"):
        content([one, load(two.directory)])


def test_a_thousand_trials_are_under_five_megabytes(tmp_path: Path) -> None:
    store = run(tmp_path, epochs=50, lr=[number / 84 for number in range(1, 85)], opt=list("abcdef"))
    page = html(content([load(store.path)]))
    assert len(load(store.path)) >= 1000
    assert len(page.encode()) < 5_000_000


def test_a_directory_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a directory; name a file"):
        write(tmp_path, "")
    with pytest.raises(StoreError, match="cannot be written: No such file"):
        write(tmp_path / "none/report.html", "")


def test_the_command_says_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    assert main(["report", "hostile", "--runs", str(tmp_path), "--watch"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "hostile/report.html")
    assert main(["report", "hostile", "--runs", str(tmp_path), "--out", str(tmp_path)]) == 2


# How a browser shows it


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    file = folder / "report.html"
    write(file, html(content([load(run(folder).path)])))
    return file


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    """The report in a browser, which must not complain, ask a network, or obey what a sweep says."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    yield page
    assert page.title() == "hostile · raysweep"
    assert complaints == []
    page.close()


def shown(page: Any) -> str:
    return str(page.inner_text("#shown"))


def rows(page: Any) -> int:
    return int(page.locator("#table tbody tr:visible").count())


def test_it_shows_everything_at_first(page: Any) -> None:
    assert shown(page) == "12 of 12 trials shown"
    assert rows(page) == 6
    assert HOSTILE in page.inner_text("#table")
    assert HOSTILE in page.inner_text("#failures")
    for drawn in ("curves", "parallel", "heat", "seconds", "timeline"):
        assert page.locator(f"#{drawn} canvas").count() >= 1


def test_a_value_filters_everything(page: Any) -> None:
    page.click("#values >> text=0.01")
    assert shown(page) == "4 of 12 trials shown"
    assert rows(page) == 2
    page.click("#values >> text=sgd")
    assert shown(page) == "2 of 12 trials shown"
    page.click("#filters button >> nth=0")  # takes the first one back
    assert shown(page) == "6 of 12 trials shown"
    page.click("#clear")
    assert shown(page) == "12 of 12 trials shown"


def test_rows_filter_everything_by_mouse_and_keyboard(page: Any) -> None:
    page.click("#table tbody tr >> nth=0")
    assert shown(page) == "2 of 12 trials shown"
    page.locator("#table tbody tr >> nth=1").press("Enter")
    assert shown(page) == "4 of 12 trials shown"
    assert page.locator("#table tr[aria-selected=true]").count() == 2
    assert rows(page) == 6  # so that others can be chosen


def test_a_range_of_an_axis_filters_everything(page: Any) -> None:
    page.locator("#parallel").scroll_into_view_if_needed()
    box = page.locator("#parallel canvas").bounding_box()
    x, top, bottom = box["x"] + 56, box["y"] + 46, box["y"] + box["height"] - 24  # of the first axis
    page.mouse.move(x, top + 2)
    page.mouse.down()
    page.mouse.move(x, top + (bottom - top) / 3 - 4, steps=8)
    page.mouse.up()
    page.locator("#shown", has_text="4 of 12 trials shown").wait_for()
    assert rows(page) == 2
    page.click("#clear")
    assert shown(page) == "12 of 12 trials shown"


def test_it_sorts(page: Any) -> None:
    first = "#table tbody tr >> nth=0 >> td >> nth=0"
    page.click("#table th button >> text=lr")
    assert page.inner_text(first) == "0.001"
    page.click("#table th button >> text=lr")
    assert page.inner_text(first) == "0.1"


def test_failures_are_shown_and_chosen(page: Any) -> None:
    page.click("#failures button")
    assert shown(page) == "1 of 12 trials shown"


def test_light_and_dark_and_all_choices_draw(page: Any) -> None:
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    for box in ("#over-seeds", "#curve-log"):
        page.click(box)
    for choice, value in (("#curve-metric", "1"), ("#heat-x", "opt"), ("#heat-of", "best"), ("#colour", "seed")):
        page.select_option(choice, value)
    page.set_viewport_size({"width": 420, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_what_was_chosen_outlasts_a_newer_page(page: Any) -> None:
    page.click("#values >> text=0.01")
    page.reload()
    assert shown(page) == "4 of 12 trials shown"
