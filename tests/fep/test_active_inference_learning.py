"""Learning: counts against their definitions, and agents that learn where they live."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.active_inference.agent import Agent, rollout
from fep.active_inference.belief import advance, joint, prior
from fep.active_inference.expected_free_energy import exploration, first_state_novelty, terms_of
from fep.active_inference.inference import ExactFilter, FixedPoint
from fep.active_inference.learning import (
    Experience,
    Learning,
    average,
    grow_states,
    pairs,
    prune_states,
    reduce,
)
from fep.active_inference.model import Counts, Model
from fep.active_inference.planning import Exhaustive
from fep.information import dirichlet_divergence

NOW = jnp.zeros((), jnp.int32)


def columns(rng, *shape):
    return np.moveaxis(rng.dirichlet(np.ones(shape[0]), shape[1:]), -1, 0)


def learner(seed=0):
    """Two factors, the first steered; every array has counts."""
    rng = np.random.default_rng(seed)
    counts = Counts(
        a=(rng.uniform(0.5, 3, (3, 2, 2)),),
        b=(rng.uniform(0.5, 3, (2, 2, 3)), rng.uniform(0.5, 3, (2, 2))),
        c=(rng.uniform(0.5, 3, 3),),
        d=(rng.uniform(0.5, 3, 2), rng.uniform(0.5, 3, 2)),
        e=rng.uniform(0.5, 3, 3),
    )
    return Model(counts=counts)


def live(agent):
    """A step of an agent of one modality, compiled."""
    return eqx.filter_jit(lambda state, outcome, key: agent.step(state, (outcome,), key=key))


def test_the_mean_of_the_counts_is_the_model():
    model = learner()
    for name in "ABCD":
        for array, counts in zip(
            getattr(model, name), getattr(model.counts, name.lower()), strict=True
        ):
            mean = np.asarray(counts) / np.asarray(counts).sum(axis=0)
            mean = np.log(mean) if name == "C" else mean
            np.testing.assert_allclose(array, mean, rtol=1e-5)
    again = model.with_counts(model.counts)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), model, again)


@pytest.mark.usefixtures("x64")
def test_pairs_of_states_are_the_exact_two_slice_posterior():
    model = learner(1)
    before = ExactFilter()(model, prior(model, joint(model)), (0,)).belief
    action = jnp.asarray(2)
    ahead = advance(model, before, action)
    belief = ExactFilter()(model, ahead, (1,)).belief
    lived = Experience((1,), before, action, ahead, belief, jnp.ones(3) / 3, jnp.asarray(False))
    q, A = np.asarray(before.tables[0]), np.asarray(model.A[0])
    B0, B1 = np.asarray(model.B[0][..., 2]), np.asarray(model.B[1][..., 0])
    whole = np.einsum("ij,ki,lj,kl->ijkl", q, B0, B1, A[1])
    whole /= whole.sum()
    first, second = pairs(model, lived)
    np.testing.assert_allclose(first[..., 2], np.einsum("ijkl->ki", whole), atol=1e-14)
    np.testing.assert_allclose(first[..., :2], 0, atol=0)
    np.testing.assert_allclose(second[..., 0], np.einsum("ijkl->lj", whole), atol=1e-14)


@pytest.mark.usefixtures("x64")
def test_counts_grow_by_what_was_seen_believed_and_done():
    model = learner(2)
    start = prior(model, joint(model))
    belief = ExactFilter()(model, start, (2,)).belief
    policies = jnp.asarray([0.2, 0.3, 0.5])
    lived = lambda first: Experience((2,), start, NOW, start, belief, policies, jnp.asarray(first))
    learning = Learning(rate=0.5, retention=0.9)
    new = learning(model, lived(True))
    q = np.asarray(belief.tables[0])
    seen = np.zeros((3, 2, 2))
    seen[2] = q
    old = model.counts
    np.testing.assert_allclose(new.a[0], 0.9 * old.a[0] + 0.5 * seen, atol=1e-14)
    np.testing.assert_allclose(new.c[0], 0.9 * old.c[0] + 0.5 * np.eye(3)[2], atol=1e-14)
    np.testing.assert_allclose(new.d[0], 0.9 * old.d[0] + 0.5 * q.sum(axis=1), atol=1e-14)
    np.testing.assert_allclose(new.e, 0.9 * old.e + 0.5 * policies, atol=1e-14)
    np.testing.assert_allclose(new.b[0], old.b[0], atol=0)  # nothing came before
    ahead = advance(model, start, NOW)
    after = ExactFilter()(model, ahead, (2,)).belief
    later = learning(model, lived(False)._replace(prior=ahead, belief=after))
    np.testing.assert_allclose(later.d[0], old.d[0], atol=0)
    assert float(jnp.sum(later.b[0])) == pytest.approx(0.9 * float(jnp.sum(old.b[0])) + 0.5)


@pytest.mark.slow
def test_a_missing_outcome_teaches_nothing_about_its_likelihood():
    model = learner(3)
    start = prior(model, joint(model))
    belief = ExactFilter()(model, start, (-1,)).belief
    lived = Experience((-1,), start, NOW, start, belief, jnp.ones(3) / 3, jnp.asarray(True))
    new = Learning()(model, lived)
    np.testing.assert_allclose(new.a[0], model.counts.a[0])
    np.testing.assert_allclose(new.c[0], model.counts.c[0])


@pytest.mark.usefixtures("x64")
def test_novelty_of_a_b_and_d_is_the_information_expected_about_them():
    model = learner(4)
    belief = prior(model, joint(model))

    @eqx.filter_jit
    def novelties(model, belief):
        plans = [Exhaustive(h)(model, belief, NOW).terms.novelty for h in (1, 2)]
        here = terms_of(model, belief, NOW, Exhaustive(1).information).novelty
        return here, exploration(model, belief), first_state_novelty(model, belief), plans

    found, of_b, of_d, (one, two) = novelties(model, belief)
    divergence, counts = jax.jit(dirichlet_divergence), jax.tree.map(np.asarray, model.counts)
    gain = lambda c, i: float(divergence(c + np.eye(len(c))[i], c))
    q, A, B = np.asarray(belief.tables[0]), np.asarray(model.A[0]), [np.asarray(b) for b in model.B]
    expected = sum(
        q[i, j] * A[o, i, j] * gain(counts.a[0][:, i, j], o)
        for i in range(2)
        for j in range(2)
        for o in range(3)
    )
    assert float(found) == pytest.approx(expected, abs=1e-12)
    marginals = (q.sum(axis=1), q.sum(axis=0))
    for action in (0, 1, 2):
        expected = sum(
            marginals[f][s] * B[f][n, s, c] * gain(counts.b[f][:, s, c], n)
            for f, c in ((0, action), (1, 0))
            for s in range(2)
            for n in range(2)
        )
        assert float(of_b[action]) == pytest.approx(expected, abs=1e-12)
    expected = sum(
        m[s] * gain(d, s) for m, d in zip(marginals, counts.d, strict=True) for s in range(2)
    )
    assert float(of_d) == pytest.approx(expected, abs=1e-12)
    assert (np.asarray(two).reshape(3, 3) > np.asarray(one)[:, None]).all()


def test_reversals_are_unlearned_faster_with_forgetting():
    """A coin that lands heads 200 times, then tails 20 times."""
    model = Model(B=[np.eye(1)], counts=Counts(a=([[1.0], [1.0]],)))
    start = prior(model, joint(model))

    def final(retention):
        def step(counts, outcome):
            lived = Experience((outcome,), start, NOW, start, start, jnp.ones(1), jnp.asarray(True))
            return Learning(1.0, retention)(model.replace(counts=counts), lived), None

        flips = jnp.concatenate([jnp.zeros(200, jnp.int32), jnp.ones(20, jnp.int32)])
        counts, _ = jax.lax.scan(step, model.counts, flips)
        return float(counts.a[0][1, 0] / jnp.sum(counts.a[0]))

    assert final(1.0) < 0.15 < 0.8 < final(0.9)


@pytest.mark.usefixtures("x64")
def test_reduction_is_the_change_in_evidence_of_a_dirichlet_multinomial():
    rng = np.random.default_rng(5)
    prior_counts, simpler = jnp.asarray(rng.uniform(0.5, 3, (2, 4)))
    seen = jnp.asarray([4.0, 0.0, 7.0, 2.0])

    def evidence(p):  # of a sequence with these outcomes: a ratio of rising factorials
        rise = lambda x, n: np.prod([x + i for i in range(int(n))])
        return np.log(
            np.prod([rise(a, n) for a, n in zip(p, seen, strict=True)]) / rise(p.sum(), seen.sum())
        )

    reduced = reduce(prior_counts + seen, prior_counts, simpler)
    expected = evidence(np.asarray(simpler)) - evidence(np.asarray(prior_counts))
    assert float(reduced.evidence) == pytest.approx(expected, abs=1e-10)
    np.testing.assert_allclose(reduced.counts, simpler + seen, atol=1e-14)


@pytest.mark.usefixtures("x64")
def test_reduction_is_that_of_spm():
    from pathlib import Path

    with np.load(Path(__file__).parents[1] / "golden" / "aif" / "spm_primitives.npz") as file:
        for k in range(8):
            q, p, r = (jnp.asarray(file[f"k{k}_{n}"])[:, 0] for n in ("qa", "pa", "ra"))
            reduced = reduce(q, p, r)
            # SPM's F is minus the evidence
            np.testing.assert_allclose(-reduced.evidence, file[f"k{k}_bmr_F"][0, 0], atol=1e-12)
            np.testing.assert_allclose(reduced.counts, file[f"k{k}_bmr_s"][:, 0], atol=1e-14)


@pytest.mark.usefixtures("x64")
def test_a_model_average_leans_to_the_prior_that_explains_the_counts():
    full, seen = jnp.ones(2), jnp.asarray([30.0, 2.0])
    biased, fair = jnp.asarray([8.0, 1.0]), jnp.asarray([50.0, 50.0])
    weights, mean = average(full + seen, full, jnp.stack([biased, fair]))
    found = [float(reduce(full + seen, full, r).evidence) for r in (biased, fair)]
    assert float(jnp.log(weights[0] / weights[1])) == pytest.approx(found[0] - found[1], abs=1e-12)
    means = [(seen + r) / jnp.sum(seen + r) for r in (biased, fair)]
    np.testing.assert_allclose(mean, weights[0] * means[0] + weights[1] * means[1], atol=1e-14)


def test_structure_learning_keeps_two_states_apart_that_differ_and_merges_two_that_do_not():
    """Likelihood counts of three states: the last two tell the same story."""
    a = np.array([[40.0, 3.0, 6.0], [2.0, 38.0, 81.0]])
    model = Model(B=[np.eye(3)], counts=Counts(a=(a,)))
    pruned = prune_states(model, Model(B=[np.eye(3)], counts=Counts(a=(np.ones((2, 3)),))), 0)
    assert pruned.num_states == (2,)
    np.testing.assert_allclose(pruned.counts.a[0][:, 0], a[:, 0])
    np.testing.assert_allclose(pruned.counts.a[0][:, 1], a[:, 1] + a[:, 2] - 1)
    apart = Model(B=[np.eye(2)], counts=Counts(a=(a[:, :2],)))
    same = prune_states(apart, Model(B=[np.eye(2)], counts=Counts(a=(np.ones((2, 2)),))), 0)
    assert same.num_states == (2,)


def test_a_state_is_added_with_counts_that_know_nothing():
    model = learner(6)
    grown = grow_states(model, 1, concentration=0.25)
    assert grown.num_states == (2, 3)
    np.testing.assert_allclose(grown.counts.a[0][..., :2], model.counts.a[0])
    np.testing.assert_allclose(grown.counts.a[0][..., 2], 0.25)
    np.testing.assert_allclose(grown.counts.b[1][2], 0.25)
    np.testing.assert_allclose(jnp.sum(grown.B[1], axis=0), 1, rtol=1e-6)


class Coin(eqx.Module):
    """One state, one action, two outcomes: heads with probability p."""

    p: float

    def reset(self, *, key):
        return self._flip(key), NOW

    def step(self, state, action, *, key):
        return self._flip(key), state, 0.0, False, False, {}

    def _flip(self, key):
        return (jax.random.bernoulli(key, 1 - self.p).astype(jnp.int32),)


@pytest.mark.parametrize("inference", [ExactFilter(), FixedPoint(2)])
def test_a_life_teaches_the_bias_of_a_coin(inference):
    model = Model(B=[np.eye(1)], counts=Counts(a=([[1.0], [1.0]],)))
    agent = Agent(model, Exhaustive(1), inference, learning=Learning())
    state, history = rollout(agent, Coin(0.8), 200, jax.random.key(0))
    heads = int((history.observations[0] == 0).sum())
    np.testing.assert_allclose(state.counts.a[0][:, 0], [1 + heads, 201 - heads])
    assert agent.model.counts.a[0].tolist() == [[1.0], [1.0]]


def test_what_was_learned_outlives_an_episode():
    model = Model(counts=Counts(a=(np.eye(2) * 4 + 1,), b=(np.ones((2, 2, 2)),), d=(np.ones(2),)))
    agent = Agent(model, Exhaustive(1), learning=Learning())
    step, keys = live(agent), jax.random.split(jax.random.key(0))
    state, _ = step(agent.init(), jnp.asarray(0), keys[0])
    state, _ = step(state, jnp.asarray(1), keys[1])
    fresh = agent.reset(state)
    assert int(fresh.time) == 0
    np.testing.assert_allclose(fresh.prior.tables[0], state.counts.d[0] / 3, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, fresh.counts, state.counts)


@pytest.mark.usefixtures("x64")
def test_a_plan_followed_for_three_steps_is_the_plan_made_at_the_first():
    rng = np.random.default_rng(7)
    model = Model([columns(rng, 3, 3)], [columns(rng, 3, 3, 2)], [rng.normal(size=3)])
    agent = Agent(model, Exhaustive(3), every=3)
    step, state, seen = live(agent), agent.init(), jnp.asarray([0, 1, 2, 0])
    keys = jax.random.split(jax.random.key(2), 4)
    state, first = step(state, seen[0], keys[0])
    state, second = step(state, seen[1], keys[1])
    tree = first.policies.reshape(2, 2, 2)[first.action[0]]
    np.testing.assert_allclose(
        second.policies.reshape(4, 2)[:, 0] * 2, tree.reshape(-1) / tree.sum()
    )
    state, third = step(state, seen[2], keys[2])
    expected = tree[second.action[0]] / tree[second.action[0]].sum()
    np.testing.assert_allclose(third.policies.reshape(2, 4).sum(axis=1), expected, atol=1e-12)
    _, fourth = step(state, seen[3], keys[3])
    fresh = eqx.filter_jit(agent.policies)(fourth.belief, state.time)
    np.testing.assert_allclose(fourth.policies, fresh, atol=1e-12)


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Learning(rate=-1.0), "rate"),
        (lambda: Learning(retention=-0.1), "retention"),
        (lambda: Agent(Model([np.eye(2)], [np.eye(2)]), Exhaustive(1), every=0), "every"),
        (lambda: Agent(Model([np.eye(2)], [np.eye(2)]), Exhaustive(1), learning=Learning()), "cou"),
        (
            lambda: Agent(
                Model([np.eye(2)], [np.stack([np.eye(2)] * 2, 2)]), Exhaustive(1), every=2
            ).init(),
            "every: expected plans of at least 2",
        ),
        (lambda: grow_states(Model([np.eye(2)], [np.eye(2)]), 0, 1.0), "counts"),
    ],
)
def test_a_bad_setting_of_learning_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
