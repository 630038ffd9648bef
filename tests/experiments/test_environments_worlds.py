"""Each toy world is the one its paper describes."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.environments.bandits import LEFT, slot_machines, switching_bandit
from experiments.environments.graph import graph_world
from experiments.environments.grids import (
    cue_chaining,
    frozen_lake,
    generalised_t_maze,
    grid_world,
)
from experiments.environments.t_maze import t_maze
from experiments.environments.world import WorldState

GOLDEN = Path(__file__).parents[1] / "golden" / "aif"
KEY = jax.random.key(0)
step = eqx.filter_jit(lambda world, state, action, key: world.step(state, action, key=key))


def walk(world, factors, actions):
    """Observations after each action on the first factor, the last transition beside them."""
    state = WorldState(tuple(map(jnp.array, factors)), jnp.array(0))
    rest = [0] * (len(factors) - 1)
    seen = []
    for action in actions:
        moved = step(world, state, jnp.array([action, *rest]), KEY)
        state = moved.state
        seen.append([int(outcome) for outcome in moved.observation])
    return seen, moved


def test_the_t_maze_is_spm_s():
    golden, pomdp = np.load(GOLDEN / "spm_vbx_tmaze.npz"), t_maze().pomdp
    for i in range(2):
        np.testing.assert_allclose(pomdp.A[i], golden[f"in_A_{i}"], atol=1e-15)
        np.testing.assert_array_equal(pomdp.B[i], golden[f"in_B_{i}"])
        np.testing.assert_array_equal(pomdp.C[i], golden[f"in_C_{i}"][:, 0])
    np.testing.assert_array_equal(pomdp.D[1], golden["in_d_1"] / golden["in_d_1"].sum())


def test_the_slot_machines_are_the_tutorial_s():
    golden, pomdp = np.load(GOLDEN / "spm_explore_exploit.npz"), slot_machines().pomdp
    for i in range(3):
        np.testing.assert_allclose(pomdp.A[i], golden[f"A_{i}"], atol=1e-15)
    for i in range(2):  # Octave drops the last axis of length one
        wanted = golden[f"B_{i}"].reshape(pomdp.B[i].shape)
        np.testing.assert_array_equal(pomdp.B[i], wanted)


def test_a_grid_bars_its_borders_and_pays_at_its_goal():
    world = grid_world((2, 3), goal=(1, 2), success=1.0)
    seen, moved = walk(world, [0], [0, 3, 1, 1, 1, 2])  # up, left, right three times, down
    assert [cell for (cell,) in seen] == [0, 0, 1, 2, 2, 5]
    assert (float(moved.reward), bool(moved.terminated)) == (1.0, True)
    assert world.pomdp.C[0].tolist() == [-1.5, -1.0, -0.5, -1.0, -0.5, 0.0]


def test_a_grid_slips_as_often_as_told_and_never_at_a_border():
    B = grid_world((2, 2), success=0.7, goal=(1, 1)).pomdp.B[0]
    assert B[1, 0, 1] == pytest.approx(0.7)
    assert B[0, 0, 1] == pytest.approx(0.3)
    assert B[0, 0, 0] == 1


@pytest.mark.parametrize("second", range(4))
@pytest.mark.parametrize("baited", range(2))
def test_a_chain_of_cues_leads_to_the_reward(second, baited):
    """Cell (2, 0) names the second cue, which names the arm; other second cues say nothing."""
    world = cue_chaining()
    cells = [(0, 2), (1, 3), (3, 3), (4, 2)]
    to = lambda a, b: [2 if b[0] > a[0] else 0] * abs(b[0] - a[0]) + [1] * (b[1] - a[1])
    first, _ = walk(world, [0, second, baited], [2, 2])
    assert first[-1] == [14, 1 + second, 0, 0]
    for i, cell in enumerate(cells):
        seen, _ = walk(world, [14, second, baited], to((2, 0), cell))
        assert seen[-1][2] == (1 + baited if i == second else 0)
    for i, arm in enumerate([(1, 5), (3, 5)]):
        seen, moved = walk(world, [14, second, baited], to((2, 0), arm))
        assert seen[-1][3] == (1 if i == baited else 2)
        assert moved.reward == (1 if i == baited else -1)


def test_goal_and_hole_of_the_lake_change_places():
    world, right, down = frozen_lake(), 2, 1
    to_5, to_7 = [right, right, down], [down, down, right]
    for context, goal, hole in ((0, to_5, to_7), (1, to_7, to_5)):
        _, won = walk(world, [0, context], goal)
        _, lost = walk(world, [0, context], hole)
        assert (float(won.reward), bool(won.terminated), won.observation[1]) == (100.0, True, 0)
        assert (float(lost.reward), bool(lost.terminated), lost.observation[1]) == (0.0, True, 1)


def test_lakes_that_cannot_share_their_cells_are_refused():
    for maps in (("SFG", "SGF"), ("FFG",)):
        with pytest.raises(ValueError, match="one S, and ends in the same cells"):
            frozen_lake(maps)
    for maps in (("SF/FG", "SF/FG/FF"), ("SF/G",)):
        with pytest.raises(ValueError, match="rows of equal length"):
            frozen_lake(maps)


def test_two_pairs_of_arms_have_a_cue_each():
    lines = ("A..A", "#aS#", "B.bB")
    world = generalised_t_maze(lines)
    assert world.pomdp.outcomes == (10, 3, 3, 3, 3)
    start = lines[0].count(".") + 2 + 1  # cells in reading order: four, then the cue, then S
    for a, b in np.ndindex(2, 2):
        seen, moved = walk(world, [start, a, b], [3, 0, 3])  # left to cue a, up, left to its arm
        assert seen[0] == [4, 1 + a, 0, 0, 0]
        assert seen[2] == [0, 0, 1 + a, 0, 0]  # reward if the first arm is baited
        assert moved.reward == (1 if a == 0 else -1)
        seen, _ = walk(world, [start, a, b], [2, 1, 0])  # down to cue b, right to its arm, up
        assert seen[0] == [8, 0, 0, 1 + b, 0]
        assert seen[1][4] == 2 - b
        assert seen[2][0] == seen[1][0]  # an arm is not left


def test_cues_and_arms_of_a_maze_err_as_told():
    pomdp = generalised_t_maze(cue_reliability=0.8, reward_probability=0.9).pomdp
    cue, arm = pomdp.A[1], pomdp.A[2]
    np.testing.assert_allclose(cue[1:, -1], [[0.8, 0.2], [0.2, 0.8]])
    np.testing.assert_allclose(arm[1:, 0], [[0.9, 0.1], [0.1, 0.9]])
    with pytest.raises(ValueError, match="expected 2 of 'A', found 1"):
        generalised_t_maze(("A.S", "a.#"))


def test_a_walk_on_a_graph_keeps_to_its_edges_and_finds():
    ring = np.roll(np.eye(4), 1, axis=1)  # one way round
    world = graph_world(ring)
    seen, moved = walk(world, [0, 2], [2, 1, 2])
    assert seen == [[0, 0], [1, 0], [2, 1]]  # no edge from 0 to 2
    assert (float(moved.reward), bool(moved.terminated)) == (1.0, True)
    with pytest.raises(ValueError, match="square"):
        graph_world(np.ones((2, 3)))


def test_the_best_arm_wins_more_and_changes():
    pomdp = switching_bandit(3, switch_probability=0.1, advantage=0.2).pomdp
    np.testing.assert_allclose(pomdp.A[0][1, :, :3], 0.5 + 0.2 * np.eye(3))
    np.testing.assert_allclose(pomdp.B[0][:, 1, 0], [0.05, 0.9, 0.05])
    seen, _ = walk_second(switching_bandit(3), [0, 3], LEFT)
    assert seen[1] == LEFT


def walk_second(world, factors, action):
    state = WorldState(tuple(map(jnp.array, factors)), jnp.array(0))
    moved = step(world, state, jnp.array([0, action]), KEY)
    return [int(outcome) for outcome in moved.observation], moved


@pytest.mark.parametrize("settings", [{"arms": 1}, {"switch_probability": 1.5}, {"advantage": 0.6}])
def test_impossible_bandits_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        switching_bandit(**settings)
