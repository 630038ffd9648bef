"""The tutorial's agents take the hint as its authors' scripts do, first and while they learn."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.papers.smith_2022_explore_exploit import SEEKING, Config, run

GOLDEN = Path(__file__).parents[1] / "golden" / "aif"


@pytest.fixture(scope="module")
def result():
    return run(Config(agents=12, trials=12, reversal_trials=12, reversal=4, width=6))


def test_the_hint_is_first_as_often_as_printed(result):
    printed = json.loads((GOLDEN / "smith2022_tutorial.json").read_text())
    for rs, p in printed["explore_exploit_first_action"]["P_hint"].items():
        ours = result.hint[SEEKING.index(int(rs))]
        assert ours == pytest.approx(p, abs=1e-4)  # printed to four digits


def test_first_posteriors_over_policies_are_spm_s(result):
    golden = np.load(GOLDEN / "spm_explore_exploit.npz")
    for rs in (1, 2, 3, 4, 5, 6, 8):
        ours = result.policies[SEEKING.index(rs)]
        np.testing.assert_allclose(ours, golden[f"rs{rs}_R"][:, 0], atol=1e-4)  # float32


def test_hints_fade_as_in_twelve_runs_of_the_scripts(result):
    """Shares over 12 agents and over their 12 runs, trials 1 to 12; a sum of two such errors."""
    runs = json.loads((GOLDEN / "spm_behaviour_rates.json").read_text())["runs"]
    for course, theirs in zip(result.hint_taken, runs, strict=True):
        per_trial = np.array(theirs["hint_first_per_trial"][:12])
        assert course[0] == per_trial[0] == 1
        error = 4 * np.sqrt(2 * 0.25 / (12 * 6))  # each agent's trials count as half as many
        assert course.mean() == pytest.approx(per_trial.mean(), abs=error)


def test_a_change_of_the_better_machine_brings_the_hint_back(result):
    steady, turned = result.hint_taken[1], result.reversal_hint_taken[1]  # rs = 4
    assert turned[-4:].mean() > steady[-4:].mean() + 0.3
