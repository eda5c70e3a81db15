"""Progress as a person sees it: a live table on a terminal, else one line per event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raysweep.driver.progress import Progress, Running
from raysweep.engine.nodes import Cluster
from raysweep.plan.identity import ID_DIGITS
from raysweep.plan.names import telling
from raysweep.plan.reconciliation import Reconciliation
from raysweep.plan.trials import Trial
from raysweep.results.text import duration, number, shown, shown_lines
from raysweep.store.records import State, TrialError
from raysweep.sweepfile.spec import SweepSpec

GAP = 2  # characters between columns
NARROW = 32  # characters: on such a terminal headings are cut, so that trials' ids and figures are not
ROWS = 20  # of running trials; a terminal is not endless
TIMES = ("epoch_duration", "run_duration", "samples_per_second")  # a recorder's; in the history, too long for a line


def for_stream(stream: IO[str]) -> Progress:
    """The display that suits a stream."""
    console = Console(file=stream, highlight=False)
    return LiveProgress(console) if console.is_terminal else LineProgress(console)


def summary(spec: SweepSpec, reconciliation: Reconciliation, todo: int, coming: int = 0) -> str:
    """One line on a plan."""
    counts = reconciliation.counts()
    told = [f"{counts[state]} {state}" for state in State if counts[state]]
    if reconciliation.dropped:
        told.append(f"{len(reconciliation.dropped)} dropped")
    planned = len(reconciliation.standings)
    ends = [f"{todo} to run" if todo or coming else "nothing to run"]
    if coming:
        ends.append(f"{coming} to be suggested")
    if spec.draws_on and planned < (spec.run_cap or 0):
        ends.append(f"all that differ, of a run_cap of {spec.run_cap}")
    if spec.ignored:
        ends.append(f"ignored: {', '.join(spec.ignored)}")
    if spec.drawn_once:
        ends.append(f'{", ".join(spec.drawn_once)} drawn once: "samples" says how often')
    states = f" ({', '.join(told)})" if told else ""  # of a search that begins there are none
    return f"{spec.name}: {planned} trial{'' if planned == 1 else 's'}{states}; {'; '.join(ends)}"


CHANGED_CODE = "the training code has changed since it trained {} of these trials; --fresh-code repeats them"


class LineProgress(Progress):
    """One line per event, without control characters."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._finished = 0
        self._todo = 0

    def _say(self, text: str) -> None:
        self._console.print(Text(shown_lines(text)), soft_wrap=True)

    def planned(self, spec: SweepSpec, reconciliation: Reconciliation, todo: int, coming: int = 0) -> None:
        """Say what the plan is."""
        super().planned(spec, reconciliation, todo, coming)
        self._todo = todo + coming
        self._say(summary(spec, reconciliation, todo, coming))

    def changed_code(self, trials: int) -> None:
        """Say that trials were trained by other code."""
        self._say(CHANGED_CODE.format(trials))

    def ready(self, cluster: Cluster, slots: int) -> None:
        """Say how many trials run at once."""
        super().ready(cluster, slots)
        self._say(f"{slots} at once on {_nodes(cluster)}")

    def started(self, trial: Trial) -> None:
        """Say that a trial starts."""
        super().started(trial)
        self._say(f"{self.labels[trial.id]}: started")

    def reported(self, trial: Trial, epoch: int, seconds: float, metrics: Mapping[str, Any]) -> None:
        """Say what a trial reported."""
        before = self.running[trial.id].epoch if trial.id in self.running else epoch
        super().reported(trial, epoch, seconds, metrics)
        if epoch != before:
            told = " ".join(f"{shown(name)}={number(value)}" for name, value in metrics.items() if name not in TIMES)
            self._say(f"{self.labels[trial.id]}: epoch {epoch}: {told}")

    def lost(self, trial: Trial) -> None:
        """Say that a worker was lost."""
        super().lost(trial)
        self._say(f"{self.labels[trial.id]}: its worker was lost; it will be started again")

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
        self._say(f"{self.labels[trial.id]}: {outcome} ({self._finished} of {self._todo}{time_left})")


class LiveProgress(Progress):
    """A table that is drawn anew a few times a second."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._telling = 0  # characters that tell the trials' labels apart
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=4, transient=True)

    def planned(self, spec: SweepSpec, reconciliation: Reconciliation, todo: int, coming: int = 0) -> None:
        """Say what the plan is."""
        super().planned(spec, reconciliation, todo, coming)
        self._telling = telling(self.labels.values())
        self._console.print(Text(summary(spec, reconciliation, todo, coming)))

    def changed_code(self, trials: int) -> None:
        """Say that trials were trained by other code."""
        self._console.print(Text(CHANGED_CODE.format(trials), style="yellow"))

    def noticed(self, text: str) -> None:
        """Say it, above the table."""
        self._console.print(Text(shown_lines(text)))

    def __enter__(self) -> Progress:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def _draw(self) -> Group:
        return Group(self._table(), self._figures())

    def _table(self) -> Table:
        metric = self.spec.metric.name if self.spec else ""
        visible = self.at_work
        headings = ("epoch", shown(metric), "time")
        figures = [self._figures_of(running, metric) for running in visible[:ROWS]]
        room = self._console.width
        longest = max(8, room // 4) if room > NARROW else 3  # of a heading; a metric's name may be long
        widths = [
            max([min(longest, cell_len(name)), *map(cell_len, column)])
            for name, *column in zip(headings, *figures, strict=True)
        ]
        labels, width = self._fitting(visible[:ROWS], room - sum(GAP + wide for wide in widths))
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("running trial", overflow="ellipsis", no_wrap=True, width=width)
        for heading, wide in zip(headings, widths, strict=True):
            table.add_column(Text(heading), justify="right", overflow="ellipsis", no_wrap=True, width=wide)
        for label, row in zip(labels, figures, strict=True):
            table.add_row(*map(Text, (label, *row)))  # and no str, in which rich looks for its markup
        if len(visible) > ROWS:
            table.add_row(f"... and {len(visible) - ROWS} more", "", "", "")
        return table

    def _figures_of(self, running: Running, metric: str) -> tuple[str, str, str]:
        total = running.trial.config.get("epochs")
        # where a function reports more often than once an epoch, what it reports is not counted against that
        is_of = isinstance(total, int) and running.epoch <= total
        epoch = f"{running.epoch}/{total}" if is_of else str(running.epoch)
        return epoch, number(running.metrics.get(metric)), duration(running.elapsed)

    def _fitting(self, shown: Sequence[Running], room: int) -> tuple[list[str], int]:
        """What the trials are called in so many characters, told apart also where that is cut; and their width."""
        labels = [self.labels[running.trial.id] for running in shown]
        width = max(map(cell_len, ["running trial", *labels]))
        if width > (room := max(room, ID_DIGITS)) and self._telling >= room:
            labels = [f"{running.trial.id} {label}" for running, label in zip(shown, labels, strict=True)]
        return labels, min(width, room)

    def _figures(self) -> Text:
        if self.cluster is None:
            return Text("starting Ray ...", style="dim")
        text = Text(f"\n{self.counts[State.DONE]} done, {len(self.running)} running, {self.waiting} waiting")
        for state in (state for state in list(self.counts) if state is not State.DONE and self.counts[state]):
            text.append(f", {self.counts[state]} {state}", style="red" if state.is_failure else "")
        text.append(f" of {self.total}; {self._in_use()}")
        if (left := self.seconds_left()) is not None:
            text.append(f"; about {duration(left)} left")
        if self.best is not None and self.spec is not None:
            trial, value, epoch = self.best
            text.append(f"\nbest {shown(self.spec.metric.name)} {number(value)}", style="green")
            text.append(f"  {self.labels[trial.id]} (epoch {epoch})")
        if self.halted:
            text.append(f"\n{shown(self.halted)}", style="yellow")
        if self.errors:
            trial, error = self.errors[-1]
            first = str(error).partition("\n")[0]
            text.append(f"\n{self.labels[trial.id]}: {shown(first)}", style="red")
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
