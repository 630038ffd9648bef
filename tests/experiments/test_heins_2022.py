"""Cues are followed in order to the reward, in every context."""

import numpy as np
import pytest

from experiments.papers.heins_2022_cue_chaining import (
    COLUMNS,
    SECOND_CUES,
    SHOWN,
    Config,
    run,
    solved,
)


@pytest.fixture(scope="module")
def result():
    return run(Config(example=6, steps=14))  # the horizon that solves all, once


@pytest.mark.slow
def test_all_eight_contexts_are_solved(result):
    assert solved(result).all()


@pytest.mark.slow
def test_no_way_is_longer_than_it_must_be(result):
    """To the first cue, on to the second, on to the reward: the moves between these cells."""
    for i, (cue, arm) in enumerate(np.ndindex(4, 2)):
        stops = np.array([(0, 0), (2, 0), SECOND_CUES[cue], [(1, 5), (3, 5)][arm]])
        assert result.rewarded[i].argmax() == abs(np.diff(stops, axis=0)).sum()


@pytest.mark.slow
def test_the_published_course_takes_ten_moves(result):
    shown = SHOWN[0] * 2 + SHOWN[1]
    assert result.rewarded[shown].argmax() == 10
    assert not result.shocked.any()


@pytest.mark.slow
def test_the_example_s_horizon_sees_the_reward_wherever_it_is_no_farther():
    """Where it is six moves away, (0, 2) to (3, 5) or (4, 2) to (1, 5), all moves tie."""
    result, shown = run(Config(steps=14)), SHOWN[0] * 2 + SHOWN[1]
    assert result.example[[0, 2, 3, 4, 5, 7]].any(axis=1).all()
    assert result.example[shown].argmax() == 10
    assert not result.example_shocked.any()


def test_only_the_cue_that_was_named_tells(result):
    for i, (cue, _) in enumerate(np.ndindex(4, 2)):
        where = set(result.cells[i][result.second[i]].tolist())
        assert where == {SECOND_CUES[cue][0] * COLUMNS + SECOND_CUES[cue][1]}
