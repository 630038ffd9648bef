"""Entropies, divergences and mutual information of categorical, Gaussian and Dirichlet beliefs.

All are in nats. Categorical and Dirichlet functions read the last axis and keep those before it.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array, Float

Probability = Float[Array, "... n"]
Count = Float[Array, "... n"]
Nats = Float[Array, "..."]


def log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Natural logarithm, finite at zero: of max(x, smallest normal number of the type).

    With it $0 \ln 0 = 0$ and its slope is finite too, so zero probabilities need no branch.
    """
    return jnp.log(jnp.maximum(x, jnp.finfo(x.dtype).tiny))


def entropy(p: Probability) -> Nats:
    r"""$H(p) = -\sum_i p_i \ln p_i$; zero probabilities add nothing."""
    return -jnp.sum(p * log(p), axis=-1)


def divergence(q: Probability, p: Probability) -> Nats:
    r"""$KL(q \| p) = \sum_i q_i \ln (q_i / p_i)$.

    Where q has weight and p has none it is large but finite: ln of the smallest normal number
    takes the place of ln 0.
    """
    return jnp.sum(q * (log(q) - log(p)), axis=-1)


def mutual_information(joint: Float[Array, "n m"]) -> Float[Array, ""]:
    r"""$I(x; y) = H(x) + H(y) - H(x, y)$ of a joint table; never below zero but for rounding."""
    whole = entropy(joint.reshape(-1))
    return entropy(jnp.sum(joint, axis=1)) + entropy(jnp.sum(joint, axis=0)) - whole


def gaussian_entropy(covariance: Float[Array, "d d"]) -> Float[Array, ""]:
    r"""$H = \frac12 \ln \det (2 \pi e \Sigma)$."""
    d = covariance.shape[0]
    return 0.5 * (_log_det(covariance) + d * jnp.log(2 * jnp.pi * jnp.e))


def gaussian_divergence(
    mean_q: Float[Array, " d"],
    covariance_q: Float[Array, "d d"],
    mean_p: Float[Array, " d"],
    covariance_p: Float[Array, "d d"],
) -> Float[Array, ""]:
    r"""$KL(q \| p)$ of two Gaussians.

    $\frac12 (\mathrm{tr} \Sigma_p^{-1} \Sigma_q + \delta^T \Sigma_p^{-1} \delta - d
    + \ln \det \Sigma_p - \ln \det \Sigma_q)$ with $\delta = \mu_p - \mu_q$.

    Source: Cover & Thomas (2006), Elements of information theory, ch. 8.
    """
    gap = mean_p - mean_q
    factor = jax.scipy.linalg.cho_factor(covariance_p)
    trace = jnp.trace(jax.scipy.linalg.cho_solve(factor, covariance_q))
    distance = gap @ jax.scipy.linalg.cho_solve(factor, gap)
    volume = _log_det(covariance_p) - _log_det(covariance_q)
    return 0.5 * (trace + distance - gap.shape[0] + volume)


def gaussian_mutual_information(covariance: Float[Array, "d d"], first: int) -> Float[Array, ""]:
    r"""$I(x; y) = \frac12 \ln (\det \Sigma_x \det \Sigma_y / \det \Sigma)$, x the `first` axes."""
    x, y = covariance[:first, :first], covariance[first:, first:]
    return 0.5 * (_log_det(x) + _log_det(y) - _log_det(covariance))


def log_beta(counts: Count) -> Nats:
    r"""$\ln B(a) = \sum_i \ln \Gamma(a_i) - \ln \Gamma(\sum_i a_i)$, the normaliser of Dir(a)."""
    return jnp.sum(gammaln(counts), axis=-1) - gammaln(jnp.sum(counts, axis=-1))


def expected_log(counts: Count) -> Float[Array, "... n"]:
    r"""$E \ln \theta_i = \psi(a_i) - \psi(\sum_j a_j)$ under Dir(a)."""
    return digamma(counts) - digamma(jnp.sum(counts, axis=-1, keepdims=True))


def dirichlet_entropy(counts: Count) -> Nats:
    r"""$H = \ln B(a) - \sum_i (a_i - 1) E \ln \theta_i$, a differential entropy."""
    return log_beta(counts) - jnp.sum((counts - 1) * expected_log(counts), axis=-1)


def dirichlet_divergence(q: Count, p: Count) -> Nats:
    r"""$KL(Dir(q) \| Dir(p)) = \ln B(p) - \ln B(q) + \sum_i (q_i - p_i) E_q \ln \theta_i$."""
    return log_beta(p) - log_beta(q) + jnp.sum((q - p) * expected_log(q), axis=-1)


def dirichlet_gain(counts: Count) -> Float[Array, "... n"]:
    r"""What each outcome would tell about the parameters: $KL(Dir(a + e_i) \| Dir(a))$.

    $\ln a_0 - \ln a_i + \psi(a_i + 1) - \psi(a_0 + 1)$ with $a_0 = \sum_j a_j$; both differences
    $\psi(x + 1) - \ln x$ are taken by series, so nothing cancels however large the counts. Zero
    counts, which say that an outcome cannot be, give zero.

    Source: Da Costa et al. (2020), J. Math. Psychol. 99, 102447, app. D.3, without its limit of
    large counts, in which it is $(1 / a_i - 1 / a_0) / 2$.
    """
    total = jnp.sum(counts, axis=-1, keepdims=True)
    safe = jnp.where(counts > 0, counts, 1)
    return jnp.where(counts > 0, _digamma_excess(safe) - _digamma_excess(total), 0)


def _digamma_excess(x):
    """Digamma(x + 1) - ln x, by recurrence to x + 8 and the asymptotic series there."""
    steps = 8  # the first term left out, 691 / 32760 / 8^12, is 3e-13 of nothing near one
    y = 1 / (x + steps)
    square = y * y
    series = (1 / 252 - square * (1 / 240 - square * (1 / 132))) * square
    tail = -y / 2 - square * (1 / 12 - square * (1 / 120 - series))
    total = jnp.log1p(1 / x) + tail
    for k in range(1, steps):
        total = total + jnp.log1p(1 / (x + k)) - 1 / (x + k)
    return total


def _log_det(matrix):
    return 2 * jnp.sum(jnp.log(jnp.diagonal(jnp.linalg.cholesky(matrix))))
