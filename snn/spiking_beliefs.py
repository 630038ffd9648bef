"""Discrete beliefs as firing rates: populations of integrate-and-fire neurons, one a state.

Door to `fep`: the rates tend to the exact filter of `fep.active_inference.inference`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from snn.network import Circuit, Population, Projection, all_to_all

# what a probability of zero is taken for, as in SPM's spm_MDP_G: exp(-16)
FLOOR = float(np.exp(-16))


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


class BeliefState(NamedTuple):
    """What the populations carry from one observation to the next."""

    expected: Float[Array, " states"]  # message to this cycle: prior over its state
    log_belief: Float[Array, " states"]  # shared membrane potential u, nats
    phases: Float[Array, "states neurons"]  # progress of each neuron to its next spike, [0, 1)


class Cycle(NamedTuple):
    """One cycle, seen from outside."""

    belief: Float[Array, " states"]  # read out of the window's spikes, sums to 1
    raster: Float[Array, "steps states neurons"]  # spikes, 0 or 1


class SpikingBelief(eqx.Module):
    r"""Bayesian filtering on a discrete state, by rates of integrate-and-fire neurons.

    Population i of N neurons stands for state i. Within a cycle its shared membrane obeys

    $\tau \dot u_i = -u_i + \sum_g \ln A_g[o_g, i] + \ln \sum_j B_a[i, j] \hat s_j$

    and divisive inhibition makes its neurons fire at $R\,\mathrm{softmax}(u)_i$, so that the
    whole fires at N R whatever the number of states. Between cycles only spikes pass: $\hat s$
    is the share of each population in the spikes of the last window, with half a spike of
    pseudo-count a state. At the fixed point softmax(u) is the exact filter step. Neurons of a
    population are alike and their phases evenly staggered, so that a count is off by less than
    one spike and the read-out by at most states / spikes in total variation.

    Attributes:
        likelihoods: A, one matrix a modality, shape (outcomes, states).
        transitions: B, shape (states, states, actions).
        prior: D, shape (states,).
        neurons: N, neurons a state.
        timing: the clock.

    Source: the log-domain scheme after Beck & Pouget (2007), Neural Comput. 19; the pseudo-count
    of one half is Krichevsky & Trofimov (1981), IEEE Trans. Inf. Theory 27.
    """

    likelihoods: tuple[Float[Array, "_ states"], ...]
    transitions: Float[Array, "states states actions"]
    prior: Float[Array, " states"]
    neurons: int = eqx.field(static=True)
    timing: Timing = eqx.field(static=True, default=Timing())

    def __check_init__(self):
        if self.neurons < 1:
            raise ValueError(f"neurons must be at least 1, got {self.neurons}")

    def init(self) -> BeliefState:
        """Before any observation: the prior is expected, phases are staggered."""
        phases = (jnp.arange(self.neurons, dtype=self.prior.dtype) + 0.5) / self.neurons
        phases = jnp.tile(phases, (self.prior.shape[0], 1))
        return BeliefState(self.prior, _log(self.prior), phases)

    def step(
        self, state: BeliefState, observation: tuple[Int[Array, ""], ...]
    ) -> tuple[BeliefState, Cycle]:
        """One cycle: the outcome of each modality (an index) drives new rates, read as spikes."""
        drive = _log(state.expected)
        for likelihood, outcome in zip(self.likelihoods, observation, strict=True):
            drive = drive + _log(likelihood[outcome])
        decay = jnp.exp(-self.timing.dt_s / self.timing.tau_mem)

        def tick(carry, _):
            u, phases = carry
            u = drive + (u - drive) * decay  # exact for a constant drive
            rates = self.timing.rate_hz * jax.nn.softmax(u)
            phases = phases + (rates * self.timing.dt_s)[:, None]
            spikes = (phases >= 1).astype(phases.dtype)
            return (u, phases - spikes), spikes

        carry = state.log_belief, state.phases
        (u, phases), raster = jax.lax.scan(tick, carry, length=self.timing.steps)
        heard = jnp.sum(raster[-self.timing.counted :], axis=(0, 2)) + 0.5
        return BeliefState(state.expected, u, phases), Cycle(heard / jnp.sum(heard), raster)

    def expect(
        self, state: BeliefState, belief: Float[Array, " states"], action: Int[Array, ""]
    ) -> BeliefState:
        """Carry a read-out belief through the transition of an action, to the next cycle."""
        return state._replace(expected=self.transitions[:, :, action] @ belief)


def circuit(beliefs: SpikingBelief) -> Circuit:
    """The populations and projections that `SpikingBelief` runs, for lowering to a chip.

    senses (driven from outside; one unit an outcome) reach every neuron with ln A; the states'
    neurons reach messages (one unit a state and action, of which the taken action's fire) with
    B / spikes; messages reach every neuron of their state. Messages and senses carry a graded
    value once a cycle, counted here as one event: on a chip of binary spikes that is a lower
    bound. The logarithm and the divisive inhibition are taken inside the units and cost no event.
    """
    states, neurons = beliefs.prior.shape[0], beliefs.neurons
    actions = beliefs.transitions.shape[2]
    log_likelihood = np.concatenate([np.asarray(_log(a)) for a in beliefs.likelihoods])
    of_neuron = np.repeat(np.arange(states), neurons)
    transitions = np.concatenate(np.moveaxis(np.asarray(beliefs.transitions), 2, 0))
    spikes = neurons * beliefs.timing.rate_hz * beliefs.timing.window_s
    message, neuron = np.divmod(np.arange(actions * states * neurons), neurons)
    own = (message % states) * neurons + neuron
    return Circuit(
        (
            Population("senses", log_likelihood.shape[0], external=True),
            Population("messages", actions * states),
            Population("states", states * neurons),
        ),
        (
            all_to_all("senses", "states", log_likelihood[:, of_neuron].T),
            all_to_all("states", "messages", transitions[:, of_neuron] / spikes),
            Projection("messages", "states", message, own, np.ones(own.size)),
        ),
    )


def raster(
    beliefs: SpikingBelief, cycle: Cycle, observation: tuple[Int[Array, ""], ...], action: int
) -> dict[str, np.ndarray]:
    """Spikes of one cycle by population of `circuit`, in {0, 1}: int8, shape (steps, size).

    Args:
        beliefs: the populations that ran.
        cycle: what they did.
        observation: the outcomes that drove it; their units fire in the first step.
        action: the action that led to it, whose message units fire in the first step.
    """
    steps, states, neurons = cycle.raster.shape
    outcomes = [likelihood.shape[0] for likelihood in beliefs.likelihoods]
    senses = np.zeros((steps, sum(outcomes)), np.int8)
    for first, outcome in zip(np.cumsum([0, *outcomes[:-1]]), observation, strict=True):
        senses[0, first + int(outcome)] = 1
    messages = np.zeros((steps, beliefs.transitions.shape[2] * states), np.int8)
    messages[0, action * states : (action + 1) * states] = 1
    fired = np.asarray(cycle.raster).reshape(steps, states * neurons).astype(np.int8)
    return {"senses": senses, "messages": messages, "states": fired}


def _log(p: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.log(jnp.maximum(p, FLOOR))
