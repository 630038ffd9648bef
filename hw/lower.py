"""Door to `snn`: circuits of signed units become graphs; rate networks become programs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from hw.graph import Edge, Graph, Node
from hw.operators import Affine, Input, Output
from hw.program import Program
from snn.network import Circuit, Network, Population

# sign, and suffix of the node that carries it
SIGNED = ((1, "_on"), (-1, "_off"))
PLAIN = ((1, ""),)


@runtime_checkable
class RateLayer(Protocol):
    """A layer of rates: weight of shape (d_out, d_in) and bias of shape (d_out,)."""

    weight: np.ndarray
    bias: np.ndarray


def lower_rates(layers: Sequence[RateLayer]) -> Program:
    """The program of a chain of rate layers, from the input on: what a dense machine computes.

    Activation functions are left out, which cost no multiply-accumulate.

    Raises:
        ValueError: naming the layer that does not meet the one before.
    """
    if not layers:
        raise ValueError("lower_rates needs at least one layer, got none")
    affine = [Affine(np.asarray(la.weight), np.asarray(la.bias)) for la in layers]
    nodes = {"input": Input(affine[0].weight.shape[1:])}
    nodes |= {f"layer{i}": node for i, node in enumerate(affine)}
    nodes["output"] = Output(affine[-1].weight.shape[:1])
    return Program(nodes, tuple(zip(list(nodes), list(nodes)[1:], strict=False)))


def lower(circuit: Circuit) -> Graph:
    """The graph of binary neurons that stands for a circuit.

    A signed unit becomes two neurons, ON for its spikes +1 and OFF for -1. A synapse of weight w
    between halves of sign s and s' has weight s s' w: four synapses where both ends are signed.
    So the current that arrives at ON is what the unit would get, and at OFF its negative.
    """
    halves = {p.name: _halves(p) for p in circuit.populations}
    nodes = tuple(
        Node(p.name + suffix, p.size, p.external)
        for p in circuit.populations
        for _, suffix in halves[p.name]
    )
    edges = tuple(
        Edge(
            p.source + from_half,
            p.target + to_half,
            np.asarray(p.pre),
            np.asarray(p.post),
            from_sign * to_sign * np.asarray(p.weights),
            p.plastic,
        )
        for p in circuit.projections
        for from_sign, from_half in halves[p.source]
        for to_sign, to_half in halves[p.target]
    )
    return Graph(nodes, edges)


def lower_network(network: Network) -> Graph:
    """The graph of a network of binary neurons, with the delays of its pathways.

    Synapses of one pair and pathway are one, of their summed weight; kinetics and reversal
    potentials are the neurons' own business.

    Raises:
        ValueError: where synapses of one pathway have delays of their own.
    """
    graph = lower(network.circuit())
    edges = ()
    for edge, pathway in zip(graph.edges, network.pathways, strict=True):
        rows = getattr(pathway.delivery, "rows", None)
        if getattr(rows, "delays", None) is not None:
            raise ValueError(
                f"pathway {pathway.source}->{pathway.target}: a circuit holds one delay a pathway, "
                "these synapses have their own"
            )
        edges += (replace(edge, delay=pathway.delay),)
    return Graph(graph.nodes, edges)


def lower_raster(circuit: Circuit, raster: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Spikes of the lowered graph: each signed train split by sign.

    Args:
        circuit: whose spikes they are.
        raster: by population, shape (steps, size), in {-1, 0, 1}; {0, 1} where not signed.

    Raises:
        ValueError: where a population is missing, or has a spike that it cannot emit.
    """
    lowered = {}
    for population in circuit.populations:
        if population.name not in raster:
            raise ValueError(f"raster lacks population {population.name!r}, got {list(raster)}")
        spikes = np.asarray(raster[population.name])
        allowed = [0, *(sign for sign, _ in _halves(population))]
        if not np.isin(spikes, allowed).all():
            raise ValueError(f"spikes of {population.name!r} must be in {sorted(allowed)}")
        for sign, suffix in _halves(population):
            lowered[population.name + suffix] = (spikes == sign).astype(np.int8)
    return lowered


def _halves(population: Population) -> tuple[tuple[int, str], ...]:
    return SIGNED if population.signed else PLAIN
