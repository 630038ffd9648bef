"""Learning rules for one network: predictive coding and its backprop twin, driven by optax."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from fep.free_energy import gaussian_energy
from fep.predictive_coding.network import PCNetwork

Batch = tuple[Float[Array, "b d_in"], Float[Array, "b d_out"]]


class PredictiveCoding(eqx.Module):
    r"""Slope of the settled energy: $\partial_\theta \frac1b \sum_i F(z_i^*, x_i, y_i; \theta)$.

    Inference first, then learning: the values are settled with the weights held, and the weights
    then descend the same energy with the values held. By $\partial F / \partial W_l =
    -\varepsilon_l f(z_{l-1})^T$ each weight reads only its own two ends.

    Attributes:
        solver: settles one sample, `solver(network, x, y)`.

    Source: Whittington & Bogacz (2017), Neural Comput. 29, their weight update.
    """

    solver: Callable

    def __call__(self, network: PCNetwork, batch: Batch) -> tuple[Float[Array, ""], PCNetwork]:
        """Mean settled energy of a batch (nats) and its gradient, in the network's shape."""
        settled = jax.vmap(self.solver, in_axes=(None, 0, 0))(network, *batch)

        def energy(network):
            return jnp.mean(jax.vmap(network.energy)(settled.state, *batch))

        return jax.value_and_grad(energy)(network)


def backprop(network: PCNetwork, batch: Batch) -> tuple[Float[Array, ""], PCNetwork]:
    """The twin: same network, same output energy, gradients through the feed-forward pass."""

    def energy(network):
        def surprise(x, y):
            return gaussian_energy(y, network.predict(x), jnp.zeros_like(y))

        return jnp.mean(jax.vmap(surprise)(*batch))

    return jax.value_and_grad(energy)(network)


class LearnerState(NamedTuple):
    """What training carries."""

    network: PCNetwork
    optimiser: optax.OptState


class Learner(eqx.Module):
    """A gradient rule joined to an optax optimiser, as one init/step.

    Attributes:
        gradient: `(network, batch) -> (energy, gradient)`, such as `PredictiveCoding` or
            `backprop`.
        optimiser: any optax transformation.
    """

    gradient: Callable
    optimiser: optax.GradientTransformation = eqx.field(static=True)

    def init(self, network: PCNetwork) -> LearnerState:
        """Training state of a fresh network."""
        return LearnerState(network, self.optimiser.init(network))

    def step(self, state: LearnerState, batch: Batch) -> tuple[LearnerState, Float[Array, ""]]:
        """One update on one batch: the new state, and the batch's mean energy in nats."""
        energy, gradient = self.gradient(state.network, batch)
        updates, optimiser = self.optimiser.update(gradient, state.optimiser, state.network)
        return LearnerState(optax.apply_updates(state.network, updates), optimiser), energy
