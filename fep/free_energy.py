"""Free-energy functionals, each stated once; everything above calls these."""

import chex
import jax
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
    return gaussian_cost(value, prediction, log_precision) + gaussian_normaliser(log_precision)


def gaussian_cost(
    value: Float[Array, " d"],
    prediction: Float[Array, " d"],
    log_precision: Float[Array, " d"],
) -> Float[Array, ""]:
    r"""The part of `gaussian_energy` that errors cost, $\frac12 \sum_i \pi_i \varepsilon_i^2$.

    Alone it keeps the digits that hundreds of constant $\frac12 \ln 2 \pi$ would round away when a
    solver compares energies in float32. Arguments and errors are those of `gaussian_energy`.
    """
    chex.assert_equal_shape([value, prediction, log_precision])
    return 0.5 * jnp.sum(jnp.exp(log_precision) * (value - prediction) ** 2)


def gaussian_normaliser(log_precision: Float[Array, " d"]) -> Float[Array, ""]:
    r"""The rest of `gaussian_energy`, $\frac12 \sum_i \ln 2 \pi - \ln \pi_i$, in nats."""
    return 0.5 * jnp.sum(jnp.log(2 * jnp.pi) - log_precision)


def laplace_energy(
    value: Float[Array, " d"], prediction: Float[Array, " d"], scale: float
) -> Float[Array, ""]:
    r"""Surprise of `value` under Laplace distributions around `prediction`, less its normaliser.

    $F = \sum_i |\varepsilon_i| / b$; a distribution has $\ln 2 b$ a unit besides.

    Args:
        value: observed or inferred, shape (d,), in data units u.
        prediction: its predicted median, shape (d,), in u.
        scale: b, mean absolute deviation, in u.

    Returns:
        Energy in nats without the constant that normalises it, shape ().

    Raises:
        AssertionError: if the shapes differ.

    Source: Olshausen & Field (1996), Nature 381, the sparseness cost |x|.
    """
    chex.assert_equal_shape([value, prediction])
    return jnp.sum(jnp.abs(value - prediction)) / scale


def huber_energy(
    value: Float[Array, " d"], prediction: Float[Array, " d"], threshold: float
) -> Float[Array, ""]:
    r"""Huber's energy: a Gaussian's about its mean, a Laplace's in the tails.

    $F = \sum_i \frac12 \varepsilon_i^2$ up to a threshold d, $d |\varepsilon_i| - d^2 / 2$ beyond.

    Args:
        value: observed or inferred, shape (d,), in units of the noise.
        prediction: its predicted mean, shape (d,), in the same.
        threshold: d, in the same.

    Returns:
        Energy in nats without the constant that normalises it, shape ().

    Raises:
        AssertionError: if the shapes differ.

    Source: Huber (1964), Ann. Math. Statist. 35, eq. for rho of the minimax estimator.
    """
    chex.assert_equal_shape([value, prediction])
    error = jnp.abs(value - prediction)
    inside = jnp.minimum(error, threshold)
    return jnp.sum(inside * (error - 0.5 * inside))


def student_energy(
    value: Float[Array, " d"], prediction: Float[Array, " d"], weight: float
) -> Float[Array, ""]:
    r"""Energy of a kurtotic prior, $F = a \sum_i \ln(1 + \varepsilon_i^2)$.

    Args:
        value: observed or inferred, shape (d,), in units of the prior's width.
        prediction: its predicted mean, shape (d,), in the same.
        weight: a.

    Returns:
        Energy in nats without the constant that normalises it, shape ().

    Raises:
        AssertionError: if the shapes differ.

    Source: Rao & Ballard (1999), Nat. Neurosci. 2, methods, for a of 1.
    """
    chex.assert_equal_shape([value, prediction])
    return weight * jnp.sum(jnp.log1p((value - prediction) ** 2))


def categorical_energy(value: Float[Array, " k"], logits: Float[Array, " k"]) -> Float[Array, ""]:
    r"""Cross-entropy of class probabilities `value`, $F = -\sum_i z_i \ln \mathrm{softmax}(a)_i$.

    Args:
        value: one-hot or soft, shape (k,).
        logits: a, shape (k,).

    Returns:
        Energy in nats, shape ().

    Raises:
        AssertionError: if the shapes differ.

    Source: Bishop (2006), Pattern Recognition and Machine Learning, eq. 4.108.
    """
    chex.assert_equal_shape([value, logits])
    return -jnp.sum(value * jax.nn.log_softmax(logits))


def bernoulli_energy(value: Float[Array, " d"], logits: Float[Array, " d"]) -> Float[Array, ""]:
    r"""Cross-entropy of binary units, $F = \sum_i \ln(1 + e^{a_i}) - z_i a_i$.

    Args:
        value: in [0, 1], shape (d,).
        logits: a, shape (d,).

    Returns:
        Energy in nats, shape ().

    Raises:
        AssertionError: if the shapes differ.

    Source: Bishop (2006), Pattern Recognition and Machine Learning, eq. 4.90.
    """
    chex.assert_equal_shape([value, logits])
    return jnp.sum(jax.nn.softplus(logits) - value * logits)
