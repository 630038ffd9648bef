"""Neurons with too many targets become several that hear the same and spike alike."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from hw.graph import Edge, Graph, Node

GROWTH = 16  # a graph that grows by more cannot be split: each copy needs all inputs copied too


class Split(NamedTuple):
    """A graph whose neurons keep a limit, and the neuron of the old graph that each stands for."""

    graph: Graph
    origin: Int[np.ndarray, " n"]


def split_targets(graph: Graph, most: int) -> Split:
    """Copy neurons on the chip until none has more than `most` synapses onto others.

    A copy hears all that its original hears, with the same weights and delays, and so spikes when
    it does; each copy keeps a part of the targets. Sums of inputs cannot be split without loss in
    this way, so that a fan-in that is too large stays refused. The synapses onto a neuron are
    counted twice where it has two copies, on every bill too.

    Args:
        graph: of deterministic neurons.
        most: synapses from a neuron, at least 1.

    Raises:
        ValueError: if copies need copies without end, or synapses are plastic: copies would learn
            by parts of the targets.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    synapses, limit = graph.synapses, GROWTH * graph.size
    if synapses.plastic.any():
        raise ValueError("neurons with plastic synapses cannot be copied")
    node = np.repeat(np.arange(len(graph.nodes)), [n.size for n in graph.nodes])
    pre, post, weight, delay = synapses.pre, synapses.post, synapses.weight, synapses.delay
    origin = np.arange(graph.size)
    while True:
        targets = np.bincount(pre, minlength=origin.size) * ~graph.external[origin]
        over = np.flatnonzero(targets > most)
        if not over.size:
            break
        for neuron in over:
            mine = np.flatnonzero(pre == neuron)
            copies = -(-mine.size // most) - 1
            new = origin.size + np.arange(copies)
            if origin.size + copies > limit:
                raise ValueError(
                    f"targets cannot be split to {most}: more than {limit} neurons would be needed"
                )
            pre = pre.copy()
            pre[mine] = np.array([neuron, *new])[np.arange(mine.size) // most]
            heard = np.flatnonzero(post == neuron)
            again = np.tile(heard, copies)
            pre, weight, delay = (np.concatenate([a, a[again]]) for a in (pre, weight, delay))
            post = np.concatenate([post, np.repeat(new, heard.size)])
            origin = np.concatenate([origin, np.full(copies, origin[neuron])])
    return _rebuilt(graph, node, origin, (pre, post, weight, delay))


def _rebuilt(graph: Graph, node: np.ndarray, origin: np.ndarray, synapses: tuple) -> Split:
    """The graph with copies behind their originals' nodes, and a row of edges a delay."""
    order = np.argsort(node[origin], kind="stable")  # old neurons first, copies after, node by node
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    sizes = np.bincount(node[origin], minlength=len(graph.nodes))
    starts = np.cumsum([0, *sizes])
    pre, post, weight, delay = synapses
    pre, post = place[pre], place[post]
    of = lambda neurons: np.searchsorted(starts, neurons, side="right") - 1
    a, b = of(pre), of(post)
    edges = ()
    for source, target, steps in sorted(
        set(zip(a.tolist(), b.tolist(), delay.tolist(), strict=True))
    ):
        rows = (a == source) & (b == target) & (delay == steps)
        names = graph.nodes[source].name, graph.nodes[target].name
        ends = pre[rows] - starts[source], post[rows] - starts[target]
        edges += (Edge(*names, *ends, weight[rows], delay=steps),)
    nodes = tuple(
        Node(n.name, int(size), n.external) for n, size in zip(graph.nodes, sizes, strict=True)
    )
    return Split(Graph(nodes, edges), origin[order])
