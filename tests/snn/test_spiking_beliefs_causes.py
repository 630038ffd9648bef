"""Causes found by spikes against batch expectation maximisation of the same mixture."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.spiking_beliefs_causes import HiddenCauses
from snn.spiking_beliefs_firing import Coupled, Rates, Varied
from snn.spiking_beliefs_rivals import WinnerTakeAll

CAUSES, VARIABLES, VALUES, SAMPLES = 3, 6, 3, 4000


@cache
def data():
    """Three causes, each with a favourite value of every variable; one-hot samples, and a start."""
    rng = np.random.default_rng(0)
    prior = np.array([0.2, 0.3, 0.5])
    favourite = np.stack([rng.permutation(VALUES) for _ in range(VARIABLES)])  # (variable, cause)
    p = np.where(np.arange(VALUES)[None, :, None] == favourite[:, None], 0.8, 0.1)
    causes = rng.choice(CAUSES, size=SAMPLES, p=prior)
    u = rng.random((SAMPLES, VARIABLES))
    values = (u[:, :, None] > p.cumsum(axis=1)[:, :-1, causes].transpose(2, 0, 1)).sum(axis=2)
    active = np.eye(VALUES)[values].reshape(SAMPLES, -1)
    # nearly alike; EM is local, and from some starts spikes of few neurons let two causes share one
    start = np.log(np.random.default_rng(10).dirichlet(np.full(VALUES, 20.0), (VARIABLES, CAUSES)))
    return active, causes, start.transpose(0, 2, 1).reshape(-1, CAUSES)


@cache
def expectation_maximisation():
    """Batch EM to convergence from the same start: the oracle. (log weights, log prior)."""
    active, _, weights = data()
    prior = np.full(CAUSES, -np.log(CAUSES))
    for _ in range(300):
        q = np.exp(active @ weights + prior)
        q /= q.sum(axis=1, keepdims=True)
        weights = np.log(active.T @ q / q.sum(axis=0))
        prior = np.log(q.mean(axis=0))
    return weights, prior


def likelihood(weights, prior):
    """Mean log evidence of a sample, in nats, under the normalised model."""
    p = np.exp(weights).reshape(VARIABLES, VALUES, CAUSES)
    weights = np.log(p / p.sum(axis=1, keepdims=True)).reshape(-1, CAUSES)
    prior = prior - np.log(np.exp(prior).sum())
    return np.log(np.exp(data()[0] @ weights + prior).sum(axis=1)).mean()


@cache
def learned(code):
    neurons, firing = {
        "rates": (1, Rates()),
        "coupled": (32, Coupled(Varied(jax.random.key(0), mismatch=0.1), most=8)),
    }[code]
    active, _, start = data()
    machine = HiddenCauses(WinnerTakeAll(neurons, firing=firing))
    run = eqx.filter_jit(lambda m, w, x: jax.lax.scan(lambda s, i: m.step(s, i), m.init(w), x))
    state, cycles = run(machine, jnp.asarray(start, jnp.float32), jnp.asarray(active, jnp.float32))
    return np.asarray(state.weights, float), np.asarray(state.excitability, float), cycles.belief


@pytest.mark.slow
@pytest.mark.parametrize("code", ["rates", "coupled"])
def test_one_pass_of_spikes_finds_the_mixture_that_maximum_likelihood_does(code):
    weights, prior, _ = learned(code)
    best = likelihood(*expectation_maximisation())
    start = likelihood(data()[2], np.full(CAUSES, -np.log(CAUSES)))
    assert best - start > 0.5  # there was something to find
    # a running mean over 1 / eta = 100 samples: 38 free numbers cost 38 / 2 / (2 x 100) nats
    assert best - likelihood(weights, prior) <= 38 / 400 * 1.5


@pytest.mark.parametrize("code", ["rates", pytest.param("coupled", marks=pytest.mark.slow)])
def test_weights_come_to_rest_at_log_probabilities(code):
    weights, prior, _ = learned(code)
    wanted, wanted_prior = expectation_maximisation()
    # probabilities scatter by sqrt(p (1 - p) eta / 2 / P(k)) < .08, the rarest cause with .2
    np.testing.assert_allclose(np.exp(weights), np.exp(wanted), atol=0.3)
    assert np.sqrt(np.mean((np.exp(weights) - np.exp(wanted)) ** 2)) <= 0.08
    np.testing.assert_allclose(np.exp(prior), np.exp(wanted_prior), atol=0.12)


@pytest.mark.slow
def test_populations_come_to_stand_for_causes():
    """Late in the run, spikes name the cause as often as Bayes' rule with the truth's model can."""
    _, causes, _ = data()
    beliefs = np.asarray(learned("coupled")[2])[-1000:]
    active = data()[0]
    weights, prior = expectation_maximisation()
    optimal = np.argmax(active @ weights + prior, axis=1)[-1000:]
    names = lambda winners: max(
        np.mean(np.array(order)[winners] == causes[-1000:])
        for order in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    )
    assert names(optimal) > 0.9
    assert names(beliefs.argmax(axis=1)) >= names(optimal) - 0.02


@pytest.mark.parametrize("change, culprit", [({"rate": 1.0}, "rate"), ({"least": 0.0}, "least")])
def test_a_bad_setting_is_refused_by_name(change, culprit):
    with pytest.raises(ValueError, match=culprit):
        HiddenCauses(WinnerTakeAll(4), **change)
