"""The bandit algorithms are the paper's: their beliefs, their energies, their quantiles."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import stats

from experiments.environments.bandits import switching_bandit
from experiments.papers.markovic_2021_bandits import (
    BayesianUpperBound,
    Beliefs,
    FreeEnergy,
    OptimisticThompson,
    approximate_free_energy,
    beta_quantile,
    expected_free_energy,
    learn,
    life,
)

WORLD = switching_bandit(4, switch_probability=0.01)
jitted = eqx.filter_jit(
    lambda world, rule, rho, trials, keys: jax.vmap(
        lambda key: life(world, rule, rho, trials, key)
    )(keys)
)
BELIEFS = Beliefs(jnp.array([1.0, 4.0, 30.0]), jnp.array([1.0, 2.0, 10.0]))


def test_without_switches_beliefs_are_counts():
    after = learn(BELIEFS, jnp.array(1), jnp.array(1.0), 0.0)
    np.testing.assert_allclose(after.won, [1, 5, 30])
    np.testing.assert_allclose(after.lost, [1, 2, 10])


def test_a_surprise_makes_beliefs_forget():
    """The posterior of a switch by Bayes' rule: a loss on an arm that wins 3 of 4 times."""
    rho, likelihood = 0.1, 0.25
    omega = 0.5 * rho / (0.5 * rho + (1 - rho) * likelihood)
    after = learn(BELIEFS, jnp.array(2), jnp.array(0.0), rho)
    np.testing.assert_allclose(after.won, (1 - omega) * BELIEFS.won + omega, rtol=1e-6)
    np.testing.assert_allclose(
        after.lost, (1 - omega) * BELIEFS.lost + omega + np.array([0, 0, 1]), rtol=1e-6
    )


def test_expected_free_energy_is_risk_plus_ambiguity_by_quadrature(x64):
    preference = 0.7
    ours = expected_free_energy(Beliefs(*(jnp.asarray(b, float) for b in BELIEFS)), preference, 0.0)
    theta = (np.arange(200_000) + 0.5) / 200_000
    logs = np.log([np.exp(preference), np.exp(-preference)])  # unnormalised, as in the paper
    for arm in range(3):
        density = stats.beta.pdf(theta, float(BELIEFS.won[arm]), float(BELIEFS.lost[arm]))
        average = lambda f, density=density: np.mean(f * density)
        mean = average(theta)
        predicted = np.array([mean, 1 - mean])
        risk = predicted @ (np.log(predicted) - logs)
        ambiguity = -average(theta * np.log(theta) + (1 - theta) * np.log1p(-theta))
        assert ours[arm] == pytest.approx(risk + ambiguity, abs=1e-6)  # of the quadrature


def test_the_approximation_ranks_arms_as_the_exact_energy_does_where_beliefs_are_firm():
    firm = Beliefs(jnp.array([400.0, 500.0, 300.0]), jnp.array([100.0, 250.0, 600.0]))
    exact = expected_free_energy(firm, 0.5, 0.0)
    approximate = approximate_free_energy(firm, 0.5)
    # -1 / (2 nu) is the expected information about theta, H[mu] less the expected entropy
    np.testing.assert_allclose(approximate - exact, 0.0, atol=1e-5)


def test_quantiles_are_the_beta_distribution_s():
    a, b = jnp.array([1.0, 3.0, 40.0]), jnp.array([1.0, 9.0, 15.0])
    quantile, closer = a / (a + b), jax.jit(beta_quantile)
    for _ in range(6):  # as over six trials
        quantile = closer(jnp.array(0.95), a, b, quantile)
    np.testing.assert_allclose(quantile, stats.beta.ppf(0.95, a, b), rtol=1e-4)  # float32


@pytest.mark.parametrize(
    "rule, share_missed",
    [
        (FreeEnergy(Partial(approximate_free_energy, preference=jnp.array(0.5))), (0.0, 0.55)),
        (FreeEnergy(Partial(approximate_free_energy, preference=jnp.array(0.0))), (0.55, 0.9)),
        pytest.param(OptimisticThompson(0.01), (0.0, 0.7), marks=pytest.mark.slow),
        pytest.param(BayesianUpperBound(0.01), (0.0, 0.7), marks=pytest.mark.slow),
    ],
)
def test_who_prefers_winning_misses_the_best_arm_less_than_chance(rule, share_missed):
    """Chance misses 3 of 4; bands are 4 standard errors of some 30 spells between switches."""
    missed = jitted(WORLD, rule, 0.01, 300, jax.random.split(jax.random.key(0), 10))
    low, high = share_missed
    assert missed.shape == (10, 300)
    assert low < missed[:, 30:].mean() < high
