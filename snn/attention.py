"""How tokens attend to tokens: softmax, a sliding window, linear, and with operands that spike."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Heads = Float[Array, "heads tokens width"]
Allowed = Bool[Array, "queries keys"]  # where a query may look


class SoftmaxAttention(eqx.Module):
    r"""softmax($q k^T / \sqrt d$) v, exact and quadratic in the number of tokens."""

    def __call__(self, q: Heads, k: Heads, v: Heads, allowed: Allowed) -> Heads:
        """Contexts, one a query."""
        return self.weights(q, k, allowed) @ v

    @staticmethod
    def weights(q: Heads, k: Heads, allowed: Allowed) -> Float[Array, "heads queries keys"]:
        """Attention of each query, which sums to 1 over the keys."""
        scores = jnp.einsum("hqd,hkd->hqk", q, k) / q.shape[-1] ** 0.5
        return jax.nn.softmax(jnp.where(allowed[None], scores, -jnp.inf), axis=-1)


class SpikingAttention(eqx.Module):
    """Softmax attention whose products read spikes: q, k, v, and the attention weights too.

    Attributes:
        neuron: vector -> counts and threshold; a token and head is a vector.
    """

    neuron: Callable

    def __call__(self, q: Heads, k: Heads, v: Heads, allowed: Allowed) -> Heads:
        """Contexts, one a query."""
        weights = SoftmaxAttention.weights(self._sent(q), self._sent(k), allowed)
        return self._sent(weights) @ self._sent(v)

    def _sent(self, x: Heads) -> Heads:
        counts, threshold = jax.vmap(jax.vmap(self.neuron))(x)
        return counts * threshold[..., None]


class WindowAttention(eqx.Module):
    """Attention to tokens at most `width` away, the same at any length of text.

    On texts no longer than the window it is what it wraps, exactly. On longer ones a model that was
    trained without a window must learn to live with it: SpikingBrain trains on for 150 billion
    tokens.

    Attributes:
        inner: attention within the window.
        width: farthest distance.
    """

    inner: Callable
    width: int = eqx.field(static=True)

    def __check_init__(self):
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")

    def __call__(self, q: Heads, k: Heads, v: Heads, allowed: Allowed) -> Heads:
        """Contexts, one a query; the last query stands at the last key."""
        queries, keys = allowed.shape
        distance = jnp.arange(queries)[:, None] + keys - queries - jnp.arange(keys)[None]
        return self.inner(q, k, v, allowed & (jnp.abs(distance) <= self.width))


class LinearState(NamedTuple):
    """All that linear attention remembers of the tokens before."""

    memory: Float[Array, "heads width width"]  # sum of f(k) v'
    total: Float[Array, "heads width"]  # sum of f(k)


class LinearAttention(eqx.Module):
    r"""$f(q) \sum_j f(k_j) v_j^T / f(q) \sum_j f(k_j)$: a state of fixed size instead of a cache.

    Another function than softmax attention, not an approximation of it: put into a trained model
    without further training it breaks the model, as a test shows. What it buys is time on long
    texts, and no spikes are needed for that.

    Attributes:
        feature: f, never negative.

    Source: Katharopoulos et al. (2020), Transformers are RNNs, ICML.
    """

    feature: Callable = eqx.field(static=True, default=lambda x: jax.nn.elu(x) + 1)

    def __call__(self, q: Heads, k: Heads, v: Heads, allowed: Allowed) -> Heads:
        """Contexts, one a query, by the matrix form, which takes any pattern of `allowed`."""
        weights = jnp.einsum("hqd,hkd->hqk", self.feature(q), self.feature(k)) * allowed[None]
        return weights @ v / jnp.sum(weights, axis=-1, keepdims=True)

    def init(self, heads: int, width: int) -> LinearState:
        """Nothing seen yet."""
        return LinearState(jnp.zeros((heads, width, width)), jnp.zeros((heads, width)))

    def step(
        self, state: LinearState, qkv: Float[Array, "three heads width"]
    ) -> tuple[LinearState, Float[Array, "heads width"]]:
        """One more token of a causal text: the new state, and the token's context."""
        q, k, v = qkv
        q, k = self.feature(q), self.feature(k)
        state = LinearState(state.memory + k[:, :, None] * v[:, None, :], state.total + k)
        above = jnp.einsum("hd,hde->he", q, state.memory)
        return state, above / jnp.sum(q * state.total, axis=-1, keepdims=True)
