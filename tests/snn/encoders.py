"""A small Transformer of random weights, for tests that need none that were trained."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp

from snn.attention import SoftmaxAttention
from snn.projections import Linear
from snn.transformer import Encoder, EncoderLayer

WIDTH, HIDDEN, HEADS, LAYERS = 24, 48, 3, 2
IDS = jnp.array([3, 1, 4, 1, 5, 9, 2, 0, 0])
MASK = jnp.arange(9) < 7


@eqx.filter_jit
def linear(outputs, inputs, key):
    kw, kb = jax.random.split(key)
    weight = jax.random.normal(kw, (outputs, inputs)) / inputs**0.5
    return Linear(weight, 0.1 * jax.random.normal(kb, (outputs,)))


def layer(key):
    a, b, c, d = jax.random.split(key, 4)
    return EncoderLayer(
        query_key_value=linear(3 * WIDTH, WIDTH, a),
        attention_output=linear(WIDTH, WIDTH, b),
        attention_norm=eqx.nn.LayerNorm(WIDTH),
        intermediate=linear(HIDDEN, WIDTH, c),
        output=linear(WIDTH, HIDDEN, d),
        output_norm=eqx.nn.LayerNorm(WIDTH),
        attention=SoftmaxAttention(),
        heads=HEADS,
    )


@cache
@eqx.filter_jit
def encoder(seed=0):
    words, positions, *keys = jax.random.split(jax.random.key(seed), 2 + LAYERS)
    return Encoder(
        words=jax.random.normal(words, (10, WIDTH)),
        positions=0.1 * jax.random.normal(positions, (16, WIDTH)),
        kind=jnp.zeros(WIDTH),
        norm=eqx.nn.LayerNorm(WIDTH),
        layers=tuple(map(layer, keys)),
    )
