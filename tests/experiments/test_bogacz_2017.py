"""The tutorial's exercises, against closed forms and an independent replication."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.papers.bogacz_2017_food_size import Config, energy, run, verify
from fep.free_energy import gaussian_energy

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "bogacz2017.json").read_text())


@pytest.fixture(scope="module")
def result():
    return run(Config())


def test_every_published_or_exact_number_is_met():
    checks = verify()
    assert len(checks) >= 5
    assert [check for check in checks if not check.passed] == []


def test_posterior_is_the_replication_s(result):
    golden = GOLDEN["ex1_exact"]  # float64 sums over the same grid
    assert result.evidence == pytest.approx(golden["evidence_p_u"], abs=1e-11)
    mean = np.sum(result.size * result.posterior) / np.sum(result.posterior)
    assert mean == pytest.approx(golden["posterior_mean"], abs=1e-10)


def test_descent_is_the_replication_s(result):
    for key in ("phi_t0.1", "phi_t0.5", "phi_t5"):
        row = round(float(key[5:]) / 0.01)
        assert result.descent[row] == pytest.approx(GOLDEN["ex2_gradient"][key], abs=1e-12)


def test_network_is_the_replication_s(result):
    for time in (1, 5):
        np.testing.assert_allclose(
            result.nodes[100 * time], GOLDEN["ex3_network"][f"t{time}"], atol=1e-12
        )


def test_slope_of_the_energy_is_equation_8_negated(x64):
    config = Config(observation=1.5, prior_mean=2.0, prior_variance=0.7, noise_variance=0.3)
    for phi in (0.4, 1.1, 2.5):
        by_hand = (2.0 - phi) / 0.7 + (1.5 - phi**2) / 0.3 * 2 * phi
        slope = jax.grad(energy, argnums=1)(config, jnp.asarray(phi))
        assert slope == pytest.approx(-by_hand, rel=1e-12)


def test_descent_never_raises_the_energy(result, x64):
    energies = jax.vmap(lambda v: energy(Config(), v))(result.descent)
    assert (jnp.diff(energies) <= 1e-12).all()


def test_error_nodes_settle_at_slopes_of_their_energies(x64):
    config = Config(duration=60.0, prior_variance=2.0, noise_variance=0.5)
    phi, prior_error, light_error = run(config).nodes[-1]

    def slope(value, mean, variance):
        as_vector = lambda a: jnp.reshape(jnp.asarray(a), 1)
        arguments = as_vector(value), as_vector(mean), -jnp.log(as_vector(variance))
        return float(jax.grad(gaussian_energy)(*arguments)[0])

    assert prior_error == pytest.approx(slope(phi, 3.0, 2.0), abs=1e-9)
    assert light_error == pytest.approx(slope(2.0, phi**2, 0.5), abs=1e-9)


@pytest.mark.parametrize("name", ["prior_variance", "noise_variance", "duration", "dt"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_settings_that_are_not_positive_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be positive"):
        Config(**{name: value})
