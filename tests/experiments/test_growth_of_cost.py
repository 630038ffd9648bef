"""Growth of cost: what is counted and fitted; times themselves are for a quiet machine."""

import numpy as np
import pytest

from experiments import growth_of_cost as growth


@pytest.mark.slow
def test_events_are_those_of_the_spikes_and_activity_stays_as_networks_grow():
    config = growth.Config(largest=2_000, degree=10, steps=100, compared=1_000)
    result = growth.run(config)
    np.testing.assert_array_equal(result.sizes, [1_000, 2_000])
    np.testing.assert_allclose(result.events, result.sizes * result.activity * 10)
    assert (abs(result.activity - 0.005) < 0.002).all()  # the drive's alone, 5 Hz
    expected = np.array(growth.ACTIVITIES) * 1_000 * 10
    np.testing.assert_allclose(result.delivered, expected, rtol=0.3)  # 50 spikes and more, 2 sd
    assert (result.step_s > 0).all()
    assert (result.delivery_s > 0).all()
    rows = growth.summary(config, result)
    assert rows[-1].value == pytest.approx(100 * result.activity.mean())
    assert len(growth.figure(result).axes) == 3


def test_an_exponent_is_the_slope_of_a_power_law():
    events = np.array([1e3, 1e4, 1e5])
    assert growth.exponent(events, 2e-9 * events**1.25) == pytest.approx(1.25)


@pytest.mark.parametrize("name, value", [("largest", 999), ("degree", 0), ("compared", 0)])
def test_a_growth_of_nothing_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        growth.Config(**{name: value})
