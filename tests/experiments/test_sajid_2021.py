"""On the frozen lake, active inference loses one episode a change; the others are as described."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.environments.grids import frozen_lake
from experiments.papers.sajid_2021_frozen_lake import (
    EAST,
    PUBLISHED,
    SOUTH,
    Config,
    _scores,
    agent,
    bayesian_rl,
    infer,
    q_learning,
    q_values,
    switches,
    without_preferences,
)

LAKE = frozen_lake(horizon=None)
VALUES = eqx.filter_jit(q_values)
MANY = Config(agents=20, width=20)  # of one size, so that one program serves all Q-learners
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def inferred():
    """Scores of four agents with preferences and of four without, (2, agents, episodes)."""
    contexts, config = switches(8, (4, 8)), Config(agents=4, width=4)
    minds = agent(LAKE), without_preferences(agent(LAKE))
    return np.stack([_scores(config, infer, mind, LAKE, contexts, KEY) for mind in minds])


def test_what_ours_is_held_against_is_the_published_table():
    golden = Path(__file__).parents[1] / "golden" / "aif" / "sajid2021_frozenlake.json"
    table = json.loads(golden.read_text())["average_score_and_95ci"]
    names = "AIF", "AIF_null_model", "Q_eps0.1", "Q_eps1_decaying", "BayesRL"
    for ours, theirs in (("stationary", "stationary"), ("switching", "nonstationary")):
        assert PUBLISHED[ours] == tuple(tuple(table[theirs][name]) for name in names)


@pytest.mark.slow
def test_a_change_costs_one_episode(inferred):
    """The published per-episode scores: chance at first, 0 after a change, and 100 else."""
    scores = inferred[0]
    assert set(scores[:, 0]) <= {0.0, 100.0}
    assert (scores[:, [1, 2, 3, 5, 6, 7]] == 100).all()
    assert (scores[:, 4] == 0).all()


@pytest.mark.slow
def test_without_preferences_it_goes_to_either_end(inferred):
    assert 20 < inferred[1].mean() < 80  # 32 tosses of a coin: 3.4 standard errors


def test_sampled_models_are_solved_as_bellman_asks():
    """With sure moves: the east is worth 100 for ever, each other cell 10 on the way there."""
    Q = VALUES(LAKE, jnp.array(1.0), jnp.array(1.0))
    steps = np.array([3, 2, 1, 2, 1, 0, 3, np.inf, 1])  # to the east, round the hole
    wanted = 10 * (1 - 0.9**steps) / 0.1 + 0.9**steps * 1000
    wanted[SOUTH] = 0
    np.testing.assert_allclose(Q.max(axis=1), wanted, rtol=1e-4)  # 0.9 ** 100 is left over


def test_unsure_moves_go_astray_to_the_neighbours_in_reading_order():
    sure, unsure = (VALUES(LAKE, jnp.array(p), jnp.array(0.5)) for p in (1.0, 0.6))
    worth = np.full(9, 10.0)
    worth[EAST], worth[SOUTH] = 50.0, 25.0
    V = np.asarray(unsure.max(axis=1))
    # right from the start: cell 1, or astray 0 and 2; left from the start: stays, astray 0 and 1
    assert unsure[0, 2] == pytest.approx(10 + 0.9 * (0.6 * V[1] + 0.2 * (V[0] + V[2])), rel=1e-4)
    assert unsure[0, 0] == pytest.approx(10 + 0.9 * (0.8 * V[0] + 0.2 * V[1]), rel=1e-4)
    np.testing.assert_allclose(V[EAST], 500.0, rtol=1e-4)
    assert sure[0].max() > unsure[0].max()


@pytest.mark.slow
def test_rivals_learn_where_the_goal_is_and_are_fooled_by_a_change():
    contexts = switches(60, (40, 60))
    learner = _scores(MANY, q_learning, LAKE, contexts, jnp.full(60, 0.1), KEY)
    sampler = _scores(MANY, bayesian_rl, LAKE, contexts, KEY)
    for scores in (learner, sampler):
        assert scores[:, 30:40].mean() > 90
        assert scores[:, 40:44].mean() < 20


def test_a_learner_that_only_explores_finds_the_goal_as_a_random_walk_does():
    contexts, always = jnp.zeros(60, jnp.int32), jnp.full(60, 1.0)
    scores = _scores(MANY, q_learning, LAKE, contexts, always, KEY)
    B = LAKE.pomdp.B[0].mean(axis=-1)  # of a random action
    chance = 100 * np.linalg.matrix_power(B, 15)[EAST, 0]
    assert scores.mean() == pytest.approx(chance, abs=4 * 50 / 1200**0.5)
