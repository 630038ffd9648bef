"""A graph is checked when built, and numbers its neurons through its nodes."""

import numpy as np
import pytest

from hw.graph import Edge, Graph, Node

ONE = np.array([0]), np.array([0]), np.array([1.0])
GRAPH = Graph(
    (Node("in", 2, external=True), Node("a", 3)),
    (
        Edge("in", "a", np.array([0, 1]), np.array([2, 0]), np.array([0.5, -1.0]), plastic=True),
        Edge("a", "a", np.array([1]), np.array([2]), np.array([3.0]), delay=2),
    ),
)


def test_synapses_are_numbered_through_the_nodes():
    synapses = GRAPH.synapses
    np.testing.assert_array_equal(synapses.pre, [0, 1, 3])
    np.testing.assert_array_equal(synapses.post, [4, 2, 4])
    np.testing.assert_array_equal(synapses.weight, [0.5, -1.0, 3.0])
    np.testing.assert_array_equal(synapses.plastic, [True, True, False])
    np.testing.assert_array_equal(synapses.delay, [1, 1, 2])
    np.testing.assert_array_equal(GRAPH.external, [True, True, False, False, False])


def test_a_raster_is_flattened_in_the_order_of_the_nodes():
    raster = {"a": np.array([[0, 1, 0]]), "in": np.array([[1, 0]])}
    np.testing.assert_array_equal(GRAPH.flatten(raster), [[True, False, False, True, False]])


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Node("a", 0), "'a': size must be at least 1, got 0"),
        (lambda: Graph((Node("a", 1), Node("a", 2)), ()), "names must differ"),
        (lambda: Graph((Node("a", 1),), (Edge("a", "b", *ONE),)), "a->b: target must be one of"),
        (lambda: Graph((Node("a", 1, external=True),), (Edge("a", "a", *ONE),)), "external"),
        (
            lambda: Graph((Node("a", 1),), (Edge("a", "a", ONE[0], ONE[1] + 1, ONE[2]),)),
            r"target index must lie in \[0, 1\), got \[1, 1\]",
        ),
        (lambda: Edge("a", "a", *ONE, delay=0), "delay must be at least 1 step, got 0"),
        (lambda: Edge("a", "a", ONE[0], ONE[1], ONE[2] * np.nan), "finite"),
        (lambda: Edge("a", "a", ONE[0], ONE[1], np.ones(2)), "equal vectors"),
        (lambda: Edge("a", "a", np.zeros(1), *ONE[1:]), "pre must be integers, got float64"),
        (lambda: GRAPH.flatten({"a": np.zeros((1, 3))}), r"must hold \['in', 'a'\]"),
        (lambda: GRAPH.flatten({"a": np.zeros((1, 3)), "in": np.zeros((2, 2))}), "raster of 'a'"),
        (lambda: GRAPH.flatten({"a": np.zeros((1, 3)), "in": -np.ones((1, 2))}), "0 or 1"),
    ],
)
def test_what_cannot_be_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
