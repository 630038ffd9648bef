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

    A cycle thus moves the trace by a whole number of its finest spikes, $\theta_{n-1}$, and the
    spikes are that number's digits. With a blur of b octaves the last b substeps stay silent.

    Attributes:
        largest: $\theta_0$, in units of the value.
        halvings: n, substeps a cycle.

    Source: the successive-approximation schedule of DiffPC (ICLR 2026), theorem 4.1.
    """

    largest: float | Float[Array, ""]
    halvings: int = eqx.field(static=True)

    def __check_init__(self):
        if isinstance(self.largest, float | int) and not self.largest > 0:
            raise ValueError(f"largest must be positive, got {self.largest}")
        if not 1 <= self.halvings <= 29:  # three times a cycle's largest number fits into int32
            raise ValueError(f"halvings must be 1 to 29, got {self.halvings}")

    @property
    def sizes(self) -> Float[Array, " n"]:
        """Spike sizes of one cycle, largest first, shape (n,)."""
        return self.largest * 0.5 ** jnp.arange(self.halvings)

    @property
    def finest(self) -> float | Float[Array, ""]:
        """Size of the smallest spike."""
        return self.largest * 0.5 ** (self.halvings - 1)

    @property
    def most(self) -> int:
        """Most that a cycle moves a trace by, in finest spikes."""
        return 2**self.halvings - 1

    def move(
        self, value: Float[Array, " d"], trace: Float[Array, " d"], blur: Int[Array, ""] | int = 0
    ) -> tuple[Float[Array, " d"], Int[Array, " d"]]:
        """One cycle towards a held value: the new trace, and its move in finest spikes."""
        blurred = jnp.ldexp(jnp.ones((), value.dtype), blur)  # exact, as exp2 is not
        gap, unit = value - trace, self.finest * blurred
        away = jnp.minimum(self.nearest(jnp.abs(gap) / unit), jnp.floor(self.most / blurred))
        whole = (jnp.sign(gap) * away * blurred).astype(jnp.int32)
        return trace + self.finest * whole.astype(value.dtype), whole

    def cycle(
        self, value: Float[Array, " d"], trace: Float[Array, " d"], blur: Int[Array, ""] | int = 0
    ) -> tuple[Float[Array, " d"], Float[Array, "n d"]]:
        """One cycle towards a held value: the new trace, and spikes in {-1, 0, 1}, (n, d)."""
        trace, whole = self.move(value, trace, blur)
        return trace, self.spell(whole).astype(value.dtype)

    def nearest(self, gap: Float[Array, " d"]) -> Float[Array, " d"]:
        """The whole number that spikes leave of a gap of 0 or more, in finest spikes."""
        return jnp.maximum(jnp.ceil(gap) - 1, 0)

    def spell(self, whole: Int[Array, " d"]) -> Int[Array, "n d"]:
        """The spikes in {-1, 0, 1} that say a whole number, largest first."""
        return jnp.sign(whole)[None] * self._places(jnp.abs(whole))

    def count(self, whole: Int[Array, " d"]) -> Int[Array, " d"]:
        """How many spikes say a whole number."""
        return jax.lax.population_count(jnp.abs(whole))

    def _places(self, bits: Int[Array, " d"]) -> Int[Array, "n d"]:
        places = jnp.arange(self.halvings - 1, -1, -1)[:, None]
        return (bits[None] >> places) & 1


class NonAdjacentCode(HalvingCode):
    r"""A halving code that rounds to the nearest, with a third of its substeps spent on spikes.

    The sender fires in substep k if $|g - c| > \tau_k \theta_k$, where $\tau_k \theta_k$ is half a
    finest spike more than the later substeps can say. A spike may overshoot and be taken back by a
    later one of the other sign, and never do two follow each other: the digits of the non-adjacent
    form. If $|g - c| \le \frac43 \theta_0$ (half a finest spike less) before a cycle, then
    $|g - c| \le \frac12 \theta_{n-1}$ after it.

    Source: Reitwiesner (1960), Adv. Comput. 1, 231-308, the signed-digit form of least weight;
    Prodinger (2000), Integers 0, A8, its digits from the bits of x and 3x.
    """

    @property
    def most(self) -> int:
        """Most that a cycle moves a trace by, in finest spikes: 101...01 or 101...10."""
        return 2 ** (self.halvings + 1) // 3

    def nearest(self, gap: Float[Array, " d"]) -> Float[Array, " d"]:
        """The nearest whole number, the smaller of two."""
        return jnp.ceil(gap - 0.5)

    def spell(self, whole: Int[Array, " d"]) -> Int[Array, "n d"]:
        """The spikes in {-1, 0, 1} that say a whole number, largest first."""
        x = jnp.abs(whole)
        more, less = (3 * x & ~x) >> 1, (x & ~(3 * x)) >> 1
        return jnp.sign(whole)[None] * (self._places(more) - self._places(less))

    def count(self, whole: Int[Array, " d"]) -> Int[Array, " d"]:
        """How many spikes say a whole number."""
        x = jnp.abs(whole)
        return jax.lax.population_count(3 * x ^ x)


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
