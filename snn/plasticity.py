"""Local learning rules driven by spikes and the traces they leave."""

import chex
import jax.numpy as jnp
from jaxtyping import Array, Float


def pair_trace(
    pre_spikes: Float[Array, "*events pre"],
    pre_traces: Float[Array, "*events pre"],
    post_spikes: Float[Array, "*events post"],
    post_traces: Float[Array, "*events post"],
) -> Float[Array, "post pre"]:
    r"""Symmetric pair-trace plasticity, summed over events.

    $\Delta W_{ij} = \sum_t \bar y_i(t)\, s_j(t) + r_i(t)\, \bar x_j(t)$: a presynaptic spike of
    size s meets the postsynaptic trace, a postsynaptic spike of size r the presynaptic trace.
    Each synapse reads nothing but its own two ends. Traces that do not leak and are the running
    sums of their spikes telescope, so a run from rest deposits exactly
    $\bar y(\text{end})\, \bar x(\text{end})^T$ (product rule for step functions, where the two
    sides never spike in the same event).

    Unlike classical STDP the window is symmetric and does not decay.

    Args:
        pre_spikes: signed sizes of presynaptic spikes, shape (*events, pre); 0 is silence.
        pre_traces: presynaptic traces that postsynaptic spikes meet, shape (*events, pre).
        post_spikes: signed sizes of postsynaptic spikes, shape (*events, post).
        post_traces: postsynaptic traces that presynaptic spikes meet, shape (*events, post).

    Returns:
        Weight change, shape (post, pre), in units of (post size) x (pre size).

    Source: the trace form of O'Connor, Gavves & Welling (2017), arXiv:1706.04159, for
    difference-coded spikes.
    """
    chex.assert_equal_shape_prefix([pre_spikes, post_spikes], pre_spikes.ndim - 1)
    return jnp.einsum("...i,...j->ij", post_traces, pre_spikes) + jnp.einsum(
        "...i,...j->ij", post_spikes, pre_traces
    )
