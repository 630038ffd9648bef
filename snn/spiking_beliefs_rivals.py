"""A soft winner-take-all: populations that share out one firing rate as a softmax of drives."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snn.spiking_beliefs_firing import Firing, IntegrateAndFire


@dataclass(frozen=True)
class Timing:
    """When the populations listen, fire and are read.

    Attributes:
        cycle_s: time an observation lasts.
        window_s: the last part of a cycle, in which spikes are counted.
        dt_s: time step.
        tau_mem: membrane time constant of the log beliefs, in seconds.
        rate_hz: firing rate of a neuron whose state is certain.
    """

    cycle_s: float = 0.050
    window_s: float = 0.025
    dt_s: float = 0.001
    tau_mem: float = 0.004
    rate_hz: float = 100.0

    def __post_init__(self):
        for name in ("cycle_s", "window_s", "dt_s", "tau_mem", "rate_hz"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.dt_s <= self.window_s <= self.cycle_s:
            raise ValueError(
                f"dt_s <= window_s <= cycle_s is needed, got {self.dt_s}, {self.window_s}, "
                f"{self.cycle_s}"
            )
        if self.rate_hz * self.dt_s > 1:
            raise ValueError(
                f"rate_hz * dt_s must be at most 1 spike a step, got {self.rate_hz * self.dt_s}"
            )

    @property
    def steps(self) -> int:
        """Time steps a cycle."""
        return round(self.cycle_s / self.dt_s)

    @property
    def counted(self) -> int:
        """Time steps of the window."""
        return round(self.window_s / self.dt_s)


class Rivals(NamedTuple):
    """Populations that compete."""

    u: Float[Array, " states"]  # membrane potential a population shares, nats
    firing: Any  # state of the neurons, as `Firing.init` gives it


class Cycle(NamedTuple):
    """One cycle, seen from outside."""

    belief: Float[Array, " states"]  # read out of the window's spikes, sums to 1
    raster: Float[Array, "steps states neurons"]  # spikes, 0 or 1 unless `firing` says more


class WinnerTakeAll(eqx.Module):
    r"""Populations under divisive inhibition, one an alternative.

    Within a cycle the membrane that population i shares obeys $\tau \dot u_i = -u_i + d_i$ under
    a constant drive d, and its neurons are asked to fire at $R\,\mathrm{softmax}(u)_i$, so that
    the whole fires at N R whatever the number of alternatives. Read out is the share of each in
    the spikes of the last window, with half a spike of pseudo-count each; at the fixed point it
    tends to softmax(d).

    Attributes:
        neurons: N, neurons a population.
        timing: the clock.
        firing: what turns rates into spikes.

    Source: divisive normalisation as in Beck & Pouget (2007), Neural Comput. 19; the pseudo-count
    of one half is Krichevsky & Trofimov (1981), IEEE Trans. Inf. Theory 27.
    """

    neurons: int = eqx.field(static=True)
    timing: Timing = eqx.field(static=True, default=Timing())
    firing: Firing = IntegrateAndFire()

    def __check_init__(self):
        if self.neurons < 1:
            raise ValueError(f"neurons must be at least 1, got {self.neurons}")

    def init(self, u: Float[Array, " states"]) -> Rivals:
        """Neurons at rest under given membrane potentials, in nats."""
        return Rivals(u, self.firing.init(u.shape[0], self.neurons))

    def step(self, state: Rivals, drive: Float[Array, " states"]) -> tuple[Rivals, Cycle]:
        """One cycle under a drive in nats, up to a constant."""
        decay = jnp.exp(-self.timing.dt_s / self.timing.tau_mem)
        asked = self.timing.rate_hz * self.timing.dt_s

        def tick(state, _):
            u = drive + (state.u - drive) * decay  # exact for a constant drive
            firing, spikes = self.firing.step(state.firing, asked * jax.nn.softmax(u))
            return Rivals(u, firing), spikes

        state, raster = jax.lax.scan(tick, state, length=self.timing.steps)
        heard = jnp.sum(raster[-self.timing.counted :], axis=(0, 2)) + 0.5
        return state, Cycle(heard / jnp.sum(heard), raster)
