"""A decision's operations become joules at cited prices, and grow as each planner's tree does."""

import numpy as np
import pytest

from experiments.planning_prices import PLANNERS, Config, run
from hw.processors import CACHE_8K, CMOS45_FP32


@pytest.fixture(scope="module")
def result():
    return run(Config(horizon=3, width=2))


def test_arithmetic_and_messages_are_priced_by_count(result):
    mac = CMOS45_FP32.prices["mac"].value
    np.testing.assert_allclose(result.arithmetic_j, result.multiply_adds * mac, rtol=1e-12)
    half = CACHE_8K.value / 2  # of 64 bits
    np.testing.assert_allclose(result.messages_j, result.messages * half, rtol=1e-12)
    assert (result.others > 0).all()


def test_a_tree_grows_by_its_branches_and_backward_induction_by_steps(result):
    """Four actions; joint outcomes multiply those again where beliefs are updated on the way."""
    growth = np.diff(result.multiply_adds, axis=1)
    factor = dict(zip(PLANNERS, growth[:, 1] / growth[:, 0], strict=True))
    assert 3 < factor["exhaustive"] <= 4
    assert factor["sophisticated"] > 4 * factor["exhaustive"]
    assert factor["backward induction"] == pytest.approx(1, abs=0.2)
    assert growth[PLANNERS.index("pruned"), 1] < growth[PLANNERS.index("exhaustive"), 1]


def test_a_horizon_below_one_is_refused():
    with pytest.raises(ValueError, match="horizon and width must be at least 1, got 0 and 4"):
        Config(horizon=0)
