"""The worked examples of Smith, Friston & Whyte (2022), computed by what agents themselves use.

Printed are results of the tutorial's own scripts. One of them adds 0.01 to what it takes logarithms
of, which is the model with a little noise, and one puts a softmax where a division belongs: each is
met exactly by telling ours what theirs really computed.

The rest: precision in `test_active_inference_trial.py`, free energy in `test_free_energy.py`, first
choices in `test_smith_2022.py`.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.active_inference.belief import Belief, joint, prior
from fep.active_inference.inference import ExactFilter
from fep.active_inference.model import Model, normalise
from fep.active_inference.planning import Exhaustive
from fep.active_inference.smoothing import MarginalMessages
from fep.active_inference.trial import novelty_weight

GOLDEN = Path(__file__).parents[1] / "golden" / "aif" / "smith2022_tutorial.json"
TOLD = json.loads(GOLDEN.read_text())
NOW = jnp.zeros((), jnp.int32)


def noisy(table):
    """Columns with the script's 0.01 added to every entry."""
    table = np.asarray(table) + 0.01
    return table / table.sum(axis=0)


def test_novelty_is_a_tenth_for_counts_ten_times_as_large():
    told = TOLD["novelty"]
    q = jnp.asarray(told["qs"])
    for size, counts in told["a"].items():
        a = jnp.asarray(counts, float)
        found = (normalise(a) @ q) @ (novelty_weight(a) @ q)
        assert float(found) == pytest.approx(told["out"][size], abs=told["tol"])


@pytest.mark.parametrize("kind", ["risk", "ambiguity"])
def test_risk_and_ambiguity_of_a_plan_are_as_printed(kind):
    told = TOLD[kind]
    wanted = np.log(np.asarray(told.get("C_prob", [0.5, 0.5])) + np.exp(-16))  # their floor
    model = Model([told["A"]], [np.eye(2)], [wanted])
    for q, printed in zip(told["qs"], told["out"], strict=True):
        terms = Exhaustive(1)(model, Belief((jnp.asarray(q),), ((0,),)), NOW).terms
        assert float(getattr(terms, kind)[0]) == pytest.approx(printed, abs=1e-4)  # four digits


def test_what_is_seen_once_is_perceived_as_printed():
    told = TOLD["static_perception"]
    for change, printed in (
        (np.asarray, told["exact_posterior"]),
        (noisy, told["script_value_with_log_floor_0.01"]),
    ):
        model = Model([change(told["A"])], [np.eye(2)], D=[change(told["D"])])
        found = ExactFilter()(model, prior(model, joint(model)), (told["o"],)).belief
        np.testing.assert_allclose(found.tables[0], printed, atol=1e-6)  # six digits are printed


@pytest.mark.usefixtures("x64")
def test_a_prediction_error_moves_the_belief_as_printed():
    """One sweep at full rate over three times; only the second hears an outcome.

    Both its neighbours are undecided, the first because its prior weighs against what it hears.
    """
    told = TOLD["prediction_error"]
    before, after = np.asarray(told["B_prev"]), np.asarray(told["B_next"])
    after = np.asarray(jax.nn.softmax(after.T, axis=0)).T  # their normalisation of the transpose
    heard = (before.T / before.T.sum(axis=0)) @ told["qs_all"]
    D = 1 / heard / (1 / heard).sum()
    model = Model([told["A"]], [np.stack([before, after], axis=2)], D=[D])
    seen = (jnp.array([-1, told["o"], -1]),)
    beliefs = MarginalMessages(2.0, sweeps=1)(model, seen, jnp.array([0, 1])).marginals[0]
    np.testing.assert_allclose(beliefs[0], told["qs_all"], atol=1e-12)
    np.testing.assert_allclose(beliefs[1], told["posterior"], atol=told["tol"])
    odds = told["state_error"][0] - told["state_error"][1]
    assert float(jnp.log(beliefs[1, 0] / beliefs[1, 1])) == pytest.approx(odds, abs=1e-4)


@pytest.mark.usefixtures("x64")
def test_messages_of_two_outcomes_settle_as_printed():
    """Each time hears half of the other, and half of nothing: no prior, and a future all open."""
    told = TOLD["message_passing"]
    B = np.stack([np.eye(2), np.full((2, 2), 0.5)], axis=2)
    model = Model([told["A"]], [B], D=[told["D"]])
    messages = MarginalMessages(2.0, sweeps=told["iterations"])
    beliefs = messages(model, (jnp.array([*told["o"], -1]),), jnp.array([0, 1])).marginals[0]
    for belief in beliefs[:2]:  # its 0.01 is not in what it prints, which is 0.81 / 0.82
        np.testing.assert_allclose(belief, told["out_q_both"], atol=1e-6)  # six digits
