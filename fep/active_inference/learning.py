"""Learning by counting: Dirichlet parameters, their reduction and averaging, and new structure."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fep.active_inference.belief import ACTION, NEXT, Belief, Observation, transition
from fep.active_inference.model import Counts, Model
from fep.information import log_beta


class Experience(NamedTuple):
    """What one step teaches."""

    observation: Observation
    before: Belief  # over the states one step ago
    action: Int[Array, ""]  # the joint action taken there
    prior: Belief  # over the present states, before the observation
    belief: Belief  # and after it
    policies: Float[Array, " policies"]  # q(pi)
    first: Array  # whether this is the first step of an episode: nothing came before it


class Learning(eqx.Module):
    r"""Counts what is seen, believed and done: $a \leftarrow \omega a + \eta\, o \otimes q(s)$.

    For B the evidence is the belief about pairs of states, $q(s', s) \propto q(s) B(s' \mid s, u)
    q(s') / p(s')$, exact inside a block; C counts outcomes, D first states, E policies. What a
    model has no counts for stays as it is.

    Attributes:
        rate: $\eta$, counts that one observation is worth.
        retention: $\omega$, what is kept of the counts at each step of learning; 1 forgets nothing.

    Source: Friston et al. (2016), Neurosci. Biobehav. Rev. 68, 862-879; Smith et al. (2022), J.
    Math. Psychol. 107, 102632, for the forgetting.
    """

    rate: float | Float[Array, ""] = 1.0
    retention: float | Float[Array, ""] = 1.0

    def __check_init__(self):
        for name, low in (("rate", 0.0), ("retention", 0.0)):
            value = getattr(self, name)
            if isinstance(value, float) and not value >= low:
                raise ValueError(f"{name} must not be negative, got {value}")

    def __call__(self, model: Model, experience: Experience) -> Counts:
        """The counts after one step; an array a modality is learned where it was seen."""
        counts, first = model.counts, experience.first
        seen = [
            _shares(o, n) for o, n in zip(experience.observation, model.num_outcomes, strict=True)
        ]
        add = lambda old, new: self.retention * old + self.rate * jnp.where(old > 0, new, 0)
        when = lambda now, old, new: jnp.where(now, add(old, new), old)
        a = counts.a and tuple(
            add(old, jnp.tensordot(o, experience.belief.mean(keep=factors), 0))
            for old, o, factors in zip(counts.a, seen, model.dependencies.A, strict=True)
        )
        b = counts.b and tuple(
            when(~first, old, pair)
            for old, pair in zip(counts.b, pairs(model, experience), strict=True)
        )
        c = counts.c and tuple(add(old, o) for old, o in zip(counts.c, seen, strict=True))
        d = counts.d and tuple(
            when(first, old, q)
            for old, q in zip(counts.d, experience.belief.marginals(), strict=True)
        )
        e = counts.e
        if e is not None:
            e = add(e, jnp.sum(experience.policies.reshape(e.shape[0], -1), axis=1))
        return Counts(a, b, c, d, e)


def _shares(outcome, n):
    """What was seen, as a distribution; nothing at all if it is missing."""
    outcome = jnp.asarray(outcome)
    if jnp.issubdtype(outcome.dtype, jnp.integer):
        return jax.nn.one_hot(outcome, n)  # a negative index gives zeros
    return outcome / jnp.sum(outcome)


def pairs(model: Model, experience: Experience) -> tuple[Float[Array, "..."], ...]:
    """Belief about each factor's next state, what it hangs on, and the action: in B's shape."""
    before, prior, belief = experience.before, experience.prior, experience.belief
    chosen = {}
    for f in range(len(model.B)):
        b, axes = transition(model, f)
        if ACTION in axes:
            b, axes = jnp.take(b, experience.action, axis=-1), axes[:-1]
        chosen[f] = (b, axes)
    found = []
    options = jnp.asarray(model.options())[experience.action]
    for f, controls in enumerate(model.dependencies.controls):
        (block,) = (b for b, factors in enumerate(belief.blocks) if f in factors)
        factors = belief.blocks[block]
        after, ahead = belief.tables[block], prior.tables[block]
        gain = jnp.where(ahead > 0, after / jnp.where(ahead > 0, ahead, 1), 0)
        terms = [chosen[i] for i in factors] + [(gain, [NEXT + i for i in factors])]
        pair = before.mean(*terms, keep=[NEXT + f, *model.dependencies.B[f]])
        for c in controls:
            hot = jax.nn.one_hot(options[c], model.num_controls[c], dtype=pair.dtype)
            pair = jnp.tensordot(pair, hot, 0)
        found.append(pair)
    return tuple(found)


class Reduced(NamedTuple):
    """A simpler prior, judged after the fact."""

    evidence: Float[Array, "..."]  # ln p(o | simpler) - ln p(o | full), nats; more is better
    counts: Float[Array, "... n"]  # posterior it would have had


def reduce(
    posterior: Float[Array, "... n"], prior: Float[Array, "... n"], simpler: Float[Array, "... n"]
) -> Reduced:
    r"""Bayesian model reduction of Dirichlet counts, over the last axis.

    $\ln \frac{p(o \mid r)}{p(o \mid p)} = \ln B(p) - \ln B(q) - \ln B(r) + \ln B(q + r - p)$, and
    the posterior under r is $q + r - p$.

    Source: Friston, Parr & Zeidman (2018), Bayesian model reduction, arXiv:1805.07092, sec. 3.
    """
    counts = posterior + simpler - prior
    before = log_beta(prior) - log_beta(posterior)
    return Reduced(before - log_beta(simpler) + log_beta(counts), counts)


def average(
    posterior: Float[Array, "... n"], prior: Float[Array, "... n"], priors: Float[Array, "m ... n"]
) -> tuple[Float[Array, " m"], Float[Array, "... n"]]:
    r"""Bayesian model average over rival priors.

    Args:
        posterior: counts under the full prior.
        prior: counts of the full prior.
        priors: rival priors, along the leading axis; equally likely beforehand.

    Returns:
        Probability of each rival, and the mean parameters $\sum_m p_m E_m[\theta]$.
    """
    found = jax.vmap(lambda simpler: reduce(posterior, prior, simpler))(priors)
    evidence = found.evidence.reshape(priors.shape[0], -1).sum(axis=1)
    weight = jax.nn.softmax(evidence)
    means = found.counts / jnp.sum(found.counts, axis=-1, keepdims=True)
    return weight, jnp.tensordot(weight, means, 1)
