"""A Transformer encoder for sentences (BERT), and its conversion to spikes layer by layer."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from snn.projections import Linear, Sent, SpikingLinear, Tokens
from snn.quantised import FloatWeights, GroupedWeights
from snn.rotation import Hadamard

Projection = Linear | SpikingLinear
Matrix = Float[Array, "outputs inputs"]


class LayerSent(NamedTuple):
    """What the four projections of a layer were sent."""

    query_key_value: Sent  # one population that reaches three projections
    attention_output: Sent
    intermediate: Sent
    output: Sent


class EncoderLayer(eqx.Module):
    """Attention and a feed-forward block, each added to its input and normalised after.

    Attributes:
        query_key_value: three projections of the same input, one above the other.
        attention: (q, k, v, allowed) -> contexts, see `snn.attention`.
        heads: that attend side by side.

    Source: Devlin et al. (2019), BERT, NAACL; Vaswani et al. (2017).
    """

    query_key_value: Projection
    attention_output: Projection
    attention_norm: eqx.nn.LayerNorm
    intermediate: Projection
    output: Projection
    output_norm: eqx.nn.LayerNorm
    attention: Callable
    heads: int = eqx.field(static=True)

    def __call__(self, x: Tokens, mask: Bool[Array, " tokens"]) -> tuple[Tokens, LayerSent]:
        """The next hidden states of a sentence; keys outside `mask` are not attended to."""
        tokens, width = x.shape
        qkv, sent_qkv = self.query_key_value(x)
        split = qkv.reshape(tokens, 3, self.heads, width // self.heads)
        q, k, v = jnp.transpose(split, (1, 2, 0, 3))
        allowed = jnp.broadcast_to(mask, (tokens, tokens))
        context = self.attention(q, k, v, allowed).transpose(1, 0, 2).reshape(tokens, width)
        attended, sent_context = self.attention_output(context)
        x = jax.vmap(self.attention_norm)(x + attended)
        hidden, sent_x = self.intermediate(x)
        out, sent_hidden = self.output(jax.nn.gelu(hidden, approximate=False))
        x = jax.vmap(self.output_norm)(x + out)
        return x, LayerSent(sent_qkv, sent_context, sent_x, sent_hidden)


class Encoded(NamedTuple):
    """A sentence, and how it came about."""

    embedding: Float[Array, " width"]  # of length 1
    hidden: Float[Array, "layers+1 tokens width"]
    sent: tuple[LayerSent, ...]  # one a layer


class Encoder(eqx.Module):
    """Tokens to one vector: embeddings, layers, mean over the tokens, length 1.

    Attributes:
        words, positions, kind: embeddings by token, by place, and of the first segment.
        norm: of their sum.
        layers: of the Transformer.
    """

    words: Float[Array, "vocabulary width"]
    positions: Float[Array, "longest width"]
    kind: Float[Array, " width"]
    norm: eqx.nn.LayerNorm
    layers: tuple[EncoderLayer, ...]

    def embed(self, ids: Int[Array, " tokens"]) -> Tokens:
        """The hidden states before the first layer."""
        place = self.positions[: len(ids)]
        return jax.vmap(self.norm)(
            self.words[ids] + place + jnp.broadcast_to(self.kind, place.shape)
        )

    def __call__(self, ids: Int[Array, " tokens"], mask: Bool[Array, " tokens"]) -> Encoded:
        """Encode one sentence of token numbers; `mask` is true where there is a token."""
        hidden, sent = (self.embed(ids),), ()
        for layer in self.layers:
            x, told = layer(hidden[-1], mask)
            hidden += (x,)
            sent += (told,)
        pooled = jnp.sum(hidden[-1] * mask[:, None], axis=0) / jnp.sum(mask)
        return Encoded(pooled / jnp.linalg.norm(pooled), jnp.stack(hidden), sent)


def spiking(
    encoder: Encoder, convert: Callable[[Linear], Projection], attention: Callable | None = None
) -> Encoder:
    """The encoder with every projection of every layer converted: all 36 linear inputs of MiniLM.

    Embeddings, normalisation, softmax and GELU stay in floating point.

    Args:
        encoder: in floating point.
        convert: a projection's spiking twin, as `converter` makes it.
        attention: instead of the encoder's own, if given.
    """
    linear = lambda node: isinstance(node, Linear)
    layers = jax.tree.map(lambda n: convert(n) if linear(n) else n, encoder.layers, is_leaf=linear)
    if attention is not None:
        where = lambda layers: [layer.attention for layer in layers]
        layers = eqx.tree_at(where, layers, [attention] * len(layers))
    return eqx.tree_at(lambda e: e.layers, encoder, layers)


def converter(
    neuron: Callable,
    weights: Callable[
        [Float[Array, "outputs inputs"]], FloatWeights | GroupedWeights
    ] = FloatWeights,
    rotation: Callable[[int], Hadamard] | None = None,
) -> Callable[[Linear], SpikingLinear]:
    """Projections to spikes, training-free.

    Args:
        neuron: vector -> counts and threshold, see `snn.adaptive_neurons`.
        weights: what to make of the trained weights.
        rotation: number of inputs -> rotation, which is folded into the weights; None for none.
    """

    def convert(linear: Linear) -> SpikingLinear:
        turn = None if rotation is None else rotation(linear.weight.shape[1])
        weight = linear.weight if turn is None else turn.fold(linear.weight)
        return SpikingLinear(neuron, weights(weight), linear.bias, turn)

    return convert
