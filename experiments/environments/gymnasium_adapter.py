"""Worlds for Gymnasium's agents, and Gymnasium's tabular worlds for ours."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments.environments.world import POMDP, Transition, World


def to_gymnasium(world: World) -> Any:
    """A `gymnasium.Env` over a world.

    Observations are `MultiDiscrete`, one number a modality. Actions are those of the factors that
    can be acted on: `Discrete` if there is one, else `MultiDiscrete`. `info` holds the hidden
    factors. A seed given to `reset` fixes all that follows.

    Raises:
        ValueError: if no factor can be acted on.
    """
    import gymnasium

    sizes = world.pomdp.actions
    acted = [f for f, size in enumerate(sizes) if size > 1]
    if not acted:
        raise ValueError("the world has no factor that can be acted on")
    reset = eqx.filter_jit(world.reset)
    step = eqx.filter_jit(lambda state, action, key: world.step(state, action, key=key))

    class GymnasiumWorld(gymnasium.Env):
        metadata = {"render_modes": []}
        observation_space = gymnasium.spaces.MultiDiscrete(world.pomdp.outcomes)
        if len(acted) == 1:
            action_space = gymnasium.spaces.Discrete(sizes[acted[0]])
        else:
            action_space = gymnasium.spaces.MultiDiscrete([sizes[f] for f in acted])

        def reset(self, *, seed: int | None = None, options: dict | None = None):
            super().reset(seed=seed)
            self._key = jax.random.key(int(self.np_random.integers(2**32)))
            observation, self._state = reset(self._key)
            return self._told(observation)

        def step(self, action):
            if not self.action_space.contains(action):
                raise ValueError(f"expected an action of {self.action_space}, got {action!r}")
            whole = np.zeros(len(sizes), np.int32)
            whole[acted] = action
            key = jax.random.fold_in(self._key, 1 + self._state.time)
            moved: Transition = step(self._state, jnp.asarray(whole), key)
            self._state = moved.state
            observation, info = self._told(moved.observation)
            ends = bool(moved.terminated), bool(moved.truncated)
            return observation, float(moved.reward), *ends, info

        def _told(self, observation):
            info = {"factors": np.array(self._state.factors)}
            return np.array(observation, self.observation_space.dtype), info

    return GymnasiumWorld()


def from_gymnasium(environment: Any) -> World:
    """The world of a Gymnasium environment that shows its transitions as a table.

    Gymnasium's toy texts do (FrozenLake, CliffWalking, Taxi): `P[state][action]` lists
    (probability, next state, reward, whether it ends). The one factor is what was last entered:
    state, reward and end together. Modalities: state, and event, a reward with or without an end.

    Args:
        environment: a `gymnasium.Env`; its time limit, if its spec has one, is kept.

    Raises:
        ValueError: if it has no table.
    """
    bare = environment.unwrapped
    if not (hasattr(bare, "P") and hasattr(bare, "initial_state_distrib")):
        raise ValueError(f"{bare!r} shows no table of transitions, P and initial_state_distrib")
    states, actions = len(bare.P), len(bare.P[0])
    start = np.asarray(bare.initial_state_distrib, np.float64)
    entries = {(int(s), 0.0, False): None for s in np.flatnonzero(start)}
    for choices in bare.P.values():
        for outcomes in choices.values():
            entries |= {(int(s), float(r), bool(end)): None for _, s, r, end in outcomes}
    index = {entry: i for i, entry in enumerate(entries)}
    events = {event: i for i, event in enumerate(dict.fromkeys(e[1:] for e in entries))}
    move = np.zeros((len(index), len(index), actions))
    for (state, *_), column in index.items():
        for action in range(actions):
            for probability, s, r, end in bare.P[state][action]:
                move[index[int(s), float(r), bool(end)], column, action] += probability
    where, event = np.zeros((states, len(index))), np.zeros((len(events), len(index)))
    first = np.zeros(len(index))
    for entry, i in index.items():
        where[entry[0], i] = event[events[entry[1:]], i] = 1
        first[i] = start[entry[0]] * (entry[1:] == (0.0, False))
    rewards, ends = zip(*events, strict=True)
    pomdp = POMDP(A=(where, event), B=(move,), C=(np.zeros(states), np.array(rewards)), D=(first,))
    limit = environment.spec.max_episode_steps if environment.spec else None
    return World(pomdp, rewards={1: rewards}, terminal={1: ends}, horizon=limit)
