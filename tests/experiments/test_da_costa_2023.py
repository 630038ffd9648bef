"""Sophisticated planning is Bellman's optimum; the standard scheme is so for one move alone."""

import numpy as np
import pytest

from experiments.papers.da_costa_2023_reward_maximisation import Config, bellman, lived, run


@pytest.fixture(scope="module")
def result():
    return run(Config(problems=60, horizon=2))


def test_sophisticated_planning_is_value_iteration(result):
    np.testing.assert_allclose(result.difference, 0, atol=1e-5)  # float32
    np.testing.assert_array_equal(result.optimal[0], 1)
    np.testing.assert_allclose(result.lost[0], 0, atol=1e-12)


def test_the_standard_scheme_is_optimal_for_one_move_and_loses_with_two(result):
    assert result.optimal[1, 0] == 1 > result.optimal[1, 1]
    assert result.lost[1, 0] == pytest.approx(0, abs=1e-12)
    assert result.lost[1, 1] > 1e-4  # reward; a few problems in a hundred are lost, by little each


def test_sharp_preferences_leave_nothing_but_reward(result):
    assert result.sharp[-1] == 1
    assert result.sharp[0] < 0.9


def test_who_moves_best_lives_up_to_bellman_s_value():
    rng = np.random.default_rng(3)
    B = np.moveaxis(rng.dirichlet(np.ones(4), (2, 4, 3)), -1, 1)
    rewards = rng.normal(size=(2, 4))
    values = bellman(B, rewards, 3)
    found = lived(B, rewards, list(values.argmax(axis=-1)))
    np.testing.assert_allclose(found, values.max(axis=-1), rtol=1e-12)
    one = rewards[0] @ B[0, :, 2, 1]  # one move: the mean reward of where it leads
    assert values[0, 0, 2, 1] == pytest.approx(one, rel=1e-12)
