"""The rat's first trial is SPM's, and over trials it stops asking the cue."""

from pathlib import Path

import numpy as np
import pytest

from experiments.papers.friston_2017_t_maze import Config, run

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "aif" / "spm_vbx_tmaze.npz")


@pytest.fixture(scope="module")
def result():
    return run(Config(agents=6, trials=24, width=6))


def test_the_first_trial_is_spm_s(result):
    np.testing.assert_allclose(result.G, GOLDEN["out_G"][:, 0], atol=1e-4)  # float32
    np.testing.assert_allclose(result.precision, GOLDEN["out_wn"].ravel(), atol=1e-4)
    np.testing.assert_allclose(result.learned, GOLDEN["out_d_1"], atol=1e-4)


def test_the_cue_is_asked_at_first_and_no_longer_at_last(result):
    assert (result.cue[:8] == 1).all()
    assert result.cue[-4:].mean() < 0.25
    assert result.arm[-4:].mean() > 0.75


def test_a_cue_that_never_errs_lets_rats_know_the_context(result):
    """Trials 1 and 3 were in the other context: counts (2, 2) and one a trial, while the cue is
    asked.
    """
    other = np.cumsum([0, 1, 0, 1, 0, 0, 0, 0])
    usual = np.arange(8) - other
    np.testing.assert_allclose(result.context[:8], (2 + usual) / (4 + usual + other), atol=1e-3)
    assert result.reward[:8].mean() > 0.85  # 0.98 of the trials, in 48: 4 standard errors
