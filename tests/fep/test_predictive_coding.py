"""Predictive coding against closed forms: linear equilibria, Hebbian slopes, the backprop twin."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import Learner, PredictiveCoding, backprop
from fep.predictive_coding.network import identity, multilayer


def sample(key, network):
    kx, ky = jax.random.split(key)
    n_in, n_out = network.layers[0].weight.shape[1], network.layers[-1].weight.shape[0]
    return jax.random.normal(kx, (n_in,)), jax.random.normal(ky, (n_out,))


@pytest.mark.usefixtures("x64")
def test_a_linear_network_settles_at_the_solution_of_its_normal_equations():
    network = multilayer((4, 6, 3), identity, key=jax.random.key(0))
    x, y = sample(jax.random.key(1), network)
    settled = eqx.filter_jit(GradientFlow(rate=0.2, steps=400))(network, x, y)
    first, second = network.layers
    w = second.weight
    # dF/dz = (z - mu) - W'(y - W z - b) = 0
    z = jnp.linalg.solve(jnp.eye(6) + w.T @ w, first(x) + w.T @ (y - second.bias))
    np.testing.assert_allclose(settled.state.activities[0], z, atol=1e-12)  # float64 rounding
    # equilibrated energy: the output error weighted by the inverse of S = I + W W'
    error = y - network.predict(x)
    energy = 0.5 * error @ jnp.linalg.solve(jnp.eye(3) + w @ w.T, error)
    constant = 0.5 * 9 * jnp.log(2 * jnp.pi)  # nine free or clamped units above the input
    assert float(settled.energies[-1]) == pytest.approx(float(energy + constant), abs=1e-12)
    assert float(settled.residual) < 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_inference_never_raises_the_energy(seed):
    network = multilayer((4, 6, 6, 3), jnp.tanh, key=jax.random.key(seed))
    x, y = sample(jax.random.key(seed + 9), network)
    settled = eqx.filter_jit(GradientFlow(rate=0.1, steps=50))(network, x, y)
    assert (jnp.diff(settled.energies) <= 1e-5).all()  # float32 rounding of about 30 nats
    assert settled.energies[-1] < settled.energies[0]


@pytest.mark.usefixtures("x64")
def test_the_weight_gradient_is_the_product_of_error_above_and_rate_below():
    network = multilayer((4, 6, 6, 3), jnp.tanh, key=jax.random.key(2))
    x, y = sample(jax.random.key(3), network)
    solver = GradientFlow(rate=0.1, steps=7)  # far from settled: it must hold anywhere

    @jax.jit
    def both(network):
        _, gradient = PredictiveCoding(solver)(network, (x[None], y[None]))
        return gradient, solver(network, x, y).state.activities

    gradient, activities = both(network)
    nodes = (x, *activities, y)
    for layer, slope, below, above in zip(
        network.layers, gradient.layers, nodes[:-1], nodes[1:], strict=True
    ):
        error = above - layer(below)
        np.testing.assert_allclose(
            slope.weight, -jnp.outer(error, layer.activation(below)), atol=1e-14
        )
        np.testing.assert_allclose(slope.bias, -error, atol=1e-14)


def flat(network):
    return jnp.concatenate([a.ravel() for a in jax.tree.leaves(network)])


def test_a_sample_settles_alike_alone_and_in_a_batch():
    network = multilayer((4, 6, 3), jnp.tanh, key=jax.random.key(7))
    keys = jax.random.split(jax.random.key(8), 16)
    x, y = jax.vmap(lambda k: sample(k, network))(keys)
    solver = GradientFlow(rate=0.1, steps=20)
    together = eqx.filter_jit(eqx.filter_vmap(solver, in_axes=(None, 0, 0)))(network, x, y)
    alone = eqx.filter_jit(solver)(network, x[3], y[3])
    np.testing.assert_allclose(  # float32: sums in another order
        together.state.activities[0][3], alone.state.activities[0], rtol=1e-5, atol=1e-6
    )


def test_backprop_is_the_gradient_of_half_the_squared_error():
    network = multilayer((4, 6, 3), jnp.tanh, key=jax.random.key(9))
    x, y = sample(jax.random.key(10), network)
    loss = lambda network: 0.5 * jnp.sum((y - network.predict(x)) ** 2)
    both = lambda n: (backprop(n, (x[None], y[None]))[1], jax.grad(loss)(n))
    gradient, goal = eqx.filter_jit(both)(network)
    np.testing.assert_allclose(flat(gradient), flat(goal), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", [backprop, PredictiveCoding(GradientFlow(0.1, 10))])
def test_learning_lowers_the_energy_of_what_is_learned(rule):
    network = multilayer((4, 6, 3), jnp.tanh, key=jax.random.key(11))
    batch = jax.vmap(lambda k: sample(k, network))(jax.random.split(jax.random.key(12), 4))
    learner = Learner(rule, optax.adam(1e-2))
    step = lambda state, _: learner.step(state, batch)
    _, energies = jax.lax.scan(step, learner.init(network), length=100)
    floor = 0.5 * jnp.log(2 * jnp.pi) * (3 if rule is backprop else 9)  # all errors zero
    assert energies[-1] - floor < 0.1 * (energies[0] - floor)


@pytest.mark.parametrize("read", [0, -1])
def test_divergence_is_refused_whichever_value_is_read(read):
    network = multilayer((4, 6, 6, 3), identity, key=jax.random.key(13))
    solver = GradientFlow(rate=50.0, steps=200)
    value = eqx.filter_jit(lambda *given: solver(network, *given).state.activities[read])
    with pytest.raises(eqx.EquinoxRuntimeError, match="lower `rate`"):
        value(*sample(jax.random.key(14), network))


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: GradientFlow(0.0, 5), "rate"),
        (lambda: GradientFlow(float("nan"), 5), "rate"),
        (lambda: GradientFlow(0.1, 0), "steps"),
        (lambda: multilayer((4,), jnp.tanh, key=jax.random.key(0)), "widths"),
        (lambda: multilayer((4, 0, 2), jnp.tanh, key=jax.random.key(0)), "widths"),
    ],
)
def test_a_bad_setting_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
