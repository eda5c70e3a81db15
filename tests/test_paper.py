"""Results as tidy tables, and as tables for papers, pages and notebooks."""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from raysweep.cli.program import main
from raysweep.errors import SpecError
from raysweep.results.results import Results
from tests.test_results import make
from tests.test_statistics import GRAFT, grafts

SECOND = f"91.7 ± {stats.t.ppf(0.975, 5) * stats.sem(GRAFT[8700]):.1f}"  # of the grafts


def curve(config: dict[str, Any]) -> list[float]:
    return [config["x"] + (config["seed"] * 3 % 4) / epoch for epoch in (1, 2, 3)]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    grid = {"x": [1, 2], "net": ["a", "b|c"], "seed": [0, 1, 2]}
    return make(tmp_path, grid, lambda trial: [{"loss": loss, "other": 2 * loss} for loss in curve(dict(trial.config))])


class TestCurves:
    def test_are_over_the_seeds(self, results: Results) -> None:
        table = results.curves()
        assert list(table) == ["x", "net", "epoch", "loss", "std", "low", "high", "n"]
        assert len(table) == 4 * 3 and (table["n"] == 3).all()
        row = table[(table["x"] == 2) & (table["net"] == "a") & (table["epoch"] == 2)].iloc[0]
        values = [curve({"x": 2, "seed": seed})[1] for seed in range(3)]
        assert (row["loss"], row["std"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
        interval = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
        assert (row["low"], row["high"]) == pytest.approx(interval)

    def test_of_another_metric(self, results: Results) -> None:
        assert results.curves("other")["other"].tolist() == pytest.approx((2 * results.curves()["loss"]).tolist())
        with pytest.raises(SpecError, match="no trial has reported 'los'; did you mean 'loss'"):
            results.curves("los")

    def test_of_seeds_that_stopped_earlier(self, tmp_path: Path) -> None:
        results = make(tmp_path, {"x": [1], "seed": [0, 1]}, lambda t: [{"loss": 1.0}] * (1 + t.config["seed"]))
        assert results.curves()[["epoch", "n"]].to_numpy().tolist() == [[1, 2], [2, 1]]

    def test_without_reports(self, tmp_path: Path) -> None:
        assert make(tmp_path, {"x": [1, 2]}, lambda trial: []).curves().empty


class TestPivot:
    def test_has_a_mean_for_each_pair(self, tmp_path: Path) -> None:
        results = make(tmp_path, {"a": [2, 1], "b": ["y", "x"], "c": [0, 10]},
                       lambda t: [{"loss": t.config["a"] + t.config["c"] + (t.config["b"] == "y") / 2}])  # fmt: skip
        table = results.pivot("a", "b")
        assert table.index.tolist() == [1, 2] and table.columns.tolist() == ["x", "y"]
        assert table.to_numpy().tolist() == [[6.0, 6.5], [7.0, 7.5]]
        assert results.pivot("a", "b", of="best").to_numpy().tolist() == [[1.0, 1.5], [2.0, 2.5]]
        assert results.pivot("a", "b", values="n").to_numpy().tolist() == [[1, 1], [1, 1]]

    def test_of_what_diverged_has_no_mean(self, tmp_path: Path) -> None:
        results = make(tmp_path, {"a": [1, 2], "b": [1, 2], "c": [0, 1]},
                       lambda t: [{"loss": math.nan if t.config == {"a": 1, "b": 1, "c": 1} else 1.0}])  # fmt: skip
        assert math.isnan(results.pivot("a", "b").loc[1, 1]) and results.pivot("a", "b", of="best").loc[1, 1] == 1.0

    def test_of_what_is_not_there(self, results: Results) -> None:
        for wrong in (("x", "seed"), ("y", "net")):
            with pytest.raises(SpecError, match="there is no column"):
                results.pivot(*wrong)
        with pytest.raises(SpecError, match="pivot: of='worst' is neither 'mean' nor 'best'"):
            results.pivot("x", "net", of="worst")


class TestForPapers:
    def printed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
        assert main(["results", "sweep", "--runs", str(tmp_path), *options]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    def test_in_markdown(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        grafts(tmp_path)
        half = stats.t.ppf(0.975, 5) * stats.sem(GRAFT[8500])
        assert self.printed(tmp_path, capsys, "--format", "md").splitlines()[:4] == [
            "| pressure | yield | n |",
            "| ---: | ---: | ---: |",
            f"| 8500 | **92.8 ± {half:.1f}** | 6 |",
            f"| 8700 | **{SECOND}** | 6 |",
        ]

    def test_in_latex(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        grafts(tmp_path)
        text = self.printed(tmp_path, capsys, "--format", "latex")
        assert text.startswith("\\begin{tabular}{rrr}\n\\toprule\npressure & yield & n \\\\\n\\midrule\n")
        assert f"8700 & \\textbf{{{SECOND}}} & 6 \\\\\n8900 & 88.9 ± " in text.replace("$\\pm$", "±")

    def test_in_html(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        grafts(tmp_path)
        text = self.printed(tmp_path, capsys, "--format", "html")
        assert f"<td><b>{SECOND}</b></td>" in text and "<td>88.9 ± " in text

    def test_of_trials_the_best_is_bold(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        grafts(tmp_path)
        text = self.printed(tmp_path, capsys, "--format", "md", "--group-by", "none", "--top", "2")
        assert "**98.2**" in text and text.count("**") == 2

    NASTY = "<script>alert(1)</script>&%$#_{}~^\\|"

    @pytest.mark.parametrize("form", ["md", "latex", "html"])
    def test_text_of_the_sweep_is_shown_and_not_obeyed(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
    ) -> None:
        make(tmp_path, {"net": [self.NASTY, "b"], self.NASTY.replace(".", ""): [1, 2], "seed": [0, 1]},
             lambda trial: [{"loss": 0.5}])  # fmt: skip
        text = self.printed(tmp_path, capsys, "--format", form)
        escaped = {
            "md": self.NASTY.replace("|", "\\|"),
            "latex": r"\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{}\&\%\$\#\_\{\}"
            r"\textasciitilde{}\textasciicircum{}\textbackslash{}\textbar{}",
            "html": html.escape(self.NASTY),
        }[form]
        assert text.count(escaped) == 3  # as a value twice, and as a name
        assert form == "md" or "<script>" not in text


class TestInNotebooks:
    def test_a_run_shows_its_table(self, tmp_path: Path) -> None:
        page = grafts(tmp_path)._repr_html_()
        assert f"<b>{SECOND}</b>" in page and "tied: 2 of 4 cannot be told apart" in page

    def test_names_are_shown_and_not_obeyed(self, tmp_path: Path) -> None:
        name = "<img src=x>"
        make_it = {"name": name, "goal": "minimize"}
        results = make(tmp_path, {"x": [1, 2], "seed": [0, 1]}, lambda t: [{name: 1.0 / t.config["x"]}], metric=make_it)
        assert name not in results._repr_html_() and html.escape(name) in results._repr_html_()

    def test_without_results(self, tmp_path: Path) -> None:
        assert "<td>failed</td>" in make(tmp_path, {"x": [1, 2]}, lambda trial: [])._repr_html_()
