"""The benchmark's networks, floor and check of equal work; no time is asserted."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.benchmarks import predictive_coding as pc
from experiments.store import Refusal
from fep.predictive_coding.learning import Learner, backprop


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


def test_a_peer_with_other_slopes_is_refused_by_name():
    work = pc.problem(pc.perceptron(4, 3, 10), np.random.default_rng(0))
    ours = {name: work[name] for name in ("W01", "W02")}
    pc.check_same_work("peer", ours, {name: a * (1 + 1e-3) for name, a in ours.items()})
    with pytest.raises(Refusal, match="peer met other slopes: W02's are"):
        pc.check_same_work("peer", ours, {**ours, "W02": 0.98 * ours["W02"]})


def test_slopes_are_what_the_first_step_descends():
    work = pc.problem(pc.perceptron(4, 3, 10), np.random.default_rng(0))
    network, batch = pc._network(work), (work["x"], work["y"])
    met = pc.slopes(pc.Ours(Learner(backprop, optax.adam(pc.RATE)), network, batch).train(1))
    slope = eqx.filter_jit(backprop)(network, batch)[1].layers
    for layer, name in zip(slope, ("W01", "W02"), strict=True):
        np.testing.assert_allclose(met[name], 0.1 * layer.weight, rtol=1e-4, atol=1e-7)  # 1 - b1
