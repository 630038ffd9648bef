"""Codes that turn values into spikes and back."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

Values = Float[Array, " n"]
Trains = Float[Array, "steps n"]


class HalvingCode(eqx.Module):
    r"""Difference coding by signed spikes whose size halves within a cycle.

    A receiver keeps a trace c of a value g. In each of n substeps, with
    $\theta_k = \theta_0 2^{-k}$, the sender fires $s_k = \mathrm{sign}(g - c)$ if
    $|g - c| > \theta_k$ and stays silent otherwise; a spike moves the trace by
    $\theta_k s_k$. If $|g - c| \le 2 \theta_0$ before a cycle, then
    $|g - c| \le \theta_{n-1}$ after it: nothing that has not changed costs a spike.

    Attributes:
        largest: $\theta_0$, in units of the value.
        halvings: n, substeps a cycle.

    Source: the successive-approximation schedule of DiffPC (ICLR 2026), theorem 4.1.
    """

    largest: float
    halvings: int = eqx.field(static=True)

    def __check_init__(self):
        if not self.largest > 0:
            raise ValueError(f"largest must be positive, got {self.largest}")
        if self.halvings < 1:
            raise ValueError(f"halvings must be at least 1, got {self.halvings}")

    @property
    def sizes(self) -> Float[Array, " n"]:
        """Spike sizes of one cycle, largest first, shape (n,)."""
        return self.largest * 0.5 ** jnp.arange(self.halvings)

    def cycle(
        self, value: Float[Array, " d"], trace: Float[Array, " d"]
    ) -> tuple[Float[Array, " d"], Float[Array, "n d"]]:
        """One cycle towards a held value: the new trace, and spikes in {-1, 0, 1}, (n, d)."""
        spikes = []
        for size in self.sizes:
            gap = value - trace
            spike = jnp.sign(gap) * (jnp.abs(gap) > size)
            trace = trace + size * spike
            spikes.append(spike)
        return trace, jnp.stack(spikes)


def poisson_code(rates: Values, steps: int, *, key: PRNGKeyArray) -> Trains:
    """Independent spikes: rates are expected spikes a step, in [0, 1]."""
    return (jax.random.uniform(key, (steps, *rates.shape)) < rates[None]).astype(rates.dtype)


def rate_decode(trains: Trains) -> Values:
    """Spikes a step: the inverse of `poisson_code` in the mean."""
    return jnp.mean(trains, axis=0)


def latency_code(values: Values, steps: int) -> Trains:
    """One spike each, the earlier the larger the value in [0, 1]: 1 at once, 0 in the last step."""
    when = jnp.rint((1 - jnp.clip(values, 0, 1)) * (steps - 1)).astype(int)
    return (jnp.arange(steps)[:, None] == when[None, :]).astype(values.dtype)


def first_spike(trains: Trains) -> Int[Array, " n"]:
    """Step of the first spike; the number of steps where there is none."""
    return jnp.where(jnp.any(trains > 0, axis=0), jnp.argmax(trains > 0, axis=0), trains.shape[0])


def latency_decode(trains: Trains) -> Values:
    """The inverse of `latency_code` to half a step; a silent train is 0."""
    last = trains.shape[0] - 1
    return jnp.clip(1 - first_spike(trains) / last, 0, 1)


def rank_order_code(values: Values) -> Trains:
    """One spike a step, the largest value first: n steps carry the order and nothing else."""
    return jnp.eye(values.shape[0], dtype=values.dtype)[jnp.argsort(-values)]


def phase_code(values: Values, bits: int) -> Trains:
    """The binary digits of values in [0, 1), the heaviest first; a spike in phase k is 2^-(k+1).

    Source: Kim et al. (2018), Neurocomputing 311:373, weighted spikes.
    """
    whole = jnp.floor(jnp.clip(values, 0, 1 - 2.0**-bits) * 2.0**bits).astype(jnp.int32)
    places = jnp.arange(bits - 1, -1, -1)
    return ((whole[None, :] >> places[:, None]) & 1).astype(values.dtype)


def phase_decode(trains: Trains) -> Values:
    """The inverse of `phase_code`, to less than 2^-bits."""
    return 0.5 ** jnp.arange(1, trains.shape[0] + 1, dtype=trains.dtype) @ trains


def burst_code(values: Values, most: int, steps: int) -> Trains:
    """A burst from the start: ceil(most x value) spikes for a value in [0, 1], evenly spread.

    The more there are, the closer they stand.

    Source: the number is Guo et al. (2021), Front. Neurosci. 15:638474, burst coding.
    """
    number = jnp.ceil(jnp.clip(values, 0, 1) * most)
    gap = jnp.maximum(1, jnp.floor(steps / jnp.maximum(number, 1)))
    step = jnp.arange(steps)[:, None]
    at = (step % gap[None, :] == 0) & (step // gap[None, :] < number[None, :])
    return at.astype(values.dtype)


def delta_code(signal: Trains, threshold: float) -> Trains:
    """Spikes of +1 and -1 whenever a signal has moved by a threshold since the last; from 0.

    What `delta_decode` makes of them follows the signal within the threshold, as long as it moves
    by less than the threshold a step.
    """

    def step(known, now):
        gap = now - known
        spikes = jnp.sign(gap) * (jnp.abs(gap) >= threshold)
        return known + threshold * spikes, spikes

    return jax.lax.scan(step, jnp.zeros_like(signal[0]), signal)[1]


def delta_decode(trains: Trains, threshold: float) -> Trains:
    """The running sum of spikes, each a threshold large."""
    return threshold * jnp.cumsum(trains, axis=0)


class PopulationCode(eqx.Module):
    """Gaussian receptive fields: a value as the activity of units that each prefer one.

    Attributes:
        centres: preferred values, shape (n,).
        width: deviation of the fields.
    """

    centres: Float[Array, " n"]
    width: float

    def __check_init__(self):
        if not self.width > 0:
            raise ValueError(f"width must be positive, got {self.width}")

    def encode(self, value: Float[Array, ""]) -> Values:
        """Activity of each unit, at most 1."""
        return jnp.exp(-0.5 * ((value - self.centres) / self.width) ** 2)

    def decode(self, activity: Values) -> Float[Array, ""]:
        """The population vector: preferred values averaged by activity."""
        return activity @ self.centres / jnp.sum(activity)
