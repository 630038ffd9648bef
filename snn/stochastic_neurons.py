"""Neurons and sources that fire at random, and the wrapper that makes any neuron refractory."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from snn.neurons import LIF, LIFState, Neuron, Vector
from snn.parameters import Parameter, require_nonnegative, require_positive


class EscapeLIF(LIF):
    r"""LIF with escape noise: fires with hazard $\rho = \rho_0 e^{(v - v_{th}) / \Delta}$.

    The probability of a spike in a step is $1 - e^{-\rho\, dt}$.

    Attributes:
        rate_hz: $\rho_0$, hazard at the threshold.
        softness: $\Delta$, in the unit of v; towards 0 the neuron becomes a `LIF`.

    Source: Gerstner et al. (2014), Neuronal Dynamics, eqs. 9.5 and 9.8.
    """

    rate_hz: Parameter = 100.0
    softness: Parameter = 0.1

    def __check_init__(self):
        require_positive(rate_hz=self.rate_hz, softness=self.softness)

    def step(
        self, state: LIFState, current: Vector, *, dt: float, key: PRNGKeyArray
    ) -> tuple[LIFState, Vector]:
        """Advance dt seconds: the new state, and spikes (n,)."""
        state = self.flow(state, current, dt=dt)
        exponent = jnp.minimum((state.v - self.v_threshold) / self.softness, 80.0)  # float32
        certain = self.rate_hz * dt * jnp.exp(exponent)  # expected spikes of the step
        draw = jax.random.uniform(key, state.v.shape)
        spikes = (draw < -jnp.expm1(-certain)).astype(state.v.dtype)
        return LIFState(self.reset(state.v, spikes, self.v_threshold, self.v_reset)), spikes


class RefractoryState(NamedTuple):
    """Carried by `Refractory`."""

    neuron: Any  # state of the neuron inside
    remaining: Vector  # of the refractory time, s

    @property
    def v(self) -> Vector:
        """Membrane potential."""
        return self.neuron.v


class Refractory(Neuron):
    """A neuron whose potential is held for a time after each spike; all else goes on.

    Attributes:
        neuron: any deterministic neuron.
        duration: s; rounded to whole steps.
    """

    neuron: Neuron
    duration: Parameter

    def __check_init__(self):
        require_nonnegative(duration=self.duration)

    def init(self, n: int) -> RefractoryState:
        """As the neuron starts, ready to fire."""
        return RefractoryState(self.neuron.init(n), jnp.zeros(n))

    def flow(self, state: RefractoryState, current: Any, *, dt: float) -> RefractoryState:
        """See the class."""
        inner = self.neuron.flow(state.neuron, current, dt=dt)
        held = state.remaining > 0.5 * dt  # half a step: what rounding has left is no step
        inner = inner._replace(v=jnp.where(held, state.neuron.v, inner.v))
        return RefractoryState(inner, jnp.maximum(state.remaining - dt, 0))

    def fire(self, state: RefractoryState) -> tuple[RefractoryState, Vector]:
        """See `Neuron`."""
        inner, spikes = self.neuron.fire(state.neuron)
        fired = jax.lax.stop_gradient(spikes) > 0
        return RefractoryState(inner, jnp.where(fired, self.duration, state.remaining)), spikes


class PoissonSource(eqx.Module):
    """Independent Poisson trains, at most one spike a step each.

    Attributes:
        rate_hz: one for all, or one each, shape (n,); P(spike) is 1 - exp(-rate dt).
    """

    rate_hz: Parameter

    def __check_init__(self):
        require_nonnegative(rate_hz=self.rate_hz)

    def sample(self, n: int, *, dt: float, key: PRNGKeyArray) -> Vector:
        """Spikes of one step, shape (n,)."""
        probability = -jnp.expm1(-dt * jnp.asarray(self.rate_hz, float))
        return (jax.random.uniform(key, (n,)) < probability).astype(float)


class PoissonCounts(eqx.Module):
    """How many of many like Poisson trains spike in a step, drawn exactly: inverse CDF.

    One uniform number a draw, compared with the table of the distribution, which ends where a
    float32 uniform cannot reach.

    Attributes:
        cdf: P(count <= k), k = 0, 1, ..., shape (k,); or (k, n), where receivers differ.
    """

    cdf: Float[np.ndarray, "k ..."]

    def __init__(self, mean: float | Float[np.ndarray, " n"]):
        """Of Poisson distributions with this mean, spikes a step: one for all, or one each."""
        mean = np.asarray(mean, float)
        if not (np.all(mean >= 0) and np.all(mean <= 80)):
            raise ValueError(f"mean must lie in [0, 80] spikes a step, got {mean}")
        term, total, table = np.exp(-mean), np.zeros_like(mean), []
        while np.any(total < 1 - 2.0**-25):  # float32 uniforms are multiples of 2^-23 below 1
            total = total + term
            table.append(total)
            term = term * mean / len(table)
        self.cdf = np.asarray(table, np.float32)

    def sample(self, n: int, *, key: PRNGKeyArray) -> Int[Array, " n"]:
        """Counts of one step for n receivers."""
        draw = jax.random.uniform(key, (n,))
        count = jnp.zeros(n, jnp.int32)
        for bound in self.cdf:  # unrolled: one fused pass instead of an (n, k) table
            count += draw >= bound
        return count
