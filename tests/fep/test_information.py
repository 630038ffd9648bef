"""Information measures against closed forms, each other, and quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep import information as info

RNG = np.random.default_rng(0)
P, Q = (jnp.asarray(RNG.dirichlet(np.ones(5)), jnp.float32) for _ in range(2))


@pytest.mark.usefixtures("x64")
def test_categorical_measures_keep_their_identities():
    p, q = (jnp.asarray(RNG.dirichlet(np.ones(5))) for _ in range(2))
    assert float(info.entropy(jnp.full(8, 1 / 8))) == pytest.approx(np.log(8), abs=1e-14)
    assert float(info.divergence(q, q)) == 0
    assert float(info.divergence(q, p)) > 0
    uniform = jnp.full(5, 0.2)
    found = float(info.divergence(q, uniform))
    assert found == pytest.approx(np.log(5) - float(info.entropy(q)), abs=1e-14)
    independent = jnp.outer(p, q)
    assert float(info.mutual_information(independent)) == pytest.approx(0, abs=1e-14)
    assert float(info.mutual_information(jnp.diag(p))) == pytest.approx(
        float(info.entropy(p)), abs=1e-14
    )
    assert float(info.entropy(independent.reshape(-1))) == pytest.approx(
        float(info.entropy(p) + info.entropy(q)), abs=1e-14
    )  # additive over what is independent


def test_zero_probabilities_and_their_slopes_are_finite():
    sharp = jnp.asarray([1.0, 0.0, 0.0])
    for function in (info.entropy, lambda x: info.divergence(sharp, x), lambda x: info.log(x)[1]):
        value, slope = jax.value_and_grad(function)(sharp)
        assert jnp.isfinite(value)
        assert jnp.isfinite(slope).all()
    assert float(info.entropy(sharp)) == 0


@pytest.mark.usefixtures("x64")
def test_gaussian_measures_are_their_closed_forms_in_one_dimension():
    s, t, gap = 0.7, 2.0, 1.3
    one = lambda x: jnp.full((1, 1), x)
    found = info.gaussian_divergence(jnp.zeros(1), one(s**2), jnp.full(1, gap), one(t**2))
    expected = np.log(t / s) + (s**2 + gap**2) / (2 * t**2) - 0.5
    assert float(found) == pytest.approx(expected, abs=1e-14)
    entropy = float(info.gaussian_entropy(one(s**2)))
    assert entropy == pytest.approx(0.5 * np.log(2 * np.pi * np.e * s**2), abs=1e-14)
    rho = 0.6
    both = jnp.asarray([[1.0, rho], [rho, 1.0]])
    found = float(info.gaussian_mutual_information(both, 1))
    assert found == pytest.approx(-0.5 * np.log(1 - rho**2), abs=1e-14)


@pytest.mark.usefixtures("x64")
def test_beta_measures_agree_with_quadrature():
    q, p = np.array([2.5, 1.5]), np.array([1.2, 3.0])
    x = (np.arange(200_000) + 0.5) / 200_000
    norm = lambda c: np.exp(float(info.log_beta(jnp.asarray(c))))
    density = lambda c: x ** (c[0] - 1) * (1 - x) ** (c[1] - 1) / norm(c)
    f, g = density(q), density(p)
    divergence = float(info.dirichlet_divergence(jnp.asarray(q), jnp.asarray(p)))
    assert divergence == pytest.approx(np.mean(f * np.log(f / g)), abs=1e-5)  # midpoint rule
    entropy = float(info.dirichlet_entropy(jnp.asarray(q)))
    assert entropy == pytest.approx(-np.mean(f * np.log(f)), abs=1e-5)
    logs = info.expected_log(jnp.asarray(q))
    np.testing.assert_allclose(
        logs, [np.mean(f * np.log(x)), np.mean(f * np.log(1 - x))], atol=1e-5
    )


@pytest.mark.usefixtures("x64")
def test_the_gain_of_an_outcome_is_the_divergence_it_brings_at_any_count():
    for scale in (1e-3, 0.05, 1.0, 10.0, 1e3):
        counts = jnp.asarray([0.5, 1.0, 2.5]) * scale
        grown = jax.vmap(lambda e, c=counts: info.dirichlet_divergence(c + e, c))(jnp.eye(3))
        # the divergence itself cancels: 1e-12 of terms that grow as counts times their logarithm
        np.testing.assert_allclose(info.dirichlet_gain(counts), grown, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("count", [0.05, 0.25, 1.0, 10.0])
@pytest.mark.usefixtures("x64")
def test_the_asymptotic_novelty_errs_more_the_fewer_the_counts(count):
    """Smith et al. (2022) take (1/a - 1/a0)/2, the limit of many counts."""
    counts = jnp.asarray([count, 3 * count])
    exact = info.dirichlet_gain(counts)
    limit = (1 / counts - 1 / jnp.sum(counts)) / 2
    error = float(jnp.max(jnp.abs(exact - limit) / exact))
    assert error < {0.05: 8, 0.25: 1.2, 1.0: 0.3, 10.0: 0.03}[count]
    assert error > {0.05: 1.2, 0.25: 0.3, 1.0: 0.03, 10.0: 0.001}[count]


def test_the_gain_keeps_its_digits_in_single_precision_where_digammas_cancel():
    counts = jnp.asarray([1e5, 3e5], jnp.float32)
    expected = (1 / counts - 1 / jnp.sum(counts)) / 2  # to 1e-5 of itself at such counts
    np.testing.assert_allclose(info.dirichlet_gain(counts), expected, rtol=1e-4)
    assert info.dirichlet_gain(jnp.asarray([0.0, 2.0])).tolist()[0] == 0


@pytest.mark.usefixtures("x64")
def test_slopes_of_the_dirichlet_divergence_are_finite_differences():
    q, p = jnp.asarray([0.6, 2.0, 1.1]), jnp.asarray([1.0, 0.4, 3.0])
    slope = jax.grad(info.dirichlet_divergence)(q, p)
    h = 1e-6
    ahead = jax.vmap(lambda e: info.dirichlet_divergence(q + h * e, p))(jnp.eye(3))
    behind = jax.vmap(lambda e: info.dirichlet_divergence(q - h * e, p))(jnp.eye(3))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), atol=1e-8)
