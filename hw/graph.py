"""What a chip is asked to run: groups of binary neurons and the synapses between them, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Node:
    """A group of neurons that spike 0 or 1.

    Attributes:
        name: unique within its graph.
        size: number of neurons.
        external: driven from outside the chip; takes no place on a core.
    """

    name: str
    size: int
    external: bool = False

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"node {self.name!r}: size must be at least 1, got {self.size}")


@dataclass(frozen=True)
class Edge:
    """Synapses from one node to another, as a list.

    Attributes:
        source, target: names of nodes.
        pre, post: index of each synapse's neurons within their nodes, shape (m,), int.
        weight: efficacy of each synapse, shape (m,); a zero is still a synapse.
        plastic: the weights learn while the graph runs.
        delay: steps from a spike to its effect, at least 1.
    """

    source: str
    target: str
    pre: np.ndarray
    post: np.ndarray
    weight: np.ndarray
    plastic: bool = False
    delay: int = 1

    def __post_init__(self):
        where = f"edge {self.source}->{self.target}"
        shapes = [np.shape(a) for a in (self.pre, self.post, self.weight)]
        if len(set(shapes)) != 1 or len(shapes[0]) != 1:
            raise ValueError(f"{where}: pre, post, weight must be equal vectors, got {shapes}")
        for role, units in (("pre", self.pre), ("post", self.post)):
            if not np.issubdtype(units.dtype, np.integer):
                raise ValueError(f"{where}: {role} must be integers, got {units.dtype}")
        if not np.isfinite(self.weight).all():
            raise ValueError(f"{where}: weights must be finite, got {np.min(self.weight)}")
        if self.delay < 1:
            raise ValueError(f"{where}: delay must be at least 1 step, got {self.delay}")


class Synapses(NamedTuple):
    """All synapses of a graph, with neurons numbered through its nodes in their order."""

    pre: Int[np.ndarray, " m"]
    post: Int[np.ndarray, " m"]
    weight: Float[np.ndarray, " m"]
    plastic: Bool[np.ndarray, " m"]
    delay: Int[np.ndarray, " m"]


@dataclass(frozen=True)
class Graph:
    """Nodes and the edges between them; checked when built."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self):
        nodes = {node.name: node for node in self.nodes}
        if len(nodes) != len(self.nodes):
            raise ValueError(f"node names must differ, got {[n.name for n in self.nodes]}")
        for edge in self.edges:
            where = f"edge {edge.source}->{edge.target}"
            ends = ("source", edge.source, edge.pre), ("target", edge.target, edge.post)
            for role, name, units in ends:
                if name not in nodes:
                    raise ValueError(f"{where}: {role} must be one of {sorted(nodes)}")
                size = nodes[name].size
                if units.size and not 0 <= units.min() <= units.max() < size:
                    span = f"[{units.min()}, {units.max()}]"
                    raise ValueError(f"{where}: {role} index must lie in [0, {size}), got {span}")
            if nodes[edge.target].external:
                raise ValueError(f"{where}: target is external, nothing can reach it")

    @property
    def size(self) -> int:
        """Number of neurons, external ones included."""
        return sum(node.size for node in self.nodes)

    @cached_property
    def external(self) -> Bool[np.ndarray, " n"]:
        """Which neurons are driven from outside."""
        return np.repeat([n.external for n in self.nodes], [n.size for n in self.nodes])

    @cached_property
    def synapses(self) -> Synapses:
        """Every edge in one list, by global neuron index."""
        starts = np.cumsum([0, *(node.size for node in self.nodes)])
        first = {n.name: s for n, s in zip(self.nodes, starts[:-1], strict=True)}
        join = lambda parts, dtype: np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)
        return Synapses(
            join([edge.pre + first[edge.source] for edge in self.edges], np.int64),
            join([edge.post + first[edge.target] for edge in self.edges], np.int64),
            join([edge.weight for edge in self.edges], np.float64),
            join([np.full(edge.pre.size, edge.plastic) for edge in self.edges], np.bool_),
            join([np.full(edge.pre.size, edge.delay) for edge in self.edges], np.int64),
        )

    def flatten(self, raster: Mapping[str, np.ndarray]) -> Bool[np.ndarray, "steps n"]:
        """Spikes of all neurons in one array.

        Args:
            raster: by node name, spikes in {0, 1}, shape (steps, size).

        Raises:
            ValueError: naming the node whose spikes are missing, misshapen or not binary.
        """
        if set(raster) != {node.name for node in self.nodes}:
            names = [node.name for node in self.nodes]
            raise ValueError(f"raster must hold {names}, got {list(raster)}")
        steps = len(raster[self.nodes[0].name])
        for node in self.nodes:
            spikes = raster[node.name]
            if spikes.shape != (steps, node.size):
                expected = (steps, node.size)
                raise ValueError(f"raster of {node.name!r}: shape {expected}, got {spikes.shape}")
            if not np.isin(spikes, (0, 1)).all():
                raise ValueError(f"raster of {node.name!r}: spikes must be 0 or 1")
        return np.concatenate([raster[node.name] != 0 for node in self.nodes], axis=1)
