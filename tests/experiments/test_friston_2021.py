"""The first move of a sophisticated rat is SPM's, whatever it prefers and however far it looks."""

from pathlib import Path

import numpy as np
import pytest

from experiments.papers.friston_2021_sophisticated import CUE, DEPTHS, PREFERENCES, Config, run

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "aif" / "spm_vbxx_sophisticated_tmaze.npz")


@pytest.fixture(scope="module")
def moves():
    return run(Config()).moves


@pytest.mark.parametrize("depth", DEPTHS)
def test_first_moves_are_spm_s(moves, depth):
    for i, c in enumerate(PREFERENCES):
        golden = GOLDEN[f"c{c}_N{depth}_ctx0_R"][:, 0]
        np.testing.assert_allclose(moves[i, depth], golden, atol=1e-4)  # float32


def test_only_who_looks_ahead_asks_the_cue_for_what_it_tells(moves):
    paper = PREFERENCES.index(4)
    assert moves[paper, 0, CUE] < 0.5 < 0.8 < moves[paper, 1, CUE]


def test_who_wants_nothing_and_looks_ahead_goes_where_outcomes_are_unsure(moves):
    assert (moves[PREFERENCES.index(0), 1:, 1] > moves[PREFERENCES.index(0), 1:, CUE]).all()
