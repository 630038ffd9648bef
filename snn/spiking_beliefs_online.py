"""Beliefs in continuous time: a filter of spike trains whose own recurrence runs on spikes."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
from jaxtyping import Array, Float

from snn.spiking_beliefs_firing import Firing, IntegrateAndFire


class OnlineState(NamedTuple):
    """What the populations carry from one time step to the next."""

    u: Float[Array, " states"]  # log belief, nats
    told: Float[Array, " states"]  # share of each population in the spikes asked of all, last step
    firing: Any


class Online(NamedTuple):
    """One time step, seen from outside."""

    belief: Float[Array, " states"]  # softmax(u)
    spikes: Float[Array, "states neurons"]


class OnlineBelief(eqx.Module):
    r"""Filtering of a jump process from Poisson senses, spike by spike.

    The state jumps with rates $Q_{ij}$ (from j to i, columns sum to zero); sense n fires at
    $\varphi_n(i)$ while the state is i. The log belief of population i obeys

    $du_i = \sum_n [\ln \varphi_n(i)\, dN_n - \varphi_n(i)\, dt]
    + \sum_j Q_{ij} e^{u_j - u_i} dt$

    and divisive normalisation: Wonham's filter for the counts of Snyder. A step is exact for senses
    that fire at a constant rate in it: $s_i \leftarrow P_{ii} s_i + \sum_{j \ne i} P_{ij} \hat s_j$
    with $P = e^{Q\,dt}$, then the likelihood. What stays, $P_{ii} s_i$, is in the membrane; what
    comes from other populations comes as their spikes, $\hat s_j$, of the step before.

    Attributes:
        tuning: phi, in Hz, shape (senses, states), positive.
        generator: Q, in 1/s, shape (states, states).
        hops: P, shape (states, states); from Q.
        neurons: N, neurons a state.
        dt_s: time step.
        rate_hz: R, firing rate of a neuron whose state is certain.
        firing: what turns rates into spikes.

    Source: Snyder (1972), IEEE Trans. Inf. Theory 18, 91-102; Wonham (1964), SIAM J. Control 2;
        as a network, Beck & Pouget (2007), Neural Comput. 19.
    """

    tuning: Float[Array, "senses states"]
    generator: Float[Array, "states states"]
    hops: Float[Array, "states states"]
    neurons: int = eqx.field(static=True)
    dt_s: float = eqx.field(static=True)
    rate_hz: float = eqx.field(static=True)
    firing: Firing

    def __init__(
        self,
        tuning: Float[Array, "senses states"],
        generator: Float[Array, "states states"],
        neurons: int,
        dt_s: float = 0.001,
        rate_hz: float = 100.0,
        firing: Firing = IntegrateAndFire(),  # noqa: B008
    ):
        """Check the settings; tuning and generator are concrete.

        Raises:
            ValueError: says which argument, what was expected, what came.
        """
        lowest, leak = float(np.min(tuning)), float(np.max(np.abs(np.sum(generator, axis=0))))
        if not lowest > 0:
            raise ValueError(f"tuning must be positive rates in Hz, got {lowest}")
        if leak > 1e-4 * float(np.max(np.abs(generator))):
            raise ValueError(f"generator must have columns that sum to zero, got a sum of {leak}")
        if neurons < 1:
            raise ValueError(f"neurons must be at least 1, got {neurons}")
        if not 0 < rate_hz * dt_s <= 1:
            raise ValueError(
                f"rate_hz * dt_s must be in (0, 1] spikes a step, got {rate_hz * dt_s}"
            )
        self.tuning, self.generator = tuning, generator
        self.hops = jax.scipy.linalg.expm(generator * dt_s)
        self.neurons, self.dt_s, self.rate_hz, self.firing = neurons, dt_s, rate_hz, firing

    def init(self, prior: Float[Array, " states"]) -> OnlineState:
        """Before any time has passed; the prior must be positive."""
        firing = self.firing.init(prior.shape[0], self.neurons)
        return OnlineState(jnp.log(prior), prior, firing)

    def step(
        self, state: OnlineState, senses: Float[Array, " senses"]
    ) -> tuple[OnlineState, Online]:
        """One time step, in which each sense fired a number of spikes."""
        stay = jnp.diagonal(self.hops)
        come = self.hops @ state.told - stay * state.told
        u = jnp.log(stay * jax.nn.softmax(state.u) + come)
        u = u + senses @ jnp.log(self.tuning) - self.dt_s * jnp.sum(self.tuning, axis=0)
        belief = jax.nn.softmax(u)
        asked = self.rate_hz * self.dt_s
        firing, spikes = self.firing.step(state.firing, asked * belief)
        told = jnp.sum(spikes, axis=1) / (spikes.shape[1] * asked)
        return OnlineState(jnp.log(belief), told, firing), Online(belief, spikes)
