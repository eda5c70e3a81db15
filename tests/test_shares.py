"""Which part of a GPU a trial occupies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.engine.autoscaling import Autoscaling
from raysweep.engine.nodes import Cluster
from raysweep.sweepfile.members import Resources

NODES = st.lists(
    st.builds(lambda cpu, gpu: {"CPU": float(cpu), "GPU": float(gpu)}, st.integers(0, 16), st.integers(0, 8)),
    min_size=1,
    max_size=4,
)


def cluster(*gpus: float, cpus: float = 100, plan: Autoscaling | None = None) -> Cluster:
    return Cluster(tuple({"CPU": cpus, "GPU": count} for count in gpus), plan=plan or Autoscaling())


@pytest.mark.parametrize(
    ("gpu", "trials", "share"),
    [
        (0.25, 1, 1.0),
        (0.25, 2, 1.0),
        (0.25, 3, 0.5),
        (0.25, 4, 0.5),
        (0.25, 5, 0.3333),
        (0.25, 7, 0.25),
        (0.25, 100, 0.25),
        (0.4, 3, 0.4),
        (0.4, 100, 0.4),
        (0.4, 2, 1.0),
        (0.6, 2, 0.6),
        (1.0, 1, 1.0),
        (2.0, 1, 2.0),
        (0.0, 4, 0.0),
    ],
)
def test_two_gpus_are_filled_evenly(gpu: float, trials: int, share: float) -> None:
    assert cluster(2).share(Resources(cpu=1, gpu=gpu), trials) == share
    assert cluster(1, 1).share(Resources(cpu=1, gpu=gpu), trials) == (share if gpu <= 1 else gpu)


def test_cpus_may_be_what_is_scarce() -> None:
    assert cluster(2, cpus=4).share(Resources(cpu=1, gpu=0.1), 100) == 0.5


def test_nodes_that_come_with_demand_are_crowded() -> None:
    plan = Autoscaling(expected=1, possible=({"CPU": 4.0, "GPU": 1.0},))
    assert cluster(2, plan=plan).share(Resources(cpu=1, gpu=0.25), 2) == 0.25


@given(NODES, st.floats(0.05, 1), st.sampled_from([0.5, 1, 3]), st.integers(1, 40))
def test_as_many_run_at_once_as_without_it(nodes: list[dict[str, float]], gpu: float, cpu: float, trials: int) -> None:
    asked = Resources(cpu=cpu, gpu=gpu)
    there = Cluster(tuple(nodes))
    share = there.share(asked, trials)
    assert share >= gpu
    assert there.slots(Resources(cpu=cpu, gpu=share)) >= min(trials, there.slots(asked))


@pytest.mark.parametrize(("gpu", "slots"), [(0.4, 4), (0.5, 4), (0.1, 20), (0.3, 6), (0.7, 2), (1, 2), (2, 1), (3, 0)])
def test_a_trial_does_not_have_parts_of_two_gpus(gpu: float, slots: int) -> None:
    assert cluster(2).slots(Resources(cpu=1, gpu=gpu)) == slots
