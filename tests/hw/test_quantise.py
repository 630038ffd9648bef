"""Weights fit the number format of a chip, and no nearer integer would have fitted better."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.datasheets import PLATFORMS
from hw.quantise import activation, analog, least_error, loihi, loihi_saturate, symmetric, truenorth

rng = np.random.default_rng(0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_symmetric_integers_are_the_nearest_within_their_bits(seed, bits):
    weights = np.random.default_rng(seed).normal(size=20)
    made = symmetric(weights, bits)
    assert np.abs(made.values).max() == 2 ** (bits - 1) - 1
    assert (np.abs(made.weights - weights) <= made.step / 2 + 1e-12).all()


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_a_finer_step_may_err_less_and_never_more(bits):
    weights = rng.normal(size=400)
    made, widest = least_error(weights, bits), symmetric(weights, bits)
    assert np.abs(made.values).max() <= max(2 ** (bits - 1) - 1, 1)
    assert made.error(weights) <= widest.error(weights)
    if bits == 2:  # three levels at 1.22 standard deviations and 0 are the best, Max (1960)
        assert made.step == pytest.approx(1.22, abs=0.12)


def test_one_bit_is_the_sign_at_the_mean_size():
    made = symmetric(np.array([-3.0, 1.0, 2.0]), 1)
    np.testing.assert_array_equal(made.weights, [-2.0, 2.0, 2.0])  # no other size errs less


def test_an_empty_or_silent_layer_stays_so():
    assert symmetric(np.zeros(3), 4).error(np.zeros(3)) == 0
    np.testing.assert_array_equal(symmetric(np.zeros(3), 4).values, 0)
    np.testing.assert_array_equal(loihi(np.zeros(3)).values, 0)


def test_more_bits_err_less():
    weights = rng.normal(size=500)
    errors = [symmetric(weights, bits).error(weights) for bits in (2, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02  # 127 steps over three to four standard deviations


def test_loihi_mantissas_are_even_and_fit_nine_bits():
    weights = rng.normal(size=300)
    made = loihi(weights)
    assert (made.values % 2 == 0).all()
    assert np.abs(made.values).max() == 254
    assert (np.abs(made.weights - weights) <= made.step + 1e-12).all()  # of steps of two


def test_loihi_weights_are_even_mantissas_in_whole_64ths():
    mantissa = np.array([-3, 5, 254, -256])
    np.testing.assert_array_equal(loihi_saturate(mantissa, 0), [-256, 256, 254 * 64, -256 * 64])
    np.testing.assert_array_equal(loihi_saturate(mantissa, 2), [-1024, 1024, 254 * 256, -65536])
    np.testing.assert_array_equal(loihi_saturate(mantissa, -8), [-1, 1, 63, -64])
    with pytest.raises(ValueError, match=r"exponent must lie in \[-8, 7\], got 8"):
        loihi_saturate(mantissa, 8)
    with pytest.raises(ValueError, match=r"mantissa must lie in \[-256, 254\]"):
        loihi_saturate(np.array([300]), 0)


def test_truenorth_finds_a_crossbar_that_is_one():
    levels = rng.integers(-255, 256, (6, 4)).astype(float)
    levels[0] = [255, -255, 100, -30]
    kind = np.arange(20) % 4
    weights = levels.T[kind] * (rng.random((20, 6)) < 0.6)
    made = truenorth(weights)
    assert set(made.axon_type) <= set(range(4))
    assert np.abs(made.level).max() <= 256
    # a local search: not always the same crossbar, but most of its weight
    assert np.square(made.values * made.step - weights).sum() < 0.5 * np.square(weights).sum()


def test_truenorth_sweeps_never_err_more():
    weights = rng.normal(size=(40, 10))
    missed = lambda made: np.square(made.values * made.step - weights).sum()
    errors = [missed(truenorth(weights, sweeps=n)) for n in (1, 2, 4, 8)]
    assert (np.diff(errors) <= 1e-6).all()


def test_analog_weights_have_six_bits_and_noise_of_a_chip_and_of_a_trial():
    weights = rng.normal(size=4000)
    chip, one, other = jax.random.split(jax.random.key(0), 3)
    values, clean = analog(weights, 0.0, 0.0, keys=(chip, one))
    np.testing.assert_array_equal(values, clean)
    assert len(np.unique(np.abs(values))) <= 64
    strong = values != 0
    gain = lambda fixed, trial, key: (
        analog(weights, fixed, trial, keys=(chip, key))[1][strong] / values[strong]
    )
    spread = np.std(gain(0.3, 0.4, one))
    assert spread == pytest.approx(np.sqrt(0.3**2 + 0.4**2 + 0.3**2 * 0.4**2), rel=0.05)
    np.testing.assert_array_equal(gain(0.3, 0.0, one), gain(0.3, 0.0, other))  # the same chip
    assert np.corrcoef(gain(0.3, 0.1, one), gain(0.3, 0.1, other))[0, 1] == pytest.approx(
        0.3**2 / (0.3**2 + 0.1**2), abs=0.03
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_activations_have_so_many_levels_and_pass_gradients(bits):
    x = jnp.linspace(-1, 3, 2001)
    y = activation(x, bits, 2.0)
    assert len(np.unique(np.asarray(y))) == 2**bits
    assert float(jnp.max(jnp.abs(y - jnp.clip(x, 0, 2)))) <= 2 / (2**bits - 1) / 2 + 1e-6
    slope = jax.grad(lambda x: jnp.sum(activation(x, bits, 2.0)))(jnp.array([-0.5, 1.0, 2.5]))
    np.testing.assert_array_equal(slope, [0.0, 1.0, 0.0])


def test_bits_are_those_of_the_sheets():
    bits = {name: p.capacity.weight_bits for name, p in PLATFORMS.items() if p.capacity.weight_bits}
    assert {name: c.value for name, c in bits.items()} == {
        "Loihi 1 (Davies 2018)": 9,
        "Loihi 1 (Davies 2018, with x86)": 9,
        "Loihi 1 (SANA-FE calibration)": 9,
        "TrueNorth (marginal + static, 0.8 V)": 1,
        "TrueNorth (total power / rate, 20 Hz, 0.775 V)": 1,
        "SpiNNaker 1": 16,
        "Xylo Audio 2": 8,
        "Akida AKD1000": 4,
        "Akida 2": 8,
        "BrainScaleS-2": 6,
        "NorthPole": 8,
    }


def test_what_cannot_be_quantised_is_refused():
    with pytest.raises(ValueError, match="bits must be at least 1, got 0"):
        symmetric(np.ones(2), 0)
    with pytest.raises(ValueError, match="weights must be finite"):
        symmetric(np.array([np.inf]), 4)
