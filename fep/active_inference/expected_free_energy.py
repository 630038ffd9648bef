"""Expected free energy of predicted states, by named terms."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fep.active_inference.belief import (
    ACTION,
    NODE,
    OUTCOME,
    TERM,
    Belief,
    predict,
    steered,
    transition,
)
from fep.active_inference.model import Model
from fep.active_inference.outcome_entropy import Information, add_to, append_to
from fep.information import dirichlet_gain, entropy

PerNode = Float[Array, "*nodes"]  # one for all nodes, or one each


class Terms(NamedTuple):
    r"""What one step, or a whole policy, is expected to bring, in nats.

    The expected free energy is $G$ = risk + ambiguity - novelty
    = -(utility + epistemic value + novelty).

    Source: Da Costa et al. (2020), J. Math. Psychol. 99, 102447, eqs. 15 to 17, app. D.3.
    """

    outcome_entropy: PerNode  # H[q(o)]
    ambiguity: PerNode  # E_q(s) H[p(o | s)]
    utility: PerNode  # E_q(o) ln p(o | C)
    novelty: PerNode  # information expected about parameters

    @property
    def risk(self) -> PerNode:
        """KL[q(o) | p(o | C)]: how far outcomes will be from the preferred ones."""
        return -self.outcome_entropy - self.utility

    @property
    def epistemic_value(self) -> PerNode:
        """Information expected about states, I(s; o)."""
        return self.outcome_entropy - self.ambiguity

    @property
    def value(self) -> PerNode:
        """Minus the expected free energy, -G."""
        return self.utility + self.epistemic_value + self.novelty


class Outlook(NamedTuple):
    """What the value and the terms of one step need, all that no action reaches averaged over.

    A key names the factors of its array's first axes: one product with the states finds what is
    linear in them and the outcomes, side by side.
    """

    worth: dict  # factors -> minus the energy but for entropies, and the outcomes: (..., 1 + n)
    terms: dict  # factors -> ambiguity, utility, novelty, linear entropy: (..., 4)
    held: dict  # (factors, those held open) -> outcomes, whose entropies add up: (..., n)


def outlook(
    model: Model,
    belief: Belief,
    still: Belief,
    time: Int[Array, ""],
    information: Information,
) -> Outlook:
    """Prepare the value and the terms of one step.

    Args:
        model: what outcomes the states bring, and which are preferred.
        belief: predicted states; only its blocks matter.
        still: its blocks that no action reaches.
        time: of the step, for preferences that change.
        information: which entropy of outcomes.
    """
    free = {f for b in belief.blocks if b not in still.blocks for f in b}
    alone, named, value, rows = set(information.alone(model)), {}, {}, {}
    for g, factors in enumerate(model.dependencies.A):
        pleasure = model.utility[g]
        if model.C[g].ndim == 2:
            pleasure = pleasure[jnp.minimum(time, pleasure.shape[0] - 1)]
        worth, news = pleasure - model.ambiguity[g], jnp.zeros_like(pleasure)
        if model.counts.a is not None:
            news = jnp.sum(model.A[g] * _gain(model.counts.a[g]), axis=0)
            worth = worth + news
        add_to(named, factors, jnp.stack([model.ambiguity[g], pleasure, news], axis=-1))
        add_to(value, factors, worth[..., None])
        if g in alone:
            append_to(rows, factors, jnp.moveaxis(model.A[g], 0, -1))
    sums, totals, outcomes, held = {}, {}, {}, {}
    for factors, table in named.items():
        keep = tuple(f for f in sorted(factors) if f in free)
        mean = lambda x, factors=factors, keep=keep: still.mean(
            (x, [*factors, TERM]), keep=[*keep, TERM]
        )
        add_to(sums, keep, mean(table))
        whole = [value[factors]] + ([rows[factors]] if factors in rows else [])
        whole = mean(jnp.concatenate(whole, axis=-1))
        add_to(totals, keep, whole[..., :1])
        if factors in rows:
            append_to(outcomes, keep, whole[..., 1:])
    found = information.entropies(model, belief, still)
    for (keep, open_), table in found.rows.items():
        if open_:
            held[keep, open_] = table
        else:
            append_to(outcomes, keep, table)
    worths, terms = {}, {}
    for keep in {**sums, **found.linear, **outcomes}:
        nothing = jnp.zeros((*(model.num_states[f] for f in keep), 3), model.A[0].dtype)
        certain = found.linear.get(keep, nothing[..., 0])[..., None]
        terms[keep] = jnp.concatenate([sums.get(keep, nothing), certain], axis=-1)
        total = totals.get(keep, nothing[..., :1])
        if keep in found.linear:
            total = total + certain
        worths[keep] = jnp.concatenate([total, outcomes.get(keep, nothing[..., :0])], axis=-1)
    return Outlook(worths, terms, held)


def expected_terms(
    model: Model,
    belief: Belief,
    prepared: Outlook,
    information: Information,
) -> Terms:
    """Terms of the expected free energy of one step whose states `belief` predicts.

    Args:
        model: what outcomes the states bring.
        belief: predicted states, with or without nodes.
        prepared: `outlook` of the step.
        information: which entropy of outcomes.
    """
    means = _means(belief, prepared.terms)
    ambiguity, utility, novelty, found = (sum(t[..., i] for t in means) for i in range(4))
    outcomes = _means(belief, prepared.worth)
    found = found + _uncertainty(model, belief, prepared, information, outcomes)
    return Terms(found, ambiguity, utility, novelty)


def expected_value(
    model: Model,
    belief: Belief,
    prepared: Outlook,
    information: Information,
) -> PerNode:
    r"""Minus the expected free energy of one step: the value of `expected_terms`, for less work.

    What is linear in the states was added up before it is averaged: one column, not four.

    Args:
        model: what outcomes the states bring.
        belief: predicted states, with or without nodes.
        prepared: `outlook` of the step.
        information: which entropy of outcomes.
    """
    means = _means(belief, prepared.worth)
    total = sum(mean[..., 0] for mean in means)
    return total + _uncertainty(model, belief, prepared, information, means)


def _means(belief, tables):
    return [belief.mean((t, [*keep, TERM]), keep=[TERM]) for keep, t in tables.items()]


def _uncertainty(model, belief, prepared, information, means):
    """Entropies: of outcomes at hand, of those with factors open, and of the states shown."""
    total = jnp.zeros((), model.A[0].dtype)
    for mean in means:
        if mean.shape[-1] > 1:  # the outcomes come after the first column
            total = total + entropy(mean[..., 1:])
    for (keep, held), table in prepared.held.items():
        found = belief.mean((table, [*keep, OUTCOME]), keep=[OUTCOME, *held])
        nodes = found.shape[: found.ndim - 1 - len(held)]
        total = total + entropy(found.reshape(*nodes, -1))
    for factors in information.shown(model, belief):
        table = belief.mean(keep=factors)
        total = total + entropy(table.reshape(*table.shape[: table.ndim - len(factors)], -1))
    return total


def exploration(model: Model, belief: Belief) -> PerNode:
    r"""Novelty of B: information expected about the transitions that each action makes.

    $\sum_f \sum_{s, s'} q(s) B_f(s' \mid s, u) KL(Dir(b + e_{s'}) \| Dir(b))$, one for each child
    of each node, as `predict` orders them; nothing if B is known.
    """
    if model.counts.b is None:
        return jnp.zeros((), model.D[0].dtype)
    parents = max(
        (t.shape[0] for b, t in enumerate(belief.tables) if NODE in belief.axes(b)), default=1
    )
    total = jnp.zeros((parents, model.num_actions), model.D[0].dtype)
    gains = model.replace(
        B=tuple(b * _gain(c) for b, c in zip(model.B, model.counts.b, strict=True))
    )
    for f in range(len(model.D)):
        table, axes = transition(gains, f)
        keep = [ACTION] if ACTION in axes else []
        news = belief.mean((jnp.sum(table, axis=-1), axes[:-1]), keep=keep)
        total = total + news.reshape(
            -1 if news.ndim > len(keep) else 1, news.shape[-1] if keep else 1
        )
    return total.reshape(-1)


def first_state_novelty(model: Model, belief: Belief) -> Float[Array, ""]:
    r"""Novelty of D: $\sum_f \sum_s q(s_0) KL(Dir(d + e_s) \| Dir(d))$, alike for all policies."""
    gains = (_gain(d) for d in model.counts.d or ())
    return sum((q @ g for q, g in zip(belief.marginals(), gains, strict=False)), jnp.zeros(()))


def terms_of(
    model: Model,
    belief: Belief,
    time: Int[Array, ""],
    information: Information,
) -> Terms:
    """Terms of one step, prepared and found at once."""
    return expected_terms(model, belief, _outlook_of(model, belief, time, information), information)


def _outlook_of(model, belief, time, information):
    still = belief.over(b for b, nodes in enumerate(steered(model, belief.blocks)) if not nodes)
    return outlook(model, belief, still, time, information)


def preference(C: Float[Array, "..."], time: Int[Array, ""]) -> Float[Array, " outcomes"]:
    """The ln p(o | C) at a time, normalised; the last row of C holds ever after."""
    row = C if C.ndim == 1 else C[jnp.minimum(time, C.shape[0] - 1)]
    return jax.nn.log_softmax(row)


def steps_ahead(
    model: Model,
    belief: Belief,
    time: Int[Array, ""],
    information: Information,
) -> tuple[PerNode, Terms, Belief]:
    """Value and terms of every action from every node, and the beliefs they lead to.

    B's novelty is included. The value is apart from the terms, so that who asks for it alone pays
    for no more.

    Args:
        model: of the world.
        belief: where to act from.
        time: of the step that is predicted.
        information: which entropy of outcomes.
    """
    news, ahead = exploration(model, belief), predict(model, belief)
    prepared = _outlook_of(model, ahead, time, information)
    terms = expected_terms(model, ahead, prepared, information)
    value = expected_value(model, ahead, prepared, information)
    return value + news, terms._replace(novelty=terms.novelty + news), ahead


def outlooks(
    model: Model,
    levels: list[Belief],
    time: Int[Array, ""],
    information: Information,
) -> list[Outlook]:
    """The outlook of every level of a tree, prepared together.

    Args:
        model: of the world.
        levels: beliefs one, two, ... steps from now.
        time: now.
        information: which entropy of outcomes.
    """
    flags = steered(model, levels[0].blocks)
    still = [level.over(b for b, nodes in enumerate(flags) if not nodes) for level in levels]
    if all(set(b) <= set(model.fixed) for b in still[0].blocks) and all(
        c.ndim == 1 for c in model.C
    ):
        return [outlook(model, levels[0], still[0], time, information)] * len(levels)
    tables = jax.tree.map(lambda *x: jnp.stack(x), *still)
    times = time + 1 + jnp.arange(len(levels))
    whole = jax.vmap(lambda s, t: outlook(model, levels[0], s, t, information))(tables, times)
    return [jax.tree.map(lambda x, d=d: x[d], whole) for d in range(len(levels))]


def _gain(counts):
    """`dirichlet_gain` of columns, axis 0."""
    return jnp.moveaxis(dirichlet_gain(jnp.moveaxis(counts, 0, -1)), -1, 0)
