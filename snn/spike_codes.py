"""Integer counts as trains of signed spikes, and integer synapses that read them by events."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Int8, Int32

Counts = Int[Array, "*shape"]
Integers = Int32[Array, "*shape"]
Digits = Int32[Array, "steps *shape"]
Planes = Int8[Array, "steps *shape"]  # spikes in {-1, 0, 1}, one plane a step


class SpikeCode(eqx.Module):
    r"""A count as `steps` planes of spikes $s_t \in \{-1, 0, 1\}$, the most significant first.

    $c = \sum_t r^{T-1-t} s_t$ with radix r, so that a receiver needs no place values:
    it starts from zero and does $c \leftarrow r c + s_t$ at every step.

    Attributes:
        steps: T, planes a count.
    """

    steps: int = eqx.field(static=True)
    radix: ClassVar[int] = 2

    def __check_init__(self):
        if not 1 <= self.steps <= self.longest:
            kind = type(self).__name__
            raise ValueError(f"steps of {kind} must be 1 to {self.longest}, got {self.steps}")

    @property
    def longest(self) -> int:
        """Most steps whose counts fit into int32 on the way."""
        return 29

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest count that `steps` planes can say."""
        raise NotImplementedError

    def encode(self, counts: Counts) -> Planes:
        """Planes of spikes, shape (steps, ...).

        Raises: a run-time error for a count beyond `limits`.
        """
        low, high = self.limits
        beyond = jnp.any((counts < low) | (counts > high))
        told = f"{type(self).__name__} of {self.steps} steps holds {low} to {high}: a count is not"
        return self._planes(eqx.error_if(counts.astype(jnp.int32), beyond, told)).astype(jnp.int8)

    def decode(self, planes: Planes) -> Integers:
        """The counts that planes of spikes say."""
        start = jnp.zeros(planes.shape[1:], jnp.int32)
        step = lambda count, spikes: (self.radix * count + spikes, None)
        return jax.lax.scan(step, start, planes)[0]

    def _planes(self, counts: Integers) -> Digits:
        raise NotImplementedError

    def _bits(self, counts: Integers) -> Digits:
        """Lowest `steps` bits of non-negative counts, the highest of them first."""
        places = jnp.arange(self.steps - 1, -1, -1).reshape(-1, *(1,) * counts.ndim)
        return (counts[None] >> places) & 1


class Unary(SpikeCode):
    """As many spikes as the count says, all of its sign, at the first steps of the window."""

    radix: ClassVar[int] = 1

    @property
    def longest(self) -> int:
        """Any window whose length is an int32."""
        return 2**31 - 1

    @property
    def limits(self) -> tuple[int, int]:
        """Plus and minus the number of steps."""
        return -self.steps, self.steps

    def _planes(self, counts):
        step = jnp.arange(self.steps).reshape(-1, *(1,) * counts.ndim)
        return jnp.sign(counts)[None] * (step < jnp.abs(counts)[None])


class SignedBinary(SpikeCode):
    """Bits of the absolute count, all spikes of its sign: SpikingBrain's bidirectional code."""

    @property
    def limits(self) -> tuple[int, int]:
        """Plus and minus 2^steps - 1."""
        return 1 - 2**self.steps, 2**self.steps - 1

    def _planes(self, counts):
        return jnp.sign(counts)[None] * self._bits(jnp.abs(counts))


class TwosComplement(SpikeCode):
    """Bits of the two's complement; the first, which counts negative, is an inhibitory spike."""

    @property
    def limits(self) -> tuple[int, int]:
        """-2^(steps-1) to 2^(steps-1) - 1."""
        return -(2 ** (self.steps - 1)), 2 ** (self.steps - 1) - 1

    def _planes(self, counts):
        return self._bits(counts & (2**self.steps - 1)).at[0].multiply(-1)


class NonAdjacentForm(SpikeCode):
    """Signed binary digits of which no two neighbours are non-zero: the fewest spikes there are.

    Source: Reitwiesner (1960), Binary arithmetic, Advances in Computers 1, 231-308; by way of
    c XOR 3c, whose bits are the non-zero digits.
    """

    @property
    def limits(self) -> tuple[int, int]:
        """Plus and minus the number with a one at every other place, from the first on."""
        largest = (2 ** (self.steps + 1) - 1) // 3
        return -largest, largest

    def _planes(self, counts):
        half = jnp.abs(counts) >> 1
        triple = jnp.abs(counts) + half
        digits = self._bits(triple & ~half) - self._bits(half & ~triple)
        return jnp.sign(counts)[None] * digits


def accumulate(
    weights: Int[Array, "inputs outputs"], planes: Int8[Array, "steps inputs"], radix: int
) -> Int32[Array, " outputs"]:
    r"""Integer synapses, bit-serial and event-driven: equal to `code.decode(planes) @ weights`.

    At each step every accumulator does $y \leftarrow r y$ once, and each input that spikes adds
    its row of weights to it, or takes it away. Silent inputs are never read; there is no product
    of a weight with anything.

    Args:
        weights: integers, a row an input.
        planes: spikes in {-1, 0, 1} as a `SpikeCode` of this radix makes them.
        radix: of that code.

    Returns: sums as int32, which wrap as int32 does.
    """
    rows = weights.astype(jnp.int32)

    def deliver(i, carry):
        total, active, spikes = carry
        row = rows[active[i]]
        return total + jnp.where(spikes[active[i]] > 0, row, -row), active, spikes

    def step(total, spikes):
        (active,) = jnp.nonzero(spikes, size=spikes.shape[0], fill_value=0)
        start = radix * total, active, spikes
        return jax.lax.fori_loop(0, jnp.count_nonzero(spikes), deliver, start)[0], None

    return jax.lax.scan(step, jnp.zeros(rows.shape[1], jnp.int32), planes)[0]
