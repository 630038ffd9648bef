"""Deep temporal models against their flat twin, and counts of operations against hand counts."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.active_inference.agent import Agent
from fep.active_inference.belief import joint, prior
from fep.active_inference.hierarchy import DeepAgent
from fep.active_inference.model import Model
from fep.active_inference.operations import count_operations
from fep.active_inference.planning import Exhaustive

NOW = jnp.zeros((), jnp.int32)


def columns(rng, *shape):
    return np.moveaxis(rng.dirichlet(np.ones(shape[0]), shape[1:]), -1, 0)


def two_levels(seed=0):
    rng = np.random.default_rng(seed)
    upper = Model([columns(rng, 2, 3)], [columns(rng, 3, 3)], D=[rng.dirichlet(np.ones(3))])
    lower = Model([columns(rng, 3, 2)], [columns(rng, 2, 2)])
    return DeepAgent(Agent(upper, Exhaustive(1)), Agent(lower, Exhaustive(1)), length=3)


@pytest.mark.usefixtures("x64")
def test_two_levels_believe_what_one_flat_model_of_both_would():
    """Six outcomes: two slow states in turn, each with three fast ones; every path enumerated."""
    deep, seen = two_levels(), [0, 2, 1, 1, 0, 2]
    A, B, D = (
        np.asarray(x[0], float)
        for x in (deep.upper.model.A, deep.upper.model.B, deep.upper.model.D)
    )
    a, b = (np.asarray(x[0], float) for x in (deep.lower.model.A, deep.lower.model.B))
    b = b[..., 0]
    step = eqx.filter_jit(deep.step)
    state, beliefs = deep.init(), []
    for t, o in enumerate(seen):
        state, decision = step(state, (jnp.asarray(o),), key=jax.random.key(t))
        beliefs.append(np.asarray(decision.upper.tables[0]))

    def said(outcomes):  # p(outcomes | slow state)
        total = np.zeros(3)
        for path in itertools.product(range(2), repeat=3):
            p = a[outcomes[0], path[0]]
            for t in (1, 2):
                p *= b[path[t], path[t - 1]] * a[outcomes[t], path[t]]
            total += p * A[path[0]]
        return total

    first = D * said(seen[:3])
    first /= first.sum()
    np.testing.assert_allclose(beliefs[2], first, atol=1e-12)
    second = (B[..., 0] @ first) * said(seen[3:])
    np.testing.assert_allclose(beliefs[5], second / second.sum(), atol=1e-12)


def test_a_deep_agent_refuses_levels_that_do_not_meet():
    flat = Agent(Model([np.eye(2)], [np.eye(2)]), Exhaustive(1))
    other = Agent(Model([np.eye(3)], [np.eye(3)]), Exhaustive(1))
    with pytest.raises(ValueError, match=r"upper: expected .* outcomes \(3,\), got \(2,\)"):
        DeepAgent(flat, other, 2)
    with pytest.raises(ValueError, match="length"):
        DeepAgent(flat, flat, 0)


def test_contractions_loops_and_logarithms_are_counted():
    matrix, vector = jnp.ones((3, 4)), jnp.ones(4)
    found = count_operations(lambda m, v: jnp.log(m @ v) + 1.0, matrix, vector)
    assert found == (12, 3, 3, 3)
    loop = lambda v: jax.lax.scan(lambda x, _: (jnp.ones((4, 4)) @ x, None), v, length=5)[0]
    assert count_operations(loop, vector).multiply_adds == 5 * 16
    with pytest.raises(ValueError, match="while loop"):
        count_operations(
            lambda v: jax.lax.while_loop(lambda x: x[0] < 2, lambda x: x + 1, v), vector
        )


def test_a_deeper_tree_costs_what_its_new_level_does():
    """One factor of n states and a actions: a level of a^h children is a^(h-1) n times n a."""
    n, a = 7, 3
    rng = np.random.default_rng(1)
    model = Model([np.eye(n)], [columns(rng, n, n, a)])
    start = prior(model, joint(model))
    counts = [
        count_operations(lambda q, h=h: Exhaustive(h)(model, q, NOW).value, start).multiply_adds
        for h in (1, 2, 3, 4)
    ]
    tree = [n * n * a * a**h for h in (1, 2, 3)]  # beliefs through B
    worth = [n * a ** (h + 1) for h in (1, 2, 3)]  # of every child
    assert (np.diff(counts) == np.add(tree, worth)).all()  # a level's preparation is shared


def test_what_the_result_does_not_need_is_not_counted():
    matrix, vector = jnp.ones((3, 4)), jnp.ones(4)
    assert count_operations(lambda m, v: (m @ v, v + 1)[1], matrix, vector) == (0, 4, 0, 0)
