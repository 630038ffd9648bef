"""Cues are followed in order to the reward, in every context."""

import numpy as np
import pytest

from experiments.papers.heins_2022_cue_chaining import COLUMNS, SECOND_CUES, Config, run, solved


@pytest.fixture(scope="module")
def result():
    return run(Config(steps=14))


def test_all_eight_contexts_are_solved(result):
    assert solved(result).all()


def test_no_way_is_longer_than_it_must_be(result):
    """To the first cue, on to the second, on to the reward: the moves between these cells."""
    for i, (cue, arm) in enumerate(np.ndindex(4, 2)):
        stops = np.array([(0, 0), (2, 0), SECOND_CUES[cue], [(1, 5), (3, 5)][arm]])
        assert result.rewarded[i].argmax() == abs(np.diff(stops, axis=0)).sum()


def test_four_moves_are_too_few_where_the_reward_is_six_away(result):
    far = [1, 6]  # second cue (0, 2) and arm (3, 5); second cue (4, 2) and arm (1, 5)
    assert not result.example[far].any()
    assert result.example.any(axis=1).sum() == 6


def test_only_the_cue_that_was_named_tells(result):
    for i, (cue, _) in enumerate(np.ndindex(4, 2)):
        where = set(result.cells[i][result.second[i]].tolist())
        assert where == {SECOND_CUES[cue][0] * COLUMNS + SECOND_CUES[cue][1]}
