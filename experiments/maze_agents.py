"""Two agents in one T-maze: one holds exact beliefs, one firing rates; both plan alike."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments.environments.t_maze import t_maze
from experiments.environments.world import World
from fep.active_inference.agent import Agent, BestAction
from fep.active_inference.belief import Belief, advance
from fep.active_inference.model import Model
from fep.active_inference.planning import Exhaustive
from snn.spiking_beliefs import Cycle, SpikingBelief

# both may deceive, which keeps beliefs from being certain; the cue tells more than an arm does
CUE_RELIABILITY, REWARD_PROBABILITY = 0.95, 0.8
MOVES = 2  # decisions an episode: the cue, then an arm
AT_ONCE = 16  # episodes simulated together, which bounds memory
RECORDED = 8  # episodes whose spikes are kept
EXACT, SPIKING = range(2)
CONTEXT_RIGHT = 1  # state of the context factor in which the right arm is baited


class Minds(NamedTuple):
    """A world and the two that live in it."""

    exact: Agent
    spiking: SpikingBelief
    world: World


class Episode(NamedTuple):
    """One episode, which both minds watch; times are before each move, and after the last."""

    outcomes: Int[Array, "times modalities"]
    chosen: Int[Array, "times minds"]  # joint action that each would take
    beliefs: Float[Array, "times minds states"]  # over place and context
    rewards: Float[Array, " times"]  # for the action taken


class Played(NamedTuple):
    """Episodes by who acts, exact or spiking, with a leading axis; and some with their spikes."""

    minds: Minds
    episodes: tuple[Episode, Episode]
    recorded: Episode  # the first few of those in which the exact mind acts
    spikes: Int[np.ndarray, "episodes times steps states neurons"]  # 0 or 1


def minds(neurons: int) -> Minds:
    """Both minds, of one model of the maze.

    The spiking one filters the joint of both factors: a population for every place and context.
    """
    world = t_maze(cue_reliability=CUE_RELIABILITY, reward_probability=REWARD_PROBABILITY)
    model = Model(world.pomdp.A, world.pomdp.B, world.pomdp.C, world.pomdp.D)
    (move, stay), (place, context) = model.B, model.D
    states = place.size * context.size
    spiking = SpikingBelief(
        tuple(a.reshape(-1, states) for a in model.A),
        jnp.einsum("iju,kl->ikjlu", move, stay[..., 0]).reshape(states, states, -1),
        jnp.outer(place, context).ravel(),
        neurons,
    )
    return Minds(Agent(model, Exhaustive(MOVES), selection=BestAction()), spiking, world)


def play(neurons: int, episodes: int, key: PRNGKeyArray) -> Played:
    """Let each mind act in `episodes` mazes, the same for both, while the other looks on."""
    both = minds(neurons)
    watch = jax.jit(jax.vmap(lambda leader, key: episode(both, leader, key)))
    leaders = np.repeat([EXACT, SPIKING], episodes)
    keys = jnp.tile(jax.random.split(key, episodes), 2)
    seen, spikes = [], None
    for first in range(0, leaders.size, AT_ONCE):
        # the last batch is filled up, so that one program serves all
        rows = np.minimum(np.arange(first, first + AT_ONCE), leaders.size - 1)
        batch, fired = jax.tree.map(np.asarray, watch(leaders[rows], keys[rows]))
        seen.append(batch)
        if spikes is None:
            recorded, spikes = jax.tree.map(lambda a: a[: min(RECORDED, episodes)], (batch, fired))
    lives = jax.tree.map(lambda *parts: np.concatenate(parts), *seen)
    led_by = [
        jax.tree.map(lambda a, who=who: a[: leaders.size][leaders == who], lives)
        for who in (EXACT, SPIKING)
    ]
    return Played(both, tuple(led_by), recorded, spikes)


def episode(
    both: Minds, leader: Int[Array, ""], key: PRNGKeyArray
) -> tuple[Episode, Int[Array, "..."]]:
    """One maze, in which one mind acts; and its spikes, shape (times, steps, states, neurons)."""
    exact, spiking, world = both
    model = exact.model
    begin, *moves = jax.random.split(key, MOVES + 2)
    outcomes, place = world.reset(begin)
    expected, populations = exact.init().prior, spiking.init()
    times, rasters = [], []
    for time, move in enumerate(moves):
        filtered = exact.inference(model, expected, outcomes).belief
        populations, cycle = spiking.step(populations, outcomes)
        read = Belief((cycle.belief.reshape(filtered.tables[0].shape),), filtered.blocks)
        policies = (exact.policies(belief, jnp.asarray(time)) for belief in (filtered, read))
        chosen = jnp.stack([exact.selection(model, p, key=None) for p in policies])
        beliefs = jnp.stack([filtered.tables[0].ravel(), cycle.belief])
        action, seen = chosen[leader], jnp.stack(outcomes)
        expected = advance(model, filtered, action)
        populations = spiking.expect(populations, cycle.belief, action)
        moved = world.step(place, jnp.stack([action, 0]), key=move)
        outcomes, place = moved.observation, moved.state
        times.append(Episode(seen, chosen, beliefs, moved.reward))
        rasters.append(cycle.raster.astype(jnp.int8))
    return jax.tree.map(lambda *values: jnp.stack(values), *times), jnp.stack(rasters)


def comparison(played: Played) -> dict[str, float]:
    """How the two minds compare, over all decisions, whoever acts."""
    chosen = np.concatenate([led.chosen[:, :MOVES] for led in played.episodes])
    beliefs = np.concatenate([led.beliefs for led in played.episodes])
    gap = 0.5 * np.abs(beliefs[..., EXACT, :] - beliefs[..., SPIKING, :]).sum(axis=-1)
    scores = [led.rewards[:, MOVES - 1] for led in played.episodes]
    return {
        "decisions": chosen[..., 0].size,
        "same action, share": float(np.mean(chosen[..., EXACT] == chosen[..., SPIKING])),
        "total variation between beliefs, mean": float(np.mean(gap)),
        "total variation between beliefs, largest": float(np.max(gap)),
        "mean reward, exact mind acts": float(np.mean(scores[EXACT])),
        "mean reward, spiking mind acts": float(np.mean(scores[SPIKING])),
    }


def trajectories(played: Played) -> dict[str, np.ndarray]:
    """Belief that the right arm is baited, each time step of the first recorded episode."""
    timing, (maze, *_) = played.minds.spiking.timing, played.spikes
    places = len(played.minds.exact.model.D[0])
    of_right = lambda states: states.reshape(*states.shape[:-1], places, -1)[..., CONTEXT_RIGHT]
    fired = maze.sum(axis=-1).reshape(-1, maze.shape[2])  # by state, along the episode
    window = np.cumsum(fired, axis=0)
    window[timing.counted :] -= window[: -timing.counted].copy()
    exact = of_right(played.recorded.beliefs[0, :, EXACT]).sum(axis=-1)
    share = of_right(window).sum(axis=-1) / np.maximum(window.sum(axis=-1), 1)
    return {"exact": np.repeat(exact, timing.steps), "spiking": share}


def cycles(played: Played) -> list[tuple[Cycle, tuple[Int[Array, ""], ...], int]]:
    """Recorded cycles that follow an action, as `snn.spiking_beliefs.raster` takes them."""
    seen = played.recorded
    return [
        (
            Cycle(seen.beliefs[e, t, SPIKING], played.spikes[e, t]),
            tuple(jnp.asarray(o) for o in seen.outcomes[e, t]),
            int(seen.chosen[e, t - 1, EXACT]),
        )
        for e in range(len(played.spikes))
        for t in range(1, MOVES + 1)
    ]
