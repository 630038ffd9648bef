"""Defects found in other libraries, one test each, that they are not here.

Elsewhere: one key for all controls, summed information gain, a second compilation and batch-wide
resets in `test_active_inference.py`; counts C, D, E that are never learned in
`test_active_inference_learning.py`; a search that fails beyond ten actions in
`test_active_inference_planning.py`; no beliefs about the future under each policy, and vectors of
MATLAB that only old code is held to, in `test_active_inference_trial.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fep.active_inference.agent import Agent, BestAction
from fep.active_inference.belief import advance, evidence, joint, mean_field, prior
from fep.active_inference.inference import ExactFilter
from fep.active_inference.learning import Experience, Learning
from fep.active_inference.model import Counts, Dependencies, Model
from fep.active_inference.planning import Exhaustive, PerModality
from fep.active_inference.sophisticated import OutcomeBranches, Sophisticated, possible_outcomes

NOW = jnp.zeros((), jnp.int32)


def columns(rng, *shape):
    return np.moveaxis(rng.dirichlet(np.ones(shape[0]), shape[1:]), -1, 0)


def test_a_masked_outcome_changes_no_array_of_the_model():
    rng = np.random.default_rng(0)
    model = Model([columns(rng, 3, 2), columns(rng, 2, 2)], [columns(rng, 2, 2, 2)])
    before = jax.tree.map(np.array, model)
    agent = Agent(model, Exhaustive(2))
    agent.step(agent.init(), (-1, jnp.asarray([0.5, 0.5])), key=jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.array, agent.model))


def test_a_masked_outcome_is_not_learned_from():
    model = Model(B=[np.eye(2)], counts=Counts(a=(np.ones((2, 2)), np.ones((3, 2)))))
    start = prior(model, joint(model))
    lived = Experience((-1, 2), start, NOW, start, start, jnp.ones(1), jnp.asarray(True))
    counts = Learning()(model, lived)
    np.testing.assert_array_equal(counts.a[0], model.counts.a[0])
    np.testing.assert_allclose(counts.a[1][2], 1.5)


def test_a_soft_outcome_that_says_nothing_leaves_the_prior():
    """E[log p] would move it; virtual evidence, log E[p], does not."""
    model = Model([[[0.9, 0.2], [0.1, 0.8]]], [np.eye(2)], D=[[0.3, 0.7]])
    found = ExactFilter()(model, prior(model, joint(model)), (jnp.asarray([0.5, 0.5]),))
    np.testing.assert_allclose(found.belief.tables[0], [0.3, 0.7], rtol=1e-6)
    (seen, _), *_ = evidence(model, (jnp.asarray([0.25, 0.75]),))
    np.testing.assert_allclose(seen, [0.25 * 0.9 + 0.75 * 0.1, 0.25 * 0.2 + 0.75 * 0.8], rtol=1e-6)


def test_policies_share_their_beginnings_in_memory():
    """Grid of 49 cells, five actions, depth four: 625 policies, 5.98 MiB in pymdp 1.0.4."""
    rng = np.random.default_rng(1)
    model = Model([np.eye(49)], [columns(rng, 49, 49, 5)])
    planner = Exhaustive(4, PerModality())
    plan = jax.jit(lambda q: planner(model, q, NOW).value)
    compiled = plan.lower(prior(model, joint(model))).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 5.98 * 2**20 / 10


def test_a_batch_of_sophisticated_agents_is_searched_at_once():
    rng = np.random.default_rng(2)
    model = Model([columns(rng, 2, 2)], [columns(rng, 2, 2, 2)])
    planner = Sophisticated(2, OutcomeBranches(possible_outcomes(model)))
    start = prior(model, joint(model))
    batch = jax.tree.map(lambda x: jnp.stack([x] * 8), start)
    program = str(jax.make_jaxpr(jax.vmap(lambda q: planner(model, q, NOW).value))(batch))
    assert "scan" not in program
    assert "while" not in program


def test_a_coupled_transition_is_predicted_jointly():
    """Two factors that move together: the mean field would spread them over four states."""
    together = np.zeros((2, 2, 2))
    together[[0, 1], [0, 1], :] = 1  # factor 1 copies factor 0
    wired = Dependencies(((0,), (1,)), ((0,), (0, 1)), ((0,), (1,)))
    model = Model([np.eye(2), np.eye(2)], [np.eye(2), together], dependencies=wired)
    ahead = advance(model, prior(model, joint(model)), NOW)
    np.testing.assert_allclose(ahead.tables[0], [[0.5, 0], [0, 0.5]], atol=1e-7)
    apart = advance(model, prior(model, mean_field(model)), NOW)
    np.testing.assert_allclose(apart.tables[1], [0.5, 0.5], atol=1e-7)


def test_preferences_are_normalised_so_that_a_constant_changes_nothing():
    rng = np.random.default_rng(3)
    A, B = [columns(rng, 3, 2)], [columns(rng, 2, 2, 2)]
    value = lambda C: Exhaustive(2)(m := Model(A, B, [C]), prior(m, joint(m)), NOW).value
    C = np.array([1.0, -2.0, 0.0])
    np.testing.assert_allclose(value(C), value(C + 5.0), rtol=1e-5)


def test_planning_deterministically_needs_no_key_to_agree_with_itself():
    rng = np.random.default_rng(4)
    model = Model([columns(rng, 3, 2)], [columns(rng, 2, 2, 3)], [np.array([2.0, 0.0, 0.0])])
    agent = Agent(model, Exhaustive(2), selection=BestAction())
    acts = [agent.step(agent.init(), (1,), key=jax.random.key(k))[1].action for k in range(3)]
    assert len({tuple(a.tolist()) for a in acts}) == 1
