"""Plans worked out backwards: dynamic programming over states, and paths that lead to a goal."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from fep.active_inference.belief import Belief, joint, predict
from fep.active_inference.expected_free_energy import Terms, steps_ahead
from fep.active_inference.model import Model
from fep.active_inference.outcome_entropy import Information, JointInformation
from fep.active_inference.planning import Plan
from fep.active_inference.sophisticated import BestBackup, PrunedBackup, SoftBackup


class BackwardInduction(eqx.Module):
    r"""Dynamic programming over joint states, as if they will be seen: linear in the horizon.

    $-G_h(s, u) = -G_1(s, u) + \sum_{s'} B(s' \mid s, u) \sum_{u'} q(u' \mid s') (-G_{h+1}(s', u'))$
    and the value of an action now is its mean over the belief. Exact where states are seen; where
    they are not it is blind to what acting could tell, so give it to a tree as its `tail`.

    Attributes:
        horizon: actions looked ahead.
        backup: `BestBackup()` for the best action of each state, `SoftBackup(gamma)` for a mix.
        information: `JointInformation()` or `PerModality()`.

    Source: Paul et al. (2024), Neurocomputing, doi 10.1016/j.neucom.2024.128329 (DPEFE); Bellman
    (1957).
    """

    horizon: int = eqx.field(static=True)
    backup: SoftBackup | BestBackup | PrunedBackup = BestBackup()
    information: Information = JointInformation()

    def __check_init__(self):
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")

    def __call__(self, model: Model, belief: Belief, time: Int[Array, ""]) -> Plan:
        """Value of each joint action as the first."""
        value, terms = self._actions(model, time)
        (blocks,) = joint(model)
        q = belief.mean(keep=blocks).reshape(-1)
        return Plan(q @ value, Terms(*(q @ x for x in terms)))

    def beyond(self, model: Model, belief: Belief, time: Int[Array, ""]) -> Float[Array, "*nodes"]:
        """Value of going on from each belief: the tail of a tree that ends there."""
        value, _ = self._actions(model, time)
        worth = jnp.sum(self.backup.weigh(value) * value, axis=1).reshape(model.num_states)
        return belief.mean((worth, range(len(model.num_states))))

    def _actions(self, model, time):
        """Values and terms of each action in each state, (states, actions)."""
        size, blocks = math.prod(model.num_states), joint(model)
        states = jnp.eye(size, dtype=model.D[0].dtype).reshape(size, *model.num_states)
        here = Belief((states,), blocks)
        moves = predict(model, here).tables[0].reshape(size, -1, size)

        def step(depth):
            value, terms, _ = steps_ahead(model, here, time + depth, self.information)
            whole = lambda x: jnp.broadcast_to(x, (size * moves.shape[1],)).reshape(size, -1)
            return whole(value), Terms(*map(whole, terms))

        def back(carry, depth):
            value, terms = carry
            act = self.backup.weigh(value)
            mean = lambda x: jnp.tensordot(moves, jnp.sum(act * x, axis=1), 1)
            worth, now = step(depth)
            terms = Terms(*(x + mean(y) for x, y in zip(now, terms, strict=True)))
            return (self.backup.total(worth, mean(value)), terms), None

        depths = jnp.arange(self.horizon - 1, 0, -1)
        (value, terms), _ = jax.lax.scan(back, step(self.horizon), depths)
        return value, terms


class Inductive(eqx.Module):
    r"""Adds to a plan a cost for first actions that do not lead nearer to a goal.

    The distance of a joint state is the least number of moves, each of which is more likely than
    `threshold`, to a goal. An action costs `cost` times the probability that the distance does not
    shrink; where no path is found, or the goal is reached, nothing.

    Attributes:
        planner: `(model, belief, time) -> Plan`.
        goals: which joint states are intended, shape of all factors.
        depth: longest path.
        cost: nats; the default is ln 1000.
        threshold: least probability of a move.

    Source: Friston et al. (2023), Active inference and intentional behaviour, arXiv:2312.07547.
    """

    planner: Callable
    goals: Bool[Array, "*states"]
    depth: int = eqx.field(static=True)
    cost: float | Float[Array, ""] = 6.907755278982137
    threshold: float | Float[Array, ""] = 0.5

    def __call__(self, model: Model, belief: Belief, time: Int[Array, ""]) -> Plan:
        """The plan of `planner`, biased towards the goals."""
        if self.goals.shape != model.num_states:
            raise ValueError(f"goals: expected shape {model.num_states}, got {self.goals.shape}")
        plan = self.planner(model, belief, time)
        size, blocks = self.goals.size, joint(model)
        states = jnp.eye(size, dtype=model.D[0].dtype).reshape(size, *model.num_states)
        moves = predict(model, Belief((states,), blocks)).tables[0].reshape(size, -1, size)
        near = jnp.any(moves > self.threshold, axis=1)
        far = self.depth + 1

        def widen(_, distance):
            through = jnp.min(jnp.where(near, distance[None, :], far), axis=1)
            return jnp.minimum(distance, through + 1)

        distance = jnp.where(self.goals.reshape(-1), 0, far)
        distance = jax.lax.fori_loop(0, self.depth, widen, distance)
        here = distance[:, None, None]
        stray = (distance[None, None, :] >= here) & (here > 0) & (here < far)
        q = belief.mean(keep=blocks[0]).reshape(-1)
        astray = jnp.einsum("s,sut,sut->u", q, moves, stray.astype(q.dtype))
        bias = jnp.repeat(self.cost * astray, plan.value.shape[0] // model.num_actions)
        return Plan(plan.value - bias, plan.terms)
