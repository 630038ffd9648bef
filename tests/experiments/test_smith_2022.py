"""The tutorial's agents take the hint as its authors' scripts do, first and while they learn."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.environments.bandits import slot_machines
from experiments.papers.smith_2022_explore_exploit import SEEKING, Config, _careers, agent, run

GOLDEN = Path(__file__).parents[1] / "golden" / "aif"
SMALL = Config(agents=12, trials=12, reversal_trials=12, reversal=4, width=6)


def course(seeking, contexts):
    """Shares of agents that took the hint, and that won, in each trial."""
    world = slot_machines(reward_seeking=float(seeking))
    key = jax.random.fold_in(jax.random.key(SMALL.seed), seeking)
    return _careers(SMALL, agent(world), world, jnp.asarray(contexts), key)


@pytest.fixture(scope="module")
def steady():
    return {rs: course(rs, [0] * SMALL.trials)[0] for rs in (3, 4)}


def test_the_agent_is_the_tutorial_s():
    """All that the scripts were told, which `test_active_inference_trial.py` holds results to."""
    golden = np.load(GOLDEN / "spm_explore_exploit.npz")
    for rs in SEEKING:
        mind = agent(slot_machines(reward_seeking=float(rs)))
        wins = [[0, 0, 0], [0, -1, -1], [0, rs, rs / 2]]  # in time, of nothing, loss and win
        np.testing.assert_allclose(mind.model.C[1], np.transpose(wins), atol=1e-6)
        assert not any(np.any(c) for c in (mind.model.C[0], mind.model.C[2]))
    np.testing.assert_array_equal(mind.plans, np.moveaxis(golden["V"], 0, 1))
    for f in range(2):
        np.testing.assert_array_equal(mind.model.counts.d[f], golden[f"d_{f}"][:, 0])
    passing = mind.passing
    assert (passing.time_constant, passing.decay, mind.beta, mind.alpha) == (12, 1, 1, 32)


@pytest.mark.slow
def test_the_hint_is_first_as_often_as_printed_and_policies_are_spm_s():
    result = run(SMALL)
    printed = json.loads((GOLDEN / "smith2022_tutorial.json").read_text())
    golden = np.load(GOLDEN / "spm_explore_exploit.npz")
    for rs, p in printed["explore_exploit_first_action"]["P_hint"].items():
        i = SEEKING.index(int(rs))
        assert result.hint[i] == pytest.approx(p, abs=1e-4)  # printed to four digits
        np.testing.assert_allclose(result.policies[i], golden[f"rs{rs}_R"][:, 0], atol=1e-4)


@pytest.mark.slow
def test_hints_fade_as_in_twelve_runs_of_the_scripts(steady):
    """Shares over 12 agents and over their 12 runs, trials 1 to 12; a sum of two such errors."""
    runs = json.loads((GOLDEN / "spm_behaviour_rates.json").read_text())["runs"]
    for taken, theirs in zip(steady.values(), runs, strict=True):
        per_trial = np.array(theirs["hint_first_per_trial"][:12])
        assert taken[0] == per_trial[0] == 1
        error = 4 * np.sqrt(2 * 0.25 / (12 * 6))  # each agent's trials count as half as many
        assert taken.mean() == pytest.approx(per_trial.mean(), abs=error)


@pytest.mark.slow
def test_a_change_of_the_better_machine_brings_the_hint_back(steady):
    turned = course(4, [0] * SMALL.reversal + [1] * (SMALL.reversal_trials - SMALL.reversal))[0]
    assert turned[-4:].mean() > steady[4][-4:].mean() + 0.3
