"""Predictive coding both ways at once as spikes: an image predicts its label, a label its image.

Door to `fep`: the energy is the sum of two of its chains' over the same values.
"""

from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fep.predictive_coding.energies import NodeEnergy
from fep.predictive_coding.learning import Batch
from fep.predictive_coding.network import Dense, PCNetwork, Vector
from snn.coding import HalvingCode
from snn.network import Circuit, Population, Projection, all_to_all, one_to_one
from snn.spiking_pc import Layers, Moves, Totals
from snn.spiking_pc_learning import descent


class Stream(NamedTuple):
    """One projection of predictions, and the error population at its end."""

    name: str  # of the errors
    source: int  # node whose value predicts
    target: int  # node whose value is predicted
    layer: Dense
    energy: NodeEnergy  # that the target pays for straying from this prediction


class BidirectionalNetwork(eqx.Module):
    r"""Values that the layer below and the layer above both predict.

    $F(z) = \sum_{l=1}^{L} F_l(z_l, W_l f(z_{l-1}) + b_l)
    + \sum_{l=0}^{L-1} G_l(z_l, V_l f(z_{l+1}) + c_l)$.

    Attributes:
        up: the chain from input, 0, to label, L: its nodes, its energies F and its clamp set,
            which is the task: both ends to learn, the input to recognise, the label to imagine.
        down: the chain from label to input, with the energies G.

    Raises:
        ValueError: if the chains are not each other's reverse, layers of `Dense` whose values
            speak to both sides at one rate.

    Source: Oliviers, Tang & Bogacz (2025), arXiv:2505.23415, eq. 4.
    """

    up: PCNetwork
    down: PCNetwork

    def __check_init__(self):
        widths = [_widths(chain) for chain in (self.up, self.down)]
        if widths[0] != widths[1][::-1]:
            raise ValueError(f"down must reverse up, got widths {widths[0]} and {widths[1]}")
        rates = [[layer.activation for layer in chain.layers] for chain in (self.up, self.down)]
        if rates[0][1:] != rates[1][:0:-1]:
            raise ValueError("activation of a hidden layer must be one in up and in down")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the nodes, from input to label."""
        return tuple(node.name for node in self.up.nodes)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Predictions upwards of nodes 1..L, then downwards of nodes L-1..0."""
        last = len(self.up.layers)
        up = zip(self.up.layers, self.up.nodes[1:], strict=True)
        down = zip(self.down.layers, self.down.nodes[1:], strict=True)
        return (
            *(Stream(f"up_{i + 1}", i, i + 1, f, n.energy) for i, (f, n) in enumerate(up)),
            *(
                Stream(f"down_{last - i - 1}", last - i, last - i - 1, f, n.energy)
                for i, (f, n) in enumerate(down)
            ),
        )

    @property
    def rates(self) -> tuple:
        """Activation of each node, by which it tells others of itself."""
        return *(layer.activation for layer in self.up.layers), self.down.layers[0].activation

    def cost(self, values: Layers) -> Float[Array, ""]:
        """The part of the free energy of all values, 0..L, that depends on them, in nats."""
        return sum(s.energy.cost(values[s.target], s.layer(values[s.source])) for s in self.streams)


class BidirectionalState(NamedTuple):
    """What settling carries: by node from input to label, or by stream."""

    values: Layers
    value_traces: Layers  # what others know of the rates f(value)
    error_traces: Layers  # by stream: what both its ends know of the error
    predictions: Layers  # by stream: current that value spikes have left on its error units


class BidirectionalSpikes(NamedTuple):
    """How often each population fired, by node and by stream."""

    values: Totals  # of nodes 0..L
    errors: Totals  # of streams


class BidirectionalSettled(NamedTuple):
    """The end of a trial, and how many spikes it took."""

    state: BidirectionalState
    spikes: BidirectionalSpikes


class SpikingBidirectionalPC(eqx.Module):
    r"""Gradient flow of a bidirectional energy, carried by difference-coded spikes.

    As in `SpikingPC`, but each value stands between two error units, of what the layer below and
    of what the layer above predict of it, $\xi$ and $\zeta$, which h and g tell others of:

    $\dot z_l = -h_l - g_l + f'(z_l) \odot (W_{l+1}^T h_{l+1} + V_{l-1}^T g_{l-1})$.

    A value has one train of spikes, which both its neighbours hear. Clamped values speak in the
    first cycle and then rest.

    Attributes:
        network: the float twin.
        values: the code of each node, from input to label.
        errors: the code of each stream's errors.
        rate: Euler step of the values.
        steps: settle steps a sample.

    Raises:
        ValueError: if there are not as many codes as populations, or a setting is out of range.

    Source: Oliviers, Tang & Bogacz (2025), arXiv:2505.23415, eqs. 5-7, in rates.
    """

    network: BidirectionalNetwork
    values: tuple[HalvingCode, ...]
    errors: tuple[HalvingCode, ...]
    rate: float
    steps: int = eqx.field(static=True)

    def __check_init__(self):
        populations = len(self.network.names), len(self.network.streams)
        if (len(self.values), len(self.errors)) != populations:
            raise ValueError(
                f"values and errors must be {populations[0]} and {populations[1]} codes, got "
                f"{len(self.values)} and {len(self.errors)}"
            )
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    def init(self, *sample: Vector) -> tuple[BidirectionalState, BidirectionalSpikes]:
        """From rest: a sweep from what is given tells every value, then errors fire.

        Args:
            sample: values of the clamped nodes, as `fep`'s `clamp` takes them. With the label
                given alone the sweep runs downwards, else upwards.
        """
        values, traces, moves = self._sweep(self._given(*sample))
        predictions = tuple(
            s.layer.weight @ traces[s.source] + s.layer.bias for s in self.network.streams
        )
        silent = jax.tree.map(jnp.zeros_like, predictions)
        state = BidirectionalState(values, traces, silent, predictions)
        state, errors = self._fire_errors(state)
        return state, BidirectionalSpikes(_count(self.values, moves), errors)

    def step(self, state: BidirectionalState) -> tuple[BidirectionalState, BidirectionalSpikes]:
        """Values move and spike, then errors spike: the new state, and spikes."""
        state, values = self._fire_values(self._move(state))
        state, errors = self._fire_errors(state)
        return state, BidirectionalSpikes(values, errors)

    def settle(self, *sample: Vector) -> BidirectionalSettled:
        """Settle one sample, counting its spikes."""
        state, first = self.init(*sample)
        state, spikes = jax.lax.scan(lambda s, _: self.step(s), state, length=self.steps)
        total = jax.tree.map(lambda a, b: a + jnp.sum(b, axis=0), first, spikes)
        return BidirectionalSettled(state, total)

    def energy(self, state: BidirectionalState) -> Float[Array, ""]:
        """Cost (nats) of values under the predictions that spikes have told."""
        told = zip(self.network.streams, state.predictions, strict=True)
        return sum(s.energy.cost(state.values[s.target], mu) for s, mu in told)

    def _given(self, *sample: Vector) -> dict[int, Vector]:
        names, clamped = self.network.names, self.network.up.clamped
        if len(sample) != len(clamped):
            raise ValueError(f"a sample must give {clamped}, got {len(sample)} values")
        return {names.index(n): value for n, value in zip(clamped, sample, strict=True)}

    def _sweep(self, given: dict[int, Vector]) -> tuple[Layers, Layers, Moves]:
        last = len(self.network.up.layers)
        down = list(given) == [last]
        streams = self.network.streams[last:] if down else self.network.streams[:last]
        values, traces, moves = {**given}, {}, {}
        for stream in (None, *streams):
            node = (last if down else 0) if stream is None else stream.target
            if node not in values:
                if stream is None:
                    raise ValueError(f"either end must be clamped, got {self.network.up.clamped}")
                values[node] = stream.layer.weight @ traces[stream.source] + stream.layer.bias
            rate = self.network.rates[node](values[node])
            traces[node], moves[node] = self.values[node].move(rate, jnp.zeros_like(rate))
        return tuple(tuple(part[n] for n in range(last + 1)) for part in (values, traces, moves))

    def _move(self, state: BidirectionalState) -> BidirectionalState:
        drives = [jnp.zeros_like(z) for z in state.values]
        told = zip(self.network.streams, state.error_traces, strict=True)
        for s, h in told:
            z = state.values[s.source]
            _, gain = jax.jvp(s.layer.activation, (z,), (jnp.ones_like(z),))
            drives[s.source] += gain * (h @ s.layer.weight)
            drives[s.target] -= h
        free = [name not in self.network.up.clamped for name in self.network.names]
        values = zip(free, state.values, drives, strict=True)
        return state._replace(
            values=tuple(z + self.rate * drive if moves else z for moves, z, drive in values)
        )

    def _fire_values(self, state: BidirectionalState) -> tuple[BidirectionalState, Totals]:
        traces, moves = list(state.value_traces), []
        for i, (name, code, f) in enumerate(
            zip(self.network.names, self.values, self.network.rates, strict=True)
        ):
            if name in self.network.up.clamped:
                moves.append(jnp.zeros(traces[i].shape, jnp.int32))
            else:
                traces[i], move = code.move(f(state.values[i]), traces[i])
                moves.append(move)
        predictions = tuple(
            mu + s.layer.weight @ (traces[s.source] - state.value_traces[s.source])
            for s, mu in zip(self.network.streams, state.predictions, strict=True)
        )
        state = state._replace(value_traces=tuple(traces), predictions=predictions)
        return state, _count(self.values, tuple(moves))

    def _fire_errors(self, state: BidirectionalState) -> tuple[BidirectionalState, Totals]:
        told = zip(
            self.network.streams, self.errors, state.predictions, state.error_traces, strict=True
        )
        fired = [
            code.move(-jax.grad(s.energy.cost, argnums=1)(state.values[s.target], mu), h)
            for s, code, mu, h in told
        ]
        traces, moves = zip(*fired, strict=True)
        return state._replace(error_traces=traces), _count(self.errors, moves)


class BidirectionalTracePlasticity(eqx.Module):
    r"""Learning by pair traces in both streams, each synapse reading its own two ends.

    $\Delta W_l = h_l r_{l-1}^T$ and $\Delta V_l = g_l r_{l+1}^T$, as
    in `TracePlasticity`.

    Attributes:
        values, errors, rate, steps: of the `SpikingBidirectionalPC` that settles each sample.
    """

    values: tuple[HalvingCode, ...]
    errors: tuple[HalvingCode, ...]
    rate: float
    steps: int = eqx.field(static=True)

    def __call__(
        self, network: BidirectionalNetwork, batch: Batch
    ) -> tuple[Float[Array, ""], BidirectionalNetwork]:
        """Mean settled cost of a batch (nats), and minus its mean deposit as a gradient."""
        populations = SpikingBidirectionalPC(
            network, self.values, self.errors, self.rate, self.steps
        )
        state = jax.vmap(populations.settle)(*batch).state
        changes = []
        for s, h in zip(network.streams, state.error_traces, strict=True):
            r = state.value_traces[s.source]
            changes.append((jnp.einsum("bi,bj->ij", h, r) / len(h), jnp.mean(h, axis=0)))
        last = len(network.up.layers)
        slope = replace(
            network,
            up=descent(network.up, changes[:last]),
            down=descent(network.down, changes[last:]),
        )
        return jnp.mean(jax.vmap(populations.energy)(state)), slope


def bidirectional_circuit(network: BidirectionalNetwork) -> Circuit:
    """The populations and projections that `SpikingBidirectionalPC` runs, for lowering to a chip.

    Populations value_0 to value_L, up_1 to up_L and down_0 to down_{L-1}, all signed; values that
    are clamped are driven from outside and hear of no errors.
    """
    driven = [name in network.up.clamped for name in network.names]
    values = [
        Population(f"value_{i}", n, signed=True, external=held)
        for i, (n, held) in enumerate(zip(_widths(network.up), driven, strict=True))
    ]
    errors, projections = [], list[Projection]()
    for s in network.streams:
        weight = np.asarray(s.layer.weight)
        errors.append(Population(s.name, weight.shape[0], signed=True))
        source, target = f"value_{s.source}", f"value_{s.target}"
        projections.append(all_to_all(source, s.name, weight, plastic=True))
        if not driven[s.source]:
            projections.append(all_to_all(s.name, source, weight.T, plastic=True))
        if not driven[s.target]:
            projections.append(one_to_one(s.name, target, -np.ones(weight.shape[0])))
    return Circuit((*values, *errors), tuple(projections))


def _widths(chain: PCNetwork) -> tuple[int, ...]:
    for i, layer in enumerate(chain.layers):
        if not isinstance(layer, Dense):
            raise ValueError(f"layer {i} must be Dense to spike, got {type(layer).__name__}")
    return chain.layers[0].weight.shape[1], *(len(layer.bias) for layer in chain.layers)


def _count(codes: tuple[HalvingCode, ...], moves: Moves) -> Totals:
    return jnp.stack([jnp.sum(c.count(m)) for c, m in zip(codes, moves, strict=True)])
