"""Gaussian beliefs as spikes: a population whose every spike lowers the error of its estimate."""

from typing import NamedTuple

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class GaussianState(NamedTuple):
    """What the population carries from one time step to the next."""

    estimate: Float[Array, " d"]  # decoded from spikes
    residual: Float[Array, " d"]  # what the spikes have not told yet


class Estimate(NamedTuple):
    """One time step, seen from outside."""

    mean: Float[Array, " d"]  # decoded from spikes
    spikes: Float[Array, " neurons"]  # of each neuron, a whole number


class SpikingKalman(eqx.Module):
    r"""The steady-state Kalman filter in a population that tracks it with as few spikes as it can.

    Neuron k adds $D_k$ to the estimate $\hat x$ when it fires; the estimate leaks by $\lambda$.
    The drive is what the filter would believe next, from the estimate that the spikes tell,

    $z_{t+1} = r_t + (I - KC) F \hat x_t + K y_{t+1}, \qquad r_t = z_t - \hat x_t$,

    and the membrane potentials are $v_k = D_k^T (z - \hat x)$: recurrent weights $-D^T D$ carry
    each spike to all neurons at once. Neuron k fires when $v_k \ge |D_k|^2 / 2$, that is when its
    spike lowers $|z - \hat x|^2$; the most excited first.

    Attributes:
        dynamics: F, of one time step, shape (d, d).
        observation: C, shape (m, d).
        gain: K, shape (d, m); `steady_gain` finds it.
        decoders: D, one column a neuron, shape (d, neurons), in units of the state.
        leak: share lambda of the estimate that is lost in a time step.
        most: spikes that fit in a time step.

    Source: Boerlin, Machens & Deneve (2013), PLoS Comput. Biol. 9, e1003258, with Kalman's filter
        as the dynamics; compare Urbano, Lanillos & Keemink (2026), arXiv:2603.09729.
    """

    dynamics: Float[Array, "d d"]
    observation: Float[Array, "m d"]
    gain: Float[Array, "d m"]
    decoders: Float[Array, "d neurons"]
    leak: float = 0.01
    most: int = eqx.field(static=True, default=4)

    def __check_init__(self):
        if not 0 <= self.leak < 1:
            raise ValueError(f"leak must lie in [0, 1), got {self.leak}")
        if self.most < 1:
            raise ValueError(f"most must be at least one spike a time step, got {self.most}")

    def init(self, mean: Float[Array, " d"]) -> GaussianState:
        """No spike yet; the mean is still to be told."""
        return GaussianState(jnp.zeros_like(mean), mean)

    def step(self, state: GaussianState, y: Float[Array, " m"]) -> tuple[GaussianState, Estimate]:
        """One observation in, a few spikes out."""
        predicted = self.dynamics @ state.estimate
        target = state.residual + predicted + self.gain @ (y - self.observation @ predicted)
        estimate = (1 - self.leak) * state.estimate
        cost = 0.5 * jnp.sum(self.decoders**2, axis=0)

        def fire(_, carry):
            estimate, spikes = carry
            excess = self.decoders.T @ (target - estimate) - cost
            first = jnp.argmax(excess)
            spike = (excess[first] >= 0).astype(estimate.dtype)
            return estimate + spike * self.decoders[:, first], spikes.at[first].add(spike)

        silent = estimate, jnp.zeros_like(cost)
        estimate, spikes = jax.lax.fori_loop(0, self.most, fire, silent)
        return GaussianState(estimate, target - estimate), Estimate(estimate, spikes)


def steady_gain(
    dynamics: Float[Array, "d d"],
    observation: Float[Array, "m d"],
    process_noise: Float[Array, "d d"],
    observation_noise: Float[Array, "m m"],
    steps: int = 1000,
) -> Float[Array, "d m"]:
    r"""Gain of the Kalman filter after `steps` of the Riccati recursion.

    $P^- = F P F^T + Q$, $K = P^- C^T (C P^- C^T + R)^{-1}$, $P = (I - KC) P^-$.

    Args:
        dynamics: F, of one time step, shape (d, d).
        observation: C, shape (m, d).
        process_noise: Q, covariance added in a time step, shape (d, d).
        observation_noise: R, covariance of an observation, shape (m, m).
        steps: of the recursion, from P = Q.

    Source: Kalman (1960), J. Basic Eng. 82, 35-45.
    """
    chex.assert_equal_shape([dynamics, process_noise])

    def gain(covariance):
        ahead = dynamics @ covariance @ dynamics.T + process_noise
        seen = observation @ ahead
        return jnp.linalg.solve(seen @ observation.T + observation_noise, seen).T, ahead

    def recur(covariance, _):
        k, ahead = gain(covariance)
        return ahead - k @ observation @ ahead, None

    covariance, _ = jax.lax.scan(recur, process_noise, length=steps)
    return gain(covariance)[0]
