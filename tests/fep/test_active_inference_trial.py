"""Whole trials under each policy against SPM12 itself, vector by vector.

Source of the vectors: SPM12 (commit 03ac9473) run under GNU Octave on forced trials.
"""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.active_inference.belief import OUTCOME, Belief, mean_field
from fep.active_inference.model import Counts, Dependencies, Model
from fep.active_inference.trial import (
    MessagePassing,
    Rates,
    TrialAgent,
    counts_free_energy,
    joint_information,
    learn,
    model_average,
    policy_precision,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "aif"
EXACT, SINGLE = 1e-10, 1e-4  # float64 and float32: what is asked of every vector


def vectors(name):
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


def numbered(data, name):
    found = []
    while f"{name}_{len(found)}" in data:
        found.append(data[f"{name}_{len(found)}"])
    return found


def trial_agent(data):
    counts = {k: tuple(numbered(data, f"in_{k}")) or None for k in "abd"}
    known = {k: None if counts[k.lower()] else numbered(data, f"in_{k}") for k in "ABD"}
    C = [c.T for c in numbered(data, "in_C")]
    model = Model(known["A"], known["B"], C, known["D"], counts=Counts(**counts))
    plans = jnp.asarray(np.moveaxis(data["in_V"], 0, 1))
    habits = data.get("in_e", data.get("in_E", np.ones(plans.shape[0])))
    setting = lambda name, usual: float(data.get(f"in_{name}", usual))
    return TrialAgent(
        model,
        plans,
        jnp.asarray(habits, float),
        MessagePassing(setting("tau", 4.0)),
        setting("beta", 1.0),
        setting("alpha", 512.0),
        setting("zeta", 3.0),
    )


@eqx.filter_jit
def live(agent, outcomes):
    step = lambda state, seen: agent.step(state, seen, key=jax.random.key(0))
    return jax.lax.scan(step, agent.init(), outcomes)[1]


@eqx.filter_jit
def study(agent, outcomes, thoughts, rates):
    """Counts a, b, d and habits after the trial, and what SPM calls the free energy of each."""
    learned = learn(agent, outcomes, thoughts, rates)
    new, old = ([getattr(x.model.counts, n) or () for n in "abd"] for x in (learned, agent))
    pairs = (zip(n, o, strict=True) for n, o in zip(new, old, strict=True))
    return new, learned.habits, [[-counts_free_energy(n, o) for n, o in ps] for ps in pairs]


def check_trial(name, atol):
    data = vectors(name)
    agent = trial_agent(data)
    outcomes = tuple(jnp.asarray(o) for o in data["in_o"])
    thoughts = live(agent, outcomes)
    close = lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=atol, rtol=0)
    close(thoughts.F.T, data["out_F"])
    close(thoughts.G.T, data["out_G"])
    close(thoughts.policies.T, data["out_R"])
    close(thoughts.precision.reshape(-1), data["out_wn"])
    close(thoughts.prospects.reshape(-1, agent.habits.shape[0]).T, data["out_un"])
    p = np.moveaxis(thoughts.action_probabilities[:-1], 0, -1)
    close(p.reshape(-1), data["out_P"].reshape(-1))
    for t in range(outcomes[0].shape[0]):
        for f, x in enumerate(thoughts.beliefs):
            close(np.transpose(x[t], (2, 1, 0)), data[f"out_xt{t}_{f}"])
    for f, x in enumerate(model_average(thoughts)):
        close(x.T, data[f"out_X_{f}"])
    rate = float(data.get("in_eta", 1.0))
    rates = Rates(rate, rate, 1.0, rate)
    counts, habits, surprises = study(agent, outcomes, thoughts, rates)
    for name, new, surprise in zip("abd", counts, surprises, strict=True):
        for i, x in enumerate(new):
            close(x, data[f"out_{name}_{i}"])
            close(surprise[i], data[f"out_F{name}"][i])
    if "out_e" in data:
        close(habits, data["out_e"])
        close(-counts_free_energy(habits, agent.habits), data["out_Fe"][0])


TRIALS = ("spm_vbx_rand_1", "spm_vbx_rand_2", "spm_vbx_rand_4", "spm_vbx_tmaze")


@pytest.mark.parametrize(
    "name", [TRIALS[0], *(pytest.param(n, marks=pytest.mark.slow) for n in TRIALS[1:3]), TRIALS[3]]
)
@pytest.mark.usefixtures("x64")
def test_beliefs_policies_precision_actions_and_learning_are_those_of_spm(name):
    check_trial(name, EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIALS)
def test_single_precision_follows_spm_too(name):
    check_trial(name, SINGLE)


def explore_exploit(data, risk):
    """Smith et al. (2022), sec. 3: a hint, then one of two slot machines."""
    wins = np.array([[0, 0, 0], [0, -1, -1], [0, risk, risk / 2]]).T
    C = [np.zeros((3, 3)), wins, np.zeros((3, 4))]
    d = tuple(x[:, 0] for x in numbered(data, "d"))
    model = Model(numbered(data, "A"), numbered(data, "B"), C, counts=Counts(d=d))
    plans = jnp.asarray(np.moveaxis(data["V"], 0, 1))
    return TrialAgent(model, plans, jnp.ones(5), MessagePassing(12.0, 1.0), 1.0, 32.0)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_explore_exploit_trials_are_those_of_spm_at_every_appetite_for_risk():
    data = vectors("spm_explore_exploit")
    outcomes = tuple(jnp.asarray(o) for o in data["o"])
    close = lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=EXACT, rtol=0)
    for risk in (1, 2, 3, 4, 5, 6, 8):
        agent = explore_exploit(data, risk)
        thoughts = live(agent, outcomes)
        for suffix, rate in (("", 0.5), ("_spm12", 1.0)):  # the tutorial's routine, then SPM12's
            of = lambda name, r=risk, s=suffix: data[f"rs{r}_{name}{s}"]
            state = lambda name, f, r=risk, s=suffix: data[f"rs{r}_{name}{s}_{f}"]
            close(thoughts.F.T, of("F"))
            close(thoughts.G.T, of("G"))
            close(thoughts.policies.T, of("R"))
            close(thoughts.precision[:, -1], of("w")[0])
            close(thoughts.action_probabilities[:-1].reshape(2, 4), of("P")[0].T)
            (_, _, d), _, _ = study(agent, outcomes, thoughts, Rates(d=jnp.asarray(rate)))
            for f, x in enumerate(model_average(thoughts)):
                close(x.T, state("X", f))
                close(d[f], state("d", f)[:, 0])


def test_the_hint_is_taken_by_all_but_the_greedy_as_smith_2022_prints():
    data = vectors("spm_explore_exploit")
    printed = json.loads((GOLDEN / "smith2022_tutorial.json").read_text())
    outcomes = tuple(jnp.asarray(o) for o in data["o"])
    for risk, p in printed["explore_exploit_first_action"]["P_hint"].items():
        thoughts = live(explore_exploit(data, int(risk)), outcomes)
        hint = thoughts.action_probabilities[0].reshape(-1)[1]
        assert float(hint) == pytest.approx(p, abs=1e-4)  # printed to four digits


@pytest.mark.usefixtures("x64")
def test_epistemic_value_and_predicted_outcomes_are_those_of_spm():
    data = vectors("spm_primitives")
    models = [
        Model(A, [np.eye(len(q)) for q in x], D=[q[:, 0] for q in x])
        for A, x in ((numbered(data, f"k{k}_A"), numbered(data, f"k{k}_x")) for k in range(8))
    ]

    def ours(models):
        for model in models:
            states = Belief(tuple(q[None] for q in model.D), mean_field(model))
            factors = range(len(model.D))
            terms = [(a, [OUTCOME + g, *factors]) for g, a in enumerate(model.A)]
            outcomes = [states.mean(t, keep=t[1][:1])[0] for t in terms]
            yield joint_information(model, states)[0], outcomes

    together = eqx.filter_jit(lambda models: list(ours(models)))  # one program
    for k, (value, outcomes) in enumerate(together(models)):
        np.testing.assert_allclose(value, data[f"k{k}_G"][0, 0], atol=1e-14)
        for qo, theirs in zip(outcomes, numbered(data, f"k{k}_qo"), strict=True):
            np.testing.assert_allclose(qo, theirs[:, 0], atol=1e-15)
        divergence = counts_free_energy(*(jnp.asarray(data[f"k{k}_{n}"]) for n in ("qa", "pa")))
        np.testing.assert_allclose(divergence, data[f"k{k}_KL"][0, 0], atol=1e-12)


@pytest.mark.slow
def test_precision_of_policies_is_updated_as_in_smith_2022():
    given = json.loads((GOLDEN / "smith2022_tutorial.json").read_text())["policy_precision"]
    F, G = (-jnp.asarray(given[k], float) for k in "FG")
    rate, (policies, precision, _) = policy_precision(
        F, G, jnp.ones(5) / 5, jnp.ones(5, bool), jnp.asarray(1.0), 1.0
    )
    assert float(precision[-1]) == pytest.approx(given["out_gamma"], abs=given["tol"])
    np.testing.assert_allclose(policies, given["out_pi"], atol=given["tol"])
    before = jax.nn.softmax(G * precision[-1])
    np.testing.assert_allclose(before, given["out_pi0"], atol=given["tol"])
    assert float(rate) == pytest.approx(1 / float(precision[-1]), rel=1e-6)


def test_a_dropped_policy_is_never_thought_about_again():
    data = vectors("spm_explore_exploit")
    outcomes = tuple(jnp.asarray(o) for o in data["o"])
    thoughts = live(explore_exploit(data, 4), outcomes)
    assert (thoughts.policies[2] == 0).tolist() == [True, False, False, True, True]


def test_a_trial_agent_refuses_what_it_cannot_infer():
    eye = np.eye(2)
    plans, habits = jnp.zeros((3, 2, 1), int), jnp.ones(3)
    model = Model([eye], [np.stack([eye, eye], 2)])
    with pytest.raises(ValueError, match=r"plans: expected 1 controls, got shape \(3, 2, 2\)"):
        TrialAgent(model, jnp.zeros((3, 2, 2), int), habits)
    with pytest.raises(ValueError, match=r"habits: expected shape \(3,\), got \(2,\)"):
        TrialAgent(model, plans, jnp.ones(2))
    coupled = Dependencies(((0,), (1,)), ((0, 1), (1,)), ((0,), ()))
    B = [np.tile(eye[:, :, None, None], (1, 1, 2, 2)), eye]
    with pytest.raises(ValueError, match=r"B\[0\]: expected to hang on factor 0 alone"):
        TrialAgent(Model([eye, eye], B, dependencies=coupled), plans, habits)
