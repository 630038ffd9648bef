"""Predictive coding as spikes: value and error populations that learn by pair traces alone.

Door to `fep`: the network is a `PCNetwork`, and every quantity here has its float twin there.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fep.predictive_coding.learning import Batch
from fep.predictive_coding.network import Dense, PCNetwork, PCState, Vector, chain
from snn.coding import HalvingCode
from snn.network import Circuit, Population, Projection, all_to_all, one_to_one
from snn.plasticity import pair_trace

Layers = tuple[Vector, ...]
Trains = tuple[Float[Array, "n _"], ...]  # spikes of one cycle, one array a layer


class SpikingPCState(NamedTuple):
    """What settling carries; layers count from the input, 0, to the label, L."""

    values: Layers  # membrane of value units 0..L
    value_traces: Layers  # what others know of the rates f(value) of layers 0..L-1
    error_traces: Layers  # what others know of the errors of layers 1..L
    predictions: Layers  # current that value spikes have left on error units 1..L


class Spikes(NamedTuple):
    """A cycle of value spikes, then a cycle of error spikes, in {-1, 0, 1}."""

    values: Trains  # layers 0..L-1, shape (halvings, d)
    errors: Trains  # layers 1..L, shape (halvings, d)


class Deposit(NamedTuple):
    """What the synapses between two layers saw in such cycles, as `pair_trace` reads it."""

    pre_spikes: Vector  # value spikes of the layer below, summed over the cycle with their sizes
    pre_traces: Vector  # their trace when the errors fired
    post_spikes: Vector  # error spikes of the layer above, summed likewise
    post_traces: Vector  # their trace when the values fired


class Trial(NamedTuple):
    """One sample, from rest to settled."""

    state: SpikingPCState
    start: Spikes  # the feed-forward sweep, layer after layer, and the errors at its end
    spikes: Spikes  # the settle steps; arrays gain a leading axis (steps,)
    deposits: tuple[Deposit, ...]  # one a weight matrix, with a leading axis (1 + steps,)


class SpikingPC(eqx.Module):
    r"""Gradient flow of a predictive-coding energy, carried by difference-coded spikes.

    Value units hold $z_l$, error units $\varepsilon_l = z_l - \mu_l$ beside them. Both tell
    others of themselves by signed spikes only: $r_l$ tracks $f(z_l)$ along the projection
    W upwards, $h_l$ tracks $\varepsilon_l$ along $W^T$ downwards and one-to-one onto its value:

    $\mu_l = W_l r_{l-1} + b_l$, and
    $\dot z_l = -h_l + f'(z_l) \odot W_{l+1}^T h_{l+1}$, with $z_0$ and $z_L$ clamped.

    A settle step is an Euler step of the values, a cycle of value spikes and a cycle of error
    spikes. As the code becomes exact it is the step of `fep`'s `GradientFlow`.

    Attributes:
        network: the float twin; layers must be `Dense`.
        code: how both populations spike.
        rate: Euler step of the values, as in `GradientFlow`.
        steps: settle steps a sample.
    """

    network: PCNetwork
    code: HalvingCode
    rate: float
    steps: int = eqx.field(static=True)

    def __check_init__(self):
        for i, layer in enumerate(self.network.layers):
            if not isinstance(layer, Dense):
                raise ValueError(f"layer {i} must be Dense to spike, got {type(layer).__name__}")
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    def init(self, x: Vector, y: Vector) -> tuple[SpikingPCState, tuple[Spikes, tuple]]:
        """From rest: a feed-forward sweep of spikes, then label `y` is clamped and errors fire."""
        values, value_traces, trains = (x,), (), ()
        for layer in self.network.layers:
            rate = layer.activation(values[-1])
            trace, train = self.code.cycle(rate, jnp.zeros_like(rate))
            values += (layer.weight @ trace + layer.bias,)
            value_traces += (trace,)
            trains += (train,)
        silent = jax.tree.map(jnp.zeros_like, values[1:])
        state = SpikingPCState((*values[:-1], y), value_traces, silent, values[1:])
        rest = state._replace(value_traces=jax.tree.map(jnp.zeros_like, value_traces))
        state, errors = self._fire_errors(state)
        return state, (Spikes(trains, errors), _deposits(rest, state))

    def step(self, state: SpikingPCState, _=None) -> tuple[SpikingPCState, tuple[Spikes, tuple]]:
        """Values move and spike, then errors spike: the new state; its spikes and deposits."""
        before = state
        state, values = self._fire_values(self._move(state))
        state, errors = self._fire_errors(state)
        return state, (Spikes(values, errors), _deposits(before, state))

    def __call__(self, x: Vector, y: Vector) -> Trial:
        """Settle one sample between input `x` and label `y`."""
        state, (start, first) = self.init(x, y)
        state, (spikes, deposits) = jax.lax.scan(
            partial(type(self).step, self), state, length=self.steps
        )
        deposits = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, deposits)
        return Trial(state, start, spikes, deposits)

    def predict(self, x: Vector) -> Vector:
        """What the label's error units are told by the feed-forward sweep alone."""
        nothing = jnp.zeros_like(self.network.layers[-1].bias)
        return self.init(x, nothing)[0].predictions[-1]

    def _move(self, state: SpikingPCState) -> SpikingPCState:
        """One Euler step of the free values, driven by the error traces they have been told."""
        free, h = state.values[1:-1], state.error_traces
        moved = ()
        for layer, z, own, above in zip(self.network.layers[1:], free, h, h[1:], strict=False):
            _, gain = jax.jvp(layer.activation, (z,), (jnp.ones_like(z),))
            moved += (z + self.rate * (gain * (above @ layer.weight) - own),)
        return state._replace(values=(state.values[0], *moved, state.values[-1]))

    def _fire_values(self, state: SpikingPCState) -> tuple[SpikingPCState, Trains]:
        traces, trains, predictions = (), (), ()
        for layer, z, r, mu in zip(
            self.network.layers, state.values, state.value_traces, state.predictions, strict=False
        ):
            trace, train = self.code.cycle(layer.activation(z), r)
            traces += (trace,)
            trains += (train,)
            predictions += (mu + layer.weight @ (trace - r),)
        return state._replace(value_traces=traces, predictions=predictions), trains

    def _fire_errors(self, state: SpikingPCState) -> tuple[SpikingPCState, Trains]:
        traces, trains = (), ()
        for z, mu, h in zip(state.values[1:], state.predictions, state.error_traces, strict=True):
            trace, train = self.code.cycle(z - mu, h)
            traces += (trace,)
            trains += (train,)
        return state._replace(error_traces=traces), trains


def _deposits(before: SpikingPCState, after: SpikingPCState) -> tuple[Deposit, ...]:
    traces = zip(
        before.value_traces,
        after.value_traces,
        before.error_traces,
        after.error_traces,
        strict=True,
    )
    return tuple(Deposit(r1 - r0, r1, h1 - h0, h0) for r0, r1, h0, h1 in traces)


def circuit(network: PCNetwork) -> Circuit:
    """The populations and projections that `SpikingPC` runs, for lowering to a chip.

    Populations value_0 (driven from outside) to value_{L-1} and error_1 to error_L, all signed.
    Value spikes run up W_l, error spikes down W_l transposed and one-to-one onto their own value.
    Both copies of a weight see the same spikes and traces, so the pair rule keeps them equal.
    A value and its error are compartments of one unit: what passes between them is no spike.
    """
    widths = [layer.weight.shape[1] for layer in network.layers]
    labels = network.layers[-1].weight.shape[0]
    values = [
        Population(f"value_{i}", n, signed=True, external=i == 0) for i, n in enumerate(widths)
    ]
    errors = [
        Population(f"error_{i}", n, signed=True) for i, n in enumerate([*widths[1:], labels], 1)
    ]
    projections: list[Projection] = []
    for i, layer in enumerate(network.layers, 1):
        below, above, weight = f"value_{i - 1}", f"error_{i}", np.asarray(layer.weight)
        projections.append(all_to_all(below, above, weight, plastic=True))
        if i > 1:
            projections.append(all_to_all(above, below, weight.T, plastic=True))
        if i < len(network.layers):
            projections.append(one_to_one(above, f"value_{i}", -np.ones(weight.shape[0])))
    return Circuit((*values, *errors), tuple(projections))


def raster(trial: Trial) -> dict[str, np.ndarray]:
    """Spikes of one trial by population of `circuit`: int8 in {-1, 0, 1}, shape (time, size).

    Time counts substeps: the sweep takes one cycle a layer, then the errors fire for one cycle,
    then every settle step is a cycle of value spikes and a cycle of error spikes.
    """
    layers = len(trial.start.values)

    def train(start, slot, spikes, phase):
        halvings, size = start.shape
        sweep = np.zeros((layers + 1, halvings, size), np.int8)
        settle = np.zeros((spikes.shape[0], 2, halvings, size), np.int8)
        sweep[slot], settle[:, phase] = start, spikes
        return np.concatenate([sweep.reshape(-1, size), settle.reshape(-1, size)])

    values = zip(trial.start.values, trial.spikes.values, strict=True)
    errors = zip(trial.start.errors, trial.spikes.errors, strict=True)
    return {
        **{f"value_{i}": train(a, i, b, 0) for i, (a, b) in enumerate(values)},
        **{f"error_{i}": train(a, layers, b, 1) for i, (a, b) in enumerate(errors, 1)},
    }


class TracePlasticity(eqx.Module):
    """Learning by pair traces alone: a gradient rule in the sense of `fep`'s `Learner`.

    The direction of descent of each weight is the batch mean of what its own pre- and
    postsynaptic spikes and traces deposited; a bias is the weight from a unit whose trace is 1.

    Attributes:
        code, rate, steps: of the `SpikingPC` that settles each sample.
    """

    code: HalvingCode
    rate: float
    steps: int = eqx.field(static=True)

    def settle(self, network: PCNetwork, batch: Batch) -> Trial:
        """Trials of a batch of samples, with a leading batch axis."""
        return jax.vmap(SpikingPC(network, self.code, self.rate, self.steps))(*batch)

    def __call__(self, network: PCNetwork, batch: Batch) -> tuple[Float[Array, ""], PCNetwork]:
        """Mean settled energy (nats) of a batch, and minus its mean deposit as a gradient."""
        trials, samples = self.settle(network, batch), batch[0].shape[0]
        values = PCState(trials.state.values[1:-1])
        energy = jnp.mean(jax.vmap(network.energy)(values, *batch))
        layers = tuple(
            replace(
                layer,
                weight=-pair_trace(*deposit) / samples,
                bias=-jnp.sum(deposit.post_spikes, axis=(0, 1)) / samples,
            )
            for layer, deposit in zip(network.layers, trials.deposits, strict=True)
        )
        return energy, chain(layers)
