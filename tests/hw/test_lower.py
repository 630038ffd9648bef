"""Splitting signed units into ON and OFF neurons changes neither currents nor spike counts."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fep.predictive_coding.network import multilayer
from hw.lower import lower, lower_network, lower_raster, lower_rates
from snn.connectivity import Edges, rows
from snn.delivery import EventLoop
from snn.network import (
    Circuit,
    Group,
    Network,
    Pathway,
    Population,
    Projection,
    SpikeInput,
)
from snn.neurons import LIF
from snn.synapses import Delta


def random_circuit(rng):
    populations = tuple(
        Population(f"p{i}", int(rng.integers(1, 5)), signed=bool(rng.random() < 0.6))
        for i in range(3)
    )
    projections = ()
    for source in populations:
        for target in populations:
            joined = rng.random((source.size, target.size)) < 0.5
            pre, post = np.nonzero(joined)
            weights = rng.integers(-9, 10, pre.size)
            projections += (Projection(source.name, target.name, pre, post, weights),)
    raster = {
        p.name: rng.integers(-1 if p.signed else 0, 2, (4, p.size)).astype(np.int8)
        for p in populations
    }
    return Circuit(populations, projections), raster


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_on_gets_the_current_of_its_unit_and_off_the_negative(seed):
    circuit, raster = random_circuit(np.random.default_rng(seed))
    currents = {p.name: np.zeros((4, p.size)) for p in circuit.populations}
    for p in circuit.projections:
        for i, j, w in zip(p.pre, p.post, p.weights, strict=True):
            currents[p.target][:, j] += w * raster[p.source][:, i]
    graph, spikes = lower(circuit), lower_raster(circuit, raster)
    arrived = {node.name: np.zeros((4, node.size)) for node in graph.nodes}
    for e in graph.edges:
        for i, j, w in zip(e.pre, e.post, e.weight, strict=True):
            arrived[e.target][:, j] += w * spikes[e.source][:, i]
    for p in circuit.populations:  # integers: exact
        if p.signed:
            np.testing.assert_array_equal(arrived[p.name + "_on"], currents[p.name])
            np.testing.assert_array_equal(arrived[p.name + "_off"], -currents[p.name])
        else:
            np.testing.assert_array_equal(arrived[p.name], currents[p.name])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_spike_is_carried_by_the_half_of_its_sign(seed):
    circuit, raster = random_circuit(np.random.default_rng(seed))
    spikes = lower_raster(circuit, raster)
    for p in circuit.populations:
        off = spikes[p.name + "_off"] if p.signed else 0
        on = spikes[p.name + "_on"] if p.signed else spikes[p.name]
        np.testing.assert_array_equal(on - off, raster[p.name])
        np.testing.assert_array_equal(on + off, np.abs(raster[p.name]))


def test_synapses_multiply_by_the_halves_of_both_ends():
    sizes = {"s": True, "t": True, "u": False}
    populations = tuple(Population(name, 1, signed) for name, signed in sizes.items())
    one = np.zeros(1, int), np.zeros(1, int), np.ones(1)
    made = lambda a, b: len(lower(Circuit(populations, (Projection(a, b, *one),))).edges)
    assert (made("s", "t"), made("s", "u"), made("u", "s"), made("u", "u")) == (4, 2, 2, 1)


def test_an_impossible_spike_or_a_missing_population_is_refused():
    circuit = Circuit((Population("u", 2),), ())
    with pytest.raises(ValueError, match=r"'u' must be in \[0, 1\]"):
        lower_raster(circuit, {"u": np.array([[-1, 0]])})
    with pytest.raises(ValueError, match="lacks population 'u'"):
        lower_raster(circuit, {})


def test_a_rate_network_becomes_a_program_of_its_products():
    network = multilayer((5, 7, 3), jax.nn.relu, key=jax.random.key(0))
    program = lower_rates(network.layers)
    assert program.macs == 5 * 7 + 7 * 3
    assert program.shapes["output"] == (3,)
    np.testing.assert_array_equal(program.nodes["layer1"].weight, network.layers[1].weight)
    with pytest.raises(ValueError, match="'layer1': Affine takes input of shape"):
        lower_rates(network.layers[::-1])
    with pytest.raises(ValueError, match="at least one layer"):
        lower_rates(())


def test_a_network_becomes_a_graph_with_its_delays():
    edges = Edges(np.array([0, 0, 1]), np.array([2, 2, 0]), 2, 3)
    made = lambda **more: Network(
        {"in": SpikeInput(2), "a": Group(LIF(tau_mem=20e-3), 3, (Delta(tau_mem=20e-3),))},
        (Pathway("in", "a", EventLoop(rows(edges, np.array([1.0, 2.0, 4.0]), **more)),
                 delay=1 if more else 5),),
        dt=1e-3,
    )  # fmt: skip
    graph = lower_network(made())
    assert [(node.name, node.size, node.external) for node in graph.nodes] == (
        [("in", 2, True), ("a", 3, False)]
    )
    found = sorted(zip(*graph.synapses, strict=True))  # doubles are one synapse of their sum
    assert [tuple(map(float, row)) for row in found] == [(0, 4, 3, 0, 5), (1, 2, 4, 0, 5)]
    with pytest.raises(ValueError, match="pathway in->a: .* these synapses have their own"):
        lower_network(made(delays=np.array([1, 2, 3])))
