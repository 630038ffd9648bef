"""Beliefs about the past: against enumeration of every path, and calibrated on random models."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.active_inference.belief import advance, joint, prior
from fep.active_inference.inference import ExactFilter
from fep.active_inference.model import Dependencies, Model
from fep.active_inference.smoothing import (
    MarginalMessages,
    VariationalMessages,
    likelihoods,
    smooth,
    transitions,
)


def columns(rng, *shape):
    return np.moveaxis(rng.dirichlet(np.ones(shape[0]), shape[1:]), -1, 0)


def world(seed):
    """Two factors, each on its own, the first steered; two modalities."""
    rng = np.random.default_rng(seed)
    A, B = (
        [columns(rng, 3, 2, 2), columns(rng, 2, 2, 2)],
        [columns(rng, 2, 2, 3), columns(rng, 2, 2)],
    )
    return Model(A, B, D=[rng.dirichlet(np.ones(2)) for _ in range(2)])


OUTCOMES = jnp.asarray([0, 2, -1, 1]), jnp.asarray([1, -1, -1, 0])
ACTIONS = jnp.asarray([2, 0, 1])


def every_path(model):
    """Posterior marginals of the joint states and surprise, by summing over all paths."""
    said = np.asarray(likelihoods(model, OUTCOMES), float)
    moves = np.asarray(transitions(model), float)
    start = np.kron(model.D[0], model.D[1])
    weights, total = np.zeros((4, 4)), 0.0
    for path in itertools.product(range(4), repeat=4):
        p = start[path[0]] * said[0, path[0]]
        for t in range(3):
            p *= moves[ACTIONS[t], path[t], path[t + 1]] * said[t + 1, path[t + 1]]
        total += p
        for t, s in enumerate(path):
            weights[t, s] += p
    return weights / total, -np.log(total)


@pytest.mark.usefixtures("x64")
def test_smoothing_is_the_sum_over_all_paths_and_mean_field_bounds_its_surprise():
    model = world(0)
    expected, surprise = every_path(model)
    found = eqx.filter_jit(smooth)(model, OUTCOMES, ACTIONS)
    np.testing.assert_allclose(found.joint, expected, atol=1e-13)
    assert float(found.surprise) == pytest.approx(surprise, abs=1e-12)
    bounds = [
        float(eqx.filter_jit(VariationalMessages(n))(model, OUTCOMES, ACTIONS).free_energy)
        for n in (1, 8)
    ]
    assert bounds[0] >= bounds[1] - 1e-12
    assert bounds[1] >= surprise - 1e-12


def joint_energy(model, marginals):
    """Free energy of the mean field, every path enumerated."""
    said = np.asarray(likelihoods(model, OUTCOMES), float)
    moves = np.asarray(transitions(model), float)
    start, total = np.kron(model.D[0], model.D[1]), 0.0
    q = [np.kron(marginals[0][t], marginals[1][t]) for t in range(4)]
    for path in itertools.product(range(4), repeat=4):
        p = start[path[0]] * said[0, path[0]]
        for t in range(3):
            p *= moves[ACTIONS[t], path[t], path[t + 1]] * said[t + 1, path[t + 1]]
        weight = np.prod([q[t][s] for t, s in enumerate(path)])
        total += weight * (np.log(weight) - np.log(p))
    return total


@pytest.mark.usefixtures("x64")
def test_the_mean_field_reports_its_free_energy_and_rests_at_a_minimum():
    model = world(0)
    found = eqx.filter_jit(VariationalMessages(40))(model, OUTCOMES, ACTIONS)
    q = [np.asarray(x) for x in found.marginals]
    energy = joint_energy(model, q)
    assert float(found.free_energy) == pytest.approx(energy, abs=1e-10)
    for f, t in itertools.product(range(2), range(4)):
        moved = [x.copy() for x in q]
        moved[f][t] = 0.99 * moved[f][t] + 0.01 * np.array([0.5, 0.5])
        assert joint_energy(model, moved) > energy


@pytest.mark.usefixtures("x64")
def test_marginal_messages_settle_where_half_of_each_neighbour_is_heard():
    model = world(3)
    q = eqx.filter_jit(MarginalMessages(4.0, 200))(model, OUTCOMES, ACTIONS).marginals
    x, ln = [np.asarray(m) for m in q], lambda p: np.log(p + 1e-16)
    said = np.asarray(likelihoods(model, OUTCOMES), float).reshape(4, 2, 2)
    for f, t in itertools.product(range(2), range(4)):
        B = np.asarray(model.B[f], float)[..., [int(u) if f == 0 else 0 for u in ACTIONS]]
        likelihood = ln(said[t] @ x[1][t] if f == 0 else x[0][t] @ said[t])
        back = lambda u, B=B: B[..., u].T / B[..., u].T.sum(axis=0)
        past = ln(np.asarray(model.D[f])) if t == 0 else ln(B[..., t - 1] @ x[f][t - 1])
        if t == 3:  # the last point hears the past whole
            logit = past + likelihood
        else:
            logit = 0.5 * (past + ln(back(t) @ x[f][t + 1])) + likelihood
        expected = np.exp(logit - logit.max())
        np.testing.assert_allclose(x[f][t], expected / expected.sum(), atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_the_last_smoothed_belief_is_the_filtered_one_and_surprises_add_up():
    model = world(1)
    belief, surprise = prior(model, joint(model)), 0.0
    for t in range(4):
        seen = tuple(o[t] for o in OUTCOMES)
        perceived = ExactFilter()(model, belief, seen)
        surprise += float(perceived.free_energy)
        if t < 3:
            belief = advance(model, perceived.belief, ACTIONS[t])
    found = eqx.filter_jit(smooth)(model, OUTCOMES, ACTIONS)
    np.testing.assert_allclose(found.joint[-1], perceived.belief.tables[0].reshape(-1), atol=1e-13)
    assert float(found.surprise) == pytest.approx(surprise, abs=1e-12)


def test_smoothing_a_long_stretch_neither_under_nor_overflows():
    model = world(2)
    outcomes = tuple(jax.random.randint(jax.random.key(i), (500,), 0, 2) for i in range(2))
    actions = jax.random.randint(jax.random.key(2), (499,), 0, 3)
    found = eqx.filter_jit(smooth)(model, outcomes, actions)
    np.testing.assert_allclose(jnp.sum(found.joint, axis=1), 1, rtol=1e-5)
    assert 200 < float(found.surprise) < 1500  # 500 outcomes of 6: below 500 ln 6 if any good


@pytest.mark.slow
def test_smoothed_probabilities_are_calibrated_on_twenty_random_models():
    """Simulation-based calibration: among states drawn from the process, p comes true in p."""

    @eqx.filter_jit
    def trial(model, key):
        moves = transitions(model)
        start = jnp.kron(model.D[0], model.D[1])
        kd, ka, ks = jax.random.split(key, 3)
        actions = jax.random.randint(ka, (5,), 0, 3)
        draw = lambda k, p: jax.random.categorical(k, jnp.log(p))

        def step(s, given):
            k, u = given
            s = draw(k, moves[u, s])
            return s, s

        first = draw(kd, start)
        _, rest = jax.lax.scan(step, first, (jax.random.split(ks, 5), actions))
        states = jnp.append(first, rest)
        keys = jax.random.split(jax.random.fold_in(key, 1), (6, 2))
        tables = [a.reshape(a.shape[0], -1) for a in model.A]
        seen = tuple(
            jax.vmap(lambda k, s, a=a: draw(k, a[:, s]))(keys[:, g], states)
            for g, a in enumerate(tables)
        )
        return smooth(model, seen, actions).joint, jax.nn.one_hot(states, 4)

    models = [world(seed) for seed in range(20)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *models)
    keys = jax.random.split(jax.random.key(0), (20, 100))
    p, true = eqx.filter_jit(jax.vmap(jax.vmap(trial, in_axes=(None, 0))))(stacked, keys)
    p, true = np.asarray(p).reshape(-1), np.asarray(true).reshape(-1)
    bins = np.minimum((p * 10).astype(int), 9)
    for b in range(10):
        chosen = bins == b
        # states of one trial hang together: allow an effective sample a sixth of the count
        error = 4 * np.sqrt(0.25 / (chosen.sum() / 6))
        assert abs(p[chosen].mean() - true[chosen].mean()) < error


def test_message_passing_refuses_factors_that_are_coupled():
    eye = np.eye(2)
    wired = Dependencies(((0,), (1,)), ((0, 1), (1,)), ((0,), ()))
    model = Model(
        [eye, eye], [np.tile(eye[:, :, None, None], (1, 1, 2, 2)), eye], dependencies=wired
    )
    with pytest.raises(ValueError, match=r"B\[0\]: expected to hang on factor 0 alone"):
        VariationalMessages()(model, OUTCOMES, ACTIONS)
