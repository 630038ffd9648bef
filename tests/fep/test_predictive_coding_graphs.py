"""Layers predicted from both sides, attention on an edge, and the curvature of an energy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from fep.predictive_coding.bidirectional import bidirectional
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.network import Dense, PCState, chain, identity, multilayer
from fep.predictive_coding.second_order import GaussNewton
from fep.predictive_coding.spectrum import curvatures

X, Y = jnp.array([0.5, -1.0, 0.2, 0.9]), jnp.array([0.3, -0.7])


def both_ways(activation):
    widths, keys = (4, 5, 2), jax.random.split(jax.random.key(0), 4)
    dense = lambda key, m, n: Dense(jax.random.normal(key, (n, m)), jnp.zeros(n), activation)
    pairs = list(zip(widths[:-1], widths[1:], strict=True))
    up = tuple(dense(k, m, n) for k, (m, n) in zip(keys[:2], pairs, strict=True))
    down = tuple(dense(k, n, m) for k, (m, n) in zip(keys[2:], pairs, strict=True))
    return up, down, bidirectional(up, down, variances=(0.5, 2.0))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_bidirectional_energy_is_the_sum_of_both_directions():
    up, down, network = both_ways(jnp.tanh)
    z = jnp.linspace(-1, 1, 5)

    @eqx.filter_jit
    def ours(network):
        energy = network.clamp(X, Y, jnp.zeros(4), jnp.zeros(5)).cost(PCState((z,)))
        return energy, network.clamping("0", "2").predict(X)

    energy, output = ours(network)
    by_hand = lambda layer, a: np.asarray(layer.weight) @ np.tanh(np.asarray(a))
    square = lambda a: float(np.sum(np.asarray(a) ** 2))
    forward = square(z - by_hand(up[0], X)) + square(Y - by_hand(up[1], z))
    backward = square(X - by_hand(down[0], z)) + square(z - by_hand(down[1], Y))
    assert float(energy) == pytest.approx(forward + backward / 4, rel=1e-6)  # X, Y in float32
    np.testing.assert_allclose(output, by_hand(up[1], by_hand(up[0], X)), rtol=1e-6)
    assert not network.cyclic


@pytest.mark.usefixtures("x64")
def test_linear_layers_settle_between_both_predictions():
    up, down, network = both_ways(identity)
    w = [np.asarray(layer.weight, np.float64) for layer in (*up, *down)]
    settled = eqx.filter_jit(GaussNewton(1))(network, X, Y, jnp.zeros(4), jnp.zeros(5))
    matrix = 2 * (np.eye(5) + w[1].T @ w[1]) + 0.5 * (np.eye(5) + w[2].T @ w[2])
    x, y = np.asarray(X), np.asarray(Y)
    pull = 2 * (w[0] @ x + w[1].T @ y) + 0.5 * (w[2].T @ x + w[3] @ y)
    # the weights are drawn in float32
    np.testing.assert_allclose(
        settled.state.activities[0], np.linalg.solve(matrix, pull), rtol=1e-5
    )


def test_maps_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="2 upward and 1 downward"):
        bidirectional((identity, identity), (identity,))


@pytest.mark.usefixtures("x64")
def test_as_many_steps_as_units_give_all_eigenvalues():
    network = multilayer((3, 3, 2, 2), jnp.tanh, key=jax.random.key(1))
    clamped = network.clamp(X[:3], Y)

    @eqx.filter_jit
    def both(clamped):
        zero, unravel = ravel_pytree(jax.tree.map(jnp.zeros_like, clamped.init()))
        dense = jax.hessian(lambda flat: clamped.error_cost(unravel(flat)))(zero)
        return curvatures(clamped, None, steps=5, key=jax.random.key(2)), dense

    ours, dense = both(clamped)
    np.testing.assert_allclose(ours, np.linalg.eigvalsh(dense), rtol=1e-9)  # float64
    with pytest.raises(ValueError, match="steps must be 1 to 5 free units, got 6"):
        eqx.filter_eval_shape(curvatures, clamped, None, steps=6, key=jax.random.key(2))


@pytest.mark.slow
def test_attention_may_sit_on_an_edge():
    """A residual block of self-attention over four tokens."""
    k1, k2 = jax.random.split(jax.random.key(3))
    attend, last = eqx.nn.MultiheadAttention(2, 6, key=k1), eqx.nn.Linear(24, 2, key=k2)
    network = chain((lambda x: x + attend(x, x, x), lambda z: last(z.ravel())))
    settled = eqx.filter_jit(GradientFlow(0.1, 10))(network, jnp.ones((4, 6)), Y)
    assert settled.state.activities[0].shape == (4, 6)
    assert (jnp.diff(settled.energies) < 0).all()
