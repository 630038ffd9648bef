"""Hidden causes found by spikes: a winner-take-all whose plasticity is expectation maximisation."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from snn.spiking_beliefs_rivals import Cycle, Rivals, WinnerTakeAll


class CauseState(NamedTuple):
    """What the populations know."""

    weights: Float[Array, "senses causes"]  # log probability of a sense under a cause, nats
    excitability: Float[Array, " causes"]  # log prior of a cause, nats
    rivals: Rivals


class HiddenCauses(eqx.Module):
    r"""Populations that come to stand for the causes of what the senses tell, untaught.

    Senses come in groups, one value of a variable each, of which exactly one is active. Population
    k is driven by $b_k + \sum_i w_{ki} x_i$, and a spike of it changes its own synapses by

    $\Delta w_{ki} = \eta\,(e^{-w_{ki}} - 1)$ if sense i was active, $-\eta$ if not,

    while every population's excitability changes by $\eta\,(q_k e^{-b_k} - 1)$ a cycle, with $q_k$
    its share of the spikes. At rest $w_{ki} = \ln P(x_i | k)$ and $b_k = \ln P(k)$: spikes draw
    causes from the posterior of the model that the synapses hold (E), and plasticity moves the
    model to what was drawn (M). A cycle's spikes together weigh as one. As with all expectation
    maximisation the optimum is local: a population may come to stand for two causes.

    Attributes:
        populations: neurons, clock and firing, one population a cause.
        rate: eta.
        least: lowest weight, nats; bounds the largest step, eta e^(-least).

    Source: Nessler, Pfeiffer, Buesing & Maass (2013), PLoS Comput. Biol. 9, e1003037, with their
        constant c = 1, so that weights are not positive.
    """

    populations: WinnerTakeAll
    rate: float = 0.01
    least: float = -4.0

    def __check_init__(self):
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must lie between 0 and 1, got {self.rate}")
        if not self.least < 0:
            raise ValueError(f"least must be negative nats, got {self.least}")

    def init(self, weights: Float[Array, "senses causes"]) -> CauseState:
        """Causes equally likely; weights must differ between them, or they never will."""
        causes = weights.shape[1]
        even = jnp.full(causes, -jnp.log(causes), weights.dtype)
        return CauseState(weights, even, self.populations.init(even))

    def step(self, state: CauseState, active: Float[Array, " senses"]) -> tuple[CauseState, Cycle]:
        """One cycle with some senses active (1) and the others not (0), then plasticity."""
        weights, excitability, rivals = state
        rivals, cycle = self.populations.step(rivals, excitability + active @ weights)
        counted = cycle.raster[-self.populations.timing.counted :]
        heard = jnp.sum(counted, axis=(0, 2))
        share = heard / jnp.sum(heard)
        change = share[None] * (active[:, None] * jnp.exp(-weights) - 1)
        weights = jnp.maximum(weights + self.rate * change, self.least)
        change = share * jnp.exp(-excitability) - 1
        excitability = jnp.maximum(excitability + self.rate * change, self.least)
        return CauseState(weights, excitability, rivals), cycle
