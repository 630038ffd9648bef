"""A guess learns where inference ends, and inference has less to do."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fep.predictive_coding.amortised import Guess, HybridLearner
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.loops import Until
from fep.predictive_coding.network import Edge, Node, PCNetwork
from fep.predictive_coding.temporal import Linear

W = np.array([[1.0, 0.4], [-0.3, 0.8], [0.5, -0.6]])


def cause_of(*, until):
    """A cause with a unit prior seen through W; its posterior mean is linear in what is seen."""
    nodes = Node("cause", shape=(2,)), Node("seen")
    network = PCNetwork(nodes, (Edge("cause", "seen", Linear(jnp.asarray(W))),), ("seen",))
    return network, GradientFlow(0.3, Until(until, 200))


def test_the_guess_becomes_the_posterior_mean_and_inference_stops_at_once():
    network, solver = cause_of(until=1e-3)
    seen = jax.random.normal(jax.random.key(0), (16, 3))
    # the network is held: the guess alone learns
    held = {"network": optax.set_to_zero(), "guess": optax.sgd(0.3)}
    labels = lambda both: tuple(
        jax.tree.map(lambda _, n=name: n, part)
        for name, part in zip(("network", "guess"), both, strict=True)
    )
    learner = HybridLearner(solver, optax.multi_transform(held, labels))
    start = learner.init(network, Guess((Linear(jnp.zeros((2, 3))),)))
    run = eqx.filter_jit(
        lambda s: jax.lax.scan(lambda s, _: learner.step(s, (seen,)), s, length=80)
    )
    state, course = run(start)
    exact = np.linalg.solve(np.eye(2) + W.T @ W, W.T)
    np.testing.assert_allclose(state.guess.maps[0].weight, exact, atol=5e-3)  # solved to 1e-3
    assert course.steps[0] > 5
    assert course.steps[-1] < 0.2
    np.testing.assert_array_equal(state.network.edges[0].map.weight, W.astype(np.float32))


@pytest.mark.usefixtures("x64")
def test_network_and_guess_descend_the_energy_and_half_the_square_missed():
    network, solver = cause_of(until=1e-9)
    seen = np.linspace(-1, 1, 12).reshape(4, 3)
    learner = HybridLearner(solver, optax.sgd(1.0))
    start = learner.init(network, Guess((Linear(jnp.full((2, 3), 0.2)),)))
    state, output = eqx.filter_jit(learner.step)(start, (jnp.asarray(seen),))
    ends = seen @ np.linalg.solve(np.eye(2) + W.T @ W, W.T).T  # posterior means
    errors, strays = seen - ends @ W.T, ends - seen @ np.full((3, 2), 0.2)
    square = lambda a: np.mean(np.sum(a**2, axis=1))
    near = {"atol": 1e-8}  # what the solver leaves
    moved = W + errors.T @ ends / 4
    np.testing.assert_allclose(state.network.edges[0].map.weight, moved, **near)
    np.testing.assert_allclose(state.guess.maps[0].weight, 0.2 + strays.T @ seen / 4, **near)
    np.testing.assert_allclose(output.surprise, square(strays), **near)
    energy = 0.5 * (square(ends) + square(errors) + 5 * np.log(2 * np.pi))
    np.testing.assert_allclose(output.energy, energy, **near)
