"""From behaviour to parameters: the likelihood of observed actions, and its fit."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from fep.active_inference.agent import Agent
from fep.active_inference.belief import Observations


def action_log_likelihood(
    agent: Agent,
    observations: Observations,
    actions: Int[Array, "steps controls"],
    fresh: Array | None = None,
) -> Float[Array, ""]:
    r"""$\ln p(u_{1:T} \mid o_{1:T}, \theta)$ of a subject who is this agent, differentiable.

    The agent is led through the subject's life: it sees what the subject saw, and does what the
    subject did whatever it would have done itself.

    Args:
        agent: with its parameters; any array in it may be differentiated.
        observations: one array (steps,) of outcomes a modality.
        actions: option of each control at each step.
        fresh: whether a new episode begins at each step, shape (steps,); by default only at the
            first.

    Returns:
        Nats.
    """
    steps = actions.shape[0]
    fresh = jnp.arange(steps) == 0 if fresh is None else fresh
    index = jnp.ravel_multi_index(
        tuple(jnp.moveaxis(actions, -1, 0)), agent.model.num_controls, mode="clip"
    )

    def step(state, given):
        observation, action, new = given
        state = jax.tree.map(lambda a, b: jnp.where(new, a, b), agent.reset(state), state)
        thought = agent.think(state, observation)
        found = agent.selection.log_probabilities(thought.model, thought.policies)
        return agent.act(state, observation, thought, action), found[action]

    _, found = jax.lax.scan(step, agent.init(), (observations, index, fresh))
    return jnp.sum(found)


class Fit(NamedTuple):
    """What a fit found."""

    parameters: Any
    log_likelihood: Float[Array, ""]  # nats, of the data alone
    covariance: Float[Array, "n n"]  # Laplace: inverse curvature of the objective there


def fit(
    objective: Callable[[Any], Float[Array, ""]],
    start: Any,
    log_prior: Callable[[Any], Float[Array, ""]],
    *,
    steps: int = 60,
) -> Fit:
    r"""Maximum a posteriori by L-BFGS, with the Laplace approximation around it.

    Args:
        objective: ln p(data | parameters), such as `action_log_likelihood` of an agent made from
            them.
        start: where to begin; a pytree of float arrays, unbounded (take logarithms of what must
            be positive).
        log_prior: ln p(parameters).
        steps: iterations, each with a line search.

    Source: Daw (2011), Trial-by-trial data analysis using computational models.
    """
    flat, rebuild = ravel_pytree(start)
    loss = lambda x: -objective(rebuild(x)) - log_prior(rebuild(x))
    solver = optax.lbfgs()
    evaluate = optax.value_and_grad_from_state(loss)

    def step(carry, _):
        x, state = carry
        value, slope = evaluate(x, state=state)
        change, state = solver.update(slope, state, x, value=value, grad=slope, value_fn=loss)
        return (optax.apply_updates(x, change), state), None

    (x, _), _ = jax.lax.scan(step, (flat, solver.init(flat)), length=steps)
    curvature = jax.hessian(loss)(x)
    return Fit(rebuild(x), objective(rebuild(x)), jnp.linalg.inv(curvature))
