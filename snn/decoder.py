"""A small language model that decodes a stream: rotary positions, grouped queries, SwiGLU."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from snn.projections import Linear, Sent, SpikingLinear, Tokens

Projection = Linear | SpikingLinear
Cached = Float[Array, "keys longest width"]


class RMSNorm(eqx.Module):
    """x over the root of its mean square, times a gain a channel."""

    gain: Float[Array, " width"]
    epsilon: float = eqx.field(static=True)

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """The normalised vector."""
        return x / jnp.sqrt(jnp.mean(x**2) + self.epsilon) * self.gain


class BlockSent(NamedTuple):
    """What the four projections of a block were sent, one token."""

    query_key_value: Sent
    attention_output: Sent
    gate_up: Sent
    down: Sent


class Memory(NamedTuple):
    """Keys and values of the tokens so far, at their places."""

    keys: Cached
    values: Cached


class Block(eqx.Module):
    """Attention and a gated feed-forward part, each of a normalised copy and added.

    Attributes:
        query_key_value: three projections of the same input, one above the other.
        gate_up: both branches of SwiGLU likewise.
        heads: of queries.
        groups: of keys and values; each serves heads / groups heads.
        base: of the rotary angles.

    Source: Touvron et al. (2023), LLaMA, arXiv:2302.13971, with grouped queries.
    """

    attention_norm: RMSNorm
    query_key_value: Projection
    attention_output: Projection
    hidden_norm: RMSNorm
    gate_up: Projection
    down: Projection
    heads: int = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    base: float = eqx.field(static=True)

    def __call__(
        self, memory: Memory, x: Float[Array, " width"], place: Int[Array, ""]
    ) -> tuple[Memory, Float[Array, " width"], BlockSent]:
        """One token at its place: the longer memory, the token's next state, what was sent."""
        size = len(x) // self.heads
        qkv, sent_in = _one(self.query_key_value, self.attention_norm(x))
        q, k, v = jnp.split(qkv, [self.heads * size, (self.heads + self.groups) * size])
        q, k = (_turn(a.reshape(-1, size), place, self.base) for a in (q, k))
        memory = Memory(
            memory.keys.at[:, place].set(k), memory.values.at[:, place].set(v.reshape(-1, size))
        )
        q = q.reshape(self.groups, -1, size)
        scores = jnp.einsum("ghd,gtd->ght", q, memory.keys) / size**0.5
        seen = jnp.arange(memory.keys.shape[1]) <= place
        weights = jax.nn.softmax(jnp.where(seen[None, None], scores, -jnp.inf), axis=-1)
        context = jnp.einsum("ght,gtd->ghd", weights, memory.values).reshape(len(x))
        attended, sent_context = _one(self.attention_output, context)
        x = x + attended
        both, sent_x = _one(self.gate_up, self.hidden_norm(x))
        gate, up = jnp.split(both, 2)
        out, sent_hidden = _one(self.down, jax.nn.silu(gate) * up)
        return memory, x + out, BlockSent(sent_in, sent_context, sent_x, sent_hidden)


class DecoderState(NamedTuple):
    """A text under way."""

    memories: tuple[Memory, ...]
    place: Int[Array, ""]  # of the next token


class Predicted(NamedTuple):
    """What follows a token."""

    logits: Float[Array, " vocabulary"]
    sent: tuple[BlockSent, ...]


class Decoder(eqx.Module):
    """Tokens to the logits of the next one; embeddings serve at both ends.

    Attributes:
        words: embeddings by token.
        blocks: of the Transformer.
        norm: before the read-out.
        longest: places of a text.
    """

    words: Float[Array, "vocabulary width"]
    blocks: tuple[Block, ...]
    norm: RMSNorm
    longest: int = eqx.field(static=True)

    def init(self) -> DecoderState:
        """Nothing read yet."""
        size = self.words.shape[1] // self.blocks[0].heads
        empty = lambda block: jnp.zeros((block.groups, self.longest, size), self.words.dtype)
        memories = tuple(Memory(empty(block), empty(block)) for block in self.blocks)
        return DecoderState(memories, jnp.zeros((), jnp.int32))

    def step(self, state: DecoderState, token: Int[Array, ""]) -> tuple[DecoderState, Predicted]:
        """Read one token; beyond `longest` tokens nothing is remembered and logits are wrong."""
        x, memories, sent = self.words[token], (), ()
        for block, memory in zip(self.blocks, state.memories, strict=True):
            memory, x, told = block(memory, x, state.place)
            memories, sent = (*memories, memory), (*sent, told)
        logits = self.words @ self.norm(x)
        return DecoderState(memories, state.place + 1), Predicted(logits, sent)

    def __call__(self, tokens: Int[Array, " tokens"]) -> Predicted:
        """The predictions after each token of a text, with a leading time axis.

        Raises: ValueError if the text is longer than `longest`.
        """
        if len(tokens) > self.longest:
            raise ValueError(f"a text has {self.longest} tokens at most, got {len(tokens)}")
        return jax.lax.scan(lambda s, t: self.step(s, t), self.init(), tokens)[1]


def spiking(decoder: Decoder, convert: Callable[[Linear], Projection]) -> Decoder:
    """The decoder with every projection of every block converted."""
    linear = lambda node: isinstance(node, Linear)
    blocks = jax.tree.map(lambda n: convert(n) if linear(n) else n, decoder.blocks, is_leaf=linear)
    return eqx.tree_at(lambda d: d.blocks, decoder, blocks)


def _one(projection: Projection, x: Float[Array, " inputs"]) -> tuple[Array, Sent]:
    outputs, sent = projection(x[None])
    return outputs[0], jax.tree.map(lambda a: a[0], sent)


def _turn(x: Tokens, place: Int[Array, ""], base: float) -> Tokens:
    """Rotary positions: neighbouring channels as complex numbers, turned by place times angle."""
    size = x.shape[1]
    angle = place * base ** (-jnp.arange(0, size, 2) / size)
    even, odd = x[:, ::2], x[:, 1::2]
    cos, sin = jnp.cos(angle)[None], jnp.sin(angle)[None]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)
