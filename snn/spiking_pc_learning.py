"""Learning by pair traces in spiking predictive coding, with spikes as fine as errors are small.

Door to `fep`: the rules are gradients in the sense of its `Learner`.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from fep.predictive_coding.learning import Batch
from fep.predictive_coding.network import PCNetwork
from snn.coding import HalvingCode
from snn.plasticity import pair_trace
from snn.spiking_pc import Deposit, PopulationCodes, Settled, SpikingPC, Trial


class TracePlasticity(eqx.Module):
    r"""Learning by pair traces alone: a gradient rule in the sense of `fep`'s `Learner`.

    The direction of descent of each weight is the batch mean of what its own pre- and
    postsynaptic spikes and traces deposit; a bias is the weight from a unit whose trace is 1.
    Traces that do not leak make the deposits of a trial telescope, so that each synapse ends with
    the product of its own two traces, $h_i r_j$, which is how it is reckoned here.

    Attributes:
        code, rate, steps, blur: of the `SpikingPC` that settles each sample.
    """

    code: HalvingCode | PopulationCodes
    rate: float
    steps: int = eqx.field(static=True)
    blur: tuple[int, ...] = eqx.field(static=True, default=())

    def populations(self, network: PCNetwork) -> SpikingPC:
        """The populations that run a network."""
        return SpikingPC(network, self.code, self.rate, self.steps, self.blur)

    def settle(self, network: PCNetwork, batch: Batch) -> Trial:
        """Recorded trials of a batch of samples, with a leading batch axis."""
        return jax.vmap(self.populations(network))(*batch)

    def __call__(self, network: PCNetwork, batch: Batch) -> tuple[Float[Array, ""], PCNetwork]:
        """Mean settled energy of a batch (nats), and minus its mean deposit as a gradient.

        The energy is that of the settled values under the predictions that spikes have told;
        parameters of node energies are held.
        """
        energy, slope, _ = self.learn(network, batch)
        return energy, slope

    def learn(
        self, network: PCNetwork, batch: Batch
    ) -> tuple[Float[Array, ""], PCNetwork, Settled]:
        """The same, and how each sample settled, with a leading batch axis."""
        populations = self.populations(network)
        settled = jax.vmap(populations.settle)(*batch)
        state = settled.state
        ends = zip(state.error_traces, state.value_traces, strict=True)
        changes = [(jnp.einsum("bi,bj->ij", h, r) / len(h), jnp.mean(h, axis=0)) for h, r in ends]
        energy = jnp.mean(jax.vmap(populations.energy)(state))
        return energy, descent(network, changes), settled


class LeakyTracePlasticity(TracePlasticity):
    r"""Pair traces that leak, as the classic window of STDP has them: nothing telescopes.

    Both traces keep a share $\lambda$ of themselves from one settle step to the next, so that a
    spike tells the synapse of the other side's spikes of about $1 / (1 - \lambda)$ steps.

    Attributes:
        decay: $\lambda$; 1 is `TracePlasticity`.
    """

    decay: float = 1.0

    def __check_init__(self):
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay must lie between 0 and 1, got {self.decay}")

    def learn(self, network: PCNetwork, batch: Batch) -> tuple[Float[Array, ""], PCNetwork, Trial]:
        """Energy and minus the mean deposit, as above, and the recorded trials."""
        trials = self.settle(network, batch)
        energy = jnp.mean(jax.vmap(self.populations(network).energy)(trials.state))
        return energy, self.slope(network, trials), trials

    def slope(self, network: PCNetwork, trials: Trial) -> PCNetwork:
        """Minus the mean deposit of recorded trials, had their traces leaked."""
        changes = []
        for deposit in trials.deposits:
            leaking = jax.vmap(lambda d: leak(d, self.decay))(deposit)
            bias = jnp.mean(jnp.sum(leaking.post_spikes, axis=1), axis=0)
            changes.append((pair_trace(*leaking) / len(leaking.pre_spikes), bias))
        return descent(network, changes)


def leak(deposit: Deposit, decay: float) -> Deposit:
    """What synapses whose traces leak see of a trial's spikes; leading axis (1 + steps,)."""

    def step(traces, spikes):
        pre, post = (decay * trace for trace in traces)
        pre += spikes[0]
        return (pre, post + spikes[1]), (pre, post)

    rest = jnp.zeros_like(deposit.pre_spikes[0]), jnp.zeros_like(deposit.post_spikes[0])
    _, (pre, post) = jax.lax.scan(step, rest, (deposit.pre_spikes, deposit.post_spikes))
    return deposit._replace(pre_traces=pre, post_traces=post)


class ErrorScale(NamedTuple):
    """What a network remembers of its errors."""

    magnitudes: Float[Array, " layers"]  # running mean of |h| in layers 1..L
    batches: Int[Array, ""]  # seen


class ErrorScaledCodes(eqx.Module):
    r"""Spikes that are as much finer as a layer's errors are smaller: precision as a threshold.

    A layer's error population keeps a running mean m of the size of its own traces. Value and
    error units of that layer, compartments of one unit, share the nearest power of two, $\hat m$,
    as their step: their finest spikes are $2^{-a} \hat m$ and $2^{-b} \hat m$. So the thresholds
    follow the errors as learning makes them shrink, by shifts alone. The input keeps its own, and
    no value is told in spikes coarser than `coarsest`: weights learn from rates, too.

    Attributes:
        code: spikes of the input; its kind and number of halvings serve every population.
        values: a, octaves from the mean error down to the finest value spike.
        errors: b, octaves from the mean error down to the finest error spike.
        memory: batches over which m is a mean.
        least: of m, so that a layer without errors falls silent.
        start: m before anything is known.
        coarsest: most that the finest value spike may be, in units of rates.
    """

    code: HalvingCode
    values: int = 1
    errors: int = 2
    memory: float = 50.0
    least: float = 2.0**-20
    start: float = 2.0**-3
    coarsest: float = 1.0

    def __check_init__(self):
        if not self.memory >= 1:
            raise ValueError(f"memory must be at least one batch, got {self.memory}")
        if not 0 < self.least <= self.start:
            raise ValueError(f"least must lie between 0 and start, got {self.least}, {self.start}")
        if not self.coarsest > 0:
            raise ValueError(f"coarsest must be positive, got {self.coarsest}")

    def init(self, layers: int) -> ErrorScale:
        """Before the first batch, of a network with that many weight matrices."""
        return ErrorScale(jnp.full(layers, self.start, float), jnp.zeros((), jnp.int32))

    def step(
        self, state: ErrorScale, error_traces: tuple[Float[Array, "b _"], ...]
    ) -> tuple[ErrorScale, Float[Array, " layers"]]:
        """Hear the traces in which a batch ended: the new state, and the batch's own means."""
        seen = jnp.stack([jnp.mean(jnp.abs(h)) for h in error_traces])
        batches = state.batches + 1
        share = 1 / jnp.minimum(batches, self.memory)
        magnitudes = state.magnitudes + share * (seen - state.magnitudes)
        return ErrorScale(jnp.maximum(magnitudes, self.least), batches), seen

    def codes(self, state: ErrorScale) -> PopulationCodes:
        """The codes of such errors."""
        octaves = jnp.round(jnp.log2(state.magnitudes)).astype(jnp.int32)
        octaves += self.code.halvings - 1  # from the finest spike to the largest
        unit = jnp.ones((), state.magnitudes.dtype)
        scaled = lambda octave: replace(self.code, largest=jnp.ldexp(unit, octave))
        highest = math.floor(math.log2(self.coarsest)) + self.code.halvings - 1
        values = (scaled(jnp.minimum(octave - self.values, highest)) for octave in octaves[:-1])
        errors = (scaled(octave - self.errors) for octave in octaves)
        return PopulationCodes((self.code, *values), tuple(errors))


class Lesson(NamedTuple):
    """What one batch cost."""

    energy: Float[Array, ""]  # mean settled energy, nats
    value_spikes: Float[Array, " layers"]  # a sample, of layers 0..L-1
    error_spikes: Float[Array, " layers"]  # a sample, of layers 1..L


class SpikingLearnerState(NamedTuple):
    """What training carries."""

    network: PCNetwork
    optimiser: optax.OptState
    scale: ErrorScale


class SpikingLearner(eqx.Module):
    """Trace plasticity with error-scaled spikes, joined to an optax optimiser, as one init/step.

    Attributes:
        codes: how spikes follow the errors.
        rate, steps, blur: of the `SpikingPC` that settles each sample.
        optimiser: any optax transformation.
    """

    codes: ErrorScaledCodes
    rate: float
    steps: int = eqx.field(static=True)
    blur: tuple[int, ...] = eqx.field(static=True)
    optimiser: optax.GradientTransformation = eqx.field(static=True)

    def init(self, network: PCNetwork) -> SpikingLearnerState:
        """Training state of a fresh network."""
        memory = self.optimiser.init(eqx.filter(network, eqx.is_array))
        return SpikingLearnerState(network, memory, self.codes.init(len(network.layers)))

    def step(self, state: SpikingLearnerState, batch: Batch) -> tuple[SpikingLearnerState, Lesson]:
        """One update on one batch."""
        network, memory, scale = state
        energy, slope, settled = self.rule(state).learn(network, batch)
        updates, memory = self.optimiser.update(slope, memory, eqx.filter(network, eqx.is_array))
        scale, _ = self.codes.step(scale, settled.state.error_traces)
        state = SpikingLearnerState(eqx.apply_updates(network, updates), memory, scale)
        mean = lambda totals: jnp.mean(totals.astype(energy.dtype), axis=0)
        return state, Lesson(energy, mean(settled.value_spikes), mean(settled.error_spikes))

    def listen(self, state: SpikingLearnerState, batch: Batch) -> SpikingLearnerState:
        """Hear how large the errors of a batch are, and learn nothing else from it."""
        settled = self.rule(state).learn(state.network, batch)[2]
        return state._replace(scale=self.codes.step(state.scale, settled.state.error_traces)[0])

    def rule(self, state: SpikingLearnerState) -> TracePlasticity:
        """The plasticity of the present moment."""
        return TracePlasticity(self.codes.codes(state.scale), self.rate, self.steps, self.blur)


def descent(network: PCNetwork, changes: list) -> PCNetwork:
    """Minus each layer's change of weight and bias, in the network's shape; the rest is zero."""
    still = jax.tree.map(jnp.zeros_like, eqx.filter(network, eqx.is_array))
    edges = tuple(
        replace(edge, map=replace(edge.map, weight=-weight, bias=-bias))
        for edge, (weight, bias) in zip(still.edges, changes, strict=True)
    )
    return replace(still, edges=edges)
