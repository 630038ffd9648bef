"""Agents that perceive, plan and act as one step, and their life in an environment."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from fep.active_inference.belief import Belief, Observation, advance, prior
from fep.active_inference.inference import ExactFilter
from fep.active_inference.learning import Experience
from fep.active_inference.model import KNOWN, Counts, Model
from fep.information import log


class AgentState(NamedTuple):
    """What an agent carries from step to step."""

    prior: Belief  # over the present states, before the next observation
    time: Int[Array, ""]  # steps since the start
    counts: Counts = KNOWN  # Dirichlet concentrations, where something is learned
    before: Any = None  # (belief, joint action) of the step before, where something is learned
    plan: Any = None  # q(pi) of the steps to come, where planning is not done at every step


class Decision(NamedTuple):
    """What an agent thought at one step, and what it then did."""

    action: Int[Array, " controls"]  # the option of each control
    policies: Float[Array, " policies"]  # q(pi), first action slowest
    belief: Belief  # over the present states
    free_energy: Float[Array, ""]  # nats, of the observation


class Thought(NamedTuple):
    """What an agent has come to before it chooses."""

    model: Model  # as learned so far
    belief: Belief  # over the present states
    free_energy: Float[Array, ""]  # nats, of the observation
    policies: Float[Array, " policies"]  # q(pi), first action slowest


class SampleAction(eqx.Module):
    r"""$P(u) \propto (\sum_{\pi: \pi_1 = u} q(\pi))^\alpha$ over joint actions.

    Attributes:
        alpha: precision of action.

    Source: Friston et al. (2017), Neural Comput. 29, 1-49; spm_MDP_VB_X.
    """

    alpha: float | Float[Array, ""] = 16.0

    def log_probabilities(
        self, model: Model, policies: Float[Array, " policies"]
    ) -> Float[Array, " actions"]:
        """Ln P of every joint action."""
        return jax.nn.log_softmax(self.alpha * log(first_actions(model, policies)))

    def __call__(
        self, model: Model, policies: Float[Array, " policies"], *, key: PRNGKeyArray
    ) -> Int[Array, ""]:
        """Draw a joint action."""
        return jax.random.categorical(key, self.log_probabilities(model, policies))


class SampleEachControl(eqx.Module):
    r"""$P(u) = \prod_c P(u_c)$: every control from its own marginal, with a key of its own.

    Attributes:
        alpha: precision of action.
    """

    alpha: float | Float[Array, ""] = 16.0

    def _marginals(self, model, policies):
        table = first_actions(model, policies).reshape(model.num_controls)
        axes = range(table.ndim)
        marginals = [jnp.sum(table, axis=tuple(a for a in axes if a != c)) for c in axes]
        return [jax.nn.log_softmax(self.alpha * log(p)) for p in marginals]

    def log_probabilities(
        self, model: Model, policies: Float[Array, " policies"]
    ) -> Float[Array, " actions"]:
        """Ln P of every joint action."""
        total = jnp.zeros(1, policies.dtype)
        for marginal in self._marginals(model, policies):
            total = (total[:, None] + marginal[None, :]).reshape(-1)
        return total

    def __call__(
        self, model: Model, policies: Float[Array, " policies"], *, key: PRNGKeyArray
    ) -> Int[Array, ""]:
        """Draw a joint action."""
        marginals = self._marginals(model, policies)
        keys = jax.random.split(key, len(marginals))
        action = jnp.zeros((), jnp.int32)
        for k, marginal in zip(keys, marginals, strict=True):
            action = action * marginal.shape[0] + jax.random.categorical(k, marginal)
        return action


class BestAction(eqx.Module):
    """The joint action with the most probability over first actions; the first if they tie."""

    def log_probabilities(
        self, model: Model, policies: Float[Array, " policies"]
    ) -> Float[Array, " actions"]:
        """Ln P of every joint action: zero for the best, that of the smallest number elsewhere."""
        best = self(model, policies, key=None)
        return log(jax.nn.one_hot(best, model.num_actions, dtype=policies.dtype))

    def __call__(
        self, model: Model, policies: Float[Array, " policies"], *, key: PRNGKeyArray | None
    ) -> Int[Array, ""]:
        """The best joint action; the key is not used."""
        return jnp.argmax(first_actions(model, policies))


def first_actions(model: Model, policies: Float[Array, " policies"]) -> Float[Array, " actions"]:
    """Probability of each joint action to come first."""
    return jnp.sum(policies.reshape(model.num_actions, -1), axis=1)


class Agent(eqx.Module):
    r"""Perceives, plans and acts.

    $q(s) \approx p(s \mid o)$ by `inference`, $q(\pi) = \sigma(\ln E - \gamma G)$ by `planner`,
    and an action by `selection`; the belief then moves on by B under that action.

    Attributes:
        model: what the agent believes of its world.
        planner: `(model, belief, time) -> Plan`, such as `Exhaustive(horizon)`.
        inference: `(model, prior, observation) -> Perceived`, with `blocks(model)`.
        selection: `(model, policies, key=...) -> joint action`, with `log_probabilities`.
        gamma: precision of policies.
        learning: `(model, experience) -> counts`, such as `Learning()`; None learns nothing.
        every: plan anew every so many steps, and follow the plan between.
    """

    model: Model
    planner: Callable
    inference: Callable = ExactFilter()
    selection: Callable = SampleAction()
    gamma: float | Float[Array, ""] = 16.0
    learning: Callable | None = None
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if self.every < 1:
            raise ValueError(f"every must be at least 1, got {self.every}")
        if self.learning is not None and all(c is None for c in self.model.counts):
            raise ValueError("learning: expected a model with counts, got one without")

    def init(self) -> AgentState:
        """Before the first observation, knowing what the model says."""
        return self.reset(AgentState(None, None, self.model.counts))

    def reset(self, state: AgentState) -> AgentState:
        """Before the first observation of a new episode, with all that was learned so far."""
        model = self.model.with_counts(state.counts) if self.learning else self.model
        start = prior(model, self.inference.blocks(model))
        now = jnp.zeros((), jnp.int32)
        before = (start, now) if self.learning else None
        plan = None
        if self.every > 1:
            plan = jax.eval_shape(lambda: self.policies(start, now, model))
            if model.num_actions**self.every > plan.shape[0]:
                raise ValueError(
                    f"every: expected plans of at least {self.every} actions, got {plan.shape[0]} "
                    f"policies of {model.num_actions} actions"
                )
            plan = jnp.zeros(plan.shape, plan.dtype)
        return AgentState(start, now, state.counts, before, plan)

    def step(
        self, state: AgentState, observation: Observation, *, key: PRNGKeyArray
    ) -> tuple[AgentState, Decision]:
        """One observation in, one action out.

        Args:
            state: from `init` or the step before.
            observation: one outcome a modality: an index, negative if missing, or a vector of
                likelihoods.
            key: of the choice of action.
        """
        thought = self.think(state, observation)
        action = self.selection(thought.model, thought.policies, key=key)
        after = self.act(state, observation, thought, action)
        options = jnp.asarray(self.model.options())[action]
        return after, Decision(options, thought.policies, thought.belief, thought.free_energy)

    def think(self, state: AgentState, observation: Observation) -> Thought:
        """Perceive and plan: all of a step that comes before the choice."""
        model = self.model.with_counts(state.counts) if self.learning else self.model
        belief, free_energy = self.inference(model, state.prior, observation)
        return Thought(model, belief, free_energy, self._plan(model, belief, state))

    def act(
        self,
        state: AgentState,
        observation: Observation,
        thought: Thought,
        action: Int[Array, ""],
    ) -> AgentState:
        """All of a step that follows from a joint action, whoever chose it."""
        model, belief, _, policies = thought
        return AgentState(
            advance(model, belief, action),
            state.time + 1,
            self._learn(model, state, observation, belief, policies),
            (belief, action.astype(jnp.int32)) if self.learning else None,
            _follow(model, policies, action) if self.every > 1 else None,
        )

    def policies(
        self, belief: Belief, time: Int[Array, ""], model: Model | None = None
    ) -> Float[Array, " policies"]:
        """Posterior over policies from a belief over the present states."""
        model = self.model if model is None else model
        value = self.planner(model, belief, time).value
        return jax.nn.softmax(self.gamma * value + log(habits(model, value.shape[0])))

    def _plan(self, model, belief, state):
        if self.every == 1:
            return self.policies(belief, state.time, model)
        think = lambda: self.policies(belief, state.time, model)
        return jax.lax.cond(state.time % self.every == 0, think, lambda: state.plan)

    def _learn(self, model, state, observation, belief, policies):
        if self.learning is None:
            return state.counts
        before, action = state.before
        first = state.time == 0
        lived = Experience(observation, before, action, state.prior, belief, policies, first)
        return self.learning(model, lived)


def _follow(model, policies, action):
    """Posterior over the rest of the policies that begin with an action; their end is open."""
    rest = policies.reshape(model.num_actions, -1)[action]
    rest = rest / jnp.maximum(jnp.sum(rest), jnp.finfo(rest.dtype).tiny)
    return jnp.repeat(rest, model.num_actions) / model.num_actions


def habits(model: Model, policies: int) -> Float[Array, " policies"]:
    """E, over the first k actions, spread evenly over the policies that begin with them."""
    size = model.E.shape[0]
    if policies % size:
        raise ValueError(f"E: expected at most {policies} sequences of actions, got {size}")
    return jnp.repeat(model.E, policies // size) * (size / policies)


class History(NamedTuple):
    """A life, with time as the leading axis: what was so before each decision, and what came."""

    states: Any  # of the environment, when the observation was made
    observations: Any
    decisions: Decision
    rewards: Float[Array, " steps"]  # after the action
    terminated: Bool[Array, " steps"]  # the action ended the episode
    truncated: Bool[Array, " steps"]  # time ended the episode


@eqx.filter_jit
def rollout(
    agent: Agent, environment: Any, steps: int, key: PRNGKeyArray
) -> tuple[AgentState, History]:
    """Let an agent live in an environment; traced once for each kind of both and for `steps`.

    An environment has pure `reset(*, key) -> (observation, state)` and `step(state, action, *,
    key) -> (observation, state, reward, terminated, truncated, info)`. When an episode ends,
    environment and agent start afresh; an environment that returns False itself never ends.

    Args:
        agent: who acts.
        environment: where.
        steps: decisions to take.
        key: of the life.

    Returns:
        The agent's state at the end, and what happened.
    """

    def turn(carry, t):
        mind, observation, world = carry
        # each key by its number alone, so that what nobody draws from is not compiled
        acting, moving, again = (jax.random.fold_in(key, 3 * t + i) for i in (1, 2, 3))
        after, decision = agent.step(mind, observation, key=acting)
        moved = environment.step(world, decision.action, key=moving)
        seen, new, reward, terminated, truncated, _ = moved
        carried = (after, seen, new)
        if not (terminated is False and truncated is False):
            fresh = (agent.reset(after), *environment.reset(key=again))
            over = jnp.logical_or(terminated, truncated)
            carried = jax.tree.map(lambda a, b: jnp.where(over, a, b), fresh, carried)
        came = (jnp.asarray(reward, float), jnp.asarray(terminated), jnp.asarray(truncated))
        return carried, History(world, observation, decision, *came)

    start = agent.init(), *environment.reset(key=jax.random.fold_in(key, 0))
    carry, history = jax.lax.scan(turn, start, jnp.arange(steps))
    return carry[0], history
