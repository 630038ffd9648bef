"""Discrete agents against brute force: every outcome and every policy enumerated in NumPy."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.active_inference.agent import (
    Agent,
    BestAction,
    SampleAction,
    SampleEachControl,
    habits,
    rollout,
)
from fep.active_inference.belief import Belief, joint, mean_field, predict, prior
from fep.active_inference.expected_free_energy import terms_of
from fep.active_inference.inference import ExactFilter, FixedPoint
from fep.active_inference.model import Counts, Dependencies, Model
from fep.active_inference.planning import (
    Exhaustive,
    Factorised,
    JointInformation,
    PerModality,
)

NOW = jnp.zeros((), jnp.int32)


def columns(rng, *shape):
    return np.moveaxis(rng.dirichlet(np.ones(shape[0]), shape[1:]), -1, 0)


def random_model(seed, revealing=False):
    """Three factors, two of them steered, one of those by both controls; three modalities."""
    rng = np.random.default_rng(seed)
    A = [columns(rng, 3, 3, 2), columns(rng, 2, 2), columns(rng, 4, 2, 3)]
    wired_A = ((0, 1), (2,), (1, 0))
    if revealing:  # the first factor is seen without noise
        A, wired_A = [np.eye(3)[[2, 0, 1]], *A[1:]], ((0,), *wired_A[1:])
    B = [columns(rng, 3, 3, 2, 3), columns(rng, 2, 2, 2), columns(rng, 2, 2)]
    wired = Dependencies(wired_A, ((0,), (1, 2), (2,)), ((0, 1), (), ()))
    C = [rng.normal(size=3), rng.normal(size=(2, 2)), rng.normal(size=4)]
    D = [rng.dirichlet(np.ones(n)) for n in (3, 2, 2)]
    return Model(A, B, C, D, dependencies=wired)


def full(model, name, g):
    """A[g] or B[f] over all factors (and joint actions), by brute force indexing."""
    states = list(itertools.product(*(range(n) for n in model.num_states)))
    if name == "A":
        a, factors = np.asarray(model.A[g], float), model.dependencies.A[g]
        return np.stack([a[(slice(None), *(s[f] for f in factors))] for s in states], axis=1)
    b, factors = np.asarray(model.B[g], float), model.dependencies.B[g]
    controls = model.dependencies.controls[g]
    b = b if b.ndim > 1 + len(factors) or not controls else b[..., None]
    at = lambda s, u: (slice(None), *(s[f] for f in factors), *(u[c] for c in controls))
    return np.stack([[b[at(s, u)] for s in states] for u in model.options()])  # u, s, s'


def joint_transition(model):
    """p(s' | s, u) over the product space, shape (actions, s, s')."""
    parts = [full(model, "B", f) for f in range(len(model.B))]
    out = parts[0]
    for part in parts[1:]:
        out = (out[..., :, None] * part[..., None, :]).reshape(*out.shape[:2], -1)
    return out


def brute_force(model, q, horizon):
    """(outcome entropy, ambiguity, utility) of each policy, every joint outcome enumerated."""
    A, T = [full(model, "A", g) for g in range(len(model.A))], joint_transition(model)
    found = []
    for policy in itertools.product(range(model.num_actions), repeat=horizon):
        s, sums = q.reshape(-1), np.zeros(3)
        for t, u in enumerate(policy):
            s = s @ T[u]
            outcomes = np.einsum("s,as,bs,cs->abc", s, *A)
            sums[0] -= np.sum(outcomes * np.log(outcomes + 1e-300))
            for g, a in enumerate(A):
                C = np.asarray(model.C[g], float)
                C = C if C.ndim == 1 else C[min(t + 1, len(C) - 1)]
                sums[1] -= np.sum(a * np.log(a + 1e-300) * s)
                sums[2] += (a @ s) @ (C - np.log(np.sum(np.exp(C))))
        found.append(sums)
    return np.array(found).T


@pytest.mark.parametrize("revealing", [False, True], ids=["noisy", "revealing"])
@pytest.mark.usefixtures("x64")
def test_the_tree_finds_the_expected_free_energy_of_every_policy(revealing):
    model = random_model(0, revealing)
    assert model.reveals == (((0,) if revealing else ()), (), ())
    belief = ExactFilter()(model, prior(model, joint(model)), (1, -1, 2)).belief
    plan = eqx.filter_jit(Exhaustive(2))(model, belief, NOW)
    H, ambiguity, utility = brute_force(model, np.asarray(belief.tables[0]), 2)
    np.testing.assert_allclose(plan.terms.outcome_entropy, H, atol=1e-12)  # float64 rounding
    np.testing.assert_allclose(plan.terms.ambiguity, ambiguity, atol=1e-12)
    np.testing.assert_allclose(plan.terms.utility, utility, atol=1e-12)
    np.testing.assert_allclose(plan.value, utility + H - ambiguity, atol=1e-12)
    np.testing.assert_allclose(plan.value, -plan.terms.risk - plan.terms.ambiguity, atol=1e-12)


def test_a_model_given_new_arrays_finds_their_ambiguity_and_utility():
    model, other = random_model(0), random_model(1)
    given = jax.jit(lambda A, C: (model.replace(A=A, C=C), model.replace(C=C)))(other.A, other.C)
    for g in range(3):
        both, preferences = given
        np.testing.assert_allclose(both.ambiguity[g], other.ambiguity[g], rtol=1e-5)  # float32
        np.testing.assert_allclose(both.utility[g], other.utility[g], rtol=1e-5)
        np.testing.assert_array_equal(preferences.ambiguity[g], model.ambiguity[g])
        wanted = Model(model.A, model.B, other.C, dependencies=model.dependencies).utility[g]
        np.testing.assert_allclose(preferences.utility[g], wanted, rtol=1e-5)


@pytest.mark.usefixtures("x64")
def test_predictions_that_leave_out_fixed_factors_are_the_same():
    rng = np.random.default_rng(2)
    wired = Dependencies(((0, 1), (0,)), ((0,), (1,)), ((0,), ()))
    A, B = [columns(rng, 2, 3, 2), np.eye(3)], [columns(rng, 3, 3, 2), np.eye(2)]
    known = Model(A, B, [np.zeros(2), np.arange(3.0)], dependencies=wired)
    told = known.replace(B=known.B)  # the same, not searched for fixed factors
    assert (known.fixed, told.fixed) == ((1,), ())

    def values():
        for blocks, information in ((joint, JointInformation()), (mean_field, PerModality())):
            plan = Exhaustive(2, information)
            yield [plan(m, prior(m, blocks(m)), NOW).value for m in (known, told)]

    for one, other in jax.jit(lambda: tuple(values()))():
        np.testing.assert_allclose(one, other, atol=1e-12)  # float64 rounding


@pytest.mark.parametrize("revealing", [False, True], ids=["noisy", "revealing"])
@pytest.mark.usefixtures("x64")
def test_the_mean_field_tree_is_exact_for_the_product_of_its_marginals(revealing):
    model = random_model(1, revealing)

    @eqx.filter_jit
    def both(model):
        children = predict(model, prior(model, mean_field(model)))
        terms = terms_of(model, children, NOW + 1, JointInformation())
        one = Factorised(Exhaustive(1))(model, prior(model, joint(model)), NOW)
        return children, terms, one.value

    children, terms, value = both(model)
    marginals = [np.broadcast_to(t, (6, t.shape[-1])) for t in children.tables]
    A = [full(model, "A", g) for g in range(3)]
    for u in range(model.num_actions):
        q = np.einsum("i,j,k->ijk", *(m[u] for m in marginals)).reshape(-1)
        outcomes = np.einsum("s,as,bs,cs->abc", q, *A)
        H = -np.sum(outcomes * np.log(outcomes + 1e-300))
        found = np.broadcast_to(terms.outcome_entropy, 6)
        assert float(found[u]) == pytest.approx(H, abs=1e-12)
    np.testing.assert_allclose(value, np.broadcast_to(terms.value, 6), atol=1e-12)


def test_two_copies_of_a_sensor_tell_less_than_twice_as_much_as_one():
    sensor = np.array([[0.9, 0.1], [0.1, 0.9]])
    model = Model([sensor, sensor], [np.eye(2)])
    told = lambda information: terms_of(model, prior(model, joint(model)), NOW, information)
    joint_value, summed = jax.jit(
        lambda: [told(i()).epistemic_value for i in (JointInformation, PerModality)]
    )()
    assert float(joint_value) == pytest.approx(0.51437, abs=1e-5)  # H(.41 .41 .09 .09) - 2 H(.9 .1)
    assert float(joint_value) < np.log(2) < float(summed)
    assert float(summed) == pytest.approx(0.7361, abs=1e-4)  # 2 (ln 2 - H(0.9, 0.1))


def bayes(model, table, outcomes):
    A = [full(model, "A", g) for g in range(len(model.A))]
    weight = np.asarray(table, float).reshape(-1).copy()
    for a, o in zip(A, outcomes, strict=True):
        weight *= 1 if np.ndim(o) == 0 and o < 0 else a[o] if np.ndim(o) == 0 else o @ a
    return weight / weight.sum(), -np.log(weight.sum())


SENSED = {
    "all seen": (2, 0, 3),
    "one missing": (-1, 1, 0),
    "one soft": (np.array([0.2, 0.7, 0.1]), 1, 3),
    "all missing": (-1, -1, -1),
}


@eqx.filter_jit
def perceive(model, sensed):
    """What the exact filter finds, and the bounds of 1, 2 and 8 sweeps of the fixed point."""
    bounds = [FixedPoint(n)(model, prior(model, mean_field(model)), sensed) for n in (1, 2, 8)]
    exact = ExactFilter()(model, prior(model, joint(model)), sensed)
    return exact, [bound.free_energy for bound in bounds]


@pytest.mark.parametrize("outcomes", SENSED.values(), ids=SENSED)
@pytest.mark.usefixtures("x64")
def test_the_exact_filter_is_bayes_rule_and_the_fixed_point_bounds_its_surprise(outcomes):
    model = random_model(2)
    posterior, surprise = bayes(model, prior(model, joint(model)).tables[0], outcomes)
    sensed = tuple(jnp.asarray(o) for o in outcomes)
    exact, bounds = perceive(model, sensed)
    np.testing.assert_allclose(exact.belief.tables[0].reshape(-1), posterior, atol=1e-14)
    assert float(exact.free_energy) == pytest.approx(surprise, abs=1e-12)
    assert bounds[0] >= bounds[1] - 1e-12 >= bounds[2] - 2e-12 >= surprise - 3e-12


@pytest.mark.usefixtures("x64")
def test_the_fixed_point_of_a_single_factor_is_exact():
    rng = np.random.default_rng(3)
    model = Model([columns(rng, 4, 3), columns(rng, 2, 3)], [columns(rng, 3, 3)])
    start = prior(model, mean_field(model))
    exact, mean = (f(model, start, (1, 0)) for f in (ExactFilter(), FixedPoint(1)))
    np.testing.assert_allclose(exact.belief.tables[0], mean.belief.tables[0], atol=1e-14)
    assert float(exact.free_energy) == pytest.approx(float(mean.free_energy), abs=1e-12)


def test_an_outcome_deemed_impossible_leaves_the_prior_standing():
    model = Model([np.eye(2), np.array([[1.0, 1.0], [0.0, 0.0]])], [np.eye(2)], D=[[0.3, 0.7]])
    seen = jax.jit(lambda: ExactFilter()(model, prior(model, joint(model)), (0, 1)))()
    np.testing.assert_allclose(seen.belief.tables[0], [0.3, 0.7], atol=1e-7)
    assert np.isfinite(seen.free_energy)


class World(eqx.Module):
    """The process is the model: outcomes and states are drawn from A and B."""

    model: Model
    lasts: int = eqx.field(static=True, default=0)  # steps an episode; 0 for ever

    def _see(self, states, key):
        keys = jax.random.split(key, len(self.model.A))
        rows = zip(keys, self.model.A, self.model.dependencies.A, strict=True)
        return tuple(
            jax.random.categorical(k, jnp.log(a[(slice(None), *(states[f] for f in fs))]))
            for k, a, fs in rows
        )

    def reset(self, *, key):
        key, *keys = jax.random.split(key, len(self.model.D) + 1)
        states = tuple(
            jax.random.categorical(k, jnp.log(d)) for k, d in zip(keys, self.model.D, strict=True)
        )
        return self._see(states, key), (states, NOW)

    def step(self, state, action, *, key):
        states, time = state
        key, *keys = jax.random.split(key, len(states) + 1)
        wired, moved = self.model.dependencies, ()
        for k, b, fs, cs in zip(keys, self.model.B, wired.B, wired.controls, strict=True):
            at = (slice(None), *(states[f] for f in fs), *(action[c] for c in cs))
            moved += (jax.random.categorical(k, jnp.log(b[at])),)
        over = time + 1 >= self.lasts if self.lasts else False
        seen = self._see(moved, key)
        return seen, (moved, time + 1), seen[0] * 1.0, False, over, {}


def tmaze():
    """Start, left arm, right arm, cue; the reward is left or right, and the cue tells which."""
    reward = np.zeros((3, 4, 2))
    reward[0, [0, 3]] = 1
    reward[1, 1] = reward[2, 2] = [0.98, 0.02]
    reward[2, 1] = reward[1, 2] = [0.02, 0.98]
    cue = np.zeros((3, 4, 2))
    cue[0, :3] = 1
    cue[[1, 2], 3, [0, 1]] = 1
    go = np.zeros((4, 4, 4))
    for u in range(4):
        go[u, :, u] = 1
        go[:, 1:3, u] = np.eye(4)[:, 1:3]  # the arms keep whoever enters
    dependencies = Dependencies(((0,), (0, 1), (0, 1)), ((0,), (1,)), ((0,), (1,)))
    preferences = [np.zeros(4), np.array([0, 3, -3]), np.zeros(3)]
    start = [np.eye(4)[0], np.full(2, 0.5)]
    return Model(
        [np.eye(4), reward, cue], [go, np.eye(2)], preferences, start, dependencies=dependencies
    )


@pytest.mark.parametrize(
    "planner",
    [
        pytest.param(Exhaustive(2), marks=pytest.mark.slow),
        Factorised(Exhaustive(2, PerModality())),
    ],
)
@pytest.mark.parametrize(
    "inference", [ExactFilter(), pytest.param(FixedPoint(), marks=pytest.mark.slow)]
)
def test_in_the_tmaze_the_cue_comes_first_and_then_the_arm_it_names(planner, inference):
    model = tmaze()
    agent = Agent(model, planner, inference, BestAction())
    lives = jax.vmap(lambda k: rollout(agent, World(model), 3, k)[1])
    history = lives(jax.random.split(jax.random.key(0), 32))
    moves, context = history.decisions.action[..., 0], history.states[0][1][:, 0]
    assert (moves[:, 0] == 3).all()
    assert (moves[:, 1] == context + 1).all()


class Watched(eqx.Module):
    """A world that counts how often it is traced."""

    world: World
    traces: list = eqx.field(static=True)

    def reset(self, *, key):
        return self.world.reset(key=key)

    def step(self, state, action, *, key):
        self.traces.append(1)
        return self.world.step(state, action, key=key)


class Traces(list):
    __hash__ = object.__hash__


def test_a_second_rollout_traces_and_compiles_nothing():
    traces, model = Traces(), tmaze()
    world = Watched(World(model), traces)
    live = lambda seed: rollout(Agent(tmaze(), Exhaustive(2)), world, 4, jax.random.key(seed))
    live(0)
    seen = len(traces)
    live(1)
    assert len(traces) == seen > 0


def test_an_episode_that_ends_resets_that_agent_alone():
    model = random_model(4)
    agent = Agent(model, Exhaustive(1))
    _, history = rollout(agent, World(model, lasts=3), 7, jax.random.key(1))
    assert history.truncated.tolist() == [False, False, True, False, False, True, False]
    assert history.states[1].tolist() == [0, 1, 2, 0, 1, 2, 0]
    start = prior(model, joint(model))
    for t in (0, 3, 6):
        seen = tuple(o[t] for o in history.observations)
        posterior = ExactFilter()(model, start, seen).belief.tables[0]
        np.testing.assert_allclose(history.decisions.belief.tables[0][t], posterior, atol=1e-6)


def test_sampling_each_control_draws_them_independently():
    rng = np.random.default_rng(5)
    model = Model([columns(rng, 2, 4, 4)], [columns(rng, 4, 4, 4), columns(rng, 4, 4, 4)])
    policies = jnp.full(16, 1 / 16)
    draw = jax.vmap(lambda k: SampleEachControl(1.0)(model, policies, key=k))
    first, second = jnp.divmod(draw(jax.random.split(jax.random.key(2), 4096)), 4)
    # binomial error of 4096 draws at 1/4: 0.0068; four of them
    assert float(jnp.mean(first == second)) == pytest.approx(0.25, abs=0.028)


@pytest.mark.parametrize(
    "select", [SampleAction(2.0), pytest.param(SampleEachControl(2.0), marks=pytest.mark.slow)]
)
def test_actions_are_drawn_with_the_probabilities_stated(select):
    rng = np.random.default_rng(6)
    model = Model([columns(rng, 2, 2, 2)], [columns(rng, 2, 2, 3), columns(rng, 2, 2, 2)])
    policies = jnp.asarray(rng.dirichlet(np.ones(36)), jnp.float32)
    p = jnp.exp(select.log_probabilities(model, policies))
    keys = jax.random.split(jax.random.key(3), 8192)
    drawn = jax.vmap(lambda k: select(model, policies, key=k))(keys)
    rates = jnp.bincount(drawn, length=6) / 8192
    np.testing.assert_allclose(rates, p, atol=4 * 0.5 / 8192**0.5)  # four binomial errors
    first = policies.reshape(6, 6).sum(axis=1)
    if isinstance(select, SampleAction):
        np.testing.assert_allclose(p, first**2 / jnp.sum(first**2), rtol=1e-4)


def test_habits_over_first_actions_spread_evenly_over_policies():
    rng = np.random.default_rng(7)
    E = np.array([0.7, 0.2, 0.1])
    model = Model([columns(rng, 2, 2)], [columns(rng, 2, 2, 3)], E=E)
    np.testing.assert_allclose(habits(model, 9), np.repeat(E, 3) / 3, rtol=1e-6)
    agent = Agent(model, Exhaustive(2), gamma=0.0)
    policies = jax.jit(lambda: agent.policies(prior(model, joint(model)), NOW))()
    np.testing.assert_allclose(policies, np.repeat(E, 3) / 3, rtol=1e-5)


EYE = np.eye(2)
REFUSED = {
    "column of A": (dict(A=[EYE, EYE * 0.9], B=[EYE]), r"A\[1\]\[:, 0\].*sums to 1, got 0.9"),
    "negative": (dict(A=[[[1.5, 0], [-0.5, 1]]], B=[EYE]), r"A\[0\]\[1, 0\].*-0.5"),
    "nan": (dict(A=[[[np.nan, 0], [0, 1]]], B=[EYE]), r"A\[0\]\[0, 0\].*nan"),
    "column of B": (dict(A=[EYE], B=[EYE[:, :, None] * 2]), r"B\[0\]\[:, 0, 0\].*got 2"),
    "shape of A": (dict(A=[np.ones((1, 3))], B=[EYE]), r"A\[0\]: expected shape \(1, 2\)"),
    "shape of B": (dict(A=[EYE], B=[np.ones((2, 3, 1)) / 2]), r"B\[0\]: expected shape \(2, 2\)"),
    "length of C": (dict(A=[EYE], B=[EYE], C=[]), "C: expected 1 arrays, got 0"),
    "shape of C": (dict(A=[EYE], B=[EYE], C=[np.zeros(3)]), r"C\[0\].*\(3,\)"),
    "infinite C": (dict(A=[EYE], B=[EYE], C=[[0, np.inf]]), r"C\[0\].*finite"),
    "sum of D": (dict(A=[EYE], B=[EYE], D=[[0.5, 0.6]]), r"D\[0\]\[:\].*1.1"),
    "shape of D": (dict(A=[EYE], B=[EYE], D=[[1.0]]), r"D\[0\]: expected shape \(2,\)"),
    "size of E": (dict(A=[EYE], B=[np.stack([EYE] * 2, 2)], E=np.ones(3) / 3), "E: .*power of 2"),
    "A twice": (dict(A=[EYE], B=[EYE], counts=Counts(a=(EYE,))), "A: .*got both"),
    "no A": (dict(B=[EYE]), "A: .*got neither"),
    "empty counts": (dict(B=[EYE], counts=Counts(a=([[0, 1], [0, 1]],))), r"counts.a\[0\].*sum 0"),
    "factor unknown": (
        dict(A=[EYE], B=[EYE], dependencies=Dependencies(((1,),), ((0,),), ((0,),))),
        r"dependencies.A\[0\]: expected different factors below 1, got \(1,\)",
    ),
    "controls unlike": (
        dict(
            A=[EYE[:, :, None] * np.ones(2)],
            B=[EYE[..., None] * np.ones(2), EYE[..., None] * np.ones(3)],
            dependencies=Dependencies(((0, 1),), ((0,), (1,)), ((0,), (0,))),
        ),
        r"B\[1\]: expected 2 options of control 0, got 3",
    ),
}


@pytest.mark.parametrize("arguments, message", REFUSED.values(), ids=REFUSED)
def test_a_bad_model_is_refused_with_the_array_the_place_and_the_sum(arguments, message):
    with pytest.raises(ValueError, match=message):
        Model(**arguments)


def test_a_joint_table_too_large_is_refused_by_size():
    model = random_model(8)
    with pytest.raises(ValueError, match="ExactFilter: expected at most 11 joint states, got 12"):
        ExactFilter(limit=11).blocks(model)
    with pytest.raises(ValueError, match="JointInformation: expected at most 20 .*got 288"):
        terms_of(model, prior(model, joint(model)), NOW, JointInformation(limit=20))


def test_an_observation_of_the_wrong_length_is_refused():
    model = random_model(9)
    with pytest.raises(ValueError, match="observation: expected 3 outcomes, got 2"):
        ExactFilter()(model, prior(model, joint(model)), (0, 1))


def test_the_planner_refuses_a_horizon_below_one():
    with pytest.raises(ValueError, match="horizon"):
        Exhaustive(0)


def test_marginals_of_a_joint_belief_are_its_sums():
    table = jnp.arange(24.0).reshape(2, 3, 4) / 276
    belief = Belief((table,), ((0, 1, 2),))
    np.testing.assert_allclose(belief.marginals()[1], table.sum(axis=(0, 2)), rtol=1e-6)
