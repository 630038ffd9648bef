"""What inference moves: the free values themselves, or their prediction errors."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fep.predictive_coding.network import Clamped, PCState


class Chart(NamedTuple):
    """One sample's energy over some coordinates of its free values."""

    start: PCState
    energy: Callable[[PCState], Float[Array, ""]]  # nats, without normalisers
    decode: Callable[[PCState], PCState]  # coordinates -> values


Coordinates = Callable[[Clamped, PCState | None], Chart]  # the start; None is the feed-forward one


def states(clamped: Clamped, start: PCState | None) -> Chart:
    """The values themselves: each slope is local, so that spikes and chips can follow it."""
    start = clamped.init() if start is None else start
    return Chart(start, clamped.cost, lambda state: state)


def errors(clamped: Clamped, start: PCState | None) -> Chart:
    r"""The errors $\varepsilon = z - \mu(z)$: a step moves all layers at once.

    The Hessian is $\Pi + J^T \Lambda J$ plus the curvature of the outputs, with J the slope of the
    outputs: near the identity in all but as many directions as there are outputs.

    Raises:
        ValueError: if the network has a cycle of free nodes, or a free node whose energy does not
            depend on its error alone.

    Source: Goemaere et al. (2025), arXiv:2505.20137; Innocenti et al. (2024), arXiv:2408.11979,
    theorem 1, for the linear case.
    """
    network = clamped.network
    if network.cyclic:
        raise ValueError("error coordinates need a network without cycles; use states")
    for node in network.free:
        if not node.energy.is_location:
            kind = type(node.energy).__name__
            raise ValueError(f"free node {node.name!r}: {kind} has no error coordinate; use states")
    if start is None:  # known to be zero, which saves the passes that would find it
        start = jax.tree.map(jnp.zeros_like, clamped.init())
    else:
        start = clamped.encode(start)
    return Chart(start, clamped.error_cost, clamped.decode)
