"""The spiking Gaussian filter against Kalman's."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.spiking_beliefs_gaussian import SpikingKalman, steady_gain

DT, STEPS, NEURONS = 1e-3, 10_000, 32
TURN = 2 * np.pi * 0.5 * DT  # half a turn a second
F = np.exp(-0.1 * DT) * np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]])
C, Q, R = np.array([[1.0, 0.0]]), DT * np.eye(2), np.array([[2.0]])


@cache
def riccati():
    """Steady gain and covariance by the recursion, in NumPy: the oracle."""
    p = Q.copy()
    for _ in range(20_000):
        ahead = F @ p @ F.T + Q
        k = ahead @ C.T @ np.linalg.inv(C @ ahead @ C.T + R)
        p = (np.eye(2) - k @ C) @ ahead
    return k, p


@cache
def course():
    """A driven oscillator of which one coordinate is seen, and Kalman's estimates of it."""
    rng = np.random.default_rng(0)
    k, _ = riccati()
    x, estimate, rows = np.zeros(2), np.zeros(2), []
    for _ in range(STEPS):
        x = F @ x + np.sqrt(DT) * rng.normal(size=2)
        y = C @ x + np.sqrt(R[0]) * rng.normal(size=1)
        estimate = F @ estimate
        estimate = estimate + k @ (y - C @ estimate)
        rows.append((x, y, estimate))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


@cache
def spiking(size):
    angles = 2 * np.pi * np.arange(NEURONS) / NEURONS
    decoders = size * np.stack([np.cos(angles), np.sin(angles)])
    machine = SpikingKalman(*(jnp.asarray(a, jnp.float32) for a in (F, C, riccati()[0], decoders)))
    run = eqx.filter_jit(
        lambda m, ys: jax.lax.scan(lambda s, y: m.step(s, y), m.init(jnp.zeros(2)), ys)[1]
    )
    return run(machine, jnp.asarray(course()[1], jnp.float32))


def rms(a):
    return np.sqrt(np.mean(np.square(a)))


def test_the_gain_solves_the_riccati_recursion(x64):
    gain = steady_gain(*(jnp.asarray(a) for a in (F, C, Q, R)), steps=20_000)
    np.testing.assert_allclose(gain, riccati()[0], rtol=1e-9)


def test_the_spiking_estimate_errs_as_kalmans_does():
    x, _, estimates = course()
    mean = np.asarray(spiking(0.2).mean)
    assert rms(mean - x) <= 1.05 * rms(estimates - x)
    assert rms(estimates - x) < 0.5 * rms(x)  # there was something to infer


def test_it_tells_kalmans_estimate_to_half_a_spike_with_fewer_spikes_than_messages():
    """A rate code sends two values a time step; here most steps are silent."""
    out = spiking(0.2)
    assert rms(np.asarray(out.mean) - course()[2]) <= 0.5 * 0.2
    assert np.sum(out.spikes) <= 0.5 * 2 * STEPS


def test_smaller_spikes_tell_more():
    coarse, fine = (rms(np.asarray(spiking(size).mean) - course()[2]) for size in (0.2, 0.05))
    assert fine <= 0.4 * coarse  # in proportion to their size


def test_a_spike_is_fired_only_if_it_lowers_the_error():
    """After a step without too many spikes, no neuron is above its threshold."""
    decoders = 0.3 * jnp.eye(2)
    machine = SpikingKalman(jnp.eye(2), jnp.eye(2), 0.5 * jnp.eye(2), decoders, most=8)
    state, told = machine.step(machine.init(jnp.zeros(2)), jnp.array([2.0, 0.1]))
    # the filter believes (1, .05): three spikes of .3 leave .1 < .15, and .05 < .15 needs none
    np.testing.assert_array_equal(told.spikes, [3, 0])
    np.testing.assert_allclose(state.residual, [0.1, 0.05], atol=1e-6)


@pytest.mark.parametrize("change, culprit", [({"leak": 1.0}, "leak"), ({"most": 0}, "most")])
def test_a_bad_setting_is_refused_by_name(change, culprit):
    with pytest.raises(ValueError, match=culprit):
        SpikingKalman(jnp.eye(2), jnp.eye(2), jnp.eye(2), jnp.eye(2), **change)
