"""Spiking beliefs against the exact filter, and what their spikes may carry."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.spiking_beliefs import SpikingBelief, Timing, circuit, raster

STATES, OUTCOMES, ACTIONS, STEPS = 8, 8, 3, 60


def world(seed):
    """A random world with positive A, B and D, and a run of observations and actions in it."""
    rng = np.random.default_rng(seed)
    likelihood = rng.dirichlet(np.full(OUTCOMES, 0.5), STATES).T + 0.02
    transitions = np.stack(
        [rng.dirichlet(np.full(STATES, 0.5), STATES).T for _ in range(ACTIONS)], 2
    )
    transitions += 0.02
    columns = lambda p: p / p.sum(axis=0)
    likelihood, transitions = columns(likelihood), columns(transitions)
    actions = rng.integers(ACTIONS, size=STEPS)
    state, outcomes = rng.integers(STATES), []
    for action in actions:
        outcomes.append(rng.choice(OUTCOMES, p=likelihood[:, state]))
        state = rng.choice(STATES, p=transitions[:, state, action])
    return likelihood, transitions, np.full(STATES, 1 / STATES), np.array(outcomes), actions


def exact(likelihood, transitions, prior, outcomes, actions):
    """Bayes' rule, one line a step: the oracle."""
    beliefs, expected = [], prior
    for outcome, action in zip(outcomes, actions, strict=True):
        belief = likelihood[outcome] * expected
        beliefs.append(belief / belief.sum())
        expected = transitions[:, :, action] @ beliefs[-1]
    return np.array(beliefs)


@eqx.filter_jit
def spiking(likelihood, transitions, prior, outcomes, actions, neurons):
    beliefs = SpikingBelief((likelihood,), transitions, prior, neurons)

    def step(state, seen):
        outcome, action = seen
        state, cycle = beliefs.step(state, (outcome,))
        counts = jnp.sum(cycle.raster, axis=(1, 2))
        return beliefs.expect(state, cycle.belief, action), (cycle.belief, counts)

    return jax.lax.scan(step, beliefs.init(), (outcomes, actions))[1]


def run(seed, neurons):
    settings = world(seed)
    arrays = [jnp.asarray(a, jnp.float32) for a in settings[:3]] + [
        jnp.asarray(a) for a in settings[3:]
    ]
    beliefs, counts = spiking(*arrays, neurons)
    distance = 0.5 * np.abs(np.asarray(beliefs) - exact(*settings)).sum(axis=1)
    return distance, np.asarray(counts), settings, np.asarray(beliefs, float)


def test_rates_approach_the_exact_filter_as_one_over_the_population():
    """Staggered, like neurons err by less than a spike a count: slope -1, not Poisson's -1/2."""
    distances = [np.mean([run(seed, n)[0].mean() for seed in range(3)]) for n in (16, 256)]
    slope = np.log(distances[1] / distances[0]) / np.log(256 / 16)
    assert slope <= -0.8
    assert distances[1] <= 5e-3


def hilbert(p, q):
    """Hilbert's projective distance between two positive vectors."""
    ratio = np.log(p) - np.log(q)
    return ratio.max() - ratio.min()


def test_errors_contract_as_birkhoff_says():
    """A filter step forgets: d_t <= tanh(Delta(B) / 4) d_(t-1) + read-out error of step t."""
    beliefs, (likelihood, transitions, prior, outcomes, actions) = run(0, 256)[3], world(0)
    truth = exact(likelihood, transitions, prior, outcomes, actions)
    for t in range(1, STEPS):
        b = transitions[:, :, actions[t - 1]]
        ratios = np.log(b[:, None, :, None] * b[None, :, None, :])
        diameter = (ratios - np.swapaxes(ratios, 2, 3)).max()
        ideal = likelihood[outcomes[t]] * (b @ beliefs[t - 1])  # exact step from its own past
        bound = np.tanh(diameter / 4) * hilbert(beliefs[t - 1], truth[t - 1])
        assert hilbert(beliefs[t], truth[t]) <= bound + hilbert(beliefs[t], ideal) + 1e-9


def test_the_whole_fires_at_one_rate_whatever_is_believed():
    counts = run(1, 64)[1]
    expected = 64 * Timing().rate_hz * Timing().cycle_s
    assert np.abs(counts.sum(axis=1) - expected).max() <= STATES  # each count off by under one


def test_the_raster_and_circuit_agree_on_who_fires():
    likelihood, transitions, prior, *_ = world(2)
    likelihood, transitions, prior = (jnp.asarray(a) for a in (likelihood, transitions, prior))
    beliefs = SpikingBelief((likelihood, likelihood[:3]), transitions, prior, 4)
    _, cycle = beliefs.step(beliefs.init(), (jnp.array(5), jnp.array(2)))
    trains, wiring = raster(beliefs, cycle, (jnp.array(5), jnp.array(2)), 1), circuit(beliefs)
    assert {p.name: p.size for p in wiring.populations} == {
        n: t.shape[1] for n, t in trains.items()
    }
    assert np.flatnonzero(trains["senses"].sum(0)).tolist() == [5, 8 + 2]
    assert np.flatnonzero(trains["messages"].sum(0)).tolist() == list(range(STATES, 2 * STATES))
    assert trains["states"].sum() == float(jnp.sum(cycle.raster))
    # one spike of every neuron of a state sends that state's column of B, up to the read-out scale
    to_messages = next(p for p in wiring.projections if p.target == "messages")
    dense = np.zeros((ACTIONS * STATES, STATES * 4))
    dense[to_messages.post, to_messages.pre] = to_messages.weights
    scale = Timing().rate_hz * Timing().window_s
    column = dense[:, 4 * 3 : 4 * 4].sum(axis=1).reshape(ACTIONS, STATES) * scale
    np.testing.assert_allclose(column, np.asarray(transitions)[:, 3].T, rtol=1e-6)


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Timing(tau_mem=0.0), "tau_mem"),
        (lambda: Timing(window_s=0.2), "window_s"),
        (lambda: Timing(rate_hz=2000.0), "rate_hz"),
        (lambda: Timing(dt_s=float("nan")), "dt_s"),
        (lambda: SpikingBelief((jnp.eye(2),), jnp.ones((2, 2, 1)), jnp.ones(2), 0), "neurons"),
    ],
)
def test_a_bad_setting_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
