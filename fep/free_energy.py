"""Free-energy functionals, each stated once; everything above calls these."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fep.information import divergence, entropy, log


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


def variational_free_energy(
    q: Float[Array, " n"], log_joint: Float[Array, " n"]
) -> Float[Array, ""]:
    r"""Energy minus entropy of a categorical belief, $F = -E_q \ln p(o, s) - H(q)$.

    Never below the surprise $-\ln p(o)$, and equal to it at the exact posterior.

    Args:
        q: belief over n hidden states.
        log_joint: $\ln p(o, s)$ of each state, with the observation put in; where it is minus
            infinity, use `fep.information.log`.

    Returns:
        Nats.

    Source: Friston et al. (2017), Neural Comput. 29, 1-49, eq. 2.2.
    """
    return -jnp.sum(q * log_joint) - entropy(q)


def complexity(q: Float[Array, " n"], prior: Float[Array, " n"]) -> Float[Array, ""]:
    r"""$KL(q \| p)$: the cost of leaving the prior. Less `accuracy`, it is the free energy."""
    return divergence(q, prior)


def accuracy(q: Float[Array, " n"], log_likelihood: Float[Array, " n"]) -> Float[Array, ""]:
    r"""$E_q \ln p(o \mid s)$, how well the belief explains the observation, in nats."""
    return jnp.sum(q * log_likelihood)


def laplace_free_energy(
    energy: Float[Array, ""], curvature: Float[Array, "d d"]
) -> Float[Array, ""]:
    r"""$F = E(\mu) + \frac12 \ln \det \Lambda - \frac{d}{2} \ln 2 \pi$ under a Gaussian at a mode.

    Args:
        energy: $E(\mu) = -\ln p(o, \mu)$ at the mode, nats.
        curvature: $\Lambda = E''(\mu)$, the inverse covariance of the belief.

    Returns:
        Nats; the surprise itself if the energy is quadratic.

    Source: Friston et al. (2007), NeuroImage 34, 220-234, eq. 7.
    """
    volume = jnp.sum(jnp.log(jnp.diagonal(jnp.linalg.cholesky(curvature))))
    return energy + volume - 0.5 * curvature.shape[0] * jnp.log(2 * jnp.pi)


def bethe_free_energy(
    pairs: Float[Array, "moves n n"],
    start: Float[Array, " n"],
    transitions: Float[Array, "moves n n"],
    likelihoods: Float[Array, "moves+1 n"],
) -> Float[Array, ""]:
    r"""Free energy of a chain from beliefs about pairs of neighbours.

    $F = \sum_\tau E_{b_\tau} \ln \frac{b_\tau(s, s')}{p(s' \mid s) p(o' \mid s')}
    - E_{b_0} \ln p(s_0) p(o_0 \mid s_0) + \sum_{0 < \tau < T} H(b_\tau)$, pairs counted whole and
    the states between them, which two pairs share, given back: exact on a chain, where it is the
    surprise at the exact beliefs.

    Args:
        pairs: belief about each pair (earlier, later).
        start: $p(s_0)$.
        transitions: $p(s' \mid s)$, from rows to columns, one for each move.
        likelihoods: $p(o \mid s)$ at each time, the observation put in.

    Source: Yedidia, Freeman & Weiss (2005), IEEE Trans. Inf. Theory 51, 2282-2312.
    """
    shared = jnp.sum(pairs[1:], axis=2)
    first = jnp.sum(pairs[0], axis=1)
    given = log(transitions) + log(likelihoods[1:])[:, None, :]
    energy = -jnp.sum(pairs * given) - first @ (log(start) + log(likelihoods[0]))
    return energy + jnp.sum(pairs * log(pairs)) + jnp.sum(entropy(shared))


def expected_free_energy(
    q: Float[Array, " n"], likelihood: Float[Array, "m n"], log_preference: Float[Array, " m"]
) -> Float[Array, ""]:
    r"""$G = KL(q(o) \| p(o \mid C)) + E_q H(p(o \mid s))$: risk plus ambiguity.

    Equally minus what is expected of preference and of information about states.

    Args:
        q: states that a policy leads to.
        likelihood: $p(o \mid s)$, one column a state.
        log_preference: $\ln p(o \mid C)$.

    Returns:
        Nats.

    Source: Da Costa et al. (2020), J. Math. Psychol. 99, 102447, eq. 15.
    """
    outcomes = likelihood @ q
    risk = -entropy(outcomes) - outcomes @ log_preference
    return risk + entropy(likelihood.T) @ q


def generalised_free_energy(
    q: Float[Array, " n"],
    prior: Float[Array, " n"],
    likelihood: Float[Array, "m n"],
    log_preference: Float[Array, " m"],
) -> Float[Array, ""]:
    r"""Free energy of a future whose outcomes are not seen yet but are preferred.

    $E_{q(s) p(o \mid s)} \ln \frac{q(s)}{p(s) p(o \mid s) p(o \mid C)} = KL(q \| p) + E_q
    H(p(o \mid s)) - E_q \ln p(o \mid C)$: the outcomes to come are hidden states too, so that one
    functional serves past and future.

    Args:
        q: belief about future states.
        prior: what the policy alone predicts of them.
        likelihood: $p(o \mid s)$, one column a state.
        log_preference: $\ln p(o \mid C)$.

    Source: Parr & Friston (2019), Biol. Cybern. 113, 495-513.
    """
    utility = (likelihood @ q) @ log_preference
    return divergence(q, prior) + entropy(likelihood.T) @ q - utility
