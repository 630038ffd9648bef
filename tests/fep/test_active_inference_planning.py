"""Planners against each other, against value iteration, and against SPM12's sophisticated trees."""

import itertools
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.active_inference.belief import Belief, advance, joint, mean_field, prior
from fep.active_inference.induction import BackwardInduction, Inductive
from fep.active_inference.inference import ExactFilter
from fep.active_inference.model import Model
from fep.active_inference.planning import Exhaustive, NoInformation, PerModality, Pruned
from fep.active_inference.sophisticated import (
    BestBackup,
    OutcomeBranches,
    PrunedBackup,
    SoftBackup,
    Sophisticated,
    StateBranches,
    possible_outcomes,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "aif"
NOW = jnp.zeros((), jnp.int32)


def columns(rng, *shape):
    return np.moveaxis(rng.dirichlet(np.ones(shape[0]), shape[1:]), -1, 0)


def numbered(data, name):
    found = []
    while f"{name}_{len(found)}" in data:
        found.append(data[f"{name}_{len(found)}"])
    return found


def beyond_the_trial(model, belief, time):
    """What SPM12 counts after the last move of a trial: the habit, -ln U."""
    return jnp.full(belief.tables[0].shape[0], -np.log(model.num_actions))


@pytest.mark.parametrize(
    "single",
    [False, pytest.param(True, marks=pytest.mark.slow)],
    ids=["float64", "float32"],
)
def test_sophisticated_plans_of_the_tmaze_are_those_of_spm(single):
    """30 trials: five strengths of preference, three depths, two contexts.

    A search of SPM12 of depth N in a trial of three outcomes looks min(N + 1, moves left) moves
    ahead; where it is stopped by the end of the trial, the last level is pruned too.
    """
    with np.load(GOLDEN / "spm_vbxx_sophisticated_tmaze.npz") as file:
        data = dict(file)
    atol = 1e-4 if single else 1e-10
    with jax.enable_x64(not single):
        parts = (StateBranches(), PrunedBackup(), PerModality())
        short, ended = Sophisticated(1, *parts), Sophisticated(1, *parts, beyond_the_trial)
        deep = Sophisticated(2, *parts), Sophisticated(2, *parts, beyond_the_trial)
        planners = {(0, 0): short, (0, 1): deep[0], (0, 2): deep[1], (1, 0): short}
        planners |= {(1, 1): ended, (1, 2): ended}
        plans = {key: eqx.filter_jit(planner) for key, planner in planners.items()}
        perceive, move = eqx.filter_jit(ExactFilter()), eqx.filter_jit(advance)
        start = [d[:, 0] / d.sum() for d in numbered(data, "d")]
        for c, depth, context in itertools.product((0, 1, 2, 4, 6), range(3), range(2)):
            name = f"c{c}_N{depth}_ctx{context}_"
            C = [x.T for x in numbered(data, name + "C")]
            model = Model(numbered(data, "A"), numbered(data, "B"), C, start)
            belief = prior(model, joint(model))
            for t in range(2):
                outcome = tuple(jnp.asarray(o[t]) for o in data[name + "o"])
                belief = perceive(model, belief, outcome).belief
                value = plans[t, depth](model, belief, NOW + t).value
                found = jax.nn.softmax(value)
                np.testing.assert_allclose(found, data[name + "R"][:, t], atol=atol, rtol=0)
                for f, q in enumerate(belief.marginals()):
                    expected = data[f"{name}X_{f}"][:, t]
                    np.testing.assert_allclose(q, expected, atol=atol, rtol=0)
                belief = move(model, belief, jnp.asarray(data[name + "v"][0, t]))


def random_mdp(seed, states=5, actions=3):
    """States seen without noise, with random moves and rewards."""
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=states)
    model = Model([np.eye(states)], [columns(rng, states, states, actions)], [rewards])
    return model, rewards - np.log(np.sum(np.exp(rewards)))


def everywhere(planner, model):
    """The planner's plan from a belief over one factor, for a batch of beliefs."""
    return eqx.filter_jit(jax.vmap(lambda d: planner(model, Belief((d,), ((0,),)), NOW)))


def value_iteration(model, rewards, horizon):
    T = np.asarray(model.B[0], float)
    V = np.zeros(len(rewards))
    for _ in range(horizon):
        Q = np.einsum("tsu,t->su", T, rewards + V)
        V = Q.max(axis=1)
    return Q


@pytest.mark.parametrize("horizon", [*(pytest.param(h, marks=pytest.mark.slow) for h in (1, 2)), 3])
@pytest.mark.usefixtures("x64")
def test_sophisticated_planning_is_value_iteration_on_random_mdps_at_every_horizon(horizon):
    for seed in range(4):
        model, rewards = random_mdp(seed, states=3)
        branches = OutcomeBranches(possible_outcomes(model))
        planner = Sophisticated(horizon, branches, BestBackup(), NoInformation())
        plan = everywhere(planner, model)
        found = plan(jnp.eye(3)).value
        expected = value_iteration(model, rewards, horizon)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("horizon", [1, 2, 7, 40])
@pytest.mark.usefixtures("x64")
def test_backward_induction_is_value_iteration_too(horizon):
    model, rewards = random_mdp(11)
    planner = BackwardInduction(horizon, BestBackup(), NoInformation())
    plan = everywhere(planner, model)
    found = plan(jnp.eye(5)).value
    np.testing.assert_allclose(found, value_iteration(model, rewards, horizon), atol=1e-11)


@pytest.mark.usefixtures("x64")
def test_the_plain_tree_is_bellman_optimal_only_one_step_ahead():
    better = 0
    for seed in range(4):
        model, rewards = random_mdp(seed, states=3)
        for horizon in (1, 2):
            plain = Exhaustive(horizon, NoInformation())
            plan = everywhere(plain, model)
            value = np.asarray(plan(jnp.eye(3)).value).reshape(3, 3, -1).max(axis=2)
            optimum = value_iteration(model, rewards, horizon)
            assert (value <= optimum + 1e-12).all()
            if horizon == 1:
                np.testing.assert_allclose(value, optimum, atol=1e-12)
            better += int((value < optimum - 1e-6).sum())
    assert better > 0


def pomdp(seed):
    rng = np.random.default_rng(seed)
    A, B = [columns(rng, 3, 2, 2), columns(rng, 2, 2, 2)], [columns(rng, 2, 2, 2), np.eye(2)]
    return Model(A, B, [rng.normal(size=3), rng.normal(size=2)])


def by_recursion(model, q, horizon, backup):
    """Sophisticated expected free energy, written as its definition: one belief at a time."""
    A = [np.asarray(a, float).reshape(a.shape[0], -1) for a in model.A]
    C = [np.asarray(jax.nn.log_softmax(c), float) for c in model.C]
    T = [np.kron(np.asarray(model.B[0][..., u]), np.eye(2)) for u in range(2)]
    values = np.zeros(2)
    for u in range(2):
        s = T[u] @ q
        H = np.array([-np.sum(a * np.log(a), axis=0) for a in A])
        p = np.einsum("as,bs,s->ab", *A, s)
        values[u] = -np.sum(p * np.log(p)) - np.sum(H @ s)
        values[u] += sum((a @ s) @ c for a, c in zip(A, C, strict=True))
        if horizon > 1:
            for i, j in itertools.product(range(3), range(2)):
                posterior = A[0][i] * A[1][j] * s / p[i, j]
                later = by_recursion(model, posterior, horizon - 1, backup)
                weight = np.asarray(backup.weigh(jnp.asarray(later)))
                values[u] += p[i, j] * weight @ later
    return values


@pytest.mark.parametrize("backup", [BestBackup(), SoftBackup(2.0)])
@pytest.mark.usefixtures("x64")
def test_the_sophisticated_tree_is_its_recursive_definition(backup):
    model = pomdp(3)
    branches = OutcomeBranches(possible_outcomes(model))
    q = prior(model, joint(model))
    plan = eqx.filter_jit(Sophisticated(3, branches, backup))(model, q, NOW)
    expected = by_recursion(model, np.asarray(q.tables[0]).reshape(-1), 3, backup)
    np.testing.assert_allclose(plan.value, expected, atol=1e-12)
    np.testing.assert_allclose(plan.value, plan.terms.value, atol=1e-12)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_a_pruned_tree_of_full_width_is_the_exhaustive_one():
    model = pomdp(4)
    for blocks in (joint(model), mean_field(model)):
        start = prior(model, blocks)
        every = eqx.filter_jit(Exhaustive(3))(model, start, NOW).value.reshape(2, -1)
        for width, exact in ((4, True), (1, False)):
            found = eqx.filter_jit(Pruned(3, width))(model, start, NOW)
            assert (found.value <= every.max(axis=1) + 1e-12).all()
            np.testing.assert_allclose(found.value, found.terms.value, atol=1e-12)
            if exact:
                np.testing.assert_allclose(found.value, every.max(axis=1), atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_a_tail_of_backward_induction_completes_a_short_tree():
    model, rewards = random_mdp(5)
    tail = BackwardInduction(6, BestBackup(), NoInformation()).beyond
    for planner in (Exhaustive(1, NoInformation(), tail), Pruned(1, 1, NoInformation(), tail)):
        plan = everywhere(planner, model)
        expected = value_iteration(model, rewards, 7)
        np.testing.assert_allclose(plan(jnp.eye(5)).value, expected, atol=1e-11)


def corridor(length=6):
    """Left, stay, right in a corridor whose walls stop."""
    B = np.zeros((length, length, 3))
    for s in range(length):
        for u, move in enumerate((-1, 0, 1)):
            B[min(max(s + move, 0), length - 1), s, u] = 1
    return Model([np.eye(length)], [B])


def test_induction_walks_to_a_goal_beyond_the_planning_horizon():
    model = corridor()
    planner = Inductive(Exhaustive(1), jnp.arange(6) == 5, depth=6)
    plan = everywhere(planner, model)
    value = plan(jnp.eye(6)).value
    assert (jnp.argmax(value[:5], axis=1) == 2).all()
    np.testing.assert_allclose(value[5], value[5][0], atol=1e-5)  # there: nothing is dearer
    unreachable = Inductive(Exhaustive(1), jnp.zeros(6, bool), depth=6)
    plans = Exhaustive(1), unreachable
    plain, found = jax.jit(
        lambda: [plan(model, prior(model, joint(model)), NOW).value for plan in plans]
    )()
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_any_number_of_actions_may_be_searched():
    rng = np.random.default_rng(6)
    model = Model([columns(rng, 3, 4)], [columns(rng, 4, 4, 12)])
    planner = Sophisticated(2, OutcomeBranches(possible_outcomes(model)))
    value = jax.jit(lambda: planner(model, prior(model, joint(model)), NOW).value)()
    assert value.shape == (12,)
    assert np.isfinite(value).all()


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Sophisticated(0, StateBranches()), "horizon"),
        (lambda: BackwardInduction(0), "horizon"),
        (lambda: Pruned(1, 0), "width"),
        (
            lambda: Inductive(Exhaustive(1), jnp.zeros(5, bool), 2)(
                corridor(), prior(corridor(), joint(corridor())), NOW
            ),
            "goals",
        ),
    ],
)
def test_a_bad_setting_of_a_planner_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
