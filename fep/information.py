"""Entropies, divergences and mutual information of categorical, Gaussian and Dirichlet beliefs."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Natural logarithm, finite at zero: of max(x, smallest normal number of the type).

    With it $0 \ln 0 = 0$ and its slope is finite too, so zero probabilities need no branch.
    """
    return jnp.log(jnp.maximum(x, jnp.finfo(x.dtype).tiny))


def entropy(p: Float[Array, "... n"]) -> Float[Array, "..."]:
    r"""$H(p) = -\sum_i p_i \ln p_i$ in nats, over the last axis; zero probabilities add nothing."""
    return -jnp.sum(p * log(p), axis=-1)
