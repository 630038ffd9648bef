"""Typed nodes that NIR lacks: the dense products that GPUs and NorthPole are made for."""

from dataclasses import dataclass

import numpy as np

from hw.operators import Operator, Shape


@dataclass(frozen=True, eq=False)
class MatMul(Operator):
    """Y = X W over tokens: weight of shape (d_in, d_out), input (tokens, d_in). Not in NIR."""

    weight: np.ndarray

    def output_shape(self, shape: Shape) -> Shape:
        """(tokens, d_out)."""
        if self.weight.ndim != 2 or len(shape) != 2:
            raise ValueError(f"MatMul takes two matrices, got {shape} and {self.weight.shape}")
        self.expect(shape, (shape[0], self.weight.shape[0]))
        return shape[0], self.weight.shape[1]

    def macs(self, shape: Shape) -> int:
        """A product of the weights for every token."""
        return shape[0] * self.weight.size


@dataclass(frozen=True, eq=False)
class Attention(Operator):
    """Self-attention of `heads` heads over tokens, input (tokens, width). Not in NIR.

    Attributes:
        query, key, value, out: projections, shape (width, width), applied from the right.
        heads: parts of the width that attend on their own.

    Source: Vaswani et al. (2017), Attention Is All You Need, section 3.2.
    """

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    out: np.ndarray
    heads: int = 1

    def __post_init__(self):
        super().__post_init__()
        shapes = {array.shape for array in self.arrays.values()}
        width = len(self.query)
        if shapes != {(width, width)}:
            raise ValueError(f"Attention: projections must be square and alike, got {shapes}")
        if self.heads < 1 or width % self.heads:
            raise ValueError(f"Attention: heads must divide width {width}, got {self.heads}")

    def output_shape(self, shape: Shape) -> Shape:
        """That of the input."""
        if len(shape) != 2:
            raise ValueError(f"Attention takes (tokens, width), got {shape}")
        self.expect(shape, (shape[0], len(self.query)))
        return shape

    def macs(self, shape: Shape) -> int:
        """Four projections, then scores and mixture of all pairs of tokens."""
        tokens, width = shape
        return 4 * tokens * width**2 + 2 * tokens**2 * width
