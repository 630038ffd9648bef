"""Learning by counting: Dirichlet parameters, their reduction and averaging, and new structure."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
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
    for f in range(len(model.D)):
        b, axes = transition(model, f)
        if ACTION in axes:
            b, axes = jnp.take(b, experience.action, axis=-2), [a for a in axes if a != ACTION]
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


def prune_states(model: Model, prior: Model, factor: int) -> Model:
    r"""Merge the two states of a factor that are most likely one and the same, if any are.

    Two columns of counts a are one if the evidence of a single Dirichlet for both exceeds that of
    two: $\ln \frac{B(q_i + q_j - p) B(p)}{B(q_i) B(q_j)} > 0$ summed over modalities and over the
    states of the other factors. Merged counts are $q_i + q_j - p$; b and d add up. Runs outside
    jit, as shapes change.

    Args:
        model: after learning, with counts a.
        prior: before it, with counts of the same shapes.
        factor: whose states to compare.

    Source: Friston, Parr & Zeidman (2018), arXiv:1805.07092; Smith et al. (2020), Front. Comput.
    Neurosci. 14, 41.
    """
    _need_counts(model)
    n, best = model.num_states[factor], (0.0, None)
    for i in range(n):
        for j in range(i + 1, n):
            gain = 0.0
            for g, factors in enumerate(model.dependencies.A):
                if factor in factors:
                    axis = 1 + factors.index(factor)
                    q, p = model.counts.a[g], prior.counts.a[g]
                    gain += float(_same(q, p, axis, i, j))
            if gain > best[0]:
                best = (gain, (i, j))
    if best[1] is None:
        return model
    i, j = best[1]
    kept = [s for s in range(n) if s != j]

    def merge(counts, axis, start):
        moved = jnp.moveaxis(counts, axis, 0)
        spare = 0 if start is None else jnp.moveaxis(start, axis, 0)[j]
        moved = moved.at[i].add(moved[j] - spare)
        return jnp.moveaxis(moved[jnp.asarray(kept)], 0, axis)

    return _reshaped(model, factor, merge, prior.counts)


def grow_states(model: Model, factor: int, concentration: float) -> Model:
    """Add a state to a factor, of which nothing is known: every new count is `concentration`.

    Runs outside jit, as shapes change.
    """
    _need_counts(model)

    def extend(counts, axis, _):
        moved = jnp.moveaxis(counts, axis, 0)
        new = jnp.full_like(moved[:1], concentration)
        return jnp.moveaxis(jnp.concatenate([moved, new]), 0, axis)

    return _reshaped(model, factor, extend, Counts())


def _need_counts(model):
    if model.counts.a is None:
        raise ValueError("counts.a: expected counts of A to judge structure by, got none")


def _same(q, p, axis, i, j):
    """Log evidence that two states share their columns, against each having its own."""
    q, p = (jnp.moveaxis(x, (axis, 0), (0, -1)) for x in (q, p))
    both = q[i] + q[j] - p[j]
    apart = log_beta(q[i]) - log_beta(p[i]) + log_beta(q[j]) - log_beta(p[j])
    return jnp.sum(log_beta(both) - log_beta(p[i]) - apart)


def _reshaped(model, factor, change, start):
    """The model with the states of a factor changed in every array."""
    wired, arrays, counts = model.dependencies, {}, {}
    for name, axes in (
        ("A", wired.A),
        ("B", wired.B),
        ("D", tuple((f,) for f in range(len(model.D)))),
    ):
        low = name.lower()
        tables, held, before = getattr(model, name), getattr(model.counts, low), getattr(start, low)
        new = []
        for k, table in enumerate(tables if held is None else held):
            offset = 0 if name == "D" else 1
            places = [offset + n for n, f in enumerate(axes[k]) if f == factor]
            places += [0] if name == "B" and k == factor else []
            origin = None if before is None else before[k]
            for axis in places:
                table = change(table, axis, origin if name == "A" else None)
            new.append(table)
        new = [np.asarray(x, float) for x in new]
        if held is None:
            arrays[name] = [x / x.sum(axis=0) for x in new]
        else:
            counts[low] = tuple(new)
    counts |= {name: getattr(model.counts, name) for name in "ce"}
    arrays |= {} if counts["c"] is not None else {"C": model.C}
    arrays |= {} if counts["e"] is not None else {"E": model.E}
    return Model(**arrays, dependencies=wired, counts=Counts(**counts))
