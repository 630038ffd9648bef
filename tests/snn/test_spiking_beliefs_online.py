"""The continuous-time filter against the forward recursion of a Poisson hidden Markov model."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.spiking_beliefs_firing import Coupled, IntegrateAndFire, Poisson, Rates, Varied
from snn.spiking_beliefs_online import OnlineBelief

STATES, SENSES, STEPS, DT = 4, 6, 1500, 1e-3


@cache
def world():
    """A jump process, its senses' spikes, and the exact filter of them, in NumPy."""
    rng = np.random.default_rng(1)
    generator = rng.uniform(0.2, 2, (STATES, STATES))
    np.fill_diagonal(generator, 0)
    generator -= np.diag(generator.sum(axis=0))
    tuning = rng.uniform(2, 40, (SENSES, STATES))
    values, vectors = np.linalg.eig(generator)
    hops = (vectors * np.exp(values * DT) @ np.linalg.inv(vectors)).real
    state, belief, senses, beliefs = 0, np.full(STATES, 1 / STATES), [], []
    for _ in range(STEPS):
        state = rng.choice(STATES, p=hops[:, state] / hops[:, state].sum())
        senses.append(rng.poisson(tuning[:, state] * DT))
        rate = tuning * DT
        belief = (hops @ belief) * np.prod(rate ** senses[-1][:, None] * np.exp(-rate), axis=0)
        belief /= belief.sum()
        beliefs.append(belief)
    return tuning, generator, np.array(senses), np.array(beliefs)


@eqx.filter_jit
def run(machine, senses):
    start = machine.init(jnp.full(STATES, 1 / STATES))
    return jax.lax.scan(lambda s, n: machine.step(s, n), start, senses)[1].belief


def error(neurons, firing):
    """Mean total variation to the exact filter."""
    tuning, generator, senses, beliefs = world()
    machine = OnlineBelief(
        jnp.asarray(tuning, jnp.float32),
        jnp.asarray(generator, jnp.float32),
        neurons,
        firing=firing,
    )
    found = np.asarray(run(machine, jnp.asarray(senses, jnp.float32)))
    return 0.5 * np.abs(found - beliefs).sum(axis=1).mean()


def test_the_rate_limit_is_the_exact_filter_of_poisson_senses():
    assert error(1, Rates(1.0)) <= 2e-5  # rounding of float32 over 1500 steps that forget


@pytest.mark.parametrize(
    "firing, expected, tolerance",
    [
        (Poisson(jax.random.key(0)), -0.5, 0.15),  # one world of 1.5 s: slopes scatter by .05
        (IntegrateAndFire(), -1.0, 0.15),
        (Coupled(Varied(jax.random.key(0), mismatch=0.1)), -1.0, 0.15),
    ],
    ids=["Poisson", "staggered", "coupled, mismatched"],
)
def test_recurrence_by_spikes_errs_with_the_population_as_a_cycle_does(firing, expected, tolerance):
    errors = [error(neurons, firing) for neurons in (16, 256)]
    assert np.log(errors[1] / errors[0]) / np.log(16) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    "change, culprit",
    [
        ({"tuning": jnp.zeros((1, 2))}, "tuning"),
        ({"generator": jnp.eye(2)}, "generator"),
        ({"neurons": 0}, "neurons"),
        ({"rate_hz": 2000.0}, "rate_hz"),
    ],
)
def test_a_bad_setting_is_refused_by_name(change, culprit):
    good = {"tuning": jnp.ones((1, 2)), "generator": jnp.array([[-1.0, 1], [1, -1]]), "neurons": 4}
    with pytest.raises(ValueError, match=culprit):
        OnlineBelief(**{**good, **change})
