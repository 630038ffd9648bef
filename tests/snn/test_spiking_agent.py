"""Spiking agents against their twins in floats, and against marginals enumerated in NumPy."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.environments.t_maze import CUE, LEFT, RIGHT, t_maze
from fep.active_inference.agent import Agent, BestAction
from fep.active_inference.inference import FixedPoint
from fep.active_inference.model import Dependencies, Model
from fep.active_inference.planning import Exhaustive
from snn.spiking_agent import SpikingAgent
from snn.spiking_beliefs_firing import Coupled, Rates, Varied
from snn.spiking_beliefs_rivals import WinnerTakeAll

EPISODES, MOVES = 6, 2
FIRST_STEP = eqx.filter_jit(lambda a, seen: a.step(a.init(), seen, key=jax.random.key(0))[1])
MAZE = t_maze(cue_reliability=0.95, reward_probability=0.8)
IN_RATES = WinnerTakeAll(1, firing=Rates())
# the membrane settles to e^(-25 ms / 4 ms) = 2e-3 of each jump; over the window, .4 of that in mean
SETTLED = 3e-3


def maze_agent(gamma=16.0):
    p = MAZE.pomdp
    model = Model(p.A, p.B, p.C, p.D)
    return Agent(model, Exhaustive(MOVES), selection=BestAction(), gamma=gamma)


@eqx.filter_jit
def live(agent, key):
    """Episodes of any agent with init and step: (actions, beliefs, policies), time leading."""

    def episode(_, key):
        start, first, second = jax.random.split(key, 3)
        observation, place = MAZE.reset(start)
        mind, told = agent.init(), []
        for move in (first, second):
            mind, decision = agent.step(mind, observation, key=move)
            moved = MAZE.step(place, decision.action, key=move)
            observation, place = moved.observation, moved.state
            told.append((decision.action, decision.belief.tables[0], decision.policies))
        return None, jax.tree.map(lambda *x: jnp.stack(x), *told)

    return jax.lax.scan(episode, None, jax.random.split(key, EPISODES))[1]


@cache
def exact_life():
    return jax.tree.map(np.asarray, live(maze_agent(), jax.random.key(0)))


def test_in_the_rate_limit_a_life_is_the_exact_agents():
    """Same environment, same chances, same code around it: same actions, beliefs and policies."""
    ours = live(SpikingAgent(maze_agent(), IN_RATES), jax.random.key(0))
    for spiking, exact, tolerance in zip(ours, exact_life(), (0, SETTLED, SETTLED), strict=True):
        np.testing.assert_allclose(spiking, exact, atol=tolerance)


def test_coupled_mismatched_neurons_act_as_the_exact_agent():
    firing = Coupled(Varied(jax.random.key(1), mismatch=0.1), most=16)
    ours = live(SpikingAgent(maze_agent(), WinnerTakeAll(64, firing=firing)), jax.random.key(0))
    actions, exact = np.asarray(ours[0]), exact_life()[0]
    assert (exact[:, 0, 0] == CUE).all()
    assert set(exact[:, 1, 0]) == {LEFT, RIGHT}
    np.testing.assert_array_equal(actions, exact)


@pytest.mark.slow
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_precision_is_the_gain_of_the_policies(gamma):
    agent = SpikingAgent(maze_agent(gamma), IN_RATES)
    decision = FIRST_STEP(agent, (jnp.array(0), jnp.array(0)))
    wanted = agent.twin.policies(decision.belief, jnp.array(0))
    np.testing.assert_allclose(decision.policies, wanted, atol=SETTLED)


def two_factors():
    """Two factors, each steered; one modality of both, one of the second alone."""
    rng = np.random.default_rng(2)
    columns = lambda *shape: np.moveaxis(rng.dirichlet(np.ones(shape[0]), shape[1:]), -1, 0)
    A = [columns(4, 3, 2), columns(2, 2)]
    B = [columns(3, 3, 2), columns(2, 2, 2)]
    D = [rng.dirichlet(np.ones(n)) for n in (3, 2)]
    wired = Dependencies(((0, 1), (1,)), ((0,), (1,)), ((0,), (1,)))
    return A, B, D, Model(A, B, None, D, dependencies=wired)


def test_a_population_a_factor_tells_the_exact_marginals_of_each_step():
    """Boyen & Koller's projection: exact on the product of what was believed, then factorised."""
    A, B, D, model = two_factors()
    twin = Agent(model, Exhaustive(1), inference=FixedPoint(), selection=BestAction())
    agent = SpikingAgent(twin, IN_RATES)
    step = eqx.filter_jit(lambda s, o: agent.step(s, o, key=jax.random.key(0)))
    state, expected = agent.init(), D
    for outcomes in ((2, 1), (0, 0), (3, 1)):
        state, decision = step(state, tuple(jnp.array(o) for o in outcomes))
        joint = np.outer(*expected) * A[0][outcomes[0]] * A[1][outcomes[1]][None]
        marginals = joint.sum(axis=1) / joint.sum(), joint.sum(axis=0) / joint.sum()
        for told, wanted in zip(decision.belief.tables, marginals, strict=True):
            np.testing.assert_allclose(told, wanted, atol=SETTLED)
        expected = [b[:, :, u] @ m for b, u, m in zip(B, decision.action, marginals, strict=True)]


def test_a_missing_outcome_leaves_the_prior_and_imprecise_synapses_bend_the_belief():
    _, _, D, model = two_factors()
    twin = Agent(model, Exhaustive(1), selection=BestAction())
    agent = SpikingAgent(twin, IN_RATES)
    decision = FIRST_STEP(agent, (jnp.array(-1), jnp.array(-1)))
    np.testing.assert_allclose(decision.belief.tables[0], np.outer(*D), atol=SETTLED)
    # synapses twice as strong square the likelihood
    strong = SpikingAgent(twin, IN_RATES, model.replace(A=tuple(a**2 for a in model.A)))
    decision = FIRST_STEP(strong, (jnp.array(1), jnp.array(0)))
    A, *_ = two_factors()
    wanted = np.outer(*D) * A[0][1] ** 2 * A[1][0][None] ** 2
    np.testing.assert_allclose(decision.belief.tables[0], wanted / wanted.sum(), atol=SETTLED)
