"""Spiking beliefs against the exact filter, and what their spikes may carry."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.spiking_beliefs import SpikingBelief, circuit, raster
from snn.spiking_beliefs_firing import (
    Coupled,
    IntegrateAndFire,
    Jittered,
    Poisson,
    Rates,
    Varied,
)
from snn.spiking_beliefs_rivals import Timing

STATES, OUTCOMES, ACTIONS, STEPS = 8, 8, 3, 60
SIZES = 16, 256
SEEDS = range(3)
FIRING = {
    "rates": lambda key: Rates(),
    "Poisson": Poisson,
    "random phases": lambda key: IntegrateAndFire(Varied(key)),
    "mismatched": lambda key: IntegrateAndFire(Varied(key, mismatch=0.1)),
    "staggered": lambda key: IntegrateAndFire(),
    "coupled": lambda key: Coupled(Varied(key)),
    "coupled, mismatched": lambda key: Coupled(Varied(key, mismatch=0.1)),
    "coupled, mismatched, half dead": lambda key: Coupled(Varied(key, mismatch=0.1, dead=0.5)),
}


DEAR = {code for code in FIRING if code not in ("rates", "staggered")}


def spare(*codes):
    """The codes, all but the two cheapest in the slow selection."""
    return [pytest.param(c, marks=pytest.mark.slow) if c in DEAR else c for c in codes]


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
def spiking(likelihood, transitions, prior, outcomes, actions, neurons, firing):
    beliefs = SpikingBelief((likelihood,), transitions, prior, neurons, firing=firing)

    def step(state, seen):
        outcome, action = seen
        state, cycle = beliefs.step(state, (outcome,))
        counts = jnp.sum(cycle.raster, axis=(1, 2))
        return beliefs.expect(state, cycle.belief, action), (cycle.belief, counts)

    return jax.lax.scan(step, beliefs.init(), (outcomes, actions))[1]


@cache
def run(code, seed, neurons):
    settings = world(seed)
    arrays = [jnp.asarray(a, jnp.float32) for a in settings[:3]] + [
        jnp.asarray(a) for a in settings[3:]
    ]
    beliefs, counts = spiking(*arrays, neurons, FIRING[code](jax.random.key(100 + seed)))
    return np.asarray(beliefs, float), np.asarray(counts)


def distances(code, seed, neurons):
    """Total variation between spiking and exact belief, each step."""
    return 0.5 * np.abs(run(code, seed, neurons)[0] - exact(*world(seed))).sum(axis=1)


def slope(code):
    """Of log error over log size, between the two SIZES; errors are means over SEEDS."""
    errors = [np.mean([distances(code, seed, n) for seed in SEEDS]) for n in SIZES]
    return np.polyfit(np.log(SIZES), np.log(errors), 1)[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_rate_limit_is_the_exact_filter(seed):
    """What is left is e^(-25 ms / 4 ms) of each jump in log belief: the membrane settles."""
    assert distances("rates", seed, 1).max() <= 1e-3


@pytest.mark.parametrize("code", spare("Poisson", "random phases", "mismatched"))
def test_neurons_on_their_own_err_as_one_over_the_root_of_the_population(code):
    """Theory says -1/2; three worlds of 60 steps tell it to within a few hundredths."""
    assert slope(code) == pytest.approx(-0.5, abs=0.05)


@pytest.mark.parametrize(
    "code", spare("staggered", "coupled", "coupled, mismatched", "coupled, mismatched, half dead")
)
def test_coordinated_neurons_err_as_one_over_the_population(code):
    """Theory says -1 far above the floor of the rate limit, which shows at 256 neurons."""
    assert slope(code) <= -0.85


def test_the_read_out_of_poisson_neurons_obeys_its_bound():
    """Mean of total variation <= sqrt((K - 1) / M) / 2 a step, for M spikes and K states.

    Each step against the exact step from the populations' own past, so that nothing adds up;
    thinning makes counts a little less variable than Poisson's, M a little more.
    """
    likelihood, transitions, _, outcomes, actions = world(0)
    beliefs = run("Poisson", 0, 256)[0]
    spikes = 256 * Timing().rate_hz * Timing().window_s
    errors = [
        0.5 * np.abs(beliefs[t] - normalise(likelihood[outcomes[t]] * e)).sum()
        for t in range(1, STEPS)
        for e in [transitions[:, :, actions[t - 1]] @ beliefs[t - 1]]
    ]
    assert np.mean(errors) <= 0.5 * np.sqrt((STATES - 1) / spikes) * 1.1


def normalise(p):
    return p / p.sum()


def hilbert(p, q):
    """Hilbert's projective distance between two positive vectors."""
    ratio = np.log(p) - np.log(q)
    return ratio.max() - ratio.min()


@pytest.mark.parametrize("code", spare(*FIRING))
def test_errors_contract_as_birkhoff_says_in_every_run(code):
    """A filter step forgets: d_t <= tanh(Delta(B) / 4) d_(t-1) + read-out error of step t."""
    for seed in SEEDS:
        for size in (1,) if code == "rates" else SIZES:
            beliefs = run(code, seed, size)[0]
            likelihood, transitions, _, outcomes, actions = world(seed)
            truth = exact(*world(seed))
            contraction = [np.tanh(diameter(transitions[:, :, a]) / 4) for a in range(ACTIONS)]
            for t in range(1, STEPS):
                b = transitions[:, :, actions[t - 1]]
                ideal = likelihood[outcomes[t]] * (b @ beliefs[t - 1])  # from its own past
                bound = contraction[actions[t - 1]] * hilbert(beliefs[t - 1], truth[t - 1])
                assert hilbert(beliefs[t], truth[t]) <= bound + hilbert(beliefs[t], ideal) + 1e-9


def diameter(b):
    """Of the image of a positive matrix, in Hilbert's distance."""
    ratios = np.log(b[:, None, :, None] * b[None, :, None, :])
    return (ratios - np.swapaxes(ratios, 2, 3)).max()


@pytest.mark.parametrize("code", ["staggered", "coupled, mismatched"])
def test_the_whole_fires_at_one_rate_whatever_is_believed(code):
    counts = run(code, 1, 64)[1]
    expected = 64 * Timing().rate_hz * Timing().cycle_s
    # each count is off by under 1 alone, and by under 1 + S + mu/k coupled, with S < 1.6
    assert np.abs(counts.sum(axis=1) - expected).max() <= STATES * (1 if code == "staggered" else 3)


def test_a_precision_is_a_power_of_the_likelihood():
    likelihood, transitions, prior, outcomes, _ = world(3)
    arrays = [jnp.asarray(a, jnp.float32) for a in (likelihood, transitions, prior)]
    beliefs = SpikingBelief((arrays[0],) * 2, *arrays[1:], 1, firing=Rates(), precision=(0.5, 2.0))
    seen = int(outcomes[0]), int(outcomes[1])
    _, cycle = beliefs.step(beliefs.init(), tuple(jnp.array(o) for o in seen))
    wanted = normalise(likelihood[seen[0]] ** 0.5 * likelihood[seen[1]] ** 2 * prior)
    np.testing.assert_allclose(cycle.belief, wanted, atol=1e-3)  # the membrane settles


@pytest.mark.parametrize(
    "firing", [IntegrateAndFire(), Jittered(Coupled(), 1.0, jax.random.key(0))]
)
def test_the_raster_and_circuit_agree_on_who_fires(firing):
    likelihood, transitions, prior, *_ = world(2)
    likelihood, transitions, prior = (jnp.asarray(a) for a in (likelihood, transitions, prior))
    beliefs = SpikingBelief((likelihood, likelihood[:3]), transitions, prior, 4, firing=firing)
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


def test_the_inhibition_of_coupled_neurons_stays_within_their_population():
    likelihood, transitions, prior, *_ = world(2)
    arrays = (jnp.asarray(a) for a in (likelihood, transitions, prior))
    likelihood, transitions, prior = arrays
    beliefs = SpikingBelief((likelihood,), transitions, prior, 4, firing=Coupled())
    _, cycle = beliefs.step(beliefs.init(), (jnp.array(5),))
    heard, told = (p for p in circuit(beliefs).projections if "inhibition" in (p.source, p.target))
    assert (heard.post == heard.pre // 4).all()
    assert (told.pre == told.post // 4).all()
    inhibition = raster(beliefs, cycle, (jnp.array(5),), 0)["inhibition"]
    assert (inhibition == np.asarray(cycle.raster).any(axis=2)).all()


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Timing(tau_mem=0.0), "tau_mem"),
        (lambda: Timing(window_s=0.2), "window_s"),
        (lambda: Timing(rate_hz=2000.0), "rate_hz"),
        (lambda: Timing(dt_s=float("nan")), "dt_s"),
        (lambda: SpikingBelief((jnp.eye(2),), jnp.ones((2, 2, 1)), jnp.ones(2), 0), "neurons"),
        (
            lambda: SpikingBelief(
                (jnp.eye(2),), jnp.ones((2, 2, 1)), jnp.ones(2), 4, precision=(1.0, 1.0)
            ),
            "precision",
        ),
    ],
)
def test_a_bad_setting_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
