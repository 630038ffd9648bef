"""The halving code: what a cycle guarantees, and that silence means nothing changed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.coding import HalvingCode


@pytest.mark.parametrize("largest, halvings", [(1.0, 1), (1.0, 6), (0.3, 9)])
def test_a_cycle_leaves_at_most_the_smallest_spike_of_the_gap(largest, halvings):
    code = HalvingCode(largest, halvings)
    kg, kc = jax.random.split(jax.random.key(halvings))
    trace = jax.random.normal(kc, (1000,))
    value = trace + 2 * largest * jax.random.uniform(kg, (1000,), minval=-1.0)
    after, spikes = code.cycle(value, trace)
    smallest = largest * 0.5 ** (halvings - 1)
    assert float(jnp.abs(value - after).max()) <= smallest * (1 + 1e-5)  # float32
    assert set(np.unique(spikes)) <= {-1.0, 0.0, 1.0}
    np.testing.assert_allclose(trace + code.sizes @ spikes, after, atol=1e-6)


def test_what_is_already_known_costs_no_spike():
    code = HalvingCode(1.0, 8)
    value = jnp.linspace(-1.9, 1.9, 50)
    trace, first = code.cycle(value, jnp.zeros(50))
    _, second = code.cycle(value, trace)
    assert float(jnp.abs(first).sum()) > 0
    assert float(jnp.abs(second).sum()) == 0


@pytest.mark.parametrize("settings, culprit", [((0.0, 4), "largest"), ((1.0, 0), "halvings")])
def test_a_bad_setting_is_refused_by_name(settings, culprit):
    with pytest.raises(ValueError, match=culprit):
        HalvingCode(*settings)
