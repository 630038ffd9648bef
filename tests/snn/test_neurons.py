"""Each neuron against its closed form, its published table, or an independent solver."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from snn.neurons import (
    ALIF,
    LI,
    LIF,
    ConductanceLIF,
    CubaLIF,
    Drive,
    ResonateAndFire,
    SigmaDelta,
    soft_reset,
)
from snn.nonlinear_neurons import EIF, QIF, AdEx, HodgkinHuxley, Izhikevich, rates
from snn.stochastic_neurons import EscapeLIF, PoissonCounts, PoissonSource, Refractory
from snn.surrogate import Amplified, ArcTangent, Bell, Boxcar, SigmoidSlope, SuperSpike, Triangle


@eqx.filter_jit
def run(neuron, current, steps, dt):
    """Spikes (steps, n) under a constant current."""
    n = jax.tree.leaves(current)[0].shape[0]
    step = lambda s, _: neuron.step(s, current, dt=dt)
    return jax.lax.scan(step, neuron.init(n), length=steps)


def flow(neuron, state, current, dt, pieces):
    for _ in range(pieces):
        state = neuron.flow(state, current, dt=dt / pieces)
    return state


@pytest.mark.parametrize("tau_syn", [5e-3, 20e-3, 20e-3 + 1e-9])
def test_current_based_membrane_follows_the_double_exponential(tau_syn, x64):
    neuron = CubaLIF(tau_mem=20e-3, v_threshold=1e9, tau_syn=tau_syn, r=3.0)
    state = neuron.flow(neuron.init(1), jnp.ones(1), dt=7e-3)
    if tau_syn == 5e-3:
        expected = 3 * 5 / (5 - 20) * (np.exp(-7 / 5) - np.exp(-7 / 20))
    else:  # equal time constants: the alpha function
        expected = 3 * 7 / 20 * np.exp(-7 / 20)
    assert float(state.v[0]) == pytest.approx(expected, rel=1e-6)  # 1e-9 s apart: 2e-8 of it


LINEAR = {
    "LI": (LI(20e-3, v_leak=0.2), jnp.full(1, 0.7)),
    "LIF": (LIF(20e-3, v_leak=0.2), jnp.full(1, 0.7)),
    "COBA": (ConductanceLIF(20e-3), Drive(jnp.full(1, 0.4), jnp.full(1, 2.0))),
    "resonator": (ResonateAndFire(40.0, -30.0), jnp.full(1, 5.0)),
    "QIF": (QIF(20e-3), jnp.full(1, 0.7)),
    "inhibited QIF": (QIF(20e-3), jnp.full(1, -0.7)),
}


@pytest.mark.parametrize("neuron, current", LINEAR.values(), ids=LINEAR)
def test_one_long_step_is_many_short_ones(neuron, current, x64):
    start = neuron.init(1)
    one, many = (flow(neuron, start, current, 9e-3, pieces) for pieces in (1, 9))
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)  # exact: float64 rounding


@pytest.mark.parametrize("dt", [1e-3, 1e-4])
def test_lif_fires_with_its_closed_period(dt):
    _, spikes = run(LIF(20e-3), jnp.full(1, 1.5), round(1 / dt), dt)
    period = 20e-3 * np.log(1.5 / 0.5)
    assert float(spikes.sum()) == pytest.approx(1 / (np.ceil(period / dt) * dt), abs=1)


def test_conductances_move_the_membrane_to_their_weighted_reversal():
    neuron = ConductanceLIF(20e-3, v_leak=-60e-3, v_threshold=1.0, v_reset=0.0)
    g_e, g_i = 3.0, 7.0
    drive = Drive(jnp.full(1, g_e * 0.0 + g_i * -80e-3), jnp.full(1, g_e + g_i))
    state = neuron.flow(neuron.init(1), drive, dt=1.0)
    assert float(state.v[0]) == pytest.approx((-60e-3 + 7 * -80e-3) / 11, rel=1e-5)  # float32


def test_refractory_time_is_added_to_the_period_exactly():
    dt, period = 1e-4, np.ceil(20e-3 * np.log(1.5 / 0.5) / 1e-4)
    _, spikes = run(Refractory(LIF(20e-3), 5e-3), jnp.full(1, 1.5), 10_000, dt)
    assert set(np.diff(np.nonzero(np.asarray(spikes[:, 0]))[0])) == {int(period) + 50}


def test_soft_reset_keeps_what_exceeds_the_threshold():
    neuron = LIF(1e9, reset=soft_reset)  # no leak
    state, spikes = neuron.fire(neuron.init(2)._replace(v=jnp.array([1.3, 0.9])))
    np.testing.assert_allclose(state.v, [0.3, 0.9], atol=1e-7)
    np.testing.assert_array_equal(spikes, [1, 0])


def test_adaptation_raises_the_threshold_a_spike_and_decays():
    neuron = ALIF(20e-3, tau_adapt=0.1, beta=0.5)
    state, spikes = neuron.fire(neuron.init(1)._replace(v=jnp.array([1.2])))
    later = flow(neuron, state, jnp.zeros(1), 0.1, 1)
    assert float(later.a[0]) == pytest.approx(np.exp(-1), rel=1e-6)
    _, silent = neuron.fire(later._replace(v=jnp.array([1 + 0.49 * np.exp(-1)], np.float32)))
    _, fires = neuron.fire(later._replace(v=jnp.array([1 + 0.51 * np.exp(-1)], np.float32)))
    assert (float(spikes[0]), float(silent[0]), float(fires[0])) == (1, 0, 1)


@pytest.mark.parametrize("current", [0.5, 4.0])
@pytest.mark.parametrize("dt", [1e-3, 1e-4])
def test_quadratic_neuron_fires_at_root_i_over_pi(current, dt):
    neuron = QIF(10e-3, v_peak=1e4, v_reset=-1e4)
    _, spikes = run(neuron, jnp.full(1, current), round(4 / dt), dt)
    closed = np.sqrt(current) / (np.pi * 10e-3)
    # each period is rounded up to whole steps: at most dt long of 1 / closed
    assert closed / (1 + closed * dt) - 1 <= float(spikes.sum()) / 4 <= closed + 1


def test_exponential_and_adaptive_neurons_fire_just_above_their_rheobase():
    eif = EIF()
    rheobase = 30e-9 * (-50.4e-3 + 70.6e-3 - 2e-3)
    # where the saddle-node is: Touboul & Brette (2008), Biol. Cybern. 99:319
    gain = 30e-9 + 4e-9
    saddle = gain * (-50.4e-3 + 70.6e-3 - 2e-3 + 2e-3 * np.log(1 + 4 / 30))
    for neuron, edge in ((eif, rheobase), (AdEx(tau_adapt=1e-3), saddle)):
        currents = jnp.asarray([0.995 * edge, 1.01 * edge], jnp.float32)
        _, spikes = run(neuron, currents, 20_000, 1e-4)
        below, above = np.asarray(spikes.sum(axis=0))
        assert below == 0
        assert above > 0


def spike_times(fun, start, event, until, reset=None):
    """Of an independent adaptive solver."""
    event.terminal, event.direction = reset is not None, 1
    time, times = 0.0, []
    while time < until:
        found = solve_ivp(fun, (time, until), start, events=event, rtol=1e-8, atol=1e-10)
        if reset is None:
            return found.t_events[0]
        if found.status != 1:
            break
        time, start = found.t[-1], reset(found.y[:, -1])
        times.append(time)
    return np.array(times)


def test_adaptive_exponential_neuron_spikes_when_the_equations_do():
    def slope(_, y):
        v, w = y  # mV, pA, ms
        upstroke = 30 * 2 * np.exp((v + 50.4) / 2)
        return [(-30 * (v + 70.6) + upstroke - w + 1000) / 281, (4 * (v + 70.6) - w) / 144]

    peak = lambda _, y: y[0] + 30  # further up the solver finds the upstroke too steep
    expected = spike_times(slope, [-70.6, 0.0], peak, 500.0, lambda y: [-70.6, y[1] + 80.5])
    _, spikes = run(AdEx(v_peak=-30e-3), jnp.full(1, 1000e-12), 100_000, 5e-6)
    found = (np.nonzero(np.asarray(spikes[:, 0]))[0] + 1) * 5e-3
    assert len(found) == len(expected) >= 8
    np.testing.assert_allclose(found, expected, rtol=1e-3)  # first-order scheme, 5 us


def test_squid_axon_fires_when_the_equations_do(x64):
    def slope(_, y):
        v, gates = y[0], y[1:]
        m, h, n = gates
        current = 10 - 120 * m**3 * h * (v - 50) - 36 * n**4 * (v + 77) - 0.3 * (v + 54.387)
        opened = [
            (float(a[0]) * (1 - g) - float(b[0]) * g) / 1e3
            for g, (a, b) in zip(gates, by_hand(v), strict=True)
        ]
        return [current, *opened]

    def by_hand(v):  # Hodgkin & Huxley (1952), eqs. 12, 13, 20, 21, 23, 24; depolarised is positive
        x = v + 65
        one = lambda value: np.array([1e3 * value])
        return (
            (one(0.1 * (25 - x) / np.expm1((25 - x) / 10)), one(4 * np.exp(-x / 18))),
            (one(0.07 * np.exp(-x / 20)), one(1 / (np.exp((30 - x) / 10) + 1))),
            (one(0.01 * (10 - x) / np.expm1((10 - x) / 10)), one(0.125 * np.exp(-x / 80))),
        )

    start = HodgkinHuxley().init(1)
    gates = [float(g[0]) for g in start[1:4]]
    np.testing.assert_allclose(gates, [0.0529, 0.5961, 0.3177], atol=5e-5)  # at rest, as printed
    crossing = lambda _, y: y[0]
    expected = spike_times(slope, [-65.0, *gates], crossing, 100.0)
    _, spikes = run(HodgkinHuxley(), jnp.full(1, 10e-2), 20_000, 5e-6)
    found = (np.nonzero(np.asarray(spikes[:, 0]))[0] + 1) * 5e-3
    assert len(found) == len(expected) >= 6
    # a spike is stamped with the end of its step; the scheme is of first order: some 5 us each
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=0.006)


def test_gates_are_smooth_where_their_formulas_are_0_over_0(x64):
    for v, gate in ((-40e-3, 0), (-55e-3, 2)):
        around = [float(rates(jnp.array([v + d]))[gate][0][0]) for d in (-1e-9, 0.0, 1e-9)]
        assert np.isfinite(around[1])
        assert around[1] == pytest.approx((around[0] + around[2]) / 2, rel=1e-6)


# spikes at I = 5, 10, 15 within 1 s, from the paper's own program run in float64
IZHIKEVICH = {
    "RS": ((0.02, 0.2, -65, 8), (11, 20, 30)),
    "IB": ((0.02, 0.2, -55, 4), (12, 26, 41)),
    "CH": ((0.02, 0.2, -50, 2), (26, 44, 66)),
    "FS": ((0.1, 0.2, -65, 2), (32, 68, 95)),
    "LTS": ((0.02, 0.25, -65, 2), (26, 49, 64)),
    "TC": ((0.02, 0.25, -65, 0.05), (44, 69, 92)),
    "RZ": ((0.1, 0.26, -65, 2), (53, 78, 103)),
}


def test_izhikevich_s_seven_types_fire_as_often_as_his_program(x64):
    a, b, c, d = (np.repeat(x, 3) for x in np.array([p for p, _ in IZHIKEVICH.values()]).T)
    neuron = Izhikevich(*(jnp.asarray(x) for x in (a, b, c, d)))
    level = jnp.tile(jnp.array([5.0, 10.0, 15.0]), 7)

    # the counts hang on the last bit of every rounding: op by op, without fused multiply-adds
    state, trains = neuron.init(21), []
    for t in range(1101):
        state, spikes = neuron.step(state, level if t >= 100 else 0 * level, dt=1e-3)
        trains.append(np.asarray(spikes))
    spikes = np.stack(trains)
    counts = spikes[101:].sum(axis=0).astype(int).reshape(7, 3)
    assert {k: tuple(c) for k, c in zip(IZHIKEVICH, counts, strict=True)} == {
        k: c for k, (_, c) in IZHIKEVICH.items()
    }
    regular = np.nonzero(np.asarray(spikes[:, 1]))[0]
    assert regular[0] - 100 in (5, 6)  # seen in the step after it
    assert list(np.diff(regular)[:4]) == [37, 47, 48, 59]


def test_resonator_answers_a_doublet_a_period_apart_and_no_other():
    neuron = ResonateAndFire(frequency_hz=10.0, damping=-1.0)

    def peak(interval_s):
        state = neuron.init(1)._replace(u=jnp.array([0.6]))
        state = flow(neuron, state, jnp.zeros(1), interval_s, 1)
        state = state._replace(u=state.u + 0.6)
        later = [flow(neuron, state, jnp.zeros(1), t, 1).v[0] for t in np.linspace(0, 0.05, 26)]
        return float(max(later))

    assert peak(0.1) > 1 > max(peak(0.05), peak(0.025))


def test_sigma_delta_receiver_stays_within_the_threshold():
    neuron = SigmaDelta(0.1)
    inputs = 0.05 * jax.random.normal(jax.random.key(0), (200, 16))
    step = lambda s, x: neuron.step(s, x, dt=1e-3)
    state, sent = jax.lax.scan(step, neuron.init(16), inputs)
    told, truth = jnp.cumsum(sent, axis=0), jax.nn.relu(jnp.cumsum(inputs, axis=0))
    assert float(jnp.abs(told - truth).max()) <= 0.1 + 1e-5
    assert 0 < float((sent != 0).mean()) < 0.5


def test_escape_noise_fires_with_its_hazard():
    neuron = EscapeLIF(1e-6, v_threshold=1.0, rate_hz=50.0, softness=0.2)  # v is the current
    current = jnp.repeat(jnp.array([0.8, 1.0, 1.2]), 4000)
    _, spikes = neuron.step(neuron.init(12_000), current, dt=5e-3, key=jax.random.key(0))
    found = np.asarray(spikes).reshape(3, 4000).mean(axis=1)
    expected = 1 - np.exp(-50 * 5e-3 * np.exp([-1, 0, 1]))
    np.testing.assert_allclose(found, expected, atol=4 * 0.5 / 4000**0.5)  # 4 standard errors


@pytest.mark.parametrize("mean", [0.01, 2.0, 30.0])
def test_poisson_counts_have_the_moments_and_the_gaps_of_poisson(mean):
    counts = np.asarray(PoissonCounts(mean).sample(40_000, key=jax.random.key(1)))
    error = 5 * (mean / 40_000) ** 0.5
    assert counts.mean() == pytest.approx(mean, abs=error)
    assert counts.var() == pytest.approx(mean, rel=0.1)
    empty = (counts == 0).mean()
    assert empty == pytest.approx(np.exp(-mean), abs=5 * 0.5 / 200)


def test_poisson_counts_may_differ_in_their_means():
    means = np.array([0.0, 0.02, 3.0])
    counts = PoissonCounts(np.repeat(means, 20_000)).sample(60_000, key=jax.random.key(3))
    found = np.asarray(counts).reshape(3, -1)
    np.testing.assert_allclose(found.mean(axis=1), means, atol=5 * (3 / 20_000) ** 0.5)
    for k, mean in enumerate(means):  # each table is that of one mean alone
        table = PoissonCounts(float(mean)).cdf
        np.testing.assert_array_equal(PoissonCounts(means).cdf[: len(table), k], table)
    with pytest.raises(ValueError, match="mean must lie in"):
        PoissonCounts(np.array([1.0, -1.0]))


def test_poisson_source_fires_at_its_rate():
    spikes = PoissonSource(40.0).sample(100_000, dt=1e-3, key=jax.random.key(2))
    assert float(spikes.mean()) == pytest.approx(1 - np.exp(-0.04), abs=5 * 0.2 / 316)


SHAPES = {  # value at beta x = 1/4 by the formula of each paper
    SuperSpike: 1 / 1.25**2,
    SigmoidSlope: 1 / np.cosh(0.125) ** 2,
    Triangle: 0.75,
    ArcTangent: 1 / (1 + (np.pi / 8) ** 2),
    Bell: np.exp(-1 / 16),
    Boxcar: 1.0,
}


def test_an_amplified_surrogate_fires_alike_on_a_higher_slope():
    x, spike = jnp.array([-0.05, 0.0, 0.05]), Amplified(shape=Triangle(5.0), gain=3.0)
    np.testing.assert_array_equal(spike(x), [0, 0, 1])
    slope = jax.grad(lambda x: spike(x).sum())(x)
    np.testing.assert_allclose(slope, [2.25, 3, 2.25], rtol=1e-6)


@pytest.mark.parametrize("shape, value", SHAPES.items(), ids=lambda s: getattr(s, "__name__", ""))
def test_surrogates_step_forwards_and_slope_backwards(shape, value):
    x = jnp.array([-0.05, 0.0, 0.05])  # 5 x 0.05 = 1/4
    spike = shape(5.0)
    np.testing.assert_array_equal(spike(x), [0, 0, 1])
    slope = jax.grad(lambda x: spike(x).sum())(x)
    np.testing.assert_allclose(slope, [value, 1, value], rtol=1e-6)
    wide = jax.vmap(lambda beta: shape(beta)(x))(jnp.array([1.0, 2.0]))
    np.testing.assert_array_equal(wide, [[0, 0, 1]] * 2)


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: LIF(0.0), "tau_mem must be positive, got 0.0"),
        (lambda: LIF(1.0, v_threshold=0.0), "v_reset must lie below v_threshold"),
        (lambda: CubaLIF(1.0, tau_syn=-1.0), "tau_syn"),
        (lambda: ALIF(1.0, beta=-0.1), "beta must be at least 0"),
        (lambda: ResonateAndFire(10.0, 1.0), "damping"),
        (lambda: Refractory(LIF(1.0), -1.0), "duration"),
        (lambda: EscapeLIF(1.0, softness=0.0), "softness"),
        (lambda: PoissonSource(-1.0), "rate_hz"),
        (lambda: PoissonCounts(100.0), "mean must lie in"),
        (lambda: SuperSpike(0.0), "scale"),
        (lambda: EIF(capacitance=0.0), "capacitance"),
        (lambda: LIF(jnp.array([1.0, -1.0])), "tau_mem"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()


def test_a_parameter_can_be_learned():
    def rate(tau):
        step = partial(LIF(tau).step, dt=1e-3)
        return jax.lax.scan(lambda s, _: step(s, jnp.full(3, 1.2)), LIF(tau).init(3), length=50)[
            1
        ].sum()

    assert float(jax.grad(rate)(jnp.array(20e-3))) < 0  # slower membranes fire less
