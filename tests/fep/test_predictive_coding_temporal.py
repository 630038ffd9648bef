"""Filtering against Kalman, samples against the exact posterior, ODEs against the end, scalings."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from fep.predictive_coding.coordinates import errors
from fep.predictive_coding.equilibrium import linear_equilibrium
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.network import identity, multilayer
from fep.predictive_coding.ode import OdeFlow
from fep.predictive_coding.sampling import Langevin
from fep.predictive_coding.scaling import depth_scaled, mu_pc, residual_chain, standard
from fep.predictive_coding.second_order import GaussNewton
from fep.predictive_coding.temporal import (
    KalmanFilter,
    Linear,
    TemporalLearner,
    TemporalPC,
    temporal_network,
)

A = jnp.array([[1.0, 0.1, 0.005], [0.0, 1.0, 0.1], [0.0, 0.0, 0.95]])
C = jnp.array([[1.0, 0.3, -0.2], [0.1, 0.8, 0.4], [0.5, -0.6, 0.9]])


def observations(steps):
    kx, ky = jax.random.split(jax.random.key(0))
    kicks = jax.random.normal(kx, (steps, 3))
    _, states = jax.lax.scan(lambda x, w: ((A @ x + w),) * 2, jnp.zeros(3), kicks)
    return states, states @ C.T + jax.random.normal(ky, (steps, 3))


def run(machine, seen):
    step = lambda state, y: machine.step(state, y)
    return jax.jit(lambda: jax.lax.scan(step, machine.init(), seen)[1])()


@pytest.mark.usefixtures("x64")
def test_a_settled_step_is_kalman_s_with_a_prior_of_the_process_noise_alone():
    _, seen = observations(50)
    a, c = (jnp.asarray(m, jnp.float64) for m in (A, C))
    network = temporal_network(Linear(a), Linear(c), process_variance=0.5, noise_variance=2.0)
    ours = run(TemporalPC(network, GaussNewton(1), 3), seen)
    a, c, x = np.asarray(a), np.asarray(c), np.zeros(3)
    gain = 0.5 * c.T @ np.linalg.inv(0.5 * c @ c.T + 2.0 * np.eye(3))
    for estimate, y in zip(np.asarray(ours), np.asarray(seen), strict=True):
        x = a @ x + gain @ (y - c @ (a @ x))
        np.testing.assert_allclose(estimate, x, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_kalman_s_filter_is_the_regression_on_all_that_was_seen():
    """The last mean is the least-squares solution of the whole trajectory."""
    _, seen = observations(6)
    kalman = KalmanFilter(A, C, jnp.eye(3), jnp.eye(3))
    cost = lambda x: sum(
        jnp.sum((x[t] - A @ (x[t - 1] if t else jnp.zeros(3))) ** 2)
        + jnp.sum((seen[t] - C @ x[t]) ** 2)
        for t in range(6)
    )
    flat = lambda x: cost(x.reshape(6, 3))
    zero = jnp.zeros(18)
    curvature, slope = jax.jit(lambda: (jax.hessian(flat)(zero), jax.grad(flat)(zero)))()
    best = -np.linalg.solve(curvature, slope).reshape(6, 3)
    np.testing.assert_allclose(run(kalman, seen)[-1], best[-1], atol=1e-12)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_a_known_push_shifts_both_filters_by_its_own_response():
    """Filters of a linear system are linear: their estimates are the sum of both responses."""
    _, seen = observations(20)
    push = jnp.array([[0.0], [0.3], [1.0]])
    controls = jnp.exp(-0.1 * jnp.arange(20.0))[:, None]
    _, moved = jax.lax.scan(lambda x, u: ((A @ x + push @ u),) * 2, jnp.zeros(3), controls)
    solver = GradientFlow(0.1, 3)
    plain = TemporalPC(temporal_network(Linear(A), Linear(C)), solver, 3)
    pushed = temporal_network(Linear(A), Linear(C), control=Linear(push))
    pairs = (
        (plain, TemporalPC(pushed, solver, 3)),
        (KalmanFilter(A, C, *[jnp.eye(3)] * 2), KalmanFilter(A, C, *[jnp.eye(3)] * 2, (push,))),
    )
    for without, machine in pairs:
        step = lambda state, given, machine=machine: machine.step(state, *given)
        ours = jax.jit(lambda m=machine, s=step: jax.lax.scan(s, m.init(), (controls, seen))[1])()
        rest = run(without, seen - moved @ C.T)
        np.testing.assert_allclose(ours, rest + moved, atol=1e-5)  # seen is drawn in float32


@pytest.mark.usefixtures("x64")
def test_a_learner_s_weights_move_by_error_times_cause():
    """The paper's Hebbian rules, at the end of a step of inference."""
    rate, past, seen = 0.01, jnp.array([0.3, -1.0, 0.5]), jnp.array([1.0, 0.2, -0.4])
    machine = TemporalPC(temporal_network(Linear(A), Linear(C)), GradientFlow(0.1, 3), 3)
    learner = TemporalLearner(machine, optax.sgd(rate))
    start = learner.init()._replace(filter=machine.init()._replace(estimate=past))
    state, now = eqx.filter_jit(learner.step)(start, seen)
    dynamics, emission = (edge.map.weight for edge in state.network.edges)
    np.testing.assert_allclose(dynamics, A + rate * jnp.outer(now - A @ past, past), atol=1e-12)
    np.testing.assert_allclose(emission, C + rate * jnp.outer(seen - C @ now, now), atol=1e-12)
    np.testing.assert_array_equal(state.filter.estimate, now)


@pytest.mark.slow
def test_temporal_predictive_coding_filters_nearly_as_well_as_kalman():
    hidden, seen = observations(1000)
    network = temporal_network(Linear(A), Linear(C))
    square = lambda estimates: float(jnp.mean((estimates - hidden) ** 2))
    best = square(run(KalmanFilter(A, C, jnp.eye(3), jnp.eye(3)), seen))
    settled = square(run(TemporalPC(network, GaussNewton(1), 3), seen))
    few = square(run(TemporalPC(network, GradientFlow(0.1, 1), 3), seen))
    assert best < settled < 1.5 * best
    assert settled < few


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("coordinates", [None, errors])
def test_langevin_samples_have_the_posterior_s_mean_and_covariance(coordinates):
    network = multilayer((2, 2, 2), identity, key=jax.random.key(1))
    x, y = jnp.ones(2), jnp.array([0.5, -1.0])
    settings = {} if coordinates is None else {"coordinates": coordinates}
    sampler = Langevin(0.05, 100_000, **settings)
    samples = eqx.filter_jit(sampler)(network, x, y, key=jax.random.key(2)).activities[0]
    (mean,) = eqx.filter_jit(linear_equilibrium)(network, x, y).activities
    w = np.asarray(network.layers[1].weight)
    covariance = np.linalg.inv(np.eye(2) + w.T @ w)
    # 1e5 samples correlated over about 1 / rate: 2000 independent ones; and a bias of the step
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=0.08)
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.08)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_ode_ends_where_gauss_newton_does():
    pytest.importorskip("diffrax")
    network = multilayer((4, 6, 3), jnp.tanh, key=jax.random.key(3))
    x, y = jnp.ones(4), jnp.zeros(3)
    settled = eqx.filter_jit(OdeFlow(1e-7, limit=100_000))(network, x, y)
    goal = eqx.filter_jit(GaussNewton(10))(network, x, y)
    np.testing.assert_allclose(settled.state.activities[0], goal.state.activities[0], atol=1e-6)
    assert float(settled.residual) < 1e-7


@pytest.mark.slow
def test_the_ode_stops_jpc_s_case_by_its_slope():
    pytest.importorskip("diffrax")
    network = multilayer((20, 30, 30, 5), jnp.tanh, key=jax.random.key(0))
    settled = eqx.filter_jit(OdeFlow(1e-3))(network, jnp.ones(20) / 4, jnp.eye(5)[0])
    assert float(settled.residual) < 1e-3
    assert int(settled.steps) < 100  # JPC's own event runs on to 852 steps at its timeout


def rms_of_last_hidden(scaling, width, depth):
    network = residual_chain((16, width, depth, 4), jnp.tanh, scaling, key=jax.random.key(4))
    x = jax.random.normal(jax.random.key(5), (16,))
    return float(jnp.sqrt(jnp.mean(network.init(x, jnp.zeros(4)).activities[-1] ** 2)))


@pytest.mark.slow
@pytest.mark.parametrize("scaling", [mu_pc, depth_scaled])
def test_activities_keep_their_size_across_width_and_depth(scaling):
    sizes = [rms_of_last_hidden(scaling, n, d) for n, d in ((32, 4), (128, 4), (32, 24), (128, 24))]
    assert max(sizes) < 1.6 * min(sizes)
    assert rms_of_last_hidden(standard, 32, 24) > 1.6 * rms_of_last_hidden(standard, 32, 4)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_largest_curvature_does_not_grow_with_depth_under_mu_pc():
    """What lets one activity rate serve all depths: Innocenti et al. (2025), sec. 4."""

    @jax.jit
    def curvature(network):
        clamped = network.clamp(jnp.ones(8), jnp.zeros(4))
        flat, unravel = ravel_pytree(clamped.init())
        return jax.hessian(lambda z: clamped.cost(unravel(z)))(flat)

    def largest(scaling, depth):
        network = residual_chain((8, 12, depth, 4), jnp.tanh, scaling, key=jax.random.key(6))
        return np.linalg.eigvalsh(curvature(network))[-1]

    assert largest(mu_pc, 8) < 1.1 * largest(mu_pc, 4)
    assert largest(standard, 8) > 1.2 * largest(mu_pc, 8)


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Langevin(0.0, 5), "rate"),
        (lambda: Langevin(0.1, 0), "steps"),
        (lambda: OdeFlow(0.0), "tolerance"),
        (
            lambda: residual_chain((2, 2, 1, 2), jnp.tanh, mu_pc, key=jax.random.key(0)),
            "two weight layers",
        ),
    ],
)
def test_a_bad_setting_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
