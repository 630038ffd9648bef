"""Learning rules against backprop, finite differences and unrolled autodiff, all in float64."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from fep.predictive_coding.coordinates import errors
from fep.predictive_coding.energies import Flat, Gaussian, LearnedGaussian
from fep.predictive_coding.equilibrium import (
    at_equilibrium,
    cosine,
    equilibrated_energy,
    linear_equilibrium,
    regime,
)
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import (
    FixedPrediction,
    IncrementalLearner,
    Learner,
    Nudged,
    PredictiveCoding,
    backprop,
    settle_batch,
    slope_at,
    zero_divergence,
)
from fep.predictive_coding.network import Dense, Edge, Node, PCNetwork, identity, multilayer
from fep.predictive_coding.second_order import NewtonCG

# quadratic convergence: 8 steps end at rounding
EXACT = NewtonCG(8, inner=20, damping=0.0, coordinates=errors)
pytestmark = pytest.mark.usefixtures("x64")


learn_at_equilibrium = eqx.filter_jit(PredictiveCoding(EXACT))  # compiled once


def batch_for(network, n=3, key=0):
    kx, ky = jax.random.split(jax.random.key(key))
    n_in, n_out = network.layers[0].weight.shape[1], network.layers[-1].weight.shape[0]
    return jax.random.normal(kx, (n, n_in)), jax.random.normal(ky, (n, n_out))


def flat(tree):
    return ravel_pytree(tree)[0]


def chain_and_batch(activation=jnp.tanh):
    network = multilayer((4, 6, 6, 3), activation, key=jax.random.key(0))
    return network, batch_for(network)


def test_zero_divergence_learning_is_backprop():
    network, batch = chain_and_batch()
    energy, slope = eqx.filter_jit(zero_divergence)(network, batch)
    goal = eqx.filter_jit(backprop)(network, batch)
    assert energy == pytest.approx(float(goal[0]), abs=1e-12)
    np.testing.assert_allclose(flat(slope), flat(goal[1]), atol=1e-12)  # float64 rounding


def branching(key):
    """a -> b -> d -> y, a -> d, b -> y: paths of different lengths."""

    def dense(i, n_in, n_out):
        weight = jax.random.normal(jax.random.fold_in(key, i), (n_out, n_in)) / n_in**0.5
        return Dense(weight, jnp.zeros(n_out), jnp.tanh)

    edges = (
        Edge("a", "b", dense(0, 4, 5)),
        Edge("b", "d", dense(1, 5, 6)),
        Edge("a", "d", dense(2, 4, 6)),
        Edge("d", "y", dense(3, 6, 3)),
        Edge("b", "y", dense(4, 5, 3)),
    )
    nodes = Node("a", Flat()), Node("b"), Node("d"), Node("y", Gaussian(0.5))
    return PCNetwork(nodes, edges, ("a", "y"))


def test_fixed_predictions_give_backprop_on_any_acyclic_graph():
    network = branching(jax.random.key(1))
    batch = (
        jax.random.normal(jax.random.key(2), (3, 4)),
        jax.random.normal(jax.random.key(3), (3, 3)),
    )
    _, goal = eqx.filter_jit(backprop)(network, batch)
    _, exact = eqx.filter_jit(FixedPrediction(1.0, 3))(network, batch)  # the longest path: 3 edges
    np.testing.assert_allclose(flat(exact), flat(goal), atol=1e-12)
    _, slow = eqx.filter_jit(FixedPrediction(0.3, 150))(network, batch)
    np.testing.assert_allclose(flat(slow), flat(goal), atol=1e-12)  # 0.7^150 = 6e-24


def test_one_step_in_error_coordinates_is_backprop_times_its_rate():
    """Errors become -rate dL/dz exactly, so that hidden weights see rate x backprop, to first order
    in the rate: Goemaere et al. (2025), theorem C.9."""
    network, batch = chain_and_batch()
    rate = 1e-7
    _, goal = eqx.filter_jit(backprop)(network, batch)
    _, slope = eqx.filter_jit(PredictiveCoding(GradientFlow(rate, 1, errors)))(network, batch)
    for ours, theirs in zip(slope.layers[:-1], goal.layers[:-1], strict=True):
        np.testing.assert_allclose(ours.weight / rate, theirs.weight, atol=3e-6)
    np.testing.assert_allclose(slope.layers[-1].weight, goal.layers[-1].weight, atol=3e-6)


@pytest.mark.slow
def test_centred_nudging_tends_to_the_equilibrium_slope_of_a_small_target():
    """Nudges on either side cancel what is quadratic: 100 times nearer for a tenth of the nudge."""
    network, batch = chain_and_batch()
    run = jax.jit(lambda *s: flat(Nudged(EXACT, jnp.stack(s))(network, batch)[1]))
    limit = run(1e-3, -1e-3)
    far, near = (jnp.abs(run(b, -b) - limit).max() for b in (0.1, 0.01))
    assert near < far / 50
    one_sided = jnp.abs(run(0.01, 0.01) - limit).max()
    assert near < one_sided / 10
    whole = flat(learn_at_equilibrium(network, batch)[1])
    np.testing.assert_allclose(run(1.0, 1.0), whole, atol=1e-12)  # no nudge but the target


def test_a_slow_incremental_step_is_a_step_of_predictive_coding():
    network, batch = chain_and_batch()
    rate = 1e-8
    learner = IncrementalLearner(optax.sgd(0.1), optax.sgd(rate), steps=1)
    state, _ = eqx.filter_jit(learner.step)(learner.init(network), batch)
    at_start = lambda n: slope_at(n, jax.vmap(n.init)(*batch), batch)
    _, slope = eqx.filter_jit(at_start)(network)
    np.testing.assert_allclose((flat(network) - flat(state.network)) / rate, flat(slope), atol=1e-6)


def test_incremental_learning_lowers_the_energy():
    network, batch = chain_and_batch()
    learner = IncrementalLearner(optax.sgd(0.1), optax.adam(1e-3), steps=5)
    step = lambda state, _: learner.step(state, batch)
    _, energies = jax.lax.scan(step, learner.init(network), length=60)
    floor = 0.5 * jnp.log(2 * jnp.pi) * 15  # all errors zero
    assert energies[-1] - floor < 0.3 * (energies[0] - floor)


def test_the_gradient_of_the_settled_energy_is_its_finite_difference():
    """At equilibrium the settled energy moves with the weights as if the values stood still."""
    network, batch = chain_and_batch()
    rule = learn_at_equilibrium
    slope = flat(rule(network, batch)[1])
    weights, unravel = ravel_pytree(network)
    for i in (0, 17, 60, 80):
        nudge = jnp.zeros_like(weights).at[i].set(1e-5)
        up, down = (
            rule(unravel(weights + nudge), batch)[0],
            rule(unravel(weights - nudge), batch)[0],
        )
        assert slope[i] == pytest.approx(float((up - down) / 2e-5), abs=1e-8)


def test_the_equilibrated_energy_needs_no_inference():
    network = branching(jax.random.key(4))
    edges = tuple(
        Edge(e.source, e.target, replace(e.map, activation=identity)) for e in network.edges
    )
    network = PCNetwork(network.nodes, edges, network.clamped)
    values = jnp.ones(4), jnp.array([0.3, -1.0, 2.0])
    goal = jax.jit(lambda n: n.energy(linear_equilibrium(n, *values), *values))(network)
    energy = jax.jit(lambda n: equilibrated_energy(n, *values))(network)
    assert energy == pytest.approx(float(goal), abs=1e-12)


def test_precision_learning_finds_the_variance_of_a_gaussian():
    """One clamped node, nothing to infer: the precisions' slope vanishes at the sample variance."""
    spread = jnp.array([0.2, 1.0, 3.0])
    data = spread[None] * jax.random.normal(jax.random.key(5), (1000, 3))
    edge = Edge("one", "y", Dense(jnp.zeros((3, 1)), jnp.zeros(3), identity))
    nodes = Node("one", Flat()), Node("y", LearnedGaussian(jnp.zeros(3)))
    network = PCNetwork(nodes, (edge,), ("one", "y"))
    learner = Learner(PredictiveCoding(GradientFlow(0.1, 1)), optax.adam(0.05))
    batch = jnp.ones((1000, 1)), data
    step = lambda state, _: learner.step(state, batch)
    state, _ = jax.lax.scan(step, learner.init(network), length=600)
    learned = jnp.exp(-state.network.nodes[1].energy.log_precision)
    np.testing.assert_allclose(learned, data.var(axis=0), rtol=1e-3)  # Adam ends nearby


def test_a_hidden_precision_that_is_learned_outweighs_what_is_noisy():
    """Two effects of one cause: the precise one decides, once precisions are learned."""
    k1, k2, k3 = jax.random.split(jax.random.key(6), 3)
    cause = jax.random.normal(k1, (500, 1))
    good = cause + 0.1 * jax.random.normal(k2, (500, 1))
    poor = cause + 1.0 * jax.random.normal(k3, (500, 1))
    same = lambda: Dense(jnp.ones((1, 1)), jnp.zeros(1), identity)
    noisy = lambda: LearnedGaussian(jnp.zeros(1))
    network = PCNetwork(
        (Node("cause", shape=(1,)), Node("good", noisy()), Node("poor", noisy())),
        (Edge("cause", "good", same()), Edge("cause", "poor", same())),
        ("good", "poor"),
    )
    mask = jax.tree.map(lambda _: False, network)
    mask = eqx.tree_at(
        lambda n: [n.nodes[i].energy.log_precision for i in (1, 2)], mask, [True, True]
    )
    freeze = optax.masked(optax.set_to_zero(), jax.tree.map(lambda m: not m, mask))
    learner = Learner(
        PredictiveCoding(NewtonCG(1, damping=0.0)), optax.chain(optax.adam(0.02), freeze)
    )
    step = lambda state, _: learner.step(state, (good, poor))
    state, _ = jax.lax.scan(step, learner.init(network), length=300)

    def error(network):
        """Of the cause inferred: the mean of prior and effects, weighted by their precisions."""
        precise, vague = (jnp.exp(n.energy.log_precision[None]) for n in network.nodes[1:])
        inferred = (precise * good + vague * poor) / (1 + precise + vague)
        return float(jnp.mean((inferred - cause) ** 2))

    before, after = error(network), error(state.network)
    assert after < 0.2 * before


def test_implicit_slopes_are_those_of_unrolled_inference():
    network = multilayer((4, 6, 6, 3), jnp.tanh, key=jax.random.key(7))
    x, y = jnp.ones(4), jnp.array([0.4, -1.2, 0.3])
    loss = lambda state: jnp.sum(jnp.sin(state.activities[0])) + jnp.sum(state.activities[1] ** 2)
    implicit = lambda n, y: loss(at_equilibrium(EXACT, n, x, y))
    unrolled = lambda n, y: loss(GradientFlow(0.3, 400)(n, x, y).state)
    ours, theirs = (jax.jit(jax.grad(f, argnums=(0, 1)))(network, y) for f in (implicit, unrolled))
    np.testing.assert_allclose(flat(ours), flat(theirs), atol=1e-9)  # 0.3 x 400 e-folds of descent
    assert jnp.abs(flat(ours)).max() > 0.1


@pytest.mark.slow
def test_the_regime_meter_knows_backprop_from_equilibrium():
    network, batch = chain_and_batch()
    ends = lambda solver: settle_batch(solver, network, batch)
    judged = GradientFlow(1e-4, 1, errors), NewtonCG(9, 20, coordinates=errors)

    @jax.jit
    def meters():
        star = ends(EXACT)
        bounds = jnp.array([0, -1])  # as many energies for all, so that one program measures all
        few = lambda end: end._replace(energies=end.energies[:, bounds])
        both = jax.tree.map(lambda *a: jnp.stack(a), *(few(ends(solver)) for solver in judged))
        return jax.vmap(lambda end: regime(end, star, network, batch))(both)

    found = meters()
    barely, fully = (jax.tree.map(lambda a, i=i: a[i], found) for i in range(2))
    assert float(barely.relaxed) < 1e-3
    np.testing.assert_allclose(barely.to_backprop, 1, atol=1e-6)
    assert float(fully.relaxed) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(fully.to_equilibrium, 1, atol=1e-9)
    np.testing.assert_allclose(fully.norm, 1, atol=1e-6)
    assert float(fully.to_backprop[0]) < 0.9999
    assert float(cosine(jnp.zeros(3), jnp.ones(3))) == 0


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Nudged(EXACT, jnp.zeros(0)), "strengths"),
        (lambda: Nudged(EXACT, jnp.array([0.1, 0.0])), "strengths"),
        (lambda: FixedPrediction(0.0), "rate"),
        (lambda: FixedPrediction(1.0, 0), "steps"),
        (lambda: IncrementalLearner(optax.sgd(1), optax.sgd(1), 0), "steps"),
        (lambda: zero_divergence(branching(jax.random.key(0)), ()), "only a chain"),
    ],
)
def test_a_bad_rule_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
