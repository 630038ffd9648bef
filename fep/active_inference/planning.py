"""Plans from a tree of actions whose branches share beginnings."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fep.active_inference.belief import NODE, Belief, predict
from fep.active_inference.expected_free_energy import (
    Terms,
    expected_terms,
    expected_value,
    exploration,
    outlooks,
    steps_ahead,
)
from fep.active_inference.model import Model
from fep.active_inference.outcome_entropy import (
    Information,
    JointInformation,
    NoInformation,
    PerModality,
)

__all__ = [
    "Exhaustive",
    "Factorised",
    "JointInformation",
    "NoInformation",
    "PerModality",
    "Plan",
    "Pruned",
]


class Plan(NamedTuple):
    """What a planner finds of each policy; the first action runs slowest."""

    value: Float[Array, " policies"]  # minus the expected free energy, nats
    terms: Terms  # summed over the steps of each policy


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
    information: Information = JointInformation()
    tail: Callable | None = None

    def __check_init__(self):
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")

    def __call__(self, model: Model, belief: Belief, time: Int[Array, ""]) -> Plan:
        """Value of each of the actions ** horizon policies from here on."""
        levels, news = [], []
        for _ in range(self.horizon):
            news.append(exploration(model, belief))
            belief = predict(model, belief)
            levels.append(belief)
        prepared = outlooks(model, levels, time, self.information)
        # the terms are apart from the value, so that who asks for the value alone pays for no more
        value, totals = 0, (0, 0, 0, 0)
        for level, outlook, new in zip(levels, prepared, news, strict=True):
            found = expected_value(model, level, outlook, self.information)
            value = self._add(model, value, found + new)
            terms = expected_terms(model, level, outlook, self.information)
            terms = terms._replace(novelty=terms.novelty + new)
            totals = [self._add(model, x, y) for x, y in zip(totals, terms, strict=True)]
        if self.tail is not None:
            value = value + self.tail(model, belief, time + self.horizon)
        return Plan(value, Terms(*totals))

    def _add(self, model, before, now):
        """Sums so far of all nodes, and what each of their children adds."""
        size = jnp.size(before) * model.num_actions
        return jnp.repeat(before, model.num_actions) + jnp.broadcast_to(now, (size,))


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
    information: Information = JointInformation()
    tail: Callable | None = None

    def __check_init__(self):
        for name in ("horizon", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def __call__(self, model: Model, belief: Belief, time: Int[Array, ""]) -> Plan:
        """Value of each joint action as the first: that of the best policy found to begin so."""
        actions, totals = model.num_actions, None
        for depth in range(1, self.horizon + 1):
            worth, terms, belief = steps_ahead(model, belief, time + depth, self.information)
            size = actions if totals is None else actions * totals[0].shape[0]
            totals = [
                jnp.broadcast_to(x, (size,)) + (jnp.repeat(totals[i], actions) if totals else 0)
                for i, x in enumerate((worth, *terms))
            ]
            if depth > 1:
                keep = min(self.width, size // actions)
                belief, totals = self._best(model, belief, totals, totals[0], keep)
        worth = totals[0]
        if self.tail is not None:
            worth = worth + self.tail(model, belief, time + self.horizon)
        _, (value, *terms) = self._best(model, belief, [worth, *totals[1:]], worth, 1)
        return Plan(value, Terms(*terms))

    def _best(self, model, belief, totals, worth, keep):
        """The best nodes of each first action."""
        size = worth.shape[0] // model.num_actions
        _, at = jax.lax.top_k(worth.reshape(model.num_actions, size), keep)
        at = (at + size * jnp.arange(model.num_actions)[:, None]).reshape(-1)
        tables = (t[at] if NODE in belief.axes(b) else t for b, t in enumerate(belief.tables))
        return Belief(tuple(tables), belief.blocks), [x[at] for x in totals]


class Factorised(eqx.Module):
    """A planner that starts from the product of the marginals: cheaper, blind to correlations.

    Attributes:
        planner: `(model, belief, time) -> Plan`.
    """

    planner: Callable

    def __call__(self, model: Model, belief: Belief, time: Int[Array, ""]) -> Plan:
        """Plan from the mean field of `belief`."""
        return self.planner(model, belief.factorised(), time)
