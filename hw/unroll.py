"""From programs to neurons and synapses: what lies between two neurons becomes one synapse."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

import hw.operators as op
from hw.graph import Edge, Graph, Node
from hw.program import Program


class Links(NamedTuple):
    """Weighted links as a list; at most one for a pair once `_merged`."""

    pre: Int[np.ndarray, " m"]
    post: Int[np.ndarray, " m"]
    weight: Float[np.ndarray, " m"]


class Unrolled(NamedTuple):
    """A program as neurons.

    Every synapse takes a step, and a Delay adds its own: a layer is heard one step after it spikes.
    """

    graph: Graph
    bias: dict[str, np.ndarray]  # constant input of each node's neurons, shape (size,)
    neurons: dict[str, op.Operator]  # what each node that is not external does


def unroll(program: Program, *, dt: float) -> Unrolled:
    """Neurons for all that remembers, and synapses for the linear operators between them.

    Args:
        program: of operators that spiking chips have; outputs may be potentials.
        dt: duration of a step in s, in which delays are counted.

    Raises:
        ValueError: naming an operator that is neither a neuron nor linear, or a neuron that hears
            something other than spikes.
    """
    flat, shapes = program.flat, program.flat.shapes
    is_neuron = {k: isinstance(n, op.I) for k, n in flat.nodes.items()}
    outer = {k for k, n in flat.nodes.items() if type(n) is op.Input and not flat.sources(k)}
    groups = tuple(k for k in flat.nodes if is_neuron[k] or k in outer)
    known: dict[str, tuple[tuple, np.ndarray]] = {}

    def heard(name: str) -> tuple[tuple, np.ndarray]:
        """What arrives at a node: parts (group, delay, links), and a constant."""
        parts, constant = (), np.zeros(_size(flat.input_shape(name)))
        for source in flat.sources(name):
            more, offset = said(source)
            parts, constant = parts + more, constant + offset
        return parts, constant

    def said(name: str) -> tuple[tuple, np.ndarray]:
        """What leaves a node."""
        if name in known:
            return known[name]
        node, size = flat.nodes[name], _size(shapes[name])
        if name in groups:
            each = np.arange(size)
            answer = ((name, 0, Links(each, each, np.ones(size))),), np.zeros(size)
        else:
            parts, constant = heard(name)
            if isinstance(node, op.Delay):
                steps = np.round(np.ravel(node.delay) / dt).astype(int)
                parts = tuple(p for part in parts for p in _delayed(part, steps))
            else:
                links, bias = linear(node, flat.input_shape(name))
                parts = tuple((g, d, _merged(compose(ls, links))) for g, d, ls in parts)
                moved = np.bincount(links.post, links.weight * constant[links.pre], size)
                constant = moved + bias
            answer = parts, constant
        known[name] = answer
        return answer

    edges, bias = (), {}
    for name in groups:
        if name in outer:
            continue
        parts, bias[name] = heard(name)
        for source, delay, links in parts:
            if not (source in outer or flat.nodes[source].spikes):
                kind = type(flat.nodes[source]).__name__
                raise ValueError(f"{name!r} hears {source!r}, a {kind}, which sends no spikes")
            edges += (Edge(source, name, *links, delay=delay + 1),)
    nodes = tuple(Node(k, _size(shapes[k]), external=k in outer) for k in groups)
    return Unrolled(Graph(nodes, edges), bias, {k: flat.nodes[k] for k in bias})


def linear(node: op.Operator, shape: op.Shape) -> tuple[Links, Float[np.ndarray, " out"]]:
    """Links and offset of an operator y = W x + b, over flattened input and output.

    Raises:
        ValueError: if it is not of that kind.
    """
    size, out = _size(shape), _size(node.output_shape(shape))
    zero = np.zeros(out)
    match node:
        case op.Input() | op.Flatten():
            return Links(np.arange(size), np.arange(size), np.ones(size)), zero
        case op.Linear():
            post, pre = np.indices(node.weight.shape)
            links = Links(pre.ravel(), post.ravel(), node.weight.ravel().astype(float))
            return links, np.asarray(getattr(node, "bias", zero), float)
        case op.Scale():
            return Links(np.arange(size), np.arange(size), np.ravel(node.scale).astype(float)), zero
        case op.Convolution():
            window = node.weight.shape[2:], node.stride, node.padding, node.dilation
            at = _windows(shape[1:], *window)
            return _convolution(node, at, _size(shape[1:])), np.repeat(node.bias, len(at)) + zero
        case op.SumPool2d():
            window = node.kernel_size, node.stride, node.padding, (1, 1)
            at = _windows(shape[1:], *window)
            area = at.shape[1] if isinstance(node, op.AvgPool2d) else 1
            return _pooling(shape[0], at, _size(shape[1:]), 1 / area), zero
    raise ValueError(f"{type(node).__name__} is neither a neuron nor linear")


def compose(first: Links, then: Links) -> Links:
    """Links through an intermediate layer: every pair that meets there."""
    order = np.argsort(then.pre, kind="stable")
    starts = np.searchsorted(then.pre[order], np.arange(max(first.post.max(initial=-1), -1) + 2))
    rows = np.diff(starts)[first.post]
    place = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows)
    second = order[np.repeat(starts[first.post], rows) + place]
    weight = np.repeat(first.weight, rows) * then.weight[second]
    return Links(np.repeat(first.pre, rows), then.post[second], weight)


def _merged(links: Links) -> Links:
    width = int(links.post.max(initial=0)) + 1
    pairs, which = np.unique(links.pre * width + links.post, return_inverse=True)
    return Links(*np.divmod(pairs, width), np.bincount(which, links.weight, pairs.size))


def _delayed(part: tuple, steps: Int[np.ndarray, " n"]) -> tuple:
    group, delay, links = part
    of = steps[links.post]
    return tuple(
        (group, delay + int(step), Links(*(a[of == step] for a in links))) for step in np.unique(of)
    )


def _windows(
    size: op.Shape, kernel: op.Shape, stride: op.Shape, padding: op.Shape, dilation: op.Shape
) -> Int[np.ndarray, "windows elements"]:
    """Index of each element of each window in the flattened axes, -1 in the padding."""
    counts = op.windows("window", size, kernel, stride, padding, dilation)
    starts = np.stack([a.ravel() for a in np.indices(counts)], 1) * stride - np.array(padding)
    steps = np.stack([a.ravel() for a in np.indices(kernel)], 1) * dilation
    place = starts[:, None] + steps
    inside = ((place >= 0) & (place < np.array(size))).all(2)
    return np.where(inside, np.ravel_multi_index(np.moveaxis(place % size, 2, 0), size), -1)


def _convolution(node: op.Convolution, at: np.ndarray, area: int) -> Links:
    out, each = node.weight.shape[:2]
    windows, elements = at.shape
    channel = np.arange(each) + (np.arange(out) // (out // node.groups) * each)[:, None]
    pre = channel[:, :, None, None] * area + at
    post = np.arange(out)[:, None, None, None] * windows + np.arange(windows)[:, None]
    weight = node.weight.reshape(out, each, 1, elements)
    full = out, each, windows, elements
    inside = np.broadcast_to(at >= 0, full)
    return Links(*(np.broadcast_to(a, full)[inside] for a in (pre, post, weight.astype(float))))


def _pooling(channels: int, at: np.ndarray, area: int, weight: float) -> Links:
    windows, elements = at.shape
    full, inside = (channels, windows, elements), np.broadcast_to(at >= 0, (channels, *at.shape))
    pre = np.arange(channels)[:, None, None] * area + at
    post = np.arange(channels)[:, None, None] * windows + np.arange(windows)[:, None]
    pre, post = (np.broadcast_to(a, full)[inside] for a in (pre, post))
    return Links(pre, post, np.full(pre.size, weight))


def _size(shape: op.Shape) -> int:
    return int(np.prod(shape, dtype=int))
