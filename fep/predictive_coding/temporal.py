"""Temporal predictive coding: filtering by settling one network a time step."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from fep.predictive_coding.energies import Flat, Gaussian
from fep.predictive_coding.inference import Solver
from fep.predictive_coding.network import Edge, Node, PCNetwork, Vector


class Linear(eqx.Module):
    """A linear map, W x.

    Attributes:
        weight: W, shape (d_out, d_in).
    """

    weight: Float[Array, "d_out d_in"]

    def __call__(self, x: Float[Array, " d_in"]) -> Float[Array, " d_out"]:
        """Predicted values."""
        return self.weight @ x


class TemporalState(NamedTuple):
    """What filtering carries."""

    estimate: Vector  # of the hidden state


class TemporalPC(eqx.Module):
    r"""Filtering by predictive coding: each step settles the state between past and observation.

    $F = \frac12 \varepsilon_x^T Q^{-1} \varepsilon_x +
    \frac12 \varepsilon_y^T R^{-1} \varepsilon_y$ with the errors
    $\varepsilon_x = x_t - f(\hat x_{t-1})$ and $\varepsilon_y = y_t - g(x_t)$. The past is a point:
    at equilibrium a linear step is the Kalman filter's with a prior covariance of Q alone.

    Attributes:
        network: nodes "past" and "seen" clamped, "now" free.
        solver: settles one step.
        size: of the hidden state.

    Source: Millidge et al. (2024), PLOS Comput. Biol. 20, "Predictive coding networks for temporal
    prediction", eqs. 5-8.
    """

    network: PCNetwork
    solver: Solver
    size: int = eqx.field(static=True)

    def init(self) -> TemporalState:
        """Nothing known: an estimate of zeros."""
        return TemporalState(jnp.zeros(self.size))

    def step(self, state: TemporalState, observation: Vector) -> tuple[TemporalState, Vector]:
        """One observation: the new state, and its estimate of the hidden state."""
        settled = self.solver(self.network, state.estimate, observation)
        (estimate,) = settled.state.activities
        return TemporalState(estimate), estimate


def temporal_network(
    dynamics: eqx.Module,
    emission: eqx.Module,
    *,
    process_variance: float = 1.0,
    noise_variance: float = 1.0,
) -> PCNetwork:
    """The network of one time step: "past" -> "now" -> "seen".

    Args:
        dynamics: f, from the past state to the present one.
        emission: g, from the present state to the observation.
        process_variance: of every component of the state, Q.
        noise_variance: of every component of the observation, R.
    """
    nodes = Node("past", Flat()), Node("now", Gaussian(process_variance))
    nodes += (Node("seen", Gaussian(noise_variance)),)
    edges = Edge("past", "now", dynamics), Edge("now", "seen", emission)
    return PCNetwork(nodes, edges, ("past", "seen"))


class KalmanState(NamedTuple):
    """Mean and covariance of the hidden state."""

    mean: Float[Array, " n"]
    covariance: Float[Array, "n n"]


class KalmanFilter(eqx.Module):
    """The exact filter of a linear Gaussian system, to hold temporal predictive coding against.

    Attributes:
        dynamics: A, shape (n, n).
        emission: C, shape (m, n).
        process_covariance: Q, shape (n, n).
        noise_covariance: R, shape (m, m).

    Source: Kalman (1960), J. Basic Eng. 82; in the notation of Bishop (2006), sec. 13.3.1.
    """

    dynamics: Float[Array, "n n"]
    emission: Float[Array, "m n"]
    process_covariance: Float[Array, "n n"]
    noise_covariance: Float[Array, "m m"]

    def init(self) -> KalmanState:
        """A state known to be zero."""
        n = len(self.dynamics)
        return KalmanState(jnp.zeros(n), jnp.zeros((n, n)))

    def step(
        self, state: KalmanState, observation: Float[Array, " m"]
    ) -> tuple[KalmanState, Float[Array, " n"]]:
        """One observation: the new state, and its mean."""
        mean = self.dynamics @ state.mean
        prior = self.dynamics @ state.covariance @ self.dynamics.T + self.process_covariance
        spread = self.emission @ prior @ self.emission.T + self.noise_covariance
        gain = jnp.linalg.solve(spread, self.emission @ prior).T
        mean = mean + gain @ (observation - self.emission @ mean)
        return KalmanState(mean, prior - gain @ self.emission @ prior), mean
