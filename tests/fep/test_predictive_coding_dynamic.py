"""Continuous filtering in generalised coordinates, against closed forms and Kalman and Bucy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm, solve_continuous_are

from fep.predictive_coding.dynamic import DynamicPC, DynamicState, temporal_covariance
from fep.predictive_coding.temporal import Linear

A = np.array([[-0.5, 1.0], [-1.0, -0.3]])
C = np.array([[1.0, 0.4]])
Q = np.diag([0.3, 0.5])  # covariances of the two fluctuations
R = np.array([[0.2]])


def machine(gains, **settings):
    maps = Linear(jnp.asarray(A)), Linear(jnp.asarray(C))
    precisions = (jnp.asarray(np.linalg.inv(a)) for a in (Q, R))
    return DynamicPC(*maps, *precisions, jnp.asarray(gains), **settings)


@eqx.filter_jit
def step(machine, motion, seen, dt):
    """One program for all tests of this module."""
    return machine.step(DynamicState(motion), seen, dt=dt)[0].motion


def test_the_temporal_covariance_is_the_autocorrelation_s_slopes():
    """Of exp(-a h^2) at 0: -2a the second one, 12 a^2 the fourth."""
    a = 1 / (4 * 0.7**2)
    by_hand = [[1, 0, -2 * a], [0, 2 * a, 0], [-2 * a, 0, 12 * a**2]]
    np.testing.assert_allclose(temporal_covariance(3, 0.7), by_hand, rtol=1e-12)


@eqx.filter_jit
def slope_of(machine, motion, seen):
    return jax.grad(machine.energy)(motion, seen)


@pytest.mark.usefixtures("x64")
def test_two_orders_and_a_fast_second_one_are_kalman_and_bucy_s_filter():
    """The first gain is Riccati's covariance; what the second lacks in haste is the error."""
    covariance = solve_continuous_are(A.T, C.T, Q, R)
    seen = np.sin(0.3 * np.arange(30)) + 0.5  # constant during each step
    gain, dt = covariance @ C.T @ np.linalg.inv(R), 0.1
    by_hand, mean, move = [], np.zeros(2), expm((A - gain @ C) * dt)
    for y in seen:
        rest = -np.linalg.solve(A - gain @ C, gain @ [y])
        mean = rest + move @ (mean - rest)
        by_hand.append(mean)
    apart = []
    for haste in (1e3, 1e4):
        ours = machine(np.stack([covariance, haste * np.eye(2)]))
        motion, values = jnp.zeros((2, 2)), []
        for y in seen:
            motion = step(ours, motion, jnp.full((1, 1), y), dt)
            values.append(motion[0])
        apart.append(np.abs(np.stack(values) - np.stack(by_hand)).max())
    assert apart[1] < 1e-3
    assert apart[1] == pytest.approx(apart[0] / 10, rel=0.05)  # first order in 1 / haste


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_a_long_step_is_many_short_ones_and_ends_where_the_flow_rests():
    ours, seen = machine(np.stack([np.eye(2), 2 * np.eye(2)])), jnp.ones((1, 1))
    start = jnp.arange(4.0).reshape(2, 2) / 5
    whole, parts = step(ours, start, seen, 0.8), start
    for _ in range(8):
        parts = step(ours, parts, seen, 0.1)
    np.testing.assert_allclose(whole, parts, atol=1e-12)  # linear: both are exact
    rest = step(ours, start, seen, 1e3)
    np.testing.assert_allclose(step(ours, rest, seen, 1.0), rest, atol=1e-9)
    shifted = np.stack([rest[1], np.zeros(2)])
    slope = slope_of(ours, rest, seen)
    np.testing.assert_allclose(shifted, np.einsum("oij,oj->oi", ours.gains, slope), atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_the_energy_is_the_errors_square_in_both_metrics():
    """Three orders of motion, two of the observation, by Kronecker products."""
    ours = machine(np.stack([np.eye(2)] * 3), width=0.4)
    motion, seen = np.arange(6.0).reshape(3, 2) / 5 - 0.3, np.array([[0.5], [-0.2]])
    moving = (motion[1:] - motion[:2] @ A.T).ravel()
    looking = (seen - motion[:2] @ C.T).ravel()
    over_time = np.linalg.inv(temporal_covariance(2, 0.4))
    by_hand = 0.5 * moving @ np.kron(over_time, np.linalg.inv(Q)) @ moving
    by_hand += 0.5 * looking @ np.kron(over_time, np.linalg.inv(R)) @ looking
    ours = eqx.filter_jit(ours.energy)(jnp.asarray(motion), jnp.asarray(seen))
    assert float(ours) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.usefixtures("x64")
def test_one_order_rests_where_the_observation_is_explained():
    """Without motion it is a static level: no slope at the least squares of what is seen."""
    c, weight = np.array([[1.0, 0.2], [0.1, 2.0], [1.0, 1.0]]), np.diag([1.0, 2.0, 0.5])
    maps = Linear(jnp.eye(2)), Linear(jnp.asarray(c))
    static = DynamicPC(*maps, jnp.eye(2), jnp.asarray(weight), jnp.eye(2)[None])
    seen = np.array([[0.3, -1.0, 0.4]])
    best = np.linalg.solve(c.T @ weight @ c, c.T @ weight @ seen[0])
    slope = slope_of(static, jnp.asarray(best[None]), jnp.asarray(seen))
    np.testing.assert_allclose(slope, 0, atol=1e-12)


def test_bad_settings_are_refused_by_name():
    with pytest.raises(ValueError, match="width must be positive"):
        machine(np.eye(2)[None], width=0.0)
    one = machine(np.eye(2)[None])
    with pytest.raises(ValueError, match="seen has 2 orders, but the motion has only 1"):
        one.energy(jnp.zeros((1, 2)), jnp.zeros((2, 1)))
