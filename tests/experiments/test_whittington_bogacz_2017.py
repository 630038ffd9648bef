"""Whittington & Bogacz (2017): the authors' exclusive-or by hand, and the limit of backprop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.papers import whittington_bogacz_2017_backprop as paper
from fep.predictive_coding.equilibrium import linear_equilibrium
from fep.predictive_coding.learning import Learner, PredictiveCoding, slope_at
from fep.predictive_coding.network import identity, multilayer

PATTERNS = np.tanh([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = np.array([[1.0], [0.0], [0.0], [1.0]])


def by_numpy(weights, biases, epochs: int) -> np.ndarray:
    """Error after each epoch of their program, 2-5-1, written out in NumPy from the equations."""
    (w1, w2), (b1, b2) = ([a.copy() for a in part] for part in (weights, biases))
    errors = []
    for _ in range(epochs):
        for x, y in zip(PATTERNS, TARGETS, strict=True):
            z = w1 @ x + b1
            for _ in range(100):
                above = (y - w2 @ np.tanh(z) - b2) / 10.0
                z = z + 0.2 * ((1 - np.tanh(z) ** 2) * (w2.T @ above) - (z - w1 @ x - b1))
            above = (y - w2 @ np.tanh(z) - b2) / 10.0
            below = z - w1 @ x - b1
            w2, b2 = w2 + 2.0 * np.outer(above, np.tanh(z)), b2 + 2.0 * above
            w1, b1 = w1 + 2.0 * np.outer(below, x), b1 + 2.0 * below
        outputs = np.tanh(PATTERNS @ w1.T + b1) @ w2.T + b2
        errors.append(np.sqrt(np.mean((outputs - TARGETS) ** 2)))
    return np.array(errors)


def test_exclusive_or_is_the_program_s_written_out_by_hand(x64):
    start = paper._network((2, 5, 1), jnp.tanh, paper.XOR_VARIANCE, jax.random.key(0))
    scaled = optax.chain(optax.scale(paper.XOR_VARIANCE), optax.sgd(paper.XOR_RATE))
    learner = Learner(PredictiveCoding(paper.XOR_SOLVER), scaled)
    samples = jnp.asarray(PATTERNS), jnp.asarray(TARGETS)
    course = jax.jit(lambda s: paper.xor_course(learner, s, samples, 3))(learner.init(start))
    weights = [np.asarray(layer.weight) for layer in start.layers]
    golden = by_numpy(weights, [np.zeros(5), np.zeros(1)], 3)
    np.testing.assert_allclose(course[1:], golden, rtol=1e-10)  # 1,200 float64 steps


@pytest.mark.slow
def test_equilibrium_comes_to_backprop_in_proportion_to_one_over_variance(x64):
    network = multilayer((4, 6, 5, 3), jnp.tanh, key=jax.random.key(1))
    keys = jax.random.split(jax.random.key(2))
    batch = tuple(jax.random.normal(k, (7, n)) for k, n in zip(keys, (4, 3), strict=True))
    one = lambda v: paper.angle_to_backprop(paper.EQUILIBRIUM, network, v, batch)
    found = jax.jit(jax.vmap(one))(jnp.array([1.0, 1e4, 1e5]))
    assert found[0] > 3  # degrees: at unit variance the two differ
    assert found[1] / found[2] == pytest.approx(10, rel=1e-3)  # the next order is 1e-4


@pytest.mark.slow
def test_angle_of_a_linear_network_is_that_of_the_closed_form(x64):
    network = multilayer((3, 4, 2), identity, key=jax.random.key(3))
    x, y = jnp.array([0.3, -1.0, 0.7]), jnp.array([1.0, -0.5])
    batch = x[None], y[None]
    other = paper.with_variance(network, jnp.asarray(5.0))
    exact = jax.tree.map(lambda z: z[None], linear_equilibrium(other, x, y))
    flat = lambda slope: jnp.concatenate([a.ravel() for a in jax.tree.leaves(slope.edges)])
    golden = paper.angle(
        flat(slope_at(other, exact, batch)[1]), flat(paper.backprop(network, batch)[1])
    )
    one = jax.jit(lambda v: paper.angle_to_backprop(paper.EQUILIBRIUM, network, v, batch))
    assert float(one(jnp.asarray(5.0))) == pytest.approx(float(golden), rel=1e-9)
    assert golden > 0.1


@pytest.mark.parametrize("degrees", [1e-7, 0.5, 90.0, 180.0])
def test_angle_is_exact_where_the_cosine_rounds(x64, degrees):
    turn = np.radians(degrees)
    a, b = jnp.array([2.0, 0.0]), 3 * jnp.array([np.cos(turn), np.sin(turn)])
    assert float(paper.angle(a, b)) == pytest.approx(degrees, rel=1e-7)


@pytest.mark.slow
def test_both_rules_learn_and_the_angle_falls():
    config = paper.Config(runs=2, xor_epochs=400, seeds=1, epochs=12, hidden=40)
    result = paper.run(config)
    assert result.error.shape == (3, 1, 12)
    assert (result.error[:, 0, -1] < result.error[:, 0, 0] - 20).all()
    assert (result.xor[:, :, -1] < 1e-2).all()
    assert (np.diff(result.angle[1, 1, 3:]) < 0).all()
    assert len(paper.summary(config, result)) == 7
    assert len(paper.figure(result).axes) == 3


@pytest.mark.parametrize(
    "wrong", [{"runs": 0}, {"epochs": 0}, {"hidden": 0}, {"mnist": 5}, {"mnist": 60_001}]
)
def test_bad_settings_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        paper.Config(**wrong)
