"""Sophisticated planning: a tree over actions and outcomes, with beliefs updated on the way."""

import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fep.active_inference.belief import Belief, joint
from fep.active_inference.expected_free_energy import Terms, steps_ahead
from fep.active_inference.model import Model
from fep.active_inference.outcome_entropy import Information, JointInformation
from fep.active_inference.planning import Plan

Tables = Float[Array, "nodes *states"]


class SoftBackup(eqx.Module):
    r"""The agent will act by $q(u) = \sigma(\gamma (-G_u))$: a node is worth $\sum_u q(u) (-G_u)$.

    Attributes:
        precision: $\gamma$.

    Source: Friston et al. (2021), Neural Comput. 33, 713-763, eq. 3.5.
    """

    precision: float | Float[Array, ""] = 1.0

    def total(self, now: Float[Array, "*n u"], later: Float[Array, "*n u"]) -> Float[Array, "*n u"]:
        """Value of each action from that of its step and of all that follows."""
        return now + later

    def weigh(self, value: Float[Array, "*n u"]) -> Float[Array, "*n u"]:
        """Probability of each action at a node."""
        return jax.nn.softmax(self.precision * value, axis=-1)


class BestBackup(eqx.Module):
    """The agent will take the best action, the first if they tie: Bellman's backup."""

    def total(self, now: Float[Array, "*n u"], later: Float[Array, "*n u"]) -> Float[Array, "*n u"]:
        """Value of each action from that of its step and of all that follows."""
        return now + later

    def weigh(self, value: Float[Array, "*n u"]) -> Float[Array, "*n u"]:
        """One for the best action of a node."""
        return jax.nn.one_hot(jnp.argmax(value, axis=-1), value.shape[-1], dtype=value.dtype)


class PrunedBackup(eqx.Module):
    r"""As `SoftBackup(1)`, but an action implausible at its own step is worth $-64$ nats.

    Every action that is followed also pays $\ln E = -\ln U$, its habit among U.

    Attributes:
        threshold: probability by its own step alone below which an action is not followed.

    Source: SPM12, spm_MDP_VB_XX.
    """

    threshold: float = 1 / 16

    def total(self, now: Float[Array, "*n u"], later: Float[Array, "*n u"]) -> Float[Array, "*n u"]:
        """Value of each action from that of its step and of all that follows."""
        habit = -float(np.log(now.shape[-1]))
        plausible = jax.nn.softmax(now, axis=-1) > self.threshold
        return jnp.where(plausible, now + habit + later, -64.0)

    def weigh(self, value: Float[Array, "*n u"]) -> Float[Array, "*n u"]:
        """Probability of each action at a node."""
        return jax.nn.softmax(value, axis=-1)


class OutcomeBranches(eqx.Module):
    """One branch for each joint outcome, with the exact posterior: nothing is approximated.

    Attributes:
        outcomes: joint outcomes to branch on; `possible_outcomes(model)` are all that can come.
    """

    outcomes: Int[Array, "branches modalities"]

    def __call__(self, model: Model, tables: Tables) -> tuple[Float[Array, "nodes n"], Array]:
        """Probability of each branch, and the belief there: (nodes, branches, states...)."""
        said = jnp.ones((self.outcomes.shape[0], *model.num_states), tables.dtype)
        for g, (a, factors) in enumerate(zip(model.A, model.dependencies.A, strict=True)):
            order = sorted(range(len(factors)), key=lambda i, f=factors: f[i])
            shape = [n if f in factors else 1 for f, n in enumerate(model.num_states)]
            seen = a[self.outcomes[:, g]]
            seen = jnp.transpose(seen, [0, *(i + 1 for i in order)]).reshape(-1, *shape)
            said = said * seen
        return _update(tables, said)


class StateBranches(eqx.Module):
    r"""One branch for each likely state, as if its mean outcome had been seen.

    Attributes:
        threshold: states with more probability than this get a branch; if there are none, those
            with more than an even share.

    Source: SPM12, spm_MDP_VB_XX.
    """

    threshold: float = 1 / 16

    def __call__(self, model: Model, tables: Tables) -> tuple[Float[Array, "nodes n"], Array]:
        """Weight of each branch, and the belief there: (nodes, branches, states...)."""
        size = int(np.prod(model.num_states))
        said = jnp.ones((size, size), tables.dtype)
        grid = np.unravel_index(np.arange(size), model.num_states)
        for a, factors in zip(model.A, model.dependencies.A, strict=True):
            full = a[(slice(None), *(grid[f] for f in factors))]  # (outcomes, joint states)
            said = said * (full.T @ full)
        _, beliefs = _update(tables, said.reshape(size, *model.num_states))
        flat = tables.reshape(tables.shape[0], -1)
        likely = flat > self.threshold
        likely = jnp.where(jnp.any(likely, axis=1, keepdims=True), likely, flat > 1 / size)
        return jnp.where(likely, flat, 0), beliefs


def possible_outcomes(model: Model) -> Int[Array, "branches modalities"]:
    """All joint outcomes that some joint state can bring, by NumPy: not under jit."""
    grid = np.unravel_index(np.arange(int(np.prod(model.num_states))), model.num_states)
    likely = [
        np.asarray(a)[(slice(None), *(grid[f] for f in factors))] > 0
        for a, factors in zip(model.A, model.dependencies.A, strict=True)
    ]
    found = set()
    for s in range(len(grid[0])):
        found.update(itertools.product(*(np.flatnonzero(a[:, s]).tolist() for a in likely)))
    return jnp.asarray(sorted(found), jnp.int32)


class Sophisticated(eqx.Module):
    r"""Beliefs about what will be believed: after each action come outcomes, then the next choice.

    $-G(u \mid q) = -G_1(u \mid q) + \sum_o p(o \mid u, q) \sum_{u'} q(u') (-G(u' \mid q_o))$, with
    $q_o$ the posterior after o. All branches of a level are one batch: any number of actions and
    of branches, no dynamic shapes.

    Attributes:
        horizon: actions looked ahead.
        branches: `(model, tables) -> (weights, beliefs)`, such as `OutcomeBranches`.
        backup: what a node is worth: `SoftBackup`, `BestBackup` or `PrunedBackup`.
        information: `JointInformation()` or `PerModality()`.
        tail: `(model, belief, time) -> value` of what lies beyond the horizon, at each last belief.

    Source: Friston et al. (2021), Neural Comput. 33, 713-763; Da Costa et al. (2023), Neural
    Comput. 35, 807-852, for its optimality with `BestBackup`.
    """

    horizon: int = eqx.field(static=True)
    branches: Callable
    backup: SoftBackup | BestBackup | PrunedBackup = SoftBackup()
    information: Information = JointInformation()
    tail: Callable | None = None

    def __check_init__(self):
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")

    def __call__(self, model: Model, belief: Belief, time: Int[Array, ""]) -> Plan:
        """Value of each joint action as the first."""
        actions, blocks = model.num_actions, joint(model)
        nodes = Belief((belief.mean(keep=blocks[0])[None],), blocks)
        levels, values, weights = [], [], []
        for depth in range(1, self.horizon + 1):
            value, terms, nodes = steps_ahead(model, nodes, time + depth, self.information)
            size = nodes.tables[0].shape[0]
            whole = lambda x, size=size: jnp.broadcast_to(x, (size,)).reshape(-1, actions)
            values.append(whole(value))
            levels.append(Terms(*map(whole, terms)))
            if depth < self.horizon or self.tail is not None:
                weight, tables = self.branches(model, nodes.tables[0])
                weights.append(weight)
                nodes = Belief((tables.reshape(-1, *model.num_states),), blocks)
        value = values.pop()
        if self.tail is not None:
            weight = weights.pop()
            beyond = self.tail(model, nodes, time + self.horizon).reshape(weight.shape)
            beyond = jnp.sum(weight * beyond, axis=-1)
            value = self.backup.total(value, beyond.reshape(value.shape))
        return self._fold(levels, values, weights, value)

    def _fold(self, levels, values, weights, value):
        """Back from the leaves: each term is averaged as the agent will act."""
        terms = levels[-1]
        before = zip(levels[-2::-1], values[::-1], weights[::-1], strict=True)
        for level, worth, weight in before:
            act = self.backup.weigh(value)
            mean = lambda x, act=act, weight=weight: jnp.sum(
                jnp.sum(act * x, axis=-1).reshape(weight.shape) * weight, axis=-1
            )
            later = Terms(*(mean(x).reshape(worth.shape) for x in terms))
            ahead = mean(value).reshape(worth.shape)
            terms = Terms(*(x + y for x, y in zip(level, later, strict=True)))
            value = self.backup.total(worth, ahead)
        return Plan(value[0], Terms(*(x[0] for x in terms)))


def _update(tables, said):
    """Bayes' rule at every node for every branch: probabilities, and posteriors."""
    nodes, branches = tables.shape[0], said.shape[0]
    flat, said = tables.reshape(nodes, -1), said.reshape(branches, -1)
    weight = flat @ said.T
    joint_table = flat[:, None, :] * said[None, :, :]
    safe = jnp.where(weight > 0, weight, 1)[..., None]
    beliefs = jnp.where((weight > 0)[..., None], joint_table / safe, flat[:, None, :])
    return weight, beliefs.reshape(nodes, branches, *tables.shape[1:])
