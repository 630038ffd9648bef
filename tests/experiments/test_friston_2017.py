"""The rat's first trial is SPM's, and over trials it stops asking the cue."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.environments.t_maze import t_maze
from experiments.papers.friston_2017_t_maze import OTHER_TRIALS, Config, _careers, agent, run

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "aif" / "spm_vbx_tmaze.npz")
RATS = Config(agents=6, trials=24, width=6)


@pytest.fixture(scope="module")
def courses():
    """Cue visits, straight ways to an arm, rewards and beliefs, (trials,) each."""
    world = t_maze(preference=RATS.preference)
    contexts = jnp.isin(jnp.arange(RATS.trials), jnp.array(OTHER_TRIALS)).astype(jnp.int32)
    return _careers(RATS, agent(world), world, contexts, jax.random.key(RATS.seed))


def test_the_rat_is_spm_s():
    """All that SPM was told, which `test_active_inference_trial.py` holds its results to."""
    rat = agent(t_maze(preference=Config().preference))
    for f in range(2):
        np.testing.assert_allclose(rat.model.A[f], GOLDEN[f"in_A_{f}"], atol=1e-7)  # float32
        np.testing.assert_array_equal(rat.model.B[f], GOLDEN[f"in_B_{f}"])
        np.testing.assert_allclose(rat.model.C[f], GOLDEN[f"in_C_{f}"][:, 0], atol=1e-6)
        np.testing.assert_array_equal(rat.model.counts.d[f], GOLDEN[f"in_d_{f}"].ravel())
    np.testing.assert_array_equal(rat.plans, np.moveaxis(GOLDEN["in_V"], 0, 1))
    assert (rat.passing.time_constant, rat.beta, rat.alpha) == (GOLDEN["in_tau"], 1, 512)


@pytest.mark.slow
def test_the_first_trial_is_spm_s():
    result = run(RATS)
    np.testing.assert_allclose(result.G, GOLDEN["out_G"][:, 0], atol=1e-4)  # float32
    np.testing.assert_allclose(result.precision, GOLDEN["out_wn"].ravel(), atol=1e-4)
    np.testing.assert_allclose(result.learned, GOLDEN["out_d_1"], atol=1e-4)


@pytest.mark.slow
def test_the_cue_is_asked_at_first_and_no_longer_at_last(courses):
    cue, arm, _, _ = courses
    assert (cue[:8] == 1).all()
    assert cue[-4:].mean() < 0.25
    assert arm[-4:].mean() > 0.75


@pytest.mark.slow
def test_a_cue_that_never_errs_lets_rats_know_the_context(courses):
    """Trials 1 and 3 were in the other context: counts (2, 2) and one a trial, while the cue is
    asked.
    """
    _, _, reward, context = courses
    other = np.cumsum([0, 1, 0, 1, 0, 0, 0, 0])
    usual = np.arange(8) - other
    np.testing.assert_allclose(context[:8], (2 + usual) / (4 + usual + other), atol=1e-3)
    assert reward[:8].mean() > 0.85  # 0.98 of the trials, in 48: 4 standard errors
