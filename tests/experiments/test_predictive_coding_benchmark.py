"""The benchmark's networks, floor and check of equal work; no time is asserted."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import predictive_coding as pc
from experiments.store import Refusal


def test_a_problem_has_the_shapes_of_its_case():
    for case in pc.CASES.values():
        work = pc.problem(case, np.random.default_rng(0))
        weights = [work[name] for name in sorted(work) if name.startswith("W")]
        assert [w.shape for w in weights] == list(case.shapes)
        assert work["x"].shape == (pc.BATCH, *case.input)


def test_the_convolutional_network_halves_its_image_twice():
    work = pc.problem(pc.CASES["conv 1-16-32"], np.random.default_rng(0))
    network = pc._network(work)
    state = network.init(*(jnp.asarray(work[name][0]) for name in "xy"))
    assert [z.shape for z in state.activities] == [(16, 14, 14), (32, 7, 7)]


def test_a_peer_with_other_weights_is_refused():
    case = pc._perceptron(4, 3, 10)
    work = pc.problem(case, np.random.default_rng(0))
    start = {name: work[name] for name in ("W01", "W02")}
    network = pc._network(work)
    moved = network.layers[0].weight + 0.1

    class State:
        network = pc._network({**work, "W01": np.asarray(moved)})

    theirs = {"W01": np.asarray(moved) + 0.01, "W02": start["W02"] + 1}
    with pytest.raises(Refusal, match="W01 is 0.1 of its way apart"):
        pc._check_same_work("peer", State, start, theirs)
