"""Spikes of a step as packed bits: small to store and to delay, and nothing can overflow."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped, UInt32

BITS = 32

Words = UInt32[Array, " words"]


def pack(spikes: Shaped[Array, " n"]) -> Words:
    """Bit j of word i is set where neuron 32 i + j spikes, that is, is above zero."""
    n = spikes.shape[0]
    bits = jnp.pad(spikes > 0, (0, -n % BITS)).reshape(-1, BITS)
    weights = jnp.uint32(1) << jnp.arange(BITS, dtype=jnp.uint32)
    return jnp.sum(jnp.where(bits, weights, jnp.uint32(0)), axis=1, dtype=jnp.uint32)


def unpack(words: Words, n: int) -> Bool[Array, " n"]:
    """Who of n spikes."""
    lanes = jnp.arange(BITS, dtype=jnp.uint32)
    bits = (words[:, None] >> lanes[None, :]) & jnp.uint32(1)
    return bits.reshape(-1)[:n] > 0


def running_count(words: Words) -> Int[Array, " words"]:
    """Number of spikes up to and with each word; the last entry is their total."""
    return jnp.cumsum(jax.lax.population_count(words).astype(jnp.int32))


def nth(words: Words, counts: Int[Array, " words"], k: Int[Array, ""]) -> Int[Array, ""]:
    """Index of the spike of rank k, counted from 0, given `running_count(words)`.

    Two short vector passes, over the words and over the bits of one: an index list is never made.
    """
    at = jnp.sum(counts <= k).astype(jnp.int32)
    word = words[at]
    rank = k - (counts[at] - jax.lax.population_count(word).astype(jnp.int32))
    lanes = jnp.arange(BITS, dtype=jnp.uint32)
    below = word & ((jnp.uint32(2) << lanes) - jnp.uint32(1))  # bits up to and with each lane
    upto = jax.lax.population_count(below).astype(jnp.int32)
    return at * BITS + jnp.sum(upto <= rank).astype(jnp.int32)


def indices(words: Words, capacity: int, missing: int) -> Int[Array, " capacity"]:
    """Indices of the first `capacity` spikes in order; `missing` where there are fewer."""
    counts = running_count(words)
    ranks = jnp.arange(capacity, dtype=jnp.int32)
    found = jax.vmap(lambda k: nth(words, counts, k))(ranks)
    return jnp.where(ranks < counts[-1], found, missing)


def raster(words: UInt32[np.ndarray, "steps words"], n: int) -> Bool[np.ndarray, "steps n"]:
    """A recording as a matrix of who spiked when."""
    shifts = np.arange(BITS, dtype=np.uint32)
    bits = (np.asarray(words)[:, :, None] >> shifts) & np.uint32(1)
    return bits.reshape(len(words), -1)[:, :n].astype(bool)
