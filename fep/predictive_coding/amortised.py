"""Hybrid predictive coding: a fast guess that learns from where slow inference ends."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from fep.predictive_coding.inference import AmortisedStart, Solver
from fep.predictive_coding.learning import Batch, settle_batch, slope_at
from fep.predictive_coding.network import PCNetwork, PCState, Vector


class Guess(eqx.Module):
    """A guess at the free values by one module for each, all reading the values given.

    Attributes:
        maps: one for each free node, in the network's order, each `map(*values)`.
    """

    maps: tuple[Callable, ...]

    def __call__(self, *values: Vector) -> PCState:
        """Guessed free values."""
        return PCState(tuple(guess(*values) for guess in self.maps))


class HybridState(NamedTuple):
    """What training carries."""

    network: PCNetwork
    guess: eqx.Module
    optimiser: optax.OptState


class HybridOutput(NamedTuple):
    """How a batch went."""

    energy: Float[Array, ""]  # nats, mean at the end of inference
    surprise: Float[Array, ""]  # mean square of what the guess missed, over samples
    steps: Float[Array, ""]  # of inference, mean over samples


class HybridLearner(eqx.Module):
    r"""Inference from a guess: the network learns from its end, the guess from what it missed.

    With $z_\phi$ the guess and $z^*$ where inference from it ends the network descends
    $F(z^*; \theta)$ and the guess $\frac12 \lVert z^* - z_\phi \rVert^2$, both means over samples.
    A solver that stops by its residual does less as the guess gets better.

    Attributes:
        solver: settles one sample from a start.
        optimiser: optax transformation of both slopes.

    Source: Tschantz et al. (2023), PLOS Comput. Biol. 19, "Hybrid predictive coding: inferring,
    fast and slow".
    """

    solver: Solver
    optimiser: optax.GradientTransformation = eqx.field(static=True)

    def init(self, network: PCNetwork, guess: eqx.Module) -> HybridState:
        """Training state of a fresh network and guess."""
        memory = self.optimiser.init(eqx.filter((network, guess), eqx.is_array))
        return HybridState(network, guess, memory)

    def step(self, state: HybridState, batch: Batch) -> tuple[HybridState, HybridOutput]:
        """One update on one batch."""
        network, guess = state.network, state.guess
        settled = settle_batch(AmortisedStart(guess, self.solver), network, batch)
        energy, slope = slope_at(network, settled.state, batch)

        def missed(guess):
            strays = jax.tree.map(jnp.subtract, settled.state, jax.vmap(guess)(*batch))
            return sum(
                jnp.mean(jnp.sum(a.reshape(len(a), -1) ** 2, 1)) for a in jax.tree.leaves(strays)
            )

        surprise, twice = eqx.filter_value_and_grad(missed)(guess)
        slopes = slope, jax.tree.map(lambda g: 0.5 * g, twice)
        both = network, guess
        updates, memory = self.optimiser.update(
            slopes, state.optimiser, eqx.filter(both, eqx.is_array)
        )
        moved = eqx.apply_updates(both, updates)
        steps = jnp.mean(settled.steps * 1.0)
        return HybridState(*moved, memory), HybridOutput(energy, surprise, steps)
