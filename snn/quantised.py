"""Integer weights: on one grid while they learn, or in groups, and the sums that spikes make."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8, Int32


class OnGrid(NamedTuple):
    """Integers, and the step that each stands for: weight = codes x step."""

    codes: Int32[Array, "..."]
    step: Float[Array, ""]


def on_grid(weight: Float[Array, "..."], bits: int) -> OnGrid:
    r"""Signed integers of so many bits, with one step for all.

    $w = \mathrm{rint}(W / \sigma)$ with $\sigma = \max |W| / (2^{b-1} - 1)$, at least 2 bits. The
    largest weight takes the largest integer, so that what w and sigma stand for has the very same
    integers again, wherever it is quantised by this rule.
    """
    if bits < 2:
        raise ValueError(f"bits must be at least 2, the sign and one more, got {bits}")
    most = 2 ** (bits - 1) - 1
    step = jnp.max(jnp.abs(weight)) / most
    step = jnp.where(step > 0, step, 1.0)
    codes = jnp.clip(jnp.rint(weight / step), -most, most)
    return OnGrid(codes.astype(jnp.int32), step)


def straight_through(weight: Float[Array, "..."], bits: int) -> Float[Array, "..."]:
    """The weight on its grid; a gradient passes as if nothing had been rounded.

    Source: Bengio, Leonard & Courville (2013), arXiv:1308.3432, the straight-through estimator.
    """
    codes, step = on_grid(weight, bits)
    # the second term is 0, whatever it rounds to: the first stays a multiple of the step
    return jax.lax.stop_gradient(codes * step) + (weight - jax.lax.stop_gradient(weight))


class FloatWeights(eqx.Module):
    """Weights as they were trained, read by counts.

    Attributes:
        weight: W.
    """

    weight: Float[Array, "outputs inputs"]

    def __call__(self, counts: Int32[Array, "tokens inputs"]) -> Float[Array, "tokens outputs"]:
        """Outputs in the unit of the weights."""
        return counts.astype(self.weight.dtype) @ self.weight.T


class GroupedWeights(eqx.Module):
    r"""Symmetric integers with a scale for each output and group of inputs.

    $W_{oi} \approx \sigma_{g(i) o} \, w_{oi}$ with integer $|w| \le 2^{b-1} - 1$, and
    $\sigma_{go} = \max_{i \in g} |W_{oi}| / (2^{b-1} - 1)$.

    Attributes:
        codes: w, int8, shape (groups, inputs a group, outputs).
        scales: sigma, shape (groups, outputs).
    """

    codes: Int8[Array, "groups group outputs"]
    scales: Float[Array, "groups outputs"]

    @classmethod
    def of(
        cls, weight: Float[Array, "outputs inputs"], *, bits: int, group: int
    ) -> "GroupedWeights":
        """Round weights to so many bits; `group` must divide the inputs.

        Raises: ValueError naming the argument that cannot be.
        """
        outputs, inputs = weight.shape
        if not 2 <= bits <= 8:
            raise ValueError(f"bits must be 2 to 8, got {bits}")
        if inputs % group:
            raise ValueError(f"group must divide {inputs} inputs, got {group}")
        largest = 2 ** (bits - 1) - 1
        grouped = weight.T.reshape(-1, group, outputs)
        scales = jnp.max(jnp.abs(grouped), axis=1) / largest
        scales = jnp.where(scales > 0, scales, 1.0)
        return cls(jnp.round(grouped / scales[:, None]).astype(jnp.int8), scales)

    @property
    def weight(self) -> Float[Array, "outputs inputs"]:
        """The weights that the integers stand for."""
        groups, group, outputs = self.codes.shape
        return (self.codes * self.scales[:, None]).reshape(groups * group, outputs).T

    def accumulate(self, counts: Int32[Array, "tokens inputs"]) -> Int32[Array, "tokens g outputs"]:
        """Integer sums of each group, which `snn.spike_codes.accumulate` finds spike by spike."""
        groups, group, _ = self.codes.shape
        grouped = counts.reshape(-1, groups, group)
        return jnp.einsum("tgi,gio->tgo", grouped, self.codes.astype(jnp.int32))

    def __call__(self, counts: Int32[Array, "tokens inputs"]) -> Float[Array, "tokens outputs"]:
        """Outputs in the unit of the weights, scaled after the integers have been summed."""
        return jnp.einsum("tgo,go->to", self.accumulate(counts).astype(jnp.float32), self.scales)
