"""Neurons that send a token's values as counts of spikes, with a threshold of that token's own."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

Vector = Float[Array, " inputs"]
Counts = Int32[Array, " inputs"]
Threshold = Float[Array, ""]
SMALLEST, LARGEST = 1e-5, 1e4  # of a threshold, as SpikingBrain's code has it


class MeanThreshold(eqx.Module):
    r"""$V = \frac{1}{k} \, \mathrm{mean} |x|$ over the channels of one token.

    Attributes:
        k: spikes that a channel sends in the mean, about.

    Source: SpikingBrain (2025), arXiv:2509.05276, eq. 19.
    """

    k: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def __call__(self, x: Vector) -> Float[Array, ""]:
        """The threshold, in the unit of x."""
        return jnp.clip(jnp.mean(jnp.abs(x)) / self.k, SMALLEST, LARGEST)


class PeakThreshold(eqx.Module):
    r"""$V = \max |x| / c$, so that no count exceeds c.

    Attributes:
        counts: c; $2^T - 1$ fills T steps of a signed binary code.
    """

    counts: Float[Array, ""] = eqx.field(converter=jnp.asarray)

    def __call__(self, x: Vector) -> Float[Array, ""]:
        """The threshold, in the unit of x."""
        return jnp.clip(jnp.max(jnp.abs(x)) / self.counts, SMALLEST, LARGEST)


class AdaptiveNeuron(eqx.Module):
    r"""Sends of a token x the integers round(x / V), with a threshold V of that token alone.

    Attributes:
        threshold: V of one token's values, such as `MeanThreshold`.
        limit: largest absolute count; None for none.
    """

    threshold: Callable[[Vector], Threshold]
    limit: int | None = eqx.field(static=True, default=None)

    def __call__(self, x: Vector) -> tuple[Counts, Threshold]:
        """Counts, int32, and the threshold."""
        v = self.threshold(x)
        counts = jnp.round(x / v).astype(jnp.int32)
        return counts if self.limit is None else jnp.clip(counts, -self.limit, self.limit), v


class PowerNeuron(eqx.Module):
    """An `AdaptiveNeuron` that spikes once at most: of a count, the nearest power of two.

    Attributes:
        threshold: as there.
    """

    threshold: Callable[[Vector], Threshold]

    def __call__(self, x: Vector) -> tuple[Counts, Threshold]:
        """Counts, int32, and the threshold."""
        v = self.threshold(x)
        size = jnp.abs(x) / v
        power = jnp.exp2(jnp.round(jnp.log2(jnp.maximum(size, 0.5))))  # 0.5 is silent
        counts = jnp.sign(x) * jnp.where(power < 1, 0, power)
        return counts.astype(jnp.int32), v


class BurstNeuron(eqx.Module):
    """An `AdaptiveNeuron` whose limit binds all but some channels, which may burst.

    Attributes:
        inner: without a limit of its own.
        limit: largest absolute count of the other channels.
        free: channels without a limit.
    """

    inner: AdaptiveNeuron
    limit: int = eqx.field(static=True)
    free: Bool[Array, " inputs"]

    def __call__(self, x: Vector) -> tuple[Counts, Threshold]:
        """Counts, int32, and the threshold."""
        counts, v = self.inner(x)
        return jnp.where(self.free, counts, jnp.clip(counts, -self.limit, self.limit)), v


class FittedNeuron(eqx.Module):
    r"""Counts within a limit c, at the best of a few thresholds of that token.

    Of $V = s \max |x| / (c + 1/2)$ for each share s it takes the V with the least
    $\sum (x - V \, \mathrm{clip}(\mathrm{round}(x / V), -c, c))^2$: few channels reach the peak,
    and to clip them may cost less than to round the others coarsely.

    Attributes:
        limit: c.
        shares: s, of the peak.
    """

    limit: int = eqx.field(static=True)
    shares: tuple[float, ...] = eqx.field(static=True, default=(1.0, 0.93, 0.86, 0.79, 0.72, 0.65))

    def __call__(self, x: Vector) -> tuple[Counts, Threshold]:
        """Counts, int32, and the threshold."""
        peak = jnp.max(jnp.abs(x)) / (self.limit + 0.5)

        def trial(share):
            neuron = AdaptiveNeuron(lambda _: jnp.maximum(share * peak, SMALLEST), self.limit)
            counts, v = neuron(x)
            return jnp.sum((counts * v - x) ** 2), counts, v

        costs, counts, v = jax.vmap(trial)(jnp.asarray(self.shares))
        best = jnp.argmin(costs)
        return counts[best], v[best]
