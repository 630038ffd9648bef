"""Discrete beliefs as firing rates: populations of integrate-and-fire neurons, one a state.

Door to `fep`: the rates tend to the exact filter of `fep.active_inference.inference`.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from snn.network import Circuit, Population, Projection, all_to_all
from snn.spiking_beliefs_firing import Firing, IntegrateAndFire
from snn.spiking_beliefs_rivals import Cycle, Rivals, Timing, WinnerTakeAll

# what a probability of zero is taken for, as in SPM's spm_MDP_G: exp(-16)
FLOOR = float(np.exp(-16))


class BeliefState(NamedTuple):
    """What the populations carry from one observation to the next."""

    expected: Float[Array, " states"]  # message to this cycle: prior over its state
    rivals: Rivals  # log beliefs, and the neurons that tell them


class SpikingBelief(eqx.Module):
    r"""Bayesian filtering on a discrete state, by rates of integrate-and-fire neurons.

    Population i of N neurons stands for state i. Within a cycle its shared membrane obeys

    $\tau \dot u_i = -u_i + \sum_g \omega_g \ln A_g[o_g, i] + \ln \sum_j B_a[i, j] \hat s_j$

    and its neurons are asked to fire at $R\,\mathrm{softmax}(u)_i$: see `WinnerTakeAll`. Between
    cycles only spikes pass: $\hat s$ is the share of each population in the spikes of the last
    window. At the fixed point softmax(u) is the exact filter step. How far the read-out is from
    it depends on the firing, with M = N R window spikes in all: neurons alike and staggered, or
    `Coupled`, miscount by O(1) spikes and the read-out by O(states / M) in total variation;
    uncoordinated or `Poisson` neurons by O(sqrt(states / M)). Errors do not build up, because a
    step with B > 0 contracts Hilbert's distance by tanh(diameter of B / 4).

    Attributes:
        likelihoods: A, one matrix a modality, shape (outcomes, states).
        transitions: B, shape (states, states, actions).
        prior: D, shape (states,).
        neurons: N, neurons a state.
        timing: the clock.
        firing: what turns rates into spikes; alike and staggered neurons by default.
        precision: gain omega of each modality's synapses, one everywhere by default; with it the
            likelihood is A to the power of omega.

    Source: the log-domain scheme after Beck & Pouget (2007), Neural Comput. 19; the contraction is
    Birkhoff (1957), Trans. Am. Math. Soc. 85.
    """

    likelihoods: tuple[Float[Array, "_ states"], ...]
    transitions: Float[Array, "states states actions"]
    prior: Float[Array, " states"]
    neurons: int = eqx.field(static=True)
    timing: Timing = eqx.field(static=True, default=Timing())
    firing: Firing = IntegrateAndFire()
    precision: tuple[float | Float[Array, ""], ...] | None = None

    def __check_init__(self):
        _ = self.rivals  # refuses a bad number of neurons
        if self.precision is not None and len(self.precision) != len(self.likelihoods):
            raise ValueError(
                f"precision must have one gain for each of {len(self.likelihoods)} modalities, "
                f"got {len(self.precision)}"
            )

    @property
    def rivals(self) -> WinnerTakeAll:
        """The populations, without what they stand for."""
        return WinnerTakeAll(self.neurons, self.timing, self.firing)

    def init(self) -> BeliefState:
        """Before any observation: the prior is expected."""
        return BeliefState(self.prior, self.rivals.init(_log(self.prior)))

    def step(
        self, state: BeliefState, observation: tuple[Int[Array, ""], ...]
    ) -> tuple[BeliefState, Cycle]:
        """One cycle: the outcome of each modality (an index) drives new rates, read as spikes."""
        drive = _log(state.expected)
        gains = self.precision or (1.0,) * len(self.likelihoods)
        for likelihood, outcome, gain in zip(self.likelihoods, observation, gains, strict=True):
            drive = drive + gain * _log(likelihood[outcome])
        rivals, cycle = self.rivals.step(state.rivals, drive)
        return BeliefState(state.expected, rivals), cycle

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
    Neurons that share a residual have an inhibition unit a state, which hears its population and
    answers all of it with the number of its spikes, one graded event a time step.
    """
    states, neurons = beliefs.prior.shape[0], beliefs.neurons
    actions = beliefs.transitions.shape[2]
    log_likelihood = np.concatenate([np.asarray(_log(a)) for a in beliefs.likelihoods])
    of_neuron = np.repeat(np.arange(states), neurons)
    transitions = np.concatenate(np.moveaxis(np.asarray(beliefs.transitions), 2, 0))
    spikes = neurons * beliefs.timing.rate_hz * beliefs.timing.window_s
    message, neuron = np.divmod(np.arange(actions * states * neurons), neurons)
    own = (message % states) * neurons + neuron
    populations = (
        Population("senses", log_likelihood.shape[0], external=True),
        Population("messages", actions * states),
        Population("states", states * neurons),
    )
    projections = (
        all_to_all("senses", "states", log_likelihood[:, of_neuron].T),
        all_to_all("states", "messages", transitions[:, of_neuron] / spikes),
        Projection("messages", "states", message, own, np.ones(own.size)),
    )
    if beliefs.firing.shares_residual:
        everyone, ones = np.arange(states * neurons), np.ones(states * neurons)
        populations += (Population("inhibition", states),)
        projections += (
            Projection("states", "inhibition", everyone, of_neuron, ones),
            Projection("inhibition", "states", of_neuron, everyone, -ones),
        )
    return Circuit(populations, projections)


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
    fired = np.asarray(cycle.raster).astype(np.int8)
    trains = {
        "senses": senses,
        "messages": messages,
        "states": fired.reshape(steps, states * neurons),
    }
    if beliefs.firing.shares_residual:
        trains["inhibition"] = fired.any(axis=2).astype(np.int8)
    return trains


def _log(p: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.log(jnp.maximum(p, FLOOR))
