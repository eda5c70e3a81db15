"""What a sweep file says: its keys, and what follows from them."""

from __future__ import annotations

from functools import cached_property

from raysweep.sweepfile.keys import Keys
from raysweep.sweepfile.limits import Limit, limit
from raysweep.sweepfile.parameters import SEED, Axis, Constant, Draw, OneOf, Parameter, dotted, every
from raysweep.sweepfile.parsing import as_random, parse


class Sweep(Keys):
    """A sweep file as it is written, which may be wrong between its keys."""

    @cached_property
    def parsed(self) -> tuple[Parameter, ...]:
        """The parameters in the order of the file."""
        found = parse(self.parameters, random=self.method == "random", whole=self._is_whole)
        return found if self.method != "bayes" else tuple(map(self._searched, found))

    def _searched(self, parameter: Parameter) -> Parameter:
        """As a search has it: all axes are searched but seeds and folds, with which each suggestion is tried."""
        is_seed = parameter.path[-1] == SEED or dotted(parameter.path) == self.folds
        return parameter if is_seed else as_random(parameter)

    @property
    def _is_whole(self) -> bool:
        """Whether a range of whole numbers is an axis, as in W&B's grid; where samples are told it is drawn from."""
        return self.method == "grid" and "method" in self.model_fields_set and self.samples is None

    @cached_property
    def axes(self) -> dict[str, Axis]:
        """The axes by dotted name."""
        return {dotted(p.path): p for p in self.parsed if isinstance(p, Axis)}

    @property
    def draws(self) -> list[Draw]:
        """The parameters that are drawn at random in each trial."""
        return [p for p in self.parsed if isinstance(p, Draw)]

    @property
    def alternatives(self) -> list[OneOf]:
        """The parameters of which a trial has one of several."""
        return [p for p in self.parsed if isinstance(p, OneOf)]

    @property
    def is_random(self) -> bool:
        """Whether anything is drawn at random, or searched."""
        drawn = any(isinstance(p, Draw) for p in every(self.parsed))
        return drawn or (self.method != "grid" and bool(self.alternatives))

    @property
    def n_samples(self) -> int:
        """Draws per grid point; 1 where nothing is random."""
        if not self.is_random:
            return 1
        return self.samples or (self.run_cap if self.method == "random" and self.run_cap else 1)

    @property
    def draws_on(self) -> bool:
        """Whether further draws stand in for equal ones, until there are `run_cap` trials."""
        capped = self.run_cap is not None and self.n_samples >= self.run_cap
        return self.method == "random" and self.is_random and capped

    @property
    def drawn_once(self) -> list[str]:
        """The parameters that a grid draws a single value of, since the file does not say how many."""
        if self.samples or self.method != "grid":
            return []
        return list(dict.fromkeys(dotted(p.path) for p in every(self.parsed) if isinstance(p, Draw)))

    @property
    def is_paced(self) -> bool:
        """Whether trials are stopped early, so that each report waits for what is decided."""
        return self.early_stopping is not None or self.early_terminate is not None

    @cached_property
    def continued(self) -> str | None:
        """The parameter that `continues` names, where it is there and has one value, a number."""
        for parameter in self.parsed:
            if dotted(parameter.path) == self.continues and isinstance(parameter, Constant):
                return self.continues if isinstance(parameter.value, (int, float)) else None
        return None

    @property
    def max_epochs(self) -> int | None:
        """How many epochs a trial has at the most, where it is known."""
        if self.early_stopping is not None and self.early_stopping.max_epochs:
            return self.early_stopping.max_epochs
        epochs = [p for p in self.parsed if p.path == ("epochs",) and isinstance(p, (Axis, Constant))]
        values = [v for p in epochs for v in (p.values if isinstance(p, Axis) else (p.value,))]
        return max(values) if values and all(isinstance(v, int) for v in values) else None

    @cached_property
    def limits(self) -> dict[str, Limit]:
        """The limits of `stop` as (comparison, number), `time` in seconds."""
        return {key: limit(key, value, self.is_better_low(key)) for key, value in self.stop.items()}

    def is_better_low(self, key: str) -> bool:
        """Whether a limit of `stop` that is a bare number is reached from above."""
        return key == self.metric.name and self.metric.goal == "minimize"
