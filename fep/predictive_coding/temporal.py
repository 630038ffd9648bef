"""Temporal predictive coding: filtering by settling one network a time step."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from fep.predictive_coding.energies import Flat, Gaussian
from fep.predictive_coding.network import Edge, Node, PCNetwork, PCState, Vector


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
    $\varepsilon_x = x_t - f(\hat x_{t-1}) - B u_t$ and $\varepsilon_y = y_t - g(x_t)$. The past is
    a point: at equilibrium a linear step is the Kalman filter's with a prior covariance of Q alone.

    Attributes:
        network: nodes "past", "control" where there is one, and "seen" clamped; "now" free.
        solver: settles one step, `solver(network, *values)`.
        size: of the hidden state.

    Source: Millidge et al. (2024), PLOS Comput. Biol. 20, "Predictive coding networks for temporal
    prediction", eqs. 5-8.
    """

    network: PCNetwork
    solver: Callable
    size: int = eqx.field(static=True)

    def init(self) -> TemporalState:
        """Nothing known: an estimate of zeros."""
        return TemporalState(jnp.zeros(self.size))

    def step(self, state: TemporalState, *given: Vector) -> tuple[TemporalState, Vector]:
        """One observation: the new state, and its estimate of the hidden state.

        Args:
            state: what is carried.
            given: the control u where the network has one, then the observation y.
        """
        settled = self.solver(self.network, state.estimate, *given)
        (estimate,) = settled.state.activities
        return TemporalState(estimate), estimate


class TemporalLearnerState(NamedTuple):
    """What filtering and learning carry."""

    network: PCNetwork
    optimiser: optax.OptState
    filter: TemporalState


class TemporalLearner(eqx.Module):
    r"""Filtering while learning: after each step the weights descend the same settled energy.

    $\Delta A \propto \varepsilon_x \hat x_{t-1}^T$ and $\Delta C \propto \varepsilon_y \hat x_t^T$:
    each weight reads its own two ends only. The past counts as given, not as caused by weights.

    Attributes:
        machine: what filters; its network is the first one.
        optimiser: optax transformation of the parameters' slopes.

    Source: Millidge et al. (2024), PLOS Comput. Biol. 20, their Hebbian rules for A and C.
    """

    machine: TemporalPC
    optimiser: optax.GradientTransformation = eqx.field(static=True)

    def init(self) -> TemporalLearnerState:
        """Nothing known, nothing learned."""
        network = self.machine.network
        memory = self.optimiser.init(eqx.filter(network, eqx.is_array))
        return TemporalLearnerState(network, memory, self.machine.init())

    def step(
        self, state: TemporalLearnerState, *given: Vector
    ) -> tuple[TemporalLearnerState, Vector]:
        """One observation and one update: the new state, and its estimate of the hidden state."""
        network, past = state.network, state.filter.estimate
        machine = TemporalPC(network, self.machine.solver, self.machine.size)
        now, estimate = machine.step(state.filter, *given)
        settled = PCState((jax.lax.stop_gradient(estimate),))
        slope = eqx.filter_grad(lambda network: network.energy(settled, past, *given))(network)
        weights = eqx.filter(network, eqx.is_array)
        updates, memory = self.optimiser.update(slope, state.optimiser, weights)
        return TemporalLearnerState(eqx.apply_updates(network, updates), memory, now), estimate


def temporal_network(
    dynamics: eqx.Module,
    emission: eqx.Module,
    *,
    control: Callable | None = None,
    process_variance: float = 1.0,
    noise_variance: float = 1.0,
) -> PCNetwork:
    """The network of one time step: "past" -> "now" -> "seen", and "control" -> "now".

    Args:
        dynamics: f, from the past state to the present one.
        emission: g, from the present state to the observation.
        control: from a known input to its share of the present state; None where there is none.
        process_variance: of every component of the state, Q.
        noise_variance: of every component of the observation, R.
    """
    nodes = Node("past", Flat()), Node("now", Gaussian(process_variance))
    nodes += (Node("seen", Gaussian(noise_variance)),)
    edges = Edge("past", "now", dynamics), Edge("now", "seen", emission)
    if control is None:
        return PCNetwork(nodes, edges, ("past", "seen"))
    nodes += (Node("control", Flat()),)
    edges += (Edge("control", "now", control),)
    return PCNetwork(nodes, edges, ("past", "control", "seen"))


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
        controls: B of each known input, shape (n, k).

    Source: Kalman (1960), J. Basic Eng. 82; in the notation of Bishop (2006), sec. 13.3.1.
    """

    dynamics: Float[Array, "n n"]
    emission: Float[Array, "m n"]
    process_covariance: Float[Array, "n n"]
    noise_covariance: Float[Array, "m m"]
    controls: tuple[Float[Array, "n _"], ...] = ()

    def init(self) -> KalmanState:
        """A state known to be zero."""
        n = len(self.dynamics)
        return KalmanState(jnp.zeros(n), jnp.zeros((n, n)))

    def step(self, state: KalmanState, *given: Vector) -> tuple[KalmanState, Float[Array, " n"]]:
        """One observation: the new state, and its mean.

        Args:
            state: what is carried.
            given: as many known inputs u as `controls`, then the observation y.
        """
        *inputs, observation = given
        mean = self.dynamics @ state.mean
        for matrix, known in zip(self.controls, inputs, strict=True):
            mean = mean + matrix @ known
        prior = self.dynamics @ state.covariance @ self.dynamics.T + self.process_covariance
        spread = self.emission @ prior @ self.emission.T + self.noise_covariance
        gain = jnp.linalg.solve(spread, self.emission @ prior).T
        mean = mean + gain @ (observation - self.emission @ mean)
        return KalmanState(mean, prior - gain @ self.emission @ prior), mean
