"""Kinetics against their closed forms; plasticity of the short term against its fixed points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.neurons import LIF, Drive
from snn.synapses import (
    NMDA,
    Alpha,
    Conductance,
    Delta,
    DoubleExponential,
    Exponential,
    ShortTermPlasticity,
    combine,
    gap_current,
)

DT, WEIGHT = 1e-4, 0.7


def response(synapse, steps=400):
    """Amplitude at the start of each step after one spike of WEIGHT."""
    arriving = jnp.zeros((steps, 1)).at[0].set(WEIGHT)
    step = lambda s, a: synapse.step(s, a, dt=DT)
    return np.asarray(jax.lax.scan(step, synapse.init(1), arriving)[1][:, 0])


t = np.arange(400) * DT
PEAK = 2e-3 * 8e-3 / 6e-3 * np.log(4)
CLOSED = {
    "exponential": (Exponential(5e-3), np.exp(-t / 5e-3)),
    "alpha": (Alpha(5e-3), t / 5e-3 * np.exp(1 - t / 5e-3)),
    "double exponential": (
        DoubleExponential(2e-3, 8e-3),
        (np.exp(-t / 8e-3) - np.exp(-t / 2e-3)) / (np.exp(-PEAK / 8e-3) - np.exp(-PEAK / 2e-3)),
    ),
}


@pytest.mark.parametrize("synapse, shape", CLOSED.values(), ids=CLOSED)
def test_a_spike_leaves_its_closed_form(synapse, shape, x64):
    np.testing.assert_allclose(response(synapse), WEIGHT * shape, rtol=1e-9, atol=1e-15)
    assert shape.max() == pytest.approx(1, abs=1e-3)  # sampled at 0.1 ms


def test_a_delta_synapse_lifts_the_membrane_by_its_weight(x64):
    neuron, synapse = LIF(20e-3), Delta(20e-3)
    _, current = synapse.step((), jnp.array([WEIGHT]), dt=DT)
    state = neuron.init(1)._replace(v=jnp.array([0.1]))
    lifted = neuron.flow(state, current, dt=DT).v[0]
    assert float(lifted) == pytest.approx(0.1 * np.exp(-DT / 20e-3) + WEIGHT, rel=1e-12)


def test_magnesium_blocks_as_in_jahr_and_stevens():
    receptor = NMDA(Exponential(0.1), 0.0, magnesium_mm=1.0)
    v = jnp.array([-65e-3, 0.0, 20e-3])
    passed = receptor.drive(jnp.ones(3), v).conductance
    by_hand = [1 / (1 + 56.28 / 3.57), 1 / (1 + 1 / 3.57), 1 / (1 + 0.2894 / 3.57)]
    np.testing.assert_allclose(passed, by_hand, rtol=1e-3)  # e^{4.03} = 56.3 to 3 digits


def test_currents_and_conductances_add():
    pull = Conductance(Exponential(5e-3), -80e-3).drive(jnp.full(2, 3.0), jnp.zeros(2))
    total = combine([jnp.ones(2), pull, pull])
    assert isinstance(total, Drive)
    np.testing.assert_allclose(total.current, 1 - 2 * 3 * 80e-3, rtol=1e-6)
    np.testing.assert_allclose(total.conductance, 6.0)
    np.testing.assert_allclose(combine([jnp.ones(2), jnp.ones(2)]), 2.0)


@pytest.mark.parametrize("use, facilitation, depression", [(0.5, 1e-3, 0.8), (0.05, 1.0, 0.1)])
def test_short_term_plasticity_settles_at_its_fixed_point(use, facilitation, depression):
    interval = 0.05  # 20 Hz
    synapse = ShortTermPlasticity(use, facilitation, depression)
    spikes = (jnp.arange(4000) % 50 == 0).astype(float)[:, None]
    step = lambda s, x: synapse.step(s, x, dt=1e-3)
    released = np.asarray(jax.lax.scan(step, synapse.init(1), spikes)[1])[::50, 0]
    # Tsodyks, Pawelzik & Markram (1998), eqs. 2.3 to 2.5, at their fixed points
    a, b = np.exp(-interval / facilitation), np.exp(-interval / depression)
    u = use / (1 - (1 - use) * a)
    x = (1 - b) / (1 - (1 - u) * b)
    assert released[0] == pytest.approx(use, rel=1e-5)
    assert released[-1] == pytest.approx(u * x, rel=3e-4)  # what 80 spikes leave
    assert (released[1] > released[0]) == (facilitation > depression)


def test_gap_junctions_pass_current_down_the_slope_and_create_none():
    g = jnp.array([[0, 2.0, 0], [2.0, 0, 1.0], [0, 1.0, 0]])
    current = gap_current(g, jnp.array([1.0, 0.0, -1.0]))
    np.testing.assert_allclose(current, [-2, 1, 1])
    assert float(current.sum()) == pytest.approx(0)


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Exponential(0.0), "tau_syn"),
        (lambda: DoubleExponential(5e-3, 5e-3), "tau_rise must lie below tau_decay"),
        (lambda: NMDA(Alpha(1.0), 0.0, -1.0), "magnesium_mm"),
        (lambda: ShortTermPlasticity(0.5, 0.0, 1.0), "tau_facilitation"),
        (lambda: Delta(-1.0), "tau_mem"),
    ],
)
def test_a_bad_synapse_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
