"""Linear maps between layers of tokens, and what travels on them: numbers, or counts of spikes."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from snn.quantised import FloatWeights, GroupedWeights
from snn.rotation import Hadamard

Tokens = Float[Array, "tokens features"]
Outputs = Float[Array, "tokens outputs"]


class Sent(NamedTuple):
    """What one layer told the next: token t sent `counts[t] * threshold[t]`."""

    counts: Num[Array, "tokens inputs"]  # net spikes; numbers as they are where nothing spikes
    threshold: Float[Array, " tokens"]

    @property
    def values(self) -> Float[Array, "tokens inputs"]:
        """The numbers that the counts stand for."""
        return self.counts * self.threshold[:, None]


class Linear(eqx.Module):
    """y = W x + b a token, in floating point: the twin of `SpikingLinear`."""

    weight: Float[Array, "outputs inputs"]
    bias: Float[Array, " outputs"] | None = None

    def __call__(self, x: Tokens) -> tuple[Outputs, Sent]:
        """Outputs, shape (tokens, outputs), and the input as it was sent."""
        y = x @ self.weight.T
        sent = Sent(x, jnp.ones(len(x), x.dtype))
        return y if self.bias is None else y + self.bias[None], sent


class SpikingLinear(eqx.Module):
    r"""y = V (W counts) + b a token: spikes from the threshold to the accumulator.

    What is between them is integers, if the weights are `GroupedWeights`.

    Attributes:
        neuron: vector -> counts and threshold V.
        weights: counts -> sums; they read the rotated input if there is a rotation.
        bias: b.
        rotation: before the neuron; None for none.
    """

    neuron: Callable
    weights: FloatWeights | GroupedWeights
    bias: Float[Array, " outputs"] | None = None
    rotation: Hadamard | None = None

    def __call__(self, x: Tokens) -> tuple[Outputs, Sent]:
        """Outputs, shape (tokens, outputs), and what was sent (rotated, if there is a rotation)."""
        turned = x if self.rotation is None else jax.vmap(self.rotation)(x)
        sent = Sent(*jax.vmap(self.neuron)(turned))
        y = self.weights(sent.counts) * sent.threshold[:, None]
        return y if self.bias is None else y + self.bias[None], sent
