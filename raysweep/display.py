"""Progress as a person sees it: a live table on a terminal, else one line per event."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raysweep.cluster import Cluster
from raysweep.progress import Progress
from raysweep.reconciliation import Reconciliation
from raysweep.records import State, TrialError
from raysweep.spec import SweepSpec
from raysweep.trials import Trial

ROWS = 20  # of running trials; a terminal is not endless
TIMES = ("epoch_duration", "run_duration", "samples_per_second")  # a recorder's; in the history, too long for a line


def for_stream(stream: IO[str]) -> Progress:
    """The display that suits a stream."""
    console = Console(file=stream, highlight=False)
    return LiveProgress(console) if console.is_terminal else LineProgress(console)


def label(trial: Trial) -> str:
    """A trial's name without its id; the id where it has no other."""
    text, _, id = trial.name.rpartition("-")
    return id if text == "trial" else text


def duration(seconds: float) -> str:
    """Seconds as people say them: 8s, 2m05s, 1h02m."""
    total = round(seconds)
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m{total % 60:02d}s"
    return f"{total // 3600}h{total % 3600 // 60:02d}m"


def number(value: object) -> str:
    """A value, short, and as a sweep file writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.5g}" if isinstance(value, float) else "" if value is None else str(value)


def summary(spec: SweepSpec, reconciliation: Reconciliation, todo: int) -> str:
    """One line on a plan."""
    counts = reconciliation.counts()
    told = [f"{counts[state]} {state}" for state in State if counts[state]]
    if reconciliation.dropped:
        told.append(f"{len(reconciliation.dropped)} dropped")
    end = f"{todo} to run" if todo else "nothing to run"
    return f"{spec.name}: {len(reconciliation.standings)} trials ({', '.join(told)}); {end}"


CHANGED_CODE = "the training code has changed since it trained {} of these trials; --fresh-code repeats them"


class LineProgress(Progress):
    """One line per event, without control characters."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._finished = 0
        self._todo = 0

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def planned(self, spec: SweepSpec, reconciliation: Reconciliation, todo: int) -> None:
        """Say what the plan is."""
        super().planned(spec, reconciliation, todo)
        self._todo = todo
        self._say(summary(spec, reconciliation, todo))

    def changed_code(self, trials: int) -> None:
        """Say that trials were trained by other code."""
        self._say(CHANGED_CODE.format(trials))

    def connected(self, cluster: Cluster, slots: int) -> None:
        """Say how many trials run at once."""
        super().connected(cluster, slots)
        self._say(f"{slots} at once on {_nodes(cluster)}")

    def started(self, trial: Trial) -> None:
        """Say that a trial starts."""
        super().started(trial)
        self._say(f"{label(trial)}: started")

    def reported(self, trial: Trial, epoch: int, seconds: float, metrics: Mapping[str, Any]) -> None:
        """Say what a trial reported."""
        before = self.running[trial.id].epoch if trial.id in self.running else epoch
        super().reported(trial, epoch, seconds, metrics)
        if epoch != before:
            told = " ".join(f"{name}={number(value)}" for name, value in metrics.items() if name not in TIMES)
            self._say(f"{label(trial)}: epoch {epoch}: {told}")

    def lost(self, trial: Trial) -> None:
        """Say that a worker was lost."""
        super().lost(trial)
        self._say(f"{label(trial)}: its worker was lost; it will be started again")

    def noticed(self, text: str) -> None:
        """Say it."""
        self._say(text)

    def halting(self, reason: str) -> None:
        """Say that the run ends before its last trial."""
        if self.halted is None:
            self._say(reason)
        super().halting(reason)

    def ended(self, trial: Trial, state: State, error: TrialError | None) -> None:
        """Say how a trial ended."""
        super().ended(trial, state, error)
        if not state.is_finished:
            return
        self._finished += 1
        left = self.seconds_left()
        time_left = f", about {duration(left)} left" if left and self._finished < self._todo else ""
        outcome = f"{state}: {error}" if error else str(state)
        self._say(f"{label(trial)}: {outcome} ({self._finished} of {self._todo}{time_left})")


class LiveProgress(Progress):
    """A table that is drawn anew a few times a second."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=4, transient=True)

    def planned(self, spec: SweepSpec, reconciliation: Reconciliation, todo: int) -> None:
        """Say what the plan is."""
        super().planned(spec, reconciliation, todo)
        self._console.print(summary(spec, reconciliation, todo), markup=False)

    def changed_code(self, trials: int) -> None:
        """Say that trials were trained by other code."""
        self._console.print(CHANGED_CODE.format(trials), markup=False, style="yellow")

    def noticed(self, text: str) -> None:
        """Say it, above the table."""
        self._console.print(text, markup=False)

    def __enter__(self) -> Progress:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def _draw(self) -> Group:
        return Group(self._table(), self._figures())

    def _table(self) -> Table:
        metric = self.spec.metric.name if self.spec else ""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("running trial", overflow="ellipsis", no_wrap=True, ratio=1)
        for heading in ("epoch", metric, "time"):
            table.add_column(heading, justify="right", no_wrap=True)
        shown = list(self.running.values())
        for running in shown[:ROWS]:
            total = running.trial.config.get("epochs")
            epoch = f"{running.epoch}/{total}" if isinstance(total, int) else str(running.epoch)
            table.add_row(label(running.trial), epoch, number(running.metrics.get(metric)), duration(running.elapsed))
        if len(shown) > ROWS:
            table.add_row(f"... and {len(shown) - ROWS} more", "", "", "")
        return table

    def _figures(self) -> Text:
        if self.cluster is None:
            return Text("starting Ray ...", style="dim")
        text = Text(f"\n{self.counts[State.DONE]} done, {len(self.running)} running, {self.waiting} waiting")
        for state in (state for state in self.counts if state is not State.DONE and self.counts[state]):
            text.append(f", {self.counts[state]} {state}", style="red" if state.is_failure else "")
        text.append(f" of {self.total}; {self._in_use()}")
        if (left := self.seconds_left()) is not None:
            text.append(f"; about {duration(left)} left")
        if self.best is not None and self.spec is not None:
            trial, value, epoch = self.best
            text.append(f"\nbest {self.spec.metric.name} {number(value)}", style="green")
            text.append(f"  {label(trial)} (epoch {epoch})")
        if self.halted:
            text.append(f"\n{self.halted}", style="yellow")
        if self.errors:
            trial, error = self.errors[-1]
            text.append(f"\n{label(trial)}: {str(error).splitlines()[0]}", style="red")
        return text

    def _in_use(self) -> str:
        """What the running trials occupy, of what there is."""
        assert self.spec is not None and self.cluster is not None  # both are told before a trial starts
        told = []
        for kind, need in (("CPU", self.spec.resources.cpu), ("GPU", self.spec.resources.gpu)):
            total = sum(node.get(kind, 0.0) for node in self.cluster.nodes)
            if total:
                told.append(f"{need * len(self.running):g}/{total:g} {kind}")
        return ", ".join(told)


def _nodes(cluster: Cluster) -> str:
    cpus, gpus = (sum(node.get(kind, 0.0) for node in cluster.nodes) for kind in ("CPU", "GPU"))
    count = len(cluster.nodes)
    place = "this machine" if cluster.is_private else f"{count} node{'' if count == 1 else 's'}"
    return f"{place} ({cpus:g} CPU, {gpus:g} GPU)"
