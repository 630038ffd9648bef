"""Copies spike as their originals do, keep the limit, and are refused where they cannot end."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hw.chip_neurons import LoihiCuba
from hw.emulate import Cores
from hw.graph import Edge, Graph, Node
from hw.splitting import split_targets


def two_layers(rng):
    """Inputs, a hidden layer with some recurrence, and many outputs, some heard late."""
    nodes = Node("in", 3, external=True), Node("a", 4), Node("b", 9)
    whole = lambda m: rng.integers(-2, 6, m).astype(float)
    pairs = lambda n, m: tuple(x.ravel() for x in np.indices((n, m)))
    edges = (
        Edge("in", "a", *pairs(3, 4), whole(12)),
        Edge("a", "a", np.array([0, 2]), np.array([1, 3]), whole(2)),
        Edge("a", "b", *pairs(4, 9), whole(36), delay=3),
    )
    return Graph(nodes, edges)


def spikes(graph, driven):
    neuron = LoihiCuba(4096, 500, v_mantissa=5)
    cores = Cores(graph, neuron, graph.synapses.weight.astype(int))
    run = lambda d: jax.lax.scan(lambda s, x: cores.step(s, x), cores.init(), d)[1]
    return np.asarray(eqx.filter_jit(run)(jnp.asarray(driven)).spikes)


def test_copies_spike_as_their_originals_and_keep_the_limit():
    rng = np.random.default_rng(0)
    graph = two_layers(rng)
    made, origin = split_targets(graph, 4)
    out = np.bincount(made.synapses.pre, minlength=made.size)[~made.external]
    assert out.max() <= 4
    assert (np.unique(origin) == np.arange(graph.size)).all()
    driven = np.zeros((30, graph.size), np.int32)
    driven[:, :3] = rng.random((30, 3)) < 0.5
    before, after = spikes(graph, driven), spikes(made, driven[:, origin])
    np.testing.assert_array_equal(after, before[:, origin])
    assert before[:, 7:].sum() > 10


def test_a_graph_within_the_limit_is_left_alone():
    graph = two_layers(np.random.default_rng(1))
    made, origin = split_targets(graph, 99)
    np.testing.assert_array_equal(origin, np.arange(graph.size))
    assert made.nodes == graph.nodes
    assert sorted(zip(*made.synapses, strict=True)) == sorted(zip(*graph.synapses, strict=True))


def test_what_cannot_be_split_is_refused():
    n = 6
    full = Edge("a", "a", *(x.ravel() for x in np.indices((n, n))), np.ones(n * n))
    with pytest.raises(ValueError, match="targets cannot be split to 2: more than 96 neurons"):
        split_targets(Graph((Node("a", n),), (full,)), 2)
    plastic = Edge("a", "a", np.array([0]), np.array([0]), np.ones(1), plastic=True)
    with pytest.raises(ValueError, match="plastic"):
        split_targets(Graph((Node("a", 1),), (plastic,)), 1)
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        split_targets(Graph((Node("a", 1),), ()), 0)
