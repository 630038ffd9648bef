"""Statistics of trains whose values are known."""

import numpy as np
import pytest

from snn import statistics as st

DT = 1e-3


def poisson(rate, steps=20_000, n=40):
    return np.random.default_rng(0).random((steps, n)) < rate * DT


def test_a_clock_and_a_poisson_train_have_their_irregularity():
    clock = np.zeros((2000, 3), bool)
    clock[::20] = True
    assert st.cv_isi(clock, DT) == pytest.approx(0, abs=1e-12)
    assert st.local_variation(clock, DT) == pytest.approx(0, abs=1e-12)
    assert st.rates_hz(clock, DT) == pytest.approx([50] * 3)
    random = poisson(20.0)
    assert st.cv_isi(random, DT) == pytest.approx(1, abs=0.03)
    assert st.local_variation(random, DT) == pytest.approx(1, abs=0.05)
    assert st.fano_factor(random, 100) == pytest.approx(1 - 20 * DT, abs=0.05)
    assert np.isnan(st.cv_isi(np.zeros((10, 2), bool), DT))


def test_synchrony_is_1_for_copies_and_small_for_strangers():
    random = poisson(20.0)
    copies = np.repeat(random[:, :1], 40, axis=1)
    assert st.synchrony(copies, 10) == pytest.approx(1)
    assert st.synchrony(random, 10) == pytest.approx(40**-0.5, rel=0.1)
    assert st.population_fano(copies, 10) == pytest.approx(40, rel=0.1)


def test_an_oscillation_is_found_in_the_spectrum():
    time = np.arange(4000) * DT
    modulated = 20 * (1 + np.sin(2 * np.pi * 37 * time))
    trains = np.random.default_rng(1).random((4000, 200)) < modulated[:, None] * DT
    assert st.peak_frequency(trains, DT, (5, 200)) == pytest.approx(37, abs=0.5)


def test_psth_averages_trials_into_a_rate():
    trials = np.zeros((4, 100, 1), bool)
    trials[:2, 10] = True
    np.testing.assert_allclose(st.psth_hz(trials, 10, DT)[:, 0], [0, 50, *[0] * 8])


def test_spike_distances_on_trains_by_hand():
    a, b = np.array([0.1, 0.2]), np.array([0.11])
    assert st.victor_purpura(a, b, 0.0) == 1  # difference of the numbers
    assert st.victor_purpura(a, b, 50.0) == pytest.approx(1 + 0.5)
    assert st.victor_purpura(a, b, 1e6) == 3  # delete two, add one
    assert st.van_rossum(a[:1], a[:0], 0.01) == pytest.approx(0.5**0.5)
    assert st.van_rossum(a[:1], b, 0.01) == pytest.approx((1 - np.exp(-1)) ** 0.5)
    assert st.van_rossum(a, a, 0.01) == 0


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="window"):
        st.fano_factor(np.zeros((10, 2), bool), 11)
