"""Placement by traffic saves messages, keeps every limit, and is never worse than index order."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.cost import price, totals
from hw.datasheets import LOIHI1_SANAFE, TRUENORTH
from hw.events import Activity, Counter, tally
from hw.graph import Edge, Graph, Node
from hw.mapping import Infeasible, Placement, check, index_order
from hw.operators import Conv2d
from hw.placement import bottleneck_seconds, by_traffic, message_energy
from hw.platforms import Mesh
from hw.unroll import linear

MESSAGES = ("axon_out", "axon_in", "hop_east", "hop_west", "hop_north", "hop_south")


def joined(n, pre, post):
    pre, post = np.divmod(np.unique(pre * n + post), n)
    return Graph((Node("a", n),), (Edge("a", "a", pre, post, np.ones(pre.size)),))


def modular(n, modules, fan_out, *, inside, seed):
    """Modules that mostly talk to themselves, with their neurons numbered in no order."""
    rng = np.random.default_rng(seed)
    name, size = rng.permutation(n), n // modules
    pre = np.repeat(np.arange(n), fan_out)
    own = pre // size * size + rng.integers(0, size, pre.size)
    other = rng.integers(0, n, pre.size)
    post = np.where(rng.random(pre.size) < inside, own, other)
    return joined(n, name[pre], name[post])


@pytest.mark.slow
def test_messages_of_a_modular_network_cost_a_third_less_than_in_index_order():
    graph, rates = modular(4096, 16, 32, inside=0.9, seed=0), np.ones(4096)
    placement = by_traffic(graph, LOIHI1_SANAFE)
    check(graph, placement, LOIHI1_SANAFE)
    baseline = index_order(graph, LOIHI1_SANAFE)
    energy = [message_energy(graph, p, LOIHI1_SANAFE, rates) for p in (placement, baseline)]
    assert energy[0] <= 0.7 * energy[1]


# cores of eight neurons, so that a small network needs several
SMALL = replace(
    LOIHI1_SANAFE,
    mesh=Mesh(4, 3, 2),
    capacity=replace(
        LOIHI1_SANAFE.capacity,
        neurons=replace(LOIHI1_SANAFE.capacity.neurons, value=8),
        input_axons=replace(LOIHI1_SANAFE.capacity.input_axons, value=20),
        output_axons=replace(LOIHI1_SANAFE.capacity.output_axons, value=30),
    ),
)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_placement_keeps_all_limits_and_never_costs_more_than_index_order(seed, n):
    rng = np.random.default_rng(seed)
    graph = joined(n, *rng.integers(0, n, (2, 3 * n)))
    rates = rng.random(n)
    try:
        baseline = message_energy(graph, index_order(graph, SMALL), SMALL, rates)
    except Infeasible:
        baseline = np.inf
    try:
        placement = by_traffic(graph, SMALL, rates=rates)
    except Infeasible:
        assert baseline == np.inf
        return
    check(graph, placement, SMALL)
    assert message_energy(graph, placement, SMALL, rates) <= baseline


def test_message_energy_is_what_the_ledger_is_billed_for_messages():
    rng = np.random.default_rng(1)
    graph = joined(30, *rng.integers(0, 30, (2, 90)))
    placement = Placement(rng.integers(0, 24, 30))
    spikes = rng.random((9, 30)) < 0.5
    ledger = tally(Counter(graph, placement, SMALL.mesh), Activity(spikes, spikes))
    bill = price(totals(ledger), SMALL, duration_s=None)
    billed = sum(item.joules for item in bill.items if item.term in MESSAGES)
    energy = message_energy(graph, placement, SMALL, spikes.sum(axis=0) * 1.0)
    assert energy == pytest.approx(billed, rel=1e-12)


def test_axons_that_overflow_a_full_core_are_spread_over_more_cores():
    ring = joined(8, np.arange(8).repeat(3), (np.arange(24) // 3 + 1 + np.arange(24) % 3) % 8)
    chip = replace(
        SMALL,
        capacity=replace(
            SMALL.capacity,
            neurons=replace(SMALL.capacity.neurons, value=4),
            output_axons=replace(SMALL.capacity.output_axons, value=5),
        ),
    )
    assert index_order(ring, chip).cores == 4  # two neurons a core


@pytest.mark.slow
def test_messages_of_a_convolutional_network_cost_a_third_less_than_in_index_order():
    """Neurons by channel, row and column, as SANA-FE has them, so that order scatters them."""
    shape, nodes, edges = (2, 12, 12), [Node("layer0", 288)], []
    for channels in (8, 16):
        layer = Conv2d(
            np.ones((channels, shape[0], 3, 3)), np.zeros(channels), (1, 1), (0, 0), (1, 1)
        )
        links, _ = linear(layer, shape)
        shape = layer.output_shape(shape)
        nodes.append(Node(f"layer{len(nodes)}", int(np.prod(shape))))
        edges.append(Edge(nodes[-2].name, nodes[-1].name, *links))
    graph = Graph(tuple(nodes), tuple(edges))
    most = replace(LOIHI1_SANAFE.capacity.neurons, value=128)
    chip = replace(LOIHI1_SANAFE, capacity=replace(LOIHI1_SANAFE.capacity, neurons=most))
    energy = [
        message_energy(graph, place(graph, chip), chip, np.ones(graph.size))
        for place in (by_traffic, index_order)
    ]
    assert energy[0] <= 0.7 * energy[1]


def test_the_busiest_core_is_the_simple_clock_without_its_barrier():
    graph, rates = joined(30, *np.random.default_rng(2).integers(0, 30, (2, 90))), np.ones(30)
    placement = Placement(np.arange(30) % 5)
    everyone = np.ones((1, 30), bool)
    ledger = tally(Counter(graph, placement, SMALL.mesh), Activity(everyone, everyone))
    expected = SMALL.clock.seconds(ledger, 1)[0] - SMALL.clock.barrier[1].value
    assert bottleneck_seconds(graph, placement, SMALL, rates) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="no serial clock"):
        bottleneck_seconds(graph, placement, TRUENORTH, rates)


@pytest.mark.slow
def test_the_objective_picks_among_what_the_search_finds():
    graph, rates = modular(64, 4, 6, inside=0.8, seed=1), np.ones(64)
    quick = by_traffic(graph, SMALL, objective=bottleneck_seconds)
    cheap = by_traffic(graph, SMALL)
    seconds = [bottleneck_seconds(graph, p, SMALL, rates) for p in (quick, cheap)]
    energy = [message_energy(graph, p, SMALL, rates) for p in (quick, cheap)]
    assert seconds[0] <= seconds[1]
    assert energy[1] <= energy[0]
    check(graph, quick, SMALL)
