"""Circuits are checked when built."""

import numpy as np
import pytest

from snn.network import Circuit, Population, Projection, all_to_all, one_to_one


def test_all_to_all_joins_every_pair_once_and_one_to_one_each_unit_to_itself():
    weights = np.arange(6.0).reshape(2, 3)
    full, own = all_to_all("a", "b", weights), one_to_one("a", "a", np.ones(3))
    dense = np.zeros((2, 3))
    dense[full.post, full.pre] = full.weights
    np.testing.assert_array_equal(dense, weights)
    assert full.pre.size == 6
    np.testing.assert_array_equal(own.pre, own.post)


ends = np.array([0]), np.array([0]), np.array([1.0])


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Population("a", 0), "size must be at least 1, got 0"),
        (lambda: Circuit((Population("a", 1), Population("a", 2)), ()), "names must differ"),
        (lambda: Circuit((Population("a", 1),), (Projection("a", "b", *ends),)), "target 'b'"),
        (
            lambda: Circuit((Population("a", 1),), (one_to_one("a", "a", np.ones(2)),)),
            r"index must lie in \[0, 1\)",
        ),
        (
            lambda: Projection("a", "a", np.zeros(2, int), np.zeros(1, int), np.ones(1)),
            "one length",
        ),
    ],
)
def test_a_bad_circuit_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
