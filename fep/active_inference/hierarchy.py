"""Deep temporal models: a slow agent whose outcomes are where a fast agent's states begin."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from fep.active_inference.agent import Agent, AgentState, Decision
from fep.active_inference.belief import OUTCOME, Belief, Observation
from fep.active_inference.smoothing import likelihoods, transitions


class DeepState(NamedTuple):
    """What both levels carry."""

    upper: AgentState
    lower: AgentState
    origins: tuple[Float[Array, " _"], ...]  # prior over where each lower factor began
    since: Float[Array, "states states"]  # p(outcomes so far, state now | where it began)
    tick: Int[Array, ""]  # fast steps since the last slow one


class DeepDecision(NamedTuple):
    """What both levels did; the upper one's is of its last slow step."""

    lower: Decision
    upper: Belief  # of the upper level, as it stands


class DeepAgent(eqx.Module):
    r"""Two levels, one inside the other: `length` fast steps to each slow one.

    The slow level predicts outcomes, and modality g of them is where factor links[g] of the fast
    level begins, $D_f = \sum_s q(s) A_g(\cdot \mid s)$. When the fast level is done, what its
    outcomes say of that beginning, $p(o_{1:T} \mid s_0)$, is the slow level's observation, exactly.

    Attributes:
        upper: the slow agent; one modality for each factor of the fast one.
        lower: the fast agent, with exact inference and no learning.
        length: fast steps for each slow step.

    Source: Friston et al. (2018), Deep temporal models and active inference, Neurosci. Biobehav.
    Rev. 90, 486-501.
    """

    upper: Agent
    lower: Agent
    length: int = eqx.field(static=True)

    def __check_init__(self):
        if self.length < 1:
            raise ValueError(f"length must be at least 1, got {self.length}")
        outcomes, states = self.upper.model.num_outcomes, self.lower.model.num_states
        if outcomes != states:
            raise ValueError(
                f"upper: expected one modality for each factor below, outcomes {states}, "
                f"got {outcomes}"
            )

    def init(self) -> DeepState:
        """Before the first observation."""
        return self._begin(self.upper.init())

    def step(
        self, state: DeepState, observation: Observation, *, key: PRNGKeyArray
    ) -> tuple[DeepState, DeepDecision]:
        """One fast step; the slow one follows by itself when it is due."""
        acting, above = jax.random.split(key)
        lower = self._lower(state.origins)
        after, decision = lower.step(state.lower, observation, key=acting)
        seen = tuple(jnp.asarray(o)[None] for o in observation)
        heard = state.since * likelihoods(lower.model, seen)
        action = jnp.ravel_multi_index(
            tuple(decision.action), lower.model.num_controls, mode="clip"
        )
        moved = heard @ transitions(lower.model)[action]
        moved = moved / jnp.maximum(jnp.max(moved), jnp.finfo(moved.dtype).tiny)
        going = DeepState(state.upper, after, state.origins, moved, state.tick + 1)
        told = self._told(state.origins, jnp.sum(heard, axis=1))
        risen, thought = self.upper.step(state.upper, told, key=above)
        due = going.tick >= self.length
        ended = self._begin(risen)
        new = jax.tree.map(lambda a, b: jnp.where(due, a, b), ended, going)
        belief = jax.tree.map(lambda a, b: jnp.where(due, a, b), thought.belief, state.upper.prior)
        return new, DeepDecision(decision, belief)

    def _begin(self, upper):
        """The lower level where the upper one expects it."""
        model = self.upper.model
        origins = tuple(
            upper.prior.mean((a, [OUTCOME, *factors]), keep=[OUTCOME])
            for a, factors in zip(model.A, model.dependencies.A, strict=True)
        )
        lower = self._lower(origins).init()
        size = lower.prior.tables[0].size
        return DeepState(
            upper, lower, origins, jnp.eye(size, dtype=origins[0].dtype), jnp.zeros((), jnp.int32)
        )

    def _lower(self, origins):
        model = self.lower.model.replace(D=origins)
        return eqx.tree_at(lambda a: a.model, self.lower, model)

    def _told(self, origins, said):
        """Likelihood of all that was seen below under where each factor began."""
        table = said.reshape(self.lower.model.num_states)
        factors = range(table.ndim)
        told = []
        for f in factors:
            others = [x for i in factors if i != f for x in (origins[i], [i])]
            found = jnp.einsum(table, list(factors), *others, [f])
            told.append(found / jnp.maximum(jnp.max(found), jnp.finfo(found.dtype).tiny))
        return tuple(told)
