"""Expected free energy by named terms, and plans from a tree whose branches share beginnings."""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fep.active_inference.belief import NODE, OUTCOME, TERM, Belief, predict
from fep.active_inference.model import Model
from fep.information import entropy, log

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


class Plan(NamedTuple):
    """What a planner finds of each policy; the first action runs slowest."""

    value: Float[Array, " policies"]  # minus the expected free energy, nats
    terms: Terms  # summed over the steps of each policy


class JointInformation(eqx.Module):
    r"""Entropy of all outcomes of a step together, $H[q(o^1, o^2, \dots)]$.

    With it the epistemic value is the mutual information of states and outcomes, and never above
    the entropy of the states. Modalities that reveal factors one to one are replaced by those
    factors, and what is independent is summed apart, both exactly.

    Attributes:
        limit: most joint outcomes that one table may have.
    """

    limit: int = eqx.field(static=True, default=65536)

    def __call__(self, model: Model, belief: Belief) -> PerNode:
        """Entropy in nats, one a node."""
        shown = {f for factors in model.reveals for f in factors}
        others = [g for g, factors in enumerate(model.reveals) if not factors]
        pure = all(shown.issuperset(b) or shown.isdisjoint(b) for b in belief.blocks)
        if not pure:
            return sum(self._table(model, belief, *part) for part in _parts(model, belief, others))
        total = jnp.zeros((), belief.tables[0].dtype)
        for factors, table in zip(belief.blocks, belief.tables, strict=True):
            if shown.issuperset(factors):
                total = total + entropy(table.reshape(*_nodes(table, factors), -1))
        hidden = [b for b, factors in enumerate(belief.blocks) if shown.isdisjoint(factors)]
        given = belief.over(hidden)  # conditioned on the shown factors
        for part in _components(model, belief, others, hidden):
            seen = {f for g in part for f in model.dependencies.A[g]}
            keep = sorted(seen & shown)
            table = self._outcomes(model, given, part, keep)
            nodes = [NODE] if table.ndim > len(keep) + 1 else []
            total = total + belief.mean((entropy(table), [*nodes, *keep]))
        return total

    def _outcomes(self, model, belief, modalities, keep):
        """Joint table of outcomes given the factors to keep: (nodes, kept factors, outcomes)."""
        sizes = [model.num_outcomes[g] for g in modalities]
        size = math.prod(sizes) * math.prod(model.num_states[f] for f in keep)
        if size > self.limit:
            raise ValueError(
                f"JointInformation: expected at most {self.limit} joint outcomes, got {size} of "
                f"modalities {tuple(modalities)}; use PerModality, or raise `limit`"
            )
        terms = [(model.A[g], [OUTCOME + g, *model.dependencies.A[g]]) for g in modalities]
        table = belief.mean(*terms, keep=[*keep, *(OUTCOME + g for g in modalities)])
        return table.reshape(*table.shape[: table.ndim - len(sizes)], -1)

    def _table(self, model, belief, modalities, keep):
        table = self._outcomes(model, belief, modalities, keep)
        nodes = table.shape[: table.ndim - len(keep) - 1]
        return entropy(table.reshape(*nodes, -1))


class PerModality(eqx.Module):
    r"""Sum of the entropies of each modality's outcomes, $\sum_g H[q(o^g)]$.

    An upper bound on the joint entropy: the epistemic value counts what two modalities both tell
    twice. The convention of SPM's spm_MDP_VB_XX and of pymdp.
    """

    def __call__(self, model: Model, belief: Belief) -> PerNode:
        """Sum of entropies in nats, one a node."""
        outcomes = (
            belief.mean((a, [OUTCOME + g, *factors]), keep=[OUTCOME + g])
            for g, (a, factors) in enumerate(zip(model.A, model.dependencies.A, strict=True))
        )
        return sum(entropy(q) for q in outcomes)


def expected_terms(
    model: Model, belief: Belief, time: Int[Array, ""], information: Callable
) -> Terms:
    """Terms of the expected free energy of one step whose states `belief` predicts.

    Args:
        model: what outcomes the states bring, and which are preferred.
        belief: predicted states, with or without nodes.
        time: of the step, for preferences that change.
        information: `(model, belief) -> H[q(o)]`, `JointInformation()` or `PerModality()`.
    """
    steered = [b for b in range(len(belief.blocks)) if NODE in belief.axes(b)]
    free = {f for b in steered for f in belief.blocks[b]}
    still = belief.over(b for b in range(len(belief.blocks)) if b not in steered)
    sums = {}
    for g, (a, factors) in enumerate(zip(model.A, model.dependencies.A, strict=True)):
        uncertainty = -jnp.sum(a * log(a), axis=0)
        pleasure = jnp.tensordot(preference(model.C[g], time), a, 1)
        pair = jnp.stack([uncertainty, pleasure])
        keep = tuple(f for f in sorted(factors) if f in free)
        # what no action reaches is averaged over once for all nodes
        pair = still.mean((pair, [TERM, *factors]), keep=[TERM, *keep])
        sums[keep] = sums[keep] + pair if keep in sums else pair
    means = [belief.mean((pair, [TERM, *keep]), keep=[TERM]) for keep, pair in sums.items()]
    ambiguity, utility = (sum(pair[..., i] for pair in means) for i in range(2))
    found = information(model, belief)
    return Terms(found, ambiguity, utility, jnp.zeros_like(found))


def preference(C: Float[Array, "..."], time: Int[Array, ""]) -> Float[Array, " outcomes"]:
    """The ln p(o | C) at a time, normalised; the last row of C holds ever after."""
    row = C if C.ndim == 1 else C[jnp.minimum(time, C.shape[0] - 1)]
    return jax.nn.log_softmax(row)


class Exhaustive(eqx.Module):
    r"""Every sequence of `horizon` actions, as a tree: level h holds the actions ** h prefixes.

    $G(\pi) = \sum_{\tau=1}^{H} G_\tau$, each step's expected free energy under the states that
    the policy's first $\tau$ actions lead to. A prefix is predicted once for all policies that
    begin with it: one contraction a level.

    Attributes:
        horizon: actions a policy.
        information: `JointInformation()` or `PerModality()`.
        tail: `(model, belief, time) -> value` of what lies beyond the horizon, at each leaf.

    Source: Da Costa et al. (2020), J. Math. Psychol. 99, 102447, sec. 6.
    """

    horizon: int = eqx.field(static=True)
    information: Callable = JointInformation()
    tail: Callable | None = None

    def __check_init__(self):
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")

    def __call__(self, model: Model, belief: Belief, time: Int[Array, ""]) -> Plan:
        """Value of each of the actions ** horizon policies from here on."""
        totals = None
        for depth in range(1, self.horizon + 1):
            belief = predict(model, belief)
            terms = expected_terms(model, belief, time + depth, self.information)
            size = model.num_actions**depth
            terms = Terms(*(jnp.broadcast_to(x, (size,)) for x in terms))
            if totals is not None:
                before = Terms(*(jnp.repeat(x, model.num_actions) for x in totals))
                terms = Terms(*(x + y for x, y in zip(before, terms, strict=True)))
            totals = terms
        value = totals.value
        if self.tail is not None:
            value = value + self.tail(model, belief, time + self.horizon)
        return Plan(value, totals)


class Pruned(eqx.Module):
    r"""The tree of `Exhaustive`, kept narrow: each first action keeps its best few prefixes.

    Attributes:
        horizon: actions a policy.
        width: prefixes kept for each first action at every level; actions ** (horizon - 1) keeps
            all.
        information: `JointInformation()` or `PerModality()`.
        tail: `(model, belief, time) -> value` of what lies beyond the horizon, at each leaf.
    """

    horizon: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    information: Callable = JointInformation()
    tail: Callable | None = None

    def __check_init__(self):
        for name in ("horizon", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def __call__(self, model: Model, belief: Belief, time: Int[Array, ""]) -> Plan:
        """Value of each joint action as the first: that of the best policy found to begin so."""
        actions = model.num_actions
        belief = predict(model, belief)
        totals = self._terms(model, belief, time + 1, actions)
        for depth in range(2, self.horizon + 1):
            belief = predict(model, belief)
            size = actions * totals.value.shape[0]
            terms = self._terms(model, belief, time + depth, size)
            before = Terms(*(jnp.repeat(x, actions) for x in totals))
            totals = Terms(*(x + y for x, y in zip(before, terms, strict=True)))
            keep = min(self.width, size // actions)
            belief, totals = self._best(model, belief, totals, totals.value, keep)
        value = totals.value
        if self.tail is not None:
            value = value + self.tail(model, belief, time + self.horizon)
        _, best = self._best(model, belief, Terms(value, *totals[1:]), value, 1)
        _, terms = self._best(model, belief, totals, value, 1)
        return Plan(best.outcome_entropy, terms)

    def _terms(self, model, belief, time, size):
        found = expected_terms(model, belief, time, self.information)
        return Terms(*(jnp.broadcast_to(x, (size,)) for x in found))

    def _best(self, model, belief, terms, value, keep):
        """The best nodes of each first action."""
        size = value.shape[0] // model.num_actions
        _, at = jax.lax.top_k(value.reshape(model.num_actions, size), keep)
        at = (at + size * jnp.arange(model.num_actions)[:, None]).reshape(-1)
        tables = (t[at] if NODE in belief.axes(b) else t for b, t in enumerate(belief.tables))
        return Belief(tuple(tables), belief.blocks), Terms(*(x[at] for x in terms))


class Factorised(eqx.Module):
    """A planner that starts from the product of the marginals: cheaper, blind to correlations.

    Attributes:
        planner: `(model, belief, time) -> Plan`.
    """

    planner: Callable

    def __call__(self, model: Model, belief: Belief, time: Int[Array, ""]) -> Plan:
        """Plan from the mean field of `belief`."""
        return self.planner(model, belief.factorised(), time)


def _nodes(table, factors):
    return table.shape[: table.ndim - len(factors)]


def _components(model, belief, modalities, blocks):
    """Modalities that share one of `blocks`, together; the others alone."""
    groups = []
    for g in modalities:
        mine = {b for b in blocks if set(belief.blocks[b]) & set(model.dependencies.A[g])}
        linked = [group for group in groups if group[1] & mine]
        groups = [group for group in groups if not group[1] & mine]
        groups.append(
            ([m for group in linked for m in group[0]] + [g], mine.union(*(x[1] for x in linked)))
        )
    return [sorted(group) for group, _ in groups]


def _parts(model, belief, modalities):
    """Independent parts: modalities that share blocks, and the shown factors in those blocks."""
    shown = {f for factors in model.reveals for f in factors}
    groups = _components(model, belief, modalities, range(len(belief.blocks)))
    touched = []
    for group in groups:
        seen = {f for g in group for f in model.dependencies.A[g]}
        mine = {f for b in belief.blocks if set(b) & seen for f in b}
        touched += sorted(mine)
        yield group, sorted(mine & shown)
    for factors in belief.blocks:
        if not set(factors) & set(touched) and set(factors) & shown:
            yield [], sorted(set(factors) & shown)
