"""Networks of lava-dl's HDF5 files (NetX) as integer neurons and graphs."""

import os
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

import hw.operators as op
from hw.chip_neurons import LoihiCuba
from hw.emulate import Cores
from hw.graph import Edge, Graph, Node
from hw.hdf5 import ReadError, Tree, read_tree
from hw.unroll import linear

NEURON = {"iDecay": (0, 4096), "vDecay": (0, 4096), "vThMant": (1, 131_071)}


class Layer(NamedTuple):
    """One layer: its synapses, and the settings of its neurons."""

    synapses: op.Linear  # with whole weights
    current_decay: int
    voltage_decay: int
    v_mantissa: int


class LavaNetwork(NamedTuple):
    """Layers in a chain, each hearing the one before a step later."""

    layers: tuple[Layer, ...]

    @property
    def graph(self) -> Graph:
        """The input as external neurons, then a node a layer."""
        first = self.layers[0].synapses.weight.shape[1]
        nodes, edges = [Node("input", first, external=True)], []
        for i, layer in enumerate(self.layers):
            size, heard = layer.synapses.weight.shape
            links, _ = linear(layer.synapses, (heard,))
            edges.append(Edge(nodes[-1].name, f"layer{i}", *links))
            nodes.append(Node(f"layer{i}", size))
        return Graph(tuple(nodes), tuple(edges))

    @property
    def cores(self) -> Cores:
        """The network on Loihi's integer cores."""
        graph = self.graph
        of_layer = np.repeat(np.arange(len(graph.nodes)), [node.size for node in graph.nodes])
        setting = lambda name: _per_neuron([getattr(la, name) for la in self.layers], of_layer)
        neuron = LoihiCuba(*(setting(n) for n in ("current_decay", "voltage_decay", "v_mantissa")))
        return Cores(graph, neuron, graph.synapses.weight.astype(np.int64))


def read_lava(path: str | os.PathLike) -> LavaNetwork:
    """Read a network of dense layers of CUBA neurons.

    Raises:
        ReadError: whatever is wrong with the file, or a layer that is of another kind.
    """
    tree = read_tree(path)
    layers = tree.get("layer")
    if not isinstance(layers, dict) or not layers or not all(k.isdigit() for k in layers):
        raise ReadError(path, "/layer", "numbered layers", str(layers)[:60])
    made = []
    for number in sorted(layers, key=int):
        where, given = f"/layer/{number}", layers[number]
        refuse = lambda name, *said, where=where: ReadError(path, f"{where}/{name}", *said)
        kind = _text(given, "type", refuse)
        if kind in ("input", "flatten"):
            continue
        if kind != "dense":  # the axes of its convolutions are not documented
            raise refuse("type", "dense, flatten or input", repr(kind[:40]))
        weight = _whole(given, "weight", refuse)
        synapses = op.Linear(weight.reshape(len(weight), -1))
        made.append(Layer(synapses, *_neuron(given, refuse)))
    if not made:
        raise ReadError(path, "/layer", "a layer with synapses", "none")
    for i, (a, b) in enumerate(zip(made, made[1:], strict=False)):
        sent, heard = len(a.synapses.weight), b.synapses.weight.shape[1]
        if sent != heard:
            raise ReadError(path, f"/layer/{i + 1}", f"input of {sent}", f"{heard}")
    return LavaNetwork(tuple(made))


def _neuron(given: Tree, refuse) -> tuple[int, int, int]:
    settings = given.get("neuron")
    if not isinstance(settings, dict):
        raise refuse("neuron", "a group", "none")
    if (kind := _text(settings, "type", refuse)) != "CUBA":
        raise refuse("neuron/type", "CUBA", repr(kind[:40]))
    values = []
    for name, (least, most) in NEURON.items():
        number = _whole(settings, name, refuse)
        if number.size != 1 or not least <= number.item() <= most:
            raise refuse(f"neuron/{name}", f"a number in [{least}, {most}]", str(number)[:40])
        values.append(int(number.item()))
    return tuple(values)


def _whole(given: Tree, name: str, refuse) -> Int[np.ndarray, "..."]:
    values = given.get(name)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or not values.size:
        raise refuse(name, "numbers", "none")
    if not np.isfinite(values).all() or (values != np.rint(values)).any():
        raise refuse(name, "whole numbers", "others")
    if np.abs(values).max() > 2**20:
        raise refuse(name, "numbers up to 2^20", str(np.abs(values).max()))
    return values.astype(np.int64)


def _text(given: Tree, name: str, refuse) -> str:
    text = given.get(name) if isinstance(given, dict) else None
    if isinstance(text, np.ndarray) and text.dtype.kind == "U" and text.size == 1:
        text = str(text.item())
    if not isinstance(text, str):
        raise refuse(name, "text", "none")
    return text


def _per_neuron(values: list[int], of_layer: np.ndarray) -> Int[np.ndarray, " n"]:
    # the external neurons of the input take the settings of the first layer, and no part
    return np.array([values[0], *values], np.int32)[of_layer]
