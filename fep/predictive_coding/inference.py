"""Solvers that settle a predictive-coding network by descending its energy."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fep.predictive_coding.network import PCNetwork, PCState, Vector


class Settled(NamedTuple):
    """Where inference ended, and how it went."""

    state: PCState
    energies: Float[Array, " steps+1"]  # nats, before the first and after every step
    residual: Float[Array, ""]  # root-mean-square slope of the energy at the end, nats per unit


class GradientFlow(eqx.Module):
    r"""Explicit Euler steps of $\dot z = -\partial F / \partial z$ on the hidden values.

    The local scheme that spikes and chips can run: each value node hears of its own error and of
    the errors it causes. Clamped nodes get no gradient.

    Attributes:
        rate: step size, in units of the inverse precision; stable below 2 / largest curvature.
        steps: number of steps.

    Source: Whittington & Bogacz (2017), Neural Comput. 29, their dynamics of value nodes.
    """

    rate: float
    steps: int = eqx.field(static=True)

    def __check_init__(self):
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    def __call__(self, network: PCNetwork, x: Vector, y: Vector) -> Settled:
        """Settle one sample from the feed-forward start; raises if the energy diverges."""
        slope = jax.value_and_grad(network.energy)

        def step(state, _):
            energy, gradient = slope(state, x, y)
            return jax.tree.map(lambda z, g: z - self.rate * g, state, gradient), energy

        state, energies = jax.lax.scan(step, network.init(x), length=self.steps)
        energy, gradient = slope(state, x, y)
        squares = jnp.concatenate([g**2 for g in gradient.activities] or [jnp.zeros(1)])
        settled = Settled(state, jnp.append(energies, energy), jnp.sqrt(jnp.mean(squares)))
        message = "inference diverged: lower `rate`"
        return eqx.error_if(settled, ~jnp.isfinite(energy), message)
