"""Predictive-coding networks: layers that each predict the next, under one energy."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from fep.free_energy import gaussian_energy

Vector = Float[Array, " _"]  # of any length


class Dense(eqx.Module):
    r"""The prediction $\hat z = W f(x) + b$ of one layer's values from the layer before it.

    Attributes:
        weight: W, shape (d_out, d_in).
        bias: b, shape (d_out,).
        activation: f, elementwise; the rate at which a value unit tells others of itself.
    """

    weight: Float[Array, "d_out d_in"]
    bias: Float[Array, " d_out"]
    activation: Callable = eqx.field(static=True)

    def __call__(self, x: Float[Array, " d_in"]) -> Float[Array, " d_out"]:
        """Predicted values, shape (d_out,)."""
        return self.weight @ self.activation(x) + self.bias


class PCState(NamedTuple):
    """What inference carries: the free value nodes, between the clamped ends."""

    activities: tuple[Vector, ...]  # one per hidden layer


class PCNetwork(eqx.Module):
    r"""A chain of Gaussian value nodes, both ends clamped, the middle free.

    With $z_0$ the input, $z_L$ the label and unit precisions its free energy is
    $F(z) = \sum_{l=1}^{L} \frac12 \lVert z_l - g_l(z_{l-1}) \rVert^2 + \frac{d_l}{2} \ln 2\pi$.

    Attributes:
        layers: $g_1 \dots g_L$, callables from one layer's values to the next's prediction.

    Source: Whittington & Bogacz (2017), Neural Comput. 29, with unit variances.
    """

    layers: tuple[eqx.Module, ...]

    def init(self, x: Vector) -> PCState:
        """Hidden values at their predictions: all hidden errors start at zero."""
        activities = ()
        for layer in self.layers[:-1]:
            x = layer(x)
            activities += (x,)
        return PCState(activities)

    def predict(self, x: Vector) -> Vector:
        """Prediction of the last node when nothing is clamped above: the feed-forward pass."""
        for layer in self.layers:
            x = layer(x)
        return x

    def energy(self, state: PCState, x: Vector, y: Vector) -> Float[Array, ""]:
        """Free energy in nats of hidden values `state` between input `x` and target `y`."""
        nodes = (x, *state.activities, y)
        pairs = zip(self.layers, nodes[:-1], nodes[1:], strict=True)
        return sum(gaussian_energy(z, g(u), jnp.zeros_like(z)) for g, u, z in pairs)


def multilayer(
    widths: tuple[int, ...],
    activation: Callable,
    *,
    key: PRNGKeyArray,
) -> PCNetwork:
    r"""A fully connected network, $W_{ij} \sim N(0, 1/d_{in})$ and zero biases.

    The first layer reads its input as it is; the later ones read f(value).

    Args:
        widths: units a layer, input first; at least two.
        activation: f of every value layer but the input.
        key: random key of the weights.

    Raises:
        ValueError: if `widths` has fewer than two entries or one below 1.

    Source: LeCun et al. (1998), Efficient BackProp, sec. 4.6, for the variance.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths must be at least two positive numbers, got {widths}")
    keys = jax.random.split(key, len(widths) - 1)
    layers = ()
    for i, (k, n_in, n_out) in enumerate(zip(keys, widths[:-1], widths[1:], strict=True)):
        weight = jax.random.normal(k, (n_out, n_in)) / n_in**0.5
        read = identity if i == 0 else activation
        layers += (Dense(weight, jnp.zeros(n_out), read),)
    return PCNetwork(layers)


def identity(x: Vector) -> Vector:
    """The activation of a clamped input: itself."""
    return x
