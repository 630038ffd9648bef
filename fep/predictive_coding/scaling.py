"""Parametrisations of residual networks whose rates transfer across width and depth."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from fep.predictive_coding.energies import NodeEnergy
from fep.predictive_coding.network import PCNetwork, Vector, chain, identity


class Scaling(NamedTuple):
    """Gains in front of weights, and the deviation that weights are drawn with."""

    gains: tuple[float, float, float]  # of the input, hidden and output layers
    deviations: tuple[float, float, float]  # of their weights


def standard(inputs: int, width: int, depth: int) -> Scaling:
    """Gains of 1, variances of 1 / fan-in: He et al.'s practice without its factor 2.

    Args:
        inputs: units of the input.
        width: of hidden layers.
        depth: weight layers.

    Source: LeCun et al. (1998), Efficient BackProp, sec. 4.6.
    """
    return Scaling((1.0, 1.0, 1.0), (inputs**-0.5, width**-0.5, width**-0.5))


def depth_scaled(inputs: int, width: int, depth: int) -> Scaling:
    r"""As `standard`, with residual branches divided by $\sqrt{L}$.

    Source: Bordelon et al. (2024), ICLR, "Depthwise hyperparameter transfer in residual networks".
    """
    return standard(inputs, width, depth)._replace(gains=(1.0, depth**-0.5, 1.0))


def mu_pc(inputs: int, width: int, depth: int) -> Scaling:
    r"""Depth-mu-P for predictive coding: $1/\sqrt{D}$, $1/\sqrt{N L}$ and $1/N$ before N(0, 1).

    Source: Innocenti, Achour & Buckley (2025), NeurIPS, arXiv:2505.13124, table 1.
    """
    return Scaling((inputs**-0.5, (width * depth) ** -0.5, 1 / width), (1.0, 1.0, 1.0))


class Scaled(eqx.Module):
    r"""$\hat z = s z + a W f(z)$, with s 1 for a residual layer and 0 for a plain one.

    Attributes:
        weight: W, shape (d_out, d_in).
        gain: a.
        skip: s.
        activation: f.
    """

    weight: Float[Array, "d_out d_in"]
    gain: float = eqx.field(static=True)
    skip: float = eqx.field(static=True)
    activation: Callable = eqx.field(static=True)

    def __call__(self, x: Vector) -> Vector:
        """Predicted values."""
        branch = self.gain * (self.weight @ self.activation(x))
        return branch + self.skip * x if self.skip else branch


def residual_chain(
    sizes: tuple[int, int, int, int],
    activation: Callable,
    scaling: Callable[[int, int, int], Scaling],
    *,
    key: PRNGKeyArray,
    output: NodeEnergy | None = None,
) -> PCNetwork:
    """A chain of an input layer, residual hidden layers and an output layer.

    Args:
        sizes: units of the input, width, weight layers in all, units of the output.
        activation: f of every layer but the first.
        scaling: `standard`, `depth_scaled` or `mu_pc`.
        key: random key of the weights.
        output: energy of the last node, a unit Gaussian if None.

    Raises:
        ValueError: if there are fewer than two weight layers.
    """
    inputs, width, depth, outputs = sizes
    if depth < 2:
        raise ValueError(f"sizes must have at least two weight layers, got {depth}")
    gains, deviations = scaling(inputs, width, depth)
    keys = jax.random.split(key, depth)
    widths = [inputs, *[width] * (depth - 1), outputs]
    layers = ()
    for i, (k, n_in, n_out) in enumerate(zip(keys, widths[:-1], widths[1:], strict=True)):
        kind = 0 if i == 0 else 2 if i == depth - 1 else 1
        weight = deviations[kind] * jax.random.normal(k, (n_out, n_in))
        read = identity if i == 0 else activation
        layers += (Scaled(weight, gains[kind], float(kind == 1), read),)
    return chain(layers, output=output)
