"""Worlds pass Gymnasium's own checker, and its tables become worlds that are the same."""

import jax
import numpy as np
import pytest

from experiments.environments.bandits import switching_bandit
from experiments.environments.grids import frozen_lake
from experiments.environments.gymnasium_adapter import from_gymnasium, to_gymnasium
from experiments.environments.t_maze import CUE, t_maze
from experiments.environments.world import POMDP, World

gymnasium = pytest.importorskip("gymnasium")


def two_handed():
    """A world of two factors, both acted on."""
    turn = np.stack([np.eye(3), np.roll(np.eye(3), 1, axis=0)], axis=-1)
    pomdp = POMDP((np.eye(9).reshape(9, 3, 3),), (turn,) * 2, (np.zeros(9),), np.eye(3)[:2])
    return World(pomdp, rewards={0: np.arange(9.0)}, horizon=4)


@pytest.mark.parametrize(
    "world",
    [t_maze(), switching_bandit(3), two_handed()],
    ids=["one", "second", "both"],
)
def test_worlds_pass_gymnasium_s_checker(world):
    from gymnasium.utils.env_checker import check_env

    check_env(to_gymnasium(world), skip_render_check=True)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1"])
def test_a_tabular_world_of_gymnasium_there_and_back_passes_its_checker(name):
    from gymnasium.utils.env_checker import check_env

    check_env(to_gymnasium(from_gymnasium(gymnasium.make(name))), skip_render_check=True)


def test_a_world_behind_gymnasium_is_the_world():
    world = t_maze(reward_probability=1.0)
    wrapped = to_gymnasium(world)
    observation, info = wrapped.reset(seed=3)
    assert observation.tolist() == [0, 0]
    context = info["factors"][1]
    observation, reward, terminated, truncated, info = wrapped.step(CUE)
    assert observation.tolist() == [3 + context, 0]
    assert (reward, terminated, truncated) == (0.0, False, False)
    observation, reward, terminated, truncated, info = wrapped.step(1 + context)
    assert observation.tolist() == [1 + context, 1]
    assert (reward, terminated, truncated) == (1.0, False, True)
    assert info["factors"].tolist() == [1 + context, context]


def test_actions_of_two_factors_reach_both():
    wrapped = to_gymnasium(two_handed())
    wrapped.reset(seed=0)
    *_, info = wrapped.step(np.array([1, 0]))
    assert info["factors"].tolist() == [1, 1]  # from 0 and 1: the first moved on, the second stayed


def test_the_frozen_lake_is_gymnasium_s():
    theirs = gymnasium.make("FrozenLake-v1").unwrapped
    maps = ["/".join("".join(row.astype(str)) for row in theirs.desc)]
    ours = frozen_lake(maps, slip=2 / 3).pomdp.B[0]
    table = np.zeros_like(ours)
    for state, choices in theirs.P.items():
        for action, outcomes in choices.items():
            for probability, following, *_ in outcomes:
                table[following, state, action] += probability
    np.testing.assert_allclose(ours, table, atol=1e-12)


def test_rewards_and_ends_of_a_table_are_kept():
    """Down off the cliff costs 100 and leads back; up costs 1; the goal ends."""
    world = from_gymnasium(gymnasium.make("CliffWalking-v1"))
    key = jax.random.key(0)
    _, start = world.reset(key)
    act = lambda state, *actions: _walk(world, state, actions, key)
    fallen = act(start, 1)  # right, from the start at (3, 0)
    assert (float(fallen.reward), int(fallen.observation[0])) == (-100.0, 36)
    goal = act(start, 0, *[1] * 11, 2)  # up, along the cliff, down
    assert (float(goal.reward), bool(goal.terminated), int(goal.observation[0])) == (-1.0, True, 47)
    assert not act(start, 0).terminated


def _walk(world, state, actions, key):
    for action in actions:
        moved = world.step(state, jax.numpy.array([action]), key=key)
        state = moved.state
    return moved


def test_the_time_limit_of_a_table_is_kept():
    assert from_gymnasium(gymnasium.make("FrozenLake-v1")).horizon == 100


def test_what_cannot_be_adapted_is_refused():
    with pytest.raises(ValueError, match="no table of transitions"):
        from_gymnasium(gymnasium.make("CartPole-v1"))
    still = POMDP((np.eye(2),), (np.eye(2)[..., None],), (np.zeros(2),), (np.eye(2)[0],))
    with pytest.raises(ValueError, match="no factor that can be acted on"):
        to_gymnasium(World(still, rewards={}))
    wrapped = to_gymnasium(t_maze())
    wrapped.reset(seed=0)
    with pytest.raises(ValueError, match="got 7"):
        wrapped.step(7)
