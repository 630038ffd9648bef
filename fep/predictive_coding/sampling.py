"""Monte-Carlo predictive coding: Langevin samples of the free values instead of their mode."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from fep.predictive_coding.coordinates import Coordinates, states
from fep.predictive_coding.network import PCNetwork, PCState, Value


class Langevin(eqx.Module):
    r"""Steps of $dz = -\partial F / \partial z\, dt + \sqrt{2}\, dW$: samples of the posterior.

    Attributes:
        rate: step size; its square is the bias of the variance.
        steps: number of steps, each a sample.
        coordinates: what moves.

    Source: Oliviers, Bogacz & Meulemans (2024), PLOS Comput. Biol. 20, "Learning probability
    distributions of sensory inputs with Monte Carlo predictive coding", eq. 9.
    """

    rate: float
    steps: int = eqx.field(static=True)
    coordinates: Coordinates = eqx.field(static=True, default=states)

    def __check_init__(self):
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    def __call__(self, network: PCNetwork, *values: Value, key: PRNGKeyArray) -> PCState:
        """Values after every step, with a leading axis (steps,), from the feed-forward start."""
        clamped = network.clamp(*values)
        chart = self.coordinates(clamped, None)
        slope = jax.grad(chart.energy)

        def step(point, k):
            leaves, tree = jax.tree.flatten(point)
            keys = jax.random.split(k, len(leaves))
            noise = [
                jax.random.normal(k, z.shape, z.dtype) for k, z in zip(keys, leaves, strict=True)
            ]
            shake = jnp.sqrt(2 * self.rate)
            move = lambda z, g, xi: z - self.rate * g + shake * xi
            point = jax.tree.map(move, point, slope(point), jax.tree.unflatten(tree, noise))
            return point, chart.decode(point)

        return jax.lax.scan(step, chart.start, jax.random.split(key, self.steps))[1]
