"""The diffusion theory against closed limits and Brunel's printed table."""

import numpy as np
import pytest

from experiments.papers.brunel_2000_sparse_networks import REGIMES, theory_hz
from snn.mean_field import Membrane, self_consistent_rate, siegert_rate

MEMBRANE = Membrane(20e-3, 20e-3, 10e-3, 2e-3)


def test_without_noise_it_is_the_closed_rate():
    closed = 1 / (2e-3 + 20e-3 * np.log((30 - 10) / (30 - 20)))
    assert siegert_rate(MEMBRANE, 30e-3, 1e-5) == pytest.approx(closed, rel=1e-4)  # O(noise^2)
    assert siegert_rate(MEMBRANE, 5e-3, 1e-4) == 0


def test_rates_of_brunel_s_table_1():
    found = {regime.name: theory_hz(regime) for regime in REGIMES[1:]}
    np.testing.assert_allclose(list(found.values()), [55.8, 38.0, 6.5], atol=0.1)  # as printed


def test_a_bracket_without_a_crossing_and_no_noise_are_refused():
    with pytest.raises(ValueError, match="change its sign"):
        self_consistent_rate(lambda rate: rate + 1, (0.0, 100.0))
    with pytest.raises(ValueError, match="deviation"):
        siegert_rate(MEMBRANE, 0.0, 0.0)
