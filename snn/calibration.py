"""Least-squares correction of spiking projections on unlabelled sentences, layer by layer."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from snn.projections import Sent
from snn.quantised import FloatWeights, GroupedWeights
from snn.transformer import Encoder, EncoderLayer, LayerSent

Hidden = Float[Array, "sentences tokens width"]
Matrix = Float[Array, "outputs inputs"]


def least_squares(
    encoder: Encoder,
    spikes: Encoder,
    ids: Int[Array, "sentences tokens"],
    mask: Bool[Array, "sentences tokens"],
    *,
    ridge: float,
    weights: Callable[[Matrix], FloatWeights | GroupedWeights] = FloatWeights,
) -> Encoder:
    r"""Weights that make of the spikes what the float twin makes of its own values.

    One projection after another, with those before it already corrected, gets the weights W' and
    bias b' that minimise $\sum_t |W' s_t + b' - y_t|^2 + \lambda |W' - W|^2$: s are the values that
    spikes say, y the float twin's outputs on the same tokens, W the weights before, and
    $\lambda$ = `ridge` times the mean square of an input, summed over the tokens.
    No labels, no gradients.

    Args:
        encoder: the float twin.
        spikes: the same, converted with `FloatWeights`.
        ids: sentences to fit on, of more tokens than a projection has inputs.
        mask: where they have tokens.
        ridge: how strongly to hold on to the weights.
        weights: what to make of corrected weights.
    """
    x = jax.vmap(encoder.embed)(ids)
    y, layers = x, ()
    for exact, layer in zip(encoder.layers, spikes.layers, strict=True):
        x, told = _run(exact, x, mask)
        for site in LayerSent._fields:
            heard = getattr(_run(layer, y, mask)[1], site)
            linear, projection = getattr(exact, site), getattr(layer, site)
            wanted = jax.vmap(lambda v, f=linear: f(v)[0])(getattr(told, site).counts)
            weight, bias = _fit(projection, heard, wanted, mask, ridge)
            new = FloatWeights(weight)
            layer = _replace(layer, site, new, bias)
        y = _run(layer, y, mask)[0]
        for site in LayerSent._fields:
            projection = getattr(layer, site)
            layer = _replace(layer, site, weights(projection.weights.weight), projection.bias)
        layers += (layer,)
    return eqx.tree_at(lambda e: e.layers, spikes, layers)


def _run(layer: EncoderLayer, x: Hidden, mask) -> tuple[Hidden, LayerSent]:
    return eqx.filter_vmap(layer)(x, mask)


def _fit(projection, heard: Sent, wanted, mask, ridge: float):
    """Ridge regression of what is missing; padded tokens are rows of zeros, which say nothing."""
    here = mask.reshape(-1, 1).astype(wanted.dtype)
    values = (heard.counts * heard.threshold[..., None]).reshape(len(here), -1)
    before = projection.weights.weight
    residual = wanted.reshape(len(here), -1) - values @ before.T - projection.bias[None]
    inputs = jnp.concatenate([values, jnp.ones_like(here)], axis=1) * here
    gram = inputs.T @ inputs
    hold = ridge * jnp.mean(jnp.diagonal(gram)[:-1]) * jnp.eye(len(gram), dtype=gram.dtype)
    change = jnp.linalg.solve(gram + hold, inputs.T @ residual)
    return before + change[:-1].T, projection.bias + change[-1]


def _replace(layer: EncoderLayer, site: str, weights, bias) -> EncoderLayer:
    where = lambda layer: (getattr(layer, site).weights, getattr(layer, site).bias)
    return eqx.tree_at(where, layer, (weights, bias))
