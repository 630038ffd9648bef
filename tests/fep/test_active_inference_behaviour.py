"""From behaviour to parameters: slopes of the likelihood of actions, and recovery of subjects."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.active_inference.agent import Agent, SampleAction, SampleEachControl, rollout
from fep.active_inference.behaviour import action_log_likelihood, fit
from fep.active_inference.learning import Learning
from fep.active_inference.model import Counts, Model
from fep.active_inference.planning import Exhaustive


class Bandit(eqx.Module):
    """Two arms that pay with probabilities 0.8 and 0.2, in either order, anew each episode."""

    def reset(self, *, key):
        return (jnp.zeros((), jnp.int32),), jax.random.bernoulli(key).astype(jnp.int32)

    def step(self, better, action, *, key):
        p = jnp.where(action[0] == better, 0.8, 0.2)
        return (2 - jax.random.bernoulli(key, p).astype(jnp.int32),), better, 0.0, False, False, {}


def subject(log_alpha, pleasure):
    """Context is hidden; outcomes are nothing, a win and a loss; the choice is the last move."""
    A = np.zeros((3, 2, 2))
    A[1] = [[0.8, 0.2], [0.2, 0.8]]
    A[2] = 1 - A[1]
    go = np.zeros((2, 2, 2))
    go[[0, 1], :, [0, 1]] = 1
    B = [np.stack([np.full((2, 2), 0.05) + 0.9 * np.eye(2)], axis=2), go]
    model = Model([A], B, [np.array([0.0, 1.0, 0.0])])
    model = model.replace(C=(pleasure * jnp.asarray([0.0, 1.0, 0.0]),), A=model.A)
    return Agent(model, Exhaustive(1), selection=SampleAction(jnp.exp(log_alpha)), gamma=1.0)


@eqx.filter_jit
def live(theta, key):
    _, history = rollout(subject(*theta), Bandit(), 150, key)
    return history.observations, history.decisions.action


def objective(theta, observations, actions):
    return action_log_likelihood(subject(*theta), observations, actions)


@pytest.mark.usefixtures("x64")
def test_the_slope_of_the_likelihood_of_actions_is_its_finite_difference():
    theta = jnp.asarray([0.3, 1.7])
    observations, actions = live(theta, jax.random.key(0))
    value = eqx.filter_jit(objective)
    slope = eqx.filter_jit(jax.grad(objective))(theta, observations, actions)
    h = 1e-5
    for i, e in enumerate(jnp.eye(2)):
        ahead, behind = (value(theta + s * h * e, observations, actions) for s in (1, -1))
        # truncation of a central difference: h^2 of third derivatives of some hundred nats
        assert float(slope[i]) == pytest.approx(float(ahead - behind) / (2 * h), abs=1e-6)


@pytest.mark.usefixtures("x64")
def test_the_likelihood_is_the_product_of_the_probabilities_with_which_the_agent_acted():
    agent = subject(jnp.asarray(0.3), jnp.asarray(1.7))

    @jax.jit
    def both():
        _, history = rollout(agent, Bandit(), 20, jax.random.key(1))
        p = jax.vmap(lambda q: agent.selection.log_probabilities(agent.model, q))(
            history.decisions.policies
        )
        index = jnp.ravel_multi_index(
            tuple(history.decisions.action.T), agent.model.num_controls, mode="clip"
        )
        found = action_log_likelihood(agent, history.observations, history.decisions.action)
        return jnp.sum(p[jnp.arange(20), index]), found

    expected, found = both()
    assert float(found) == pytest.approx(float(expected), abs=1e-10)


@pytest.mark.slow
def test_parameters_of_100_simulated_subjects_are_recovered():
    keys = jax.random.split(jax.random.key(2), 100)
    true = jnp.stack(
        [
            jax.random.uniform(jax.random.key(3), (100,), minval=-0.7, maxval=1.2),
            jax.random.uniform(jax.random.key(4), (100,), minval=0.5, maxval=3.5),
        ],
        axis=1,
    )

    @eqx.filter_jit
    @jax.vmap
    def recover(theta, key):
        data = live(theta, key)
        log_prior = lambda x: -0.5 * (((x[0] - 0.25) / 1.0) ** 2 + ((x[1] - 2.0) / 1.5) ** 2)
        found = fit(lambda x: objective(x, *data), jnp.asarray([0.25, 2.0]), log_prior, steps=12)
        return found.parameters, jnp.sqrt(jnp.diagonal(found.covariance))

    found, error = (np.asarray(x) for x in recover(true, keys))
    correlations = [float(np.corrcoef(true[:, i], found[:, i])[0, 1]) for i in range(2)]
    # choices scale with alpha and with pleasure: their sum on the log scale is what is sharp
    scale = lambda x: x[:, 0] + np.log(np.maximum(x[:, 1], 0.05))
    product = float(np.corrcoef(scale(np.asarray(true)), scale(found))[0, 1])
    print(f"ln alpha r = {correlations[0]:.3f}, pleasure r = {correlations[1]:.3f}")
    print(f"ln (alpha pleasure) r = {product:.3f}")
    assert product > 0.8
    assert min(correlations) > 0.4
    assert np.isfinite(error).all()


def test_the_likelihood_follows_a_subject_who_learns():
    model = Model(
        counts=Counts(a=(np.ones((2, 2)) + np.eye(2),)),
        B=[np.stack([np.eye(2)[::-1], np.eye(2)], 2)],
        C=[np.array([1.0, 0.0])],
    )
    agent = Agent(
        model, Exhaustive(1), selection=SampleEachControl(1.0), learning=Learning(), gamma=1.0
    )
    observations, actions = (jnp.asarray([0, 1, 1, 0]),), jnp.asarray([[0], [1], [0], [0]])

    @jax.jit
    def step(state, outcome, action):
        thought = agent.think(state, (outcome,))
        mean = agent.model.with_counts(state.counts)
        found = agent.selection.log_probabilities(mean, thought.policies)
        after = agent.act(state, (outcome,), thought, action)
        return after, found[action], (thought.model.A[0], mean.A[0])

    state, total = agent.init(), 0.0
    for t in range(4):
        state, found, (ours, mean) = step(state, observations[0][t], actions[t, 0])
        np.testing.assert_allclose(ours, mean)
        total += float(found)
    found = jax.jit(lambda: action_log_likelihood(agent, observations, actions))()
    assert float(found) == pytest.approx(total, abs=1e-5)
