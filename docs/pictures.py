"""The pictures in docs/images, of a sweep that really runs: the live table, TensorBoard's HParams, and the report.

python docs/pictures.py    needs chromium, and a few minutes
"""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

import raysweep
from raysweep.driver.display import LiveProgress, summary
from raysweep.plan.reconciliation import Reconciliation
from raysweep.plan.trials import Trial
from raysweep.store.records import State
from raysweep.sweepfile.spec import SweepSpec
from raysweep.webpage.content import content
from raysweep.webpage.file import html, write

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
GRID = ROOT / "grid.json"
WIDTH = 86  # characters of the terminal
WINDOW = "1500,764"  # pixels of the browser
REPORT = "1400,1580"  # and of the report in it: down to the heat map
READING = 60_000  # milliseconds of the browser's own clock, in which the page is read and drawn
PATIENCE = 120.0  # seconds for TensorBoard to start


class Photographed(LiveProgress):
    """The live table, of which a picture is taken once half of the trials are done and all slots have reported."""

    def __init__(self, picture: Path) -> None:
        super().__init__(Console(file=io.StringIO(), force_terminal=True, width=WIDTH))
        self._picture: Path | None = picture
        self._plan = ""

    def planned(self, spec: SweepSpec, reconciliation: Reconciliation, todo: int, coming: int = 0) -> None:
        """Keep the line that says what the plan is: it stands above the table."""
        super().planned(spec, reconciliation, todo, coming)
        self._plan = summary(spec, reconciliation, todo)

    def reported(self, trial: Trial, epoch: int, seconds: float, metrics: Mapping[str, Any]) -> None:
        """Take the picture when its moment has come."""
        super().reported(trial, epoch, seconds, metrics)
        shown = [running for running in self.running.values() if running.epoch]
        if self._picture is not None and len(shown) == self.slots and 2 * self.counts[State.DONE] >= self.total:
            terminal(self._picture, f"raysweep run {GRID.name}", Text(self._plan), self._draw())
            self._picture = None


def terminal(picture: Path, command: str, *shown: RenderableType) -> None:
    """Draw a terminal with a command and what it shows, by rich's own export."""
    console = Console(file=io.StringIO(), force_terminal=True, record=True, width=WIDTH)
    console.print(Text(f"$ {command}", style="bold"))
    for part in (*shown, ""):  # the last line is drawn cut off
        console.print(part)
    svg = console.export_svg(title=command, unique_id="raysweep")  # the same text makes the same file
    picture.write_text(re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL))  # nothing is fetched to show it


@contextmanager
def tensorboard(runs: Path) -> Iterator[str]:
    """`raysweep tensorboard` for the length of the block; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "raysweep", "tensorboard", "--runs", str(runs), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    try:
        while not _answers(address):
            if time.monotonic() > deadline or process.poll() is not None:
                raise TimeoutError("TensorBoard does not start")
            time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/data/runs", timeout=10) as answer:
            return len(answer.read()) > len("[]")
    except (urllib.error.URLError, ConnectionError):
        return False


def page(picture: Path, address: str, window: str = WINDOW) -> None:
    """Take a picture of a page as a browser shows it."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={window}"]
    options += [f"--virtual-time-budget={READING}", f"--screenshot={picture}"]
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(["chromium", *options, f"--user-data-dir={profile}", address], check=True, capture_output=True)


def main() -> None:
    """Run the sweep of grid.json and take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        raysweep.run(
            raysweep.load_spec(GRID), runs=runs, directory=ROOT, progress=Photographed(IMAGES / "live-table.svg")
        )
        with tensorboard(runs) as address:
            page(IMAGES / "hparams.png", f"{address}/#hparams")
        report = runs / "report.html"
        write(report, html(content([raysweep.load("digits", runs)])))
        page(IMAGES / "report.png", report.as_uri(), REPORT)


if __name__ == "__main__":
    main()
