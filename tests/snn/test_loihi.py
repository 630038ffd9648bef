"""The integer neuron against plain Python integers of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.loihi import LoihiCuba, decay, wrap


def reference(neuron, arriving):
    """One neuron, in unbounded integers, from Lava's description of its bit-accurate model."""
    u = v = 0
    shrink = lambda x, d: (1 if x >= 0 else -1) * ((abs(x) * (4096 - d)) >> 12)
    spikes = []
    for a in arriving:
        u = shrink(u, neuron.current_decay) + int(a) * 64
        if u > 2**23:
            u %= 2**23
        elif u <= -(2**23):
            u = -(-u % 2**23)
        v = shrink(v, neuron.voltage_decay) + u + neuron.bias_mantissa * 2**neuron.bias_exponent
        v = max(1 - 2**23, min(2**23 - 1, v))
        spikes.append(v > neuron.threshold_mantissa * 64 - neuron.at_threshold)
        if spikes[-1]:
            v = 0
    return spikes, u, v


@pytest.mark.parametrize(
    "neuron, scale",
    [
        (LoihiCuba(410, 128, 60), 40),
        (LoihiCuba(4096, 128, 80, at_threshold=1), 60),
        (LoihiCuba(1, 0, 2**17 - 1, bias_mantissa=-4096, bias_exponent=7), 2**15),  # wraps, clips
        (LoihiCuba(0, 4095, 100, bias_mantissa=3, bias_exponent=2), 2**16),
    ],
)
def test_spikes_and_state_are_those_of_unbounded_integers(neuron, scale):
    generator = np.random.default_rng(3)
    arriving = generator.integers(-scale, scale, (400, 6))
    step = lambda s, a: neuron.step(s, a)
    state, spikes = jax.lax.scan(step, neuron.init(6), jnp.asarray(arriving, jnp.int32))
    for i in range(6):
        expected, u, v = reference(neuron, arriving[:, i])
        np.testing.assert_array_equal(spikes[:, i], expected)
        assert (int(state.u[i]), int(state.v[i])) == (u, v)
    assert 0 < int(spikes.sum())


def test_decay_is_the_full_product_at_both_ends_of_24_bits():
    x = np.concatenate([np.arange(-(2**23) + 1, 2**23, 99_991), [0, 1, -1, 2**23 - 1]])
    for d in (0, 1, 1000, 4095, 4096):
        expected = np.sign(x) * ((np.abs(x) * (4096 - d)) >> 12)  # int64
        np.testing.assert_array_equal(decay(jnp.asarray(x, jnp.int32), d), expected)


def test_current_wraps_with_its_sign():
    x = jnp.array([2**23, 2**23 + 5, -(2**23), -(2**23) - 5, 7], jnp.int32)
    np.testing.assert_array_equal(wrap(x), [2**23, 5, 0, -5, 7])


@pytest.mark.parametrize("settings", [(-1, 0, 1), (0, 4097, 1), (0, 0, 2**17), (0, 0, 1, 4096)])
def test_a_field_that_is_too_wide_for_its_register_is_refused(settings):
    with pytest.raises(ValueError, match="must lie in"):
        LoihiCuba(*settings)
