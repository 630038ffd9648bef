"""Dynamic predictive coding: filtering in continuous time, in generalised coordinates of motion."""

from collections.abc import Callable
from math import factorial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fep.free_energy import gaussian_cost


def temporal_covariance(orders: int, width: float) -> Float[np.ndarray, "orders orders"]:
    r"""Covariance of a smooth fluctuation of variance 1 with its own derivatives in time.

    $S_{ij} = (-1)^i \rho^{(i+j)}(0)$ under the autocorrelation $\rho(h) = e^{-h^2 / 4 s^2}$ of
    white noise that a Gaussian of deviation s has smoothed.

    Args:
        orders: derivatives from order 0 on.
        width: s, seconds.

    Source: Friston (2008), PLOS Comput. Biol. 4, e1000211, "Hierarchical models in the brain", on
    temporal correlations; Cox & Miller (1965), The Theory of Stochastic Processes, ch. 7.
    """
    covariance = np.zeros((orders, orders))
    for i in range(orders):
        for j in range(i % 2, orders, 2):
            half = (i + j) // 2
            bend = factorial(2 * half) / factorial(half) / (4 * width**2) ** half
            covariance[i, j] = (-1) ** (i + half) * bend
    return covariance


class DynamicState(NamedTuple):
    """What filtering carries."""

    motion: Float[Array, "orders n"]  # value, velocity, acceleration, ... of the hidden state


class DynamicPC(eqx.Module):
    r"""Descent of the free energy in a frame that moves with what is believed to move.

    $\dot{\tilde\mu} = D \tilde\mu - K \partial F / \partial \tilde\mu$ with the energy
    $F = \frac12 \tilde\varepsilon_y^T \tilde\Pi_y \tilde\varepsilon_y +
    \frac12 \tilde\varepsilon_x^T \tilde\Pi_x \tilde\varepsilon_x$ of the errors
    $\varepsilon_y^{(i)} = y^{(i)} - g^{(i)}$ and $\varepsilon_x^{(i)} = \mu^{(i+1)} - f^{(i)}$;
    D shifts each order into the one below, $f^{(0)} = f(\mu)$ and $f^{(i)} = f'(\mu) \mu^{(i)}$,
    alike for g. The highest order's own motion is not predicted. Two orders, a gain of the Riccati
    equation's covariance on the first and a large one on the second make the Kalman-Bucy filter.

    Attributes:
        flow: f, from the hidden state to its velocity (1/s).
        emission: g, from the hidden state to the observation.
        process_precision: of the velocity's fluctuation, shape (n, n).
        noise_precision: of the observation's, shape (m, m).
        gains: K of each order (1/s), shape (orders, n, n).
        width: deviation of the Gaussian that smooths both fluctuations, seconds.

    Source: Friston (2008), PLOS Comput. Biol. 4, e1000211, "Hierarchical models in the brain";
    Buckley et al. (2017), J. Math. Psychol. 81, 55-79, for this truncation.
    """

    flow: Callable
    emission: Callable
    process_precision: Float[Array, "n n"]
    noise_precision: Float[Array, "m m"]
    gains: Float[Array, "orders n n"]
    width: float = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        if not self.width > 0:
            raise ValueError(f"width must be positive seconds, got {self.width}")

    def init(self) -> DynamicState:
        """At rest in zero."""
        return DynamicState(jnp.zeros(self.gains.shape[:2]))

    def energy(
        self, motion: Float[Array, "orders n"], seen: Float[Array, "seen m"]
    ) -> Float[Array, ""]:
        """Free energy of a motion, in nats, without the constants of its Gaussians.

        Args:
            motion: orders of the hidden state.
            seen: the observation and its derivatives, as many orders as there are.

        Raises:
            ValueError: if more orders are seen than the motion has.
        """
        orders, given = len(motion), len(seen)
        if given > orders:
            raise ValueError(f"seen has {given} orders, but the motion has only {orders}")
        cost = self._cost(seen - _orders(self.emission, motion[:given]), self.noise_precision)
        if orders == 1:  # nothing moves
            return cost
        errors = motion[1:] - _orders(self.flow, motion[:-1])
        return cost + self._cost(errors, self.process_precision)

    def step(
        self, state: DynamicState, seen: Float[Array, "seen m"], *, dt: float
    ) -> tuple[DynamicState, Float[Array, " n"]]:
        """Advance dt seconds under a constant observation: the new state, and its value.

        By local linearisation, which is exact where f and g are linear.

        Source: Ozaki (1992), Statistica Sinica 2, 113-135.
        """
        size = state.motion.size

        def velocity(flat):
            motion = flat.reshape(state.motion.shape)
            slope = jax.grad(self.energy)(motion, seen)
            shifted = jnp.concatenate([motion[1:], jnp.zeros_like(motion[:1])])
            return (shifted - jnp.einsum("oij,oj->oi", self.gains, slope)).ravel()

        flat = state.motion.ravel()
        # of d/dt (x, 1) = [[J, v], [0, 0]] (x, 1), so that J need not be inverted
        joint = jnp.zeros((size + 1, size + 1), flat.dtype)
        joint = joint.at[:size, :size].set(jax.jacobian(velocity)(flat))
        joint = joint.at[:size, size].set(velocity(flat))
        moved = flat + jax.scipy.linalg.expm(joint * dt)[:size, size]
        motion = moved.reshape(state.motion.shape)
        return DynamicState(motion), motion[0]

    def _cost(
        self, errors: Float[Array, "orders d"], precision: Float[Array, "d d"]
    ) -> Float[Array, ""]:
        """Half the errors' square in the metric of orders times that of components."""
        over_time = np.linalg.inv(temporal_covariance(len(errors), self.width))
        time, space = np.linalg.cholesky(over_time), jnp.linalg.cholesky(precision)
        white = (time.T @ errors @ space).ravel()
        return gaussian_cost(white, jnp.zeros_like(white), jnp.zeros_like(white))


def _orders(function: Callable, motion: Float[Array, "orders n"]) -> Float[Array, "orders d"]:
    """A function of a motion, order by order: its value, then its slope times each velocity."""
    value, push = jax.linearize(function, motion[0])
    return jnp.concatenate([value[None], jax.vmap(push)(motion[1:])])
