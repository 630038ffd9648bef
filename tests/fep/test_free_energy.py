"""Free energies: bounds on surprise, their decompositions, edges and slopes."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.free_energy import (
    accuracy,
    bethe_free_energy,
    complexity,
    expected_free_energy,
    gaussian_energy,
    generalised_free_energy,
    laplace_free_energy,
    variational_free_energy,
)
from fep.information import entropy, log, mutual_information

GOLDEN = Path(__file__).parents[1] / "golden" / "aif"


def random_inference(seed):
    rng = np.random.default_rng(seed)
    prior = jnp.asarray(rng.dirichlet(np.ones(4)))
    likelihood = jnp.asarray(rng.dirichlet(np.ones(3), 4).T)
    q = jnp.asarray(rng.dirichlet(np.ones(4)))
    return prior, likelihood, q


@pytest.mark.usefixtures("x64")
def test_free_energy_bounds_surprise_and_touches_it_at_the_posterior_alone():
    for seed in range(20):
        prior, likelihood, q = random_inference(seed)
        joint = prior * likelihood[seed % 3]
        surprise = -jnp.log(jnp.sum(joint))
        F = variational_free_energy(q, log(joint))
        assert float(F - surprise) > 0
        best = variational_free_energy(joint / jnp.sum(joint), log(joint))
        assert float(best) == pytest.approx(float(surprise), abs=1e-13)
        split = complexity(q, prior) - accuracy(q, log(likelihood[seed % 3]))
        assert float(F) == pytest.approx(float(split), abs=1e-13)


@pytest.mark.usefixtures("x64")
def test_free_energy_adds_up_over_independent_factors():
    (p1, l1, q1), (p2, l2, q2) = random_inference(1), random_inference(2)
    whole = variational_free_energy(
        jnp.outer(q1, q2).reshape(-1), log(jnp.outer(p1 * l1[0], p2 * l2[1])).reshape(-1)
    )
    parts = variational_free_energy(q1, log(p1 * l1[0])) + variational_free_energy(
        q2, log(p2 * l2[1])
    )
    assert float(whole) == pytest.approx(float(parts), abs=1e-13)


def test_free_energies_and_slopes_are_finite_at_zero_probabilities():
    q, A = jnp.asarray([1.0, 0.0]), jnp.eye(2)
    wanted = jnp.asarray([0.0, -30.0])
    for function in (
        lambda q: variational_free_energy(q, log(jnp.asarray([0.0, 1.0]))),
        lambda q: expected_free_energy(q, A, wanted),
        lambda q: generalised_free_energy(q, jnp.asarray([0.0, 1.0]), A, wanted),
    ):
        value, slope = jax.value_and_grad(function)(q)
        assert jnp.isfinite(value)
        assert jnp.isfinite(slope).all()


@pytest.mark.parametrize("log_precision", [-40.0, 40.0])
def test_gaussian_energy_is_finite_at_extreme_precisions(log_precision):
    energy, slope = jax.value_and_grad(gaussian_energy)(
        jnp.ones(2), jnp.full(2, 0.5), jnp.full(2, log_precision)
    )
    assert jnp.isfinite(energy)
    assert jnp.isfinite(slope).all()


@pytest.mark.usefixtures("x64")
def test_the_laplace_free_energy_of_a_gaussian_model_is_its_surprise():
    """x ~ N(0, 2), o | x ~ N(x, 0.5): o ~ N(0, 2.5)."""
    one = lambda x: jnp.reshape(x, 1)

    def energy(x):
        prior = gaussian_energy(one(x), jnp.zeros(1), one(-jnp.log(2.0)))
        return prior + gaussian_energy(jnp.ones(1), one(x), one(-jnp.log(0.5)))

    mode = jnp.asarray(1 / 0.5 / (1 / 0.5 + 1 / 2))
    curvature = jax.hessian(energy)(mode).reshape(1, 1)
    surprise = 0.5 * (1 / 2.5 + np.log(2 * np.pi * 2.5))
    assert float(laplace_free_energy(energy(mode), curvature)) == pytest.approx(surprise, abs=1e-13)


@pytest.mark.usefixtures("x64")
def test_the_bethe_free_energy_of_a_chain_is_its_surprise_at_the_exact_beliefs():
    rng = np.random.default_rng(3)
    start, moves = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), (3, 3))
    said = rng.uniform(0.1, 1, (4, 3))
    whole = np.einsum(
        "a,a,ab,b,bc,c,cd,d->abcd",
        start,
        said[0],
        moves[0],
        said[1],
        moves[1],
        said[2],
        moves[2],
        said[3],
    )
    posterior = whole / whole.sum()
    pairs = np.stack([np.einsum("abcd->" + p, posterior) for p in ("ab", "bc", "cd")])
    found = bethe_free_energy(*(jnp.asarray(x) for x in (pairs, start, moves, said)))
    assert float(found) == pytest.approx(-np.log(whole.sum()), abs=1e-12)
    other = rng.dirichlet(np.ones(27)).reshape(3, 3, 3)  # any consistent pairs do no better
    chain = np.stack([other.sum(axis=2), other.sum(axis=0), other.sum(axis=0).T])
    worse = bethe_free_energy(*(jnp.asarray(x) for x in (chain, start, moves, said)))
    assert float(worse) > float(found)


@pytest.mark.usefixtures("x64")
def test_expected_free_energy_is_minus_utility_and_information_and_bounds_neither_below():
    _, likelihood, q = random_inference(5)
    wanted = jax.nn.log_softmax(jnp.asarray([1.0, -2.0, 0.5]))
    found = expected_free_energy(q, likelihood, wanted)
    information = mutual_information(likelihood * q[None, :])
    assert float(found) == pytest.approx(float(-(likelihood @ q) @ wanted - information), abs=1e-13)
    generalised = generalised_free_energy(q, q, likelihood, wanted)
    outcomes = likelihood @ q
    assert float(generalised - found) == pytest.approx(float(entropy(outcomes)), abs=1e-13)


@pytest.mark.usefixtures("x64")
def test_slopes_of_the_free_energies_are_finite_differences():
    prior, likelihood, q = random_inference(6)
    wanted = jax.nn.log_softmax(jnp.asarray([1.0, -2.0, 0.5]))
    h = 1e-6
    for function in (
        lambda x: variational_free_energy(x, log(prior * likelihood[0])),
        lambda x: expected_free_energy(x, likelihood, wanted),
        lambda x: generalised_free_energy(x, prior, likelihood, wanted),
    ):
        slope = jax.grad(function)(q)
        steps = [(function(q + h * e) - function(q - h * e)) / (2 * h) for e in jnp.eye(4)]
        np.testing.assert_allclose(slope, jnp.stack(steps), atol=1e-8)


def test_the_worked_examples_of_smith_2022():
    told = json.loads((GOLDEN / "smith2022_tutorial.json").read_text())
    array = lambda x: jnp.asarray(x, float)
    vfe = told["vfe"]
    A, prior = array(vfe["A"]), array(vfe["prior"])
    joint = log(prior * A[vfe["o"]])
    for q, F in ((prior, vfe["F_at_prior"]), (array(vfe["posterior"]), vfe["F_at_posterior"])):
        assert float(variational_free_energy(q, joint)) == pytest.approx(F, abs=vfe["tol"])
    risk = told["risk"]
    floor = float(np.exp(-16))
    for q, printed in zip(risk["qs"], risk["out"], strict=True):
        # there the states are what is preferred, and certainty gets the floor exp(-16)
        preferred = jnp.log(array(risk["C_prob"]) + floor)
        found = -entropy(array(q)) - array(q) @ preferred
        outcomes = array(risk["A"]) @ array(q)
        found_o = -entropy(outcomes) - outcomes @ preferred
        assert min(abs(float(found) - printed), abs(float(found_o) - printed)) < 1e-3
    ambiguity = told["ambiguity"]
    for q, printed in zip(ambiguity["qs"], ambiguity["out"], strict=True):
        found = entropy(array(ambiguity["A"]).T) @ array(q)
        assert float(found) == pytest.approx(printed, abs=1e-4)
