"""Spike coding: one step against the paper's weights, closed forms, and the full run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.papers import boerlin_2013_spike_coding as paper


def test_steps_are_those_of_the_papers_weights_written_out():
    """Slow and fast weights as matrices, and membranes integrated exactly over a step."""
    random = np.random.default_rng(0)
    kernels, dynamics = 0.1 * random.standard_normal((2, 6)), random.standard_normal((2, 2))
    network = paper.SpikeCoding(*map(jnp.asarray, (kernels, dynamics)), noise=0.0)
    command, alive = np.array([30.0, -20.0]), np.arange(6) != 2
    inputs = jnp.asarray(command, jnp.float32), jnp.asarray(alive)

    @jax.jit
    def simulate(state):
        step = lambda s, t: network.step(s, inputs, key=jax.random.key(0))
        return jax.lax.scan(step, state, jnp.arange(400))

    state, (told, spikes) = simulate(network.init())
    v, trains, dt, decay, leak = np.zeros(6), np.zeros(6), 1e-4, 10.0, 20.0
    linear, quadratic = 1e-5, 1e-6
    slow = kernels.T @ (dynamics + (1 - np.exp(-decay * dt)) / dt * np.eye(2)) @ kernels
    fast = kernels.T @ kernels + quadratic * decay**2 * np.eye(6)
    thresholds = (linear * decay + quadratic * decay**2 + (kernels**2).sum(axis=0)) / 2
    fired = []
    for _ in range(400):
        drive = slow @ trains + kernels.T @ command
        v = drive / leak + (v - drive / leak) * np.exp(-leak * dt)
        above = np.where(alive, v - thresholds, -np.inf)
        one = (np.arange(6) == above.argmax()) & (above.max() > 0)
        v, trains = v - fast @ one, trains * np.exp(-decay * dt) + one
        fired.append(one)
    np.testing.assert_array_equal(spikes, fired)
    np.testing.assert_allclose(state.membranes.v, v, atol=1e-5)  # float32
    np.testing.assert_allclose(told[-1], kernels @ trains, rtol=1e-4)
    assert 5 < np.sum(fired)
    assert not np.asarray(spikes)[:, 2].any()  # the dead are silent


def test_poisson_neurons_err_as_shot_noise_does():
    """Variance of filtered shot noise: its decay is twice the read-out's."""
    kernel, variance, expected = 0.1, 0.0, []
    for c, x in zip(paper.command(), paper.truth(), strict=True):
        rate = abs(c + 10 * x) / kernel
        variance += paper.DT * (kernel**2 * rate - 20 * variance)
        expected.append(variance)
    wanted = np.mean(expected[round(paper.SETTLED_S / paper.DT) :])
    found = [paper.poisson_error(400, jax.random.key(k)) ** 2 for k in range(40)]
    error = np.std(found) / len(found) ** 0.5
    assert np.mean(found) == pytest.approx(wanted, abs=4 * error)


def test_the_grain_of_a_saw_tooth_is_its_height_over_the_root_of_twelve():
    steps = np.arange(round(paper.DURATION_S / paper.DT))
    teeth = 0.3 * (steps % 100) / 100
    drift = np.sin(2 * np.pi * steps * paper.DT / paper.DURATION_S)
    assert paper.grain(teeth) == pytest.approx(0.3 / 12**0.5, rel=1e-3)
    assert paper.grain(teeth + drift) == pytest.approx(0.3 / 12**0.5, rel=0.01)


def test_a_power_law_is_read_off_its_slope():
    errors = np.array(paper.SIZES, float)[:, None] ** -0.7 * np.array([[1.0, 2.0]])
    assert paper.slope(errors) == pytest.approx(-0.7)
    with pytest.raises(ValueError, match="trials must be at least 1"):
        paper.Config(trials=0)


@pytest.mark.slow
def test_errors_fall_as_the_paper_says_and_half_of_the_neurons_may_die():
    assert [check for check in paper.verify() if not check.passed] == []
    result = paper.run(paper.Config(trials=1))
    assert len(paper.figure(result).axes) == 3
