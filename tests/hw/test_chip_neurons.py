"""Neurons keep the number formats of their chips, bit by bit, and emulated cores keep delays."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.chip_neurons import STATE_MAX, AdEx, LoihiCuba, TrueNorthNeuron, XyloNeuron, decay, shifted
from hw.emulate import Cores
from hw.graph import Edge, Graph, Node


def course(neuron, currents, n):
    """States and spikes of n neurons, shape (steps, n)."""
    step = lambda s, c: (lambda s, f: (s, (s, f)))(*neuron.step(s, c))
    run = lambda x: jax.lax.scan(step, neuron.init(n), x)[1]
    return eqx.filter_jit(run)(jnp.asarray(currents))


@settings(max_examples=200, deadline=None)
@given(st.integers(-STATE_MAX, STATE_MAX), st.integers(0, 4096))
def test_decay_is_lavas_integer_rule_for_every_register(x, rate):
    expected = int(np.sign(x)) * ((abs(x) * (4096 - rate)) >> 12)  # Python's integers are unbounded
    assert int(decay(jnp.array([x]), jnp.array(rate))[0]) == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(-STATE_MAX, STATE_MAX), st.integers(0, 4096))
def test_decay_is_brian2loihis_rule_too(x, rate):
    expected = x - int(np.sign(x)) * -(-abs(x) * rate // 4096)  # less the rounded-up loss
    assert int(decay(jnp.array([x]), jnp.array(rate))[0]) == expected


def test_loihi_compartments_equal_unbounded_integers():
    rng = np.random.default_rng(0)
    currents = rng.integers(-300, 400, (60, 5))
    neuron = LoihiCuba(1024, 200, v_mantissa=600, bias=17)
    (u, v), fired = course(neuron, currents.astype(np.int32), 5)
    lose = lambda x, d: int(np.sign(x)) * ((abs(x) * (4096 - d)) >> 12)
    for i in range(5):
        a = b = 0
        for t in range(60):
            a = lose(a, 1024) + 64 * int(currents[t, i])
            b = lose(b, 200) + a + 17
            spike = b >= 600 * 64
            assert int(fired.spikes[t, i]) == spike
            b = 0 if spike else b
            assert (int(u[t, i]), int(v[t, i])) == (a, b)
    assert fired.spikes.sum() > 10


def test_loihi_registers_saturate_and_thresholds_may_be_strict():
    neuron = LoihiCuba(0, 0, v_mantissa=131_071)
    (u, _), _ = course(neuron, np.full((3, 1), -(2**17)), 1)
    np.testing.assert_array_equal(u[:, 0], [-(2**23) + 1] * 3)
    at_threshold = np.array([[5]], np.int32)
    for fires, spikes in ((jnp.greater_equal, 1), (jnp.greater, 0)):
        _, fired = course(LoihiCuba(4096, 0, v_mantissa=5, fires=fires), at_threshold, 1)
        assert int(fired.spikes[0, 0]) == spikes
    with pytest.raises(ValueError, match=r"voltage_decay must lie in \[0, 4096\], got 5000"):
        LoihiCuba(0, 5000, v_mantissa=1)


def test_truenorth_leaks_resets_and_holds_its_floor():
    neuron = TrueNorthNeuron(leak=-1, threshold=10, floor=4, v_reset=2)
    v, fired = course(neuron, np.array([[6], [6], [0], [-9], [2**20]], np.int32), 1)
    np.testing.assert_array_equal(v[:, 0], [5, 2, 1, -4, 2])
    np.testing.assert_array_equal(fired.spikes[:, 0], [0, 1, 0, 0, 1])
    less = lambda v, threshold, v_reset: v - threshold
    linear = TrueNorthNeuron(leak=0, threshold=10, reset=less)
    v, _ = course(linear, np.array([[13], [0]], np.int32), 1)
    np.testing.assert_array_equal(v[:, 0], [3, 3])


def test_xylo_shifts_and_sends_several_spikes():
    values = jnp.array([100, 5, -5, 1, -1, 0, -100])
    np.testing.assert_array_equal(shifted(values, 3), [88, 4, -4, 0, 0, 0, -88])
    neuron = XyloNeuron(current_shift=1, voltage_shift=2, threshold=100)
    (i, v), fired = course(neuron, np.array([[350], [0], [0], [9999]], np.int32), 1)
    # i: 350, 175, 88, 44 + 9999; v: 350 -> 3 spikes, 50; 38 + 175 = 213 -> 2, 13; 10 + 88 = 98;
    # 74 + 10043 = 10117 -> at most 31
    np.testing.assert_array_equal(i[:, 0], [350, 175, 88, 10043])
    np.testing.assert_array_equal(fired.spikes[:, 0], [3, 2, 0, 31])
    np.testing.assert_array_equal(v[:, 0], [50, 13, 98, 10117 - 3100])
    (i, _), _ = course(neuron, np.full((2, 1), 30_000, np.int32), 1)
    assert i[1, 0] == 2**15 - 1


def test_adex_leaks_as_the_leaky_integrator_and_spikes_late_with_adaptation():
    leaky = AdEx(slope=0.0, v_threshold=1.0, tau_syn=1e-4, amplitude=1e-10)  # current gone at once
    state, _ = course(leaky, np.full((2000, 1), 1.0), 1)
    rise = 1e-10 / 10e-9  # i / g
    tau = 200e-12 / 10e-9
    exact = -70e-3 + rise * (1 - (1 - 1e-4 / tau) ** np.arange(1, 2001))  # Euler's own solution
    np.testing.assert_allclose(state.v[:, 0], exact, rtol=1e-4)
    drive = np.full((20000, 1), 4.0)
    count = lambda **more: int(
        course(AdEx(tau_syn=1e-4, amplitude=1e-10, **more), drive, 1)[1].spikes.sum()
    )
    assert 0 < count(jump=60e-12) < count()


def test_cores_deliver_after_each_synapses_delay():
    edges = (
        Edge("in", "a", np.array([0]), np.array([0]), np.array([3.0])),
        Edge("in", "a", np.array([0]), np.array([1]), np.array([3.0]), delay=4),
        Edge("a", "a", np.array([0]), np.array([1]), np.array([2.0]), delay=2),
    )
    graph = Graph((Node("in", 1, external=True), Node("a", 2)), edges)
    cores = Cores(graph, LoihiCuba(4096, 4096, v_mantissa=3), np.array([3, 3, 2]))
    driven = np.zeros((7, 3), np.int32)
    driven[0, 0] = 1
    run = lambda x: jax.lax.scan(lambda s, d: cores.step(s, d), cores.init(), x)[1]
    did = eqx.filter_jit(run)(jnp.asarray(driven))
    # neuron 0 hears at 1 and spikes; neuron 1 hears 2 at step 3, too little, and 3 at step 4
    assert np.argwhere(did.spikes).tolist() == [[0, 0], [1, 1], [4, 2]]
    assert np.argwhere(did.active[:, 2]).ravel().tolist() == [3, 4]


def test_weights_of_another_graph_are_refused():
    graph = Graph((Node("a", 1),), ())
    with pytest.raises(ValueError, match=r"weight must have shape \(0,\), got \(2,\)"):
        Cores(graph, LoihiCuba(0, 0, v_mantissa=1), np.ones(2))
