"""NeuroBench's metrics of a network's work, by its exact definitions, layer by layer and streaming.

Source: Yik et al. (2025), Nature Communications 16, 1545; definitions as in NeuroBench 2.3.0. Where
a definition surprises, it is kept, because figures are compared across papers by it.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Num

from hw.operators import Convolution, Linear
from hw.unroll import linear


class SynapticOperations(NamedTuple):
    """Operations of one connection layer in one call, summed over the samples of the call."""

    effective_macs: int
    effective_acs: int
    dense: int

    def __add__(self, other):
        return SynapticOperations(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING = SynapticOperations(0, 0, 0)


def synaptic_operations(
    layer: Linear | Convolution, inputs: Num[np.ndarray, "batch ..."]
) -> SynapticOperations:
    """Operations of one call of a layer on a batch.

    A multiply is effective where weight and input are both non-zero; biases do not count, and
    padding counts neither as effective nor as dense. The whole call counts as accumulates (AC) if
    every input in it is -1, 0 or 1, and as multiply-accumulates (MAC) otherwise.

    Args:
        layer: its weights and geometry.
        inputs: what it heard in this call, one sample a row.
    """
    links, _ = linear(layer, inputs.shape[1:])
    flat = inputs.reshape(len(inputs), -1)
    fan_out = np.bincount(links.pre, links.weight != 0, flat.shape[1])
    effective = int(np.sum((flat != 0) @ fan_out))
    dense = len(inputs) * links.pre.size
    if np.isin(flat, (-1, 0, 1)).all():
        return SynapticOperations(0, effective, dense)
    return SynapticOperations(effective, 0, dense)


def connection_sparsity(weights: Iterable[np.ndarray]) -> float:
    """Share of zeros among the weights of all layers, biases left out.

    Raises:
        ValueError: if there is no weight.
    """
    return _share((np.sum(w == 0), w.size) for w in weights)


def activation_sparsity(outputs: Iterable[np.ndarray]) -> float:
    """Share of zeros among the outputs of all neuron layers and steps, the output layer included.

    Raises:
        ValueError: if there is no output.
    """
    return _share((np.sum(out == 0), out.size) for out in outputs)


def footprint(arrays: Iterable[np.ndarray]) -> int:
    """Bytes of all parameters and buffers."""
    return sum(array.nbytes for array in arrays)


def membrane_updates(potentials: Num[np.ndarray, "steps batch n"]) -> float:
    """Changed potentials a sample: all of the first step, then those that differ from before.

    Args:
        potentials: after each step, of one layer.
    """
    steps, batch, n = potentials.shape
    first = batch * n if steps else 0
    return (first + int(np.sum(potentials[1:] != potentials[:-1]))) / batch


def _share(counts: Iterable[tuple]) -> float:
    zeros, size = map(sum, zip(*counts, strict=True)) if (counts := list(counts)) else (0, 0)
    if not size:
        raise ValueError("there is nothing whose sparsity could be told")
    return float(zeros / size)
