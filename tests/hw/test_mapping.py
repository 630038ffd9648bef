"""A graph is placed within every limit of a chip, or refused with the broken limit named."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.datasheets import LOIHI1, TRUENORTH
from hw.graph import Edge, Graph, Node
from hw.mapping import (
    Infeasible,
    Placement,
    axons,
    check,
    index_order,
    position,
    tiles,
    usage,
    violations,
)
from hw.platforms import Capacity, Mesh, SynapseFormat

FORMAT = LOIHI1.capacity.synapse_format


def random_graph(rng, n):
    pre, post = np.nonzero(rng.random((n, n)) < 0.2)
    inputs = Edge("in", "a", np.arange(3), rng.integers(0, n, 3), np.ones(3))
    nodes = Node("in", 3, external=True), Node("a", n)
    return Graph(nodes, (inputs, Edge("a", "a", pre, post, rng.normal(size=pre.size))))


def limited(**values):
    """Loihi with some limits of our choice."""
    limits = {k: replace(getattr(LOIHI1.capacity, k), value=v) for k, v in values.items()}
    return replace(LOIHI1, capacity=replace(LOIHI1.capacity, **limits))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_index_order_keeps_order_and_limits_and_wastes_no_core(seed, n):
    graph = random_graph(np.random.default_rng(seed), n)
    chip = limited(neurons=7, input_axons=30, output_axons=4096, synapse_bits=64 * 25)
    alone = usage(graph, Placement(np.where(graph.external, -1, np.arange(n + 3) - 3)), chip)
    if alone["input_axons"].max() > 30 or alone["synapse_bits"].max() > 64 * 25:
        with pytest.raises(Infeasible, match="per core: at most"):
            index_order(graph, chip)
        return
    placed = index_order(graph, chip)
    core_of = placed.core_of[3:]
    assert (np.diff(core_of) >= 0).all()
    assert set(core_of) == set(range(placed.cores))
    for core in range(1, placed.cores):  # its first neuron would have broken the core before
        moved = placed.core_of.copy()
        moved[3 + np.flatnonzero(core_of == core)[0]] = core - 1
        assert violations(graph, Placement(moved), chip)


def test_memory_of_an_axon_is_whole_words_of_headed_blocks():
    # 10 bits of header and 18 a synapse, in words of 64, at most 64 synapses a block
    expected = {0: 0, 1: 64, 3: 64, 4: 128, 64: 64 * 19, 65: 64 * 19 + 64}
    counts = np.array(list(expected))
    np.testing.assert_array_equal(FORMAT.bits(counts), list(expected.values()))


def test_axons_are_the_cores_that_each_neuron_reaches():
    edge = Edge("a", "a", np.array([0, 0, 0, 2]), np.array([0, 1, 2, 1]), np.ones(4))
    graph = Graph((Node("a", 3),), (edge,))
    found = axons(graph, Placement(np.array([0, 0, 1])))
    assert set(zip(*map(tuple, found), strict=True)) == {(0, 0, 2), (0, 1, 1), (2, 0, 1)}


def test_tiles_are_numbered_down_a_column_first():
    x, y = position(Mesh(8, 4, 4), np.array([0, 3, 4, 15, 16, 127]))
    np.testing.assert_array_equal(x, [0, 0, 0, 0, 1, 7])
    np.testing.assert_array_equal(y, [0, 0, 1, 3, 0, 3])
    assert tiles(Mesh(8, 4, 4), Placement(np.array([-1, 0, 3, 4, 127]))) == 3


def fan(n, weight=None, **options):
    """n external inputs to one neuron."""
    weight = np.ones(n) if weight is None else weight
    edge = Edge("in", "a", np.arange(n), np.zeros(n, int), weight, **options)
    return Graph((Node("in", n, external=True), Node("a", 1)), (edge,))


def reach(n):
    """One neuron to n others."""
    edge = Edge("a", "b", np.zeros(n, int), np.arange(n), np.ones(n))
    return Graph((Node("a", 1), Node("b", n)), (edge,))


@pytest.mark.parametrize(
    "chip, graph, message",
    [
        (LOIHI1, fan(4097), "input_axons per core: at most 4096, needed 4097 (core 0, and 0 more)"),
        (limited(neurons=1), reach(128), "cores: at most 128, needed 129 (one chip)"),
        (LOIHI1, fan(1, delay=63), "delay_steps: at most 62, needed 63 (longest delay)"),
        (
            limited(neurons=1, output_axons=3),
            reach(4),
            "output_axons per core: at most 3, needed 4 (core 0, and 0 more)",
        ),
        (
            limited(synapse_bits=64),
            fan(2),
            "synapse_bits per core: at most 64, needed 128 (core 0, and 0 more)",
        ),
        (TRUENORTH, fan(257), "fan_in: at most 256, needed 257 (neuron 257)"),
        (TRUENORTH, reach(256), "fan_out: at most 1, needed 2 (neuron 0)"),
        (
            TRUENORTH,
            fan(6, np.array([0.0, 1, 2, 3, 4, 5])),
            "weight_levels: at most 4, needed 5 (neuron 6)",
        ),
        (
            TRUENORTH,
            fan(2, plastic=True),
            "synapses plastic by pair traces: at most 0, needed 2 (whole graph)",
        ),
    ],
)
def test_a_broken_limit_is_named_with_what_is_allowed_and_needed(chip, graph, message):
    with pytest.raises(Infeasible) as refused:
        index_order(graph, chip)
    assert f"{chip.name}: {message}" in map(str, refused.value.violations)


def test_a_crowded_core_is_refused():
    graph = reach(2)
    with pytest.raises(Infeasible, match="neurons per core: at most 2, needed 3"):
        check(graph, Placement(np.zeros(3, int)), limited(neurons=2))


def test_a_placement_of_another_graph_is_refused():
    with pytest.raises(ValueError, match="a core to each of 3 neurons"):
        violations(reach(2), Placement(np.zeros(4, int)), LOIHI1)
    with pytest.raises(ValueError, match="has no cores"):
        violations(reach(2), Placement(np.zeros(3, int)), replace(LOIHI1, mesh=None))


def test_a_chip_without_known_limits_takes_all_on_one_core():
    anything = replace(LOIHI1, capacity=Capacity(learns=True))
    assert index_order(reach(5000), anything).cores == 1
    assert SynapseFormat(1, 0, 0, 1, 1, "one bit a synapse").bits(np.array([7])) == 7
