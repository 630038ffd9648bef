"""Free-energy functionals, each stated once; everything above calls these."""

import chex
import jax.numpy as jnp
from jaxtyping import Array, Float


def gaussian_energy(
    value: Float[Array, " d"],
    prediction: Float[Array, " d"],
    log_precision: Float[Array, " d"],
) -> Float[Array, ""]:
    r"""Surprise of `value` under a diagonal Gaussian centred on `prediction`.

    $F = \frac12 \sum_i \pi_i \varepsilon_i^2 - \ln \pi_i + \ln 2\pi$, with
    $\varepsilon$ = value - prediction and $\ln \pi$ = log_precision.

    Args:
        value: observed or inferred, shape (d,), in data units u.
        prediction: its predicted mean, shape (d,), in u.
        log_precision: log of the inverse variance (1/u^2), shape (d,).

    Returns:
        Energy in nats, shape ().

    Raises:
        AssertionError: if the shapes differ (while tracing; free at run time).

    Source: Bogacz (2017), J. Math. Psychol. 76, eq. 7, negated, with its constant.
    """
    chex.assert_equal_shape([value, prediction, log_precision])
    error = value - prediction
    terms = jnp.exp(log_precision) * error**2 - log_precision + jnp.log(2 * jnp.pi)
    return 0.5 * jnp.sum(terms)
