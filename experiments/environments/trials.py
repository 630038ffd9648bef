"""Trials: an agent with plans of a fixed length lives once through a world."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments.environments.world import World
from fep.active_inference.trial import Thought, TrialAgent


class Trial(NamedTuple):
    """What was so, seen, thought and won at each time of a trial."""

    states: tuple[Int[Array, " times"], ...]  # one array a factor
    observations: tuple[Int[Array, " times"], ...]  # one array a modality
    thoughts: Thought
    rewards: Float[Array, " moves"]


def live(
    agent: TrialAgent, world: World, factors: tuple[Int[Array, ""], ...], key: PRNGKeyArray
) -> Trial:
    """One trial: as many moves as the plans have, and an observation before and after each.

    Args:
        agent: who plans.
        world: where; its end and horizon are not asked.
        factors: states of the world to begin with.
        key: of chance in the world and of the choice of actions.
    """
    times = agent.plans.shape[1] + 1
    first, rest = jax.random.split(key)

    def moment(carry, keys):
        mind, place, observation = carry
        acting, moving = keys
        mind, thought = agent.step(mind, observation, key=acting)
        moved = world.step(place, thought.action, key=moving)
        seen = place.factors, observation, thought, moved.reward
        return (mind, moved.state, moved.observation), seen

    observation, place = world.start(factors, first)
    start = agent.init(), place, observation
    states, observations, thoughts, rewards = jax.lax.scan(
        moment, start, jax.random.split(rest, (times, 2))
    )[1]
    return Trial(states, observations, thoughts, rewards[:-1])


def plans(
    moves: list[list[int]], controls: int, acted: int
) -> Int[Array, "policies moves controls"]:
    """Policies that act on one control alone, from the moves of each.

    Args:
        moves: of each policy.
        controls: how many there are.
        acted: which of them is acted on; the others have one option.
    """
    moves = jnp.asarray(moves, jnp.int32)
    return jnp.zeros((*moves.shape, controls), jnp.int32).at[..., acted].set(moves)
