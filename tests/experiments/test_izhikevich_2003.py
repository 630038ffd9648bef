"""Cortical rhythms: our networks beside the paper's program, written out in NumPy."""

import numpy as np
import pytest

from experiments.papers import izhikevich_2003_cortical_rhythms as paper


def printed_program(seed):
    """A second of the program of the paper's section III: who fired in each millisecond."""
    random = np.random.default_rng(seed)
    re, ri = random.random(800), random.random(200)
    a, b = np.r_[np.full(800, 0.02), 0.02 + 0.08 * ri], np.r_[np.full(800, 0.2), 0.25 - 0.05 * ri]
    c, d = np.r_[-65 + 15 * re**2, np.full(200, -65.0)], np.r_[8 - 6 * re**2, np.full(200, 2.0)]
    weights = np.c_[0.5 * random.random((1000, 800)), -random.random((1000, 200))]
    v = np.full(1000, -65.0)
    u = b * v
    fired = np.zeros((1000, 1000), bool)
    for t in range(1000):
        current = np.r_[5 * random.standard_normal(800), 2 * random.standard_normal(200)]
        fired[t] = now = v >= 30
        v, u = np.where(now, c, v), np.where(now, u + d, u)
        current = current + weights[:, now].sum(axis=1)
        for _ in range(2):
            v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + current)
        u = u + a * (b * v - u)
    return fired


@pytest.mark.slow
def test_networks_fire_and_swing_as_those_of_the_printed_program():
    result = paper.run(paper.Config(networks=4))
    rasters = [printed_program(seed) for seed in range(4)]
    rates = 1e3 * np.array([[r[:, :800].mean(), r[:, 800:].mean()] for r in rasters])
    # rates of networks deviate by 0.16 and 0.2 Hz: four standard errors of the difference
    np.testing.assert_allclose(result.rates_hz.mean(0), rates.mean(0), rtol=0, atol=0.55)
    power = np.mean([paper.spectrum(raster) for raster in rasters], axis=0)
    for name in (paper.ALPHA, paper.GAMMA):
        inside = slice(int(name[0]), int(name[1]) + 1)
        assert result.power[inside].sum() == pytest.approx(power[inside].sum(), rel=0.5)
    first, second = paper.peak_hz(result.power, paper.ALPHA), paper.peak_hz(power, paper.ALPHA)
    assert abs(first - second) <= 2
    assert len(paper.figure(result).axes) == 3


def test_power_of_a_known_rhythm_stands_at_its_frequency():
    raster = np.zeros((paper.STEPS, 3), bool)
    raster[::25] = True  # 40 Hz
    assert paper.peak_hz(paper.spectrum(raster), paper.GAMMA) == pytest.approx(40, abs=1)


def test_no_network_is_no_run():
    with pytest.raises(ValueError, match="networks must be at least 1"):
        paper.Config(networks=0)


@pytest.mark.slow
def test_twenty_networks_meet_every_number_of_the_program():
    assert [check for check in paper.verify() if not check.passed] == []
