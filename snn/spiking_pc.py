"""Predictive coding as spikes: value and error populations that learn by pair traces alone.

Door to `fep`: the network is a `PCNetwork`, and every quantity here has its float twin there.
"""

from typing import NamedTuple

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fep.predictive_coding.network import Dense, PCNetwork, Vector
from snn.coding import HalvingCode
from snn.network import Circuit, Population, Projection, all_to_all, one_to_one

Layers = tuple[Vector, ...]
Trains = tuple[Float[Array, "n _"], ...]  # spikes of one cycle, one array a layer
Moves = tuple[Int[Array, " _"], ...]  # what a cycle moved each trace by, in its finest spikes
Totals = Int[Array, " layers"]


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


class Settled(NamedTuple):
    """The end of a trial, and how many spikes it took."""

    state: SpikingPCState
    value_spikes: Totals  # of layers 0..L-1
    error_spikes: Totals  # of layers 1..L


class PopulationCodes(eqx.Module):
    """A code for each population of a network; all with as many substeps a cycle.

    Attributes:
        values: of the value populations 0..L-1.
        errors: of the error populations 1..L.
    """

    values: tuple[HalvingCode, ...]
    errors: tuple[HalvingCode, ...]

    def __check_init__(self):
        halvings = {code.halvings for code in (*self.values, *self.errors)}
        if len(self.values) != len(self.errors) or len(halvings) != 1:
            raise ValueError(
                "codes must be as many of values as of errors, with the same halvings, got "
                f"{len(self.values)} and {len(self.errors)} with {sorted(halvings)}"
            )

    @property
    def halvings(self) -> int:
        """Substeps a cycle."""
        return self.values[0].halvings


class SpikingPC(eqx.Module):
    r"""Gradient flow of a predictive-coding energy, carried by difference-coded spikes.

    Value units hold $z_l$; error units beside them signal the slope of their node's energy,
    $\xi_l = \partial F_l / \partial z_l = \Pi_l (z_l - \mu_l)$ for a Gaussian: precision is their
    gain. Both tell others of themselves by signed spikes only: $r_l$ tracks $f(z_l)$ along the
    projection W upwards, $h_l$ tracks $\xi_l$ along $W^T$ downwards and one-to-one onto its value:

    $\mu_l = W_l r_{l-1} + b_l$, and
    $\dot z_l = -h_l + f'(z_l) \odot W_{l+1}^T h_{l+1}$, with $z_L$ clamped.

    The direction is the network's clamp set. With input and label clamped it discriminates; with
    a label below and an image on top of the same chain it generates; with the image alone clamped
    it explains, and $z_0$ moves too, drawn to its prior by a leak of its own.

    A settle step is an Euler step of the values, a cycle of value spikes and a cycle of error
    spikes. As the code becomes exact it is the step of `fep`'s `GradientFlow`. A clamped input
    says all it has to say in the sweep, so that its synapses rest while the network settles.

    Attributes:
        network: the float twin, a chain of `Dense` layers.
        code: how all populations spike, or how each does.
        rate: Euler step of the values, as in `GradientFlow`.
        steps: settle steps a sample.
        blur: octaves by which the finest spikes are coarser when errors first fire and in each
            settle step, 1 + steps numbers; none if empty. Early steps need no fine spikes.

    Raises:
        ValueError: if the network is no such chain, if its free nodes do not pay for their errors
            alone, or if the clamped nodes are neither both ends nor the last alone.
    """

    network: PCNetwork
    code: HalvingCode | PopulationCodes
    rate: float
    steps: int = eqx.field(static=True)
    blur: tuple[int, ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        layers, names = self.network.layers, [node.name for node in self.network.nodes]
        for i, layer in enumerate(layers):
            if not isinstance(layer, Dense):
                raise ValueError(f"layer {i} must be Dense to spike, got {type(layer).__name__}")
        if self.network.clamped not in ((names[0], names[-1]), (names[-1],)):
            raise ValueError(f"clamped must be both ends or the last, got {self.network.clamped}")
        for node in self.network.free:
            if not node.energy.is_location:
                raise ValueError(f"node {node.name!r} must pay for its error alone to be free")
        if isinstance(self.code, PopulationCodes) and len(self.code.values) != len(layers):
            raise ValueError(f"code must have {len(layers)} layers, got {len(self.code.values)}")
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.blur and (len(self.blur) != 1 + self.steps or min(self.blur) < 0):
            raise ValueError(f"blur must be {1 + self.steps} numbers of 0 or more, got {self.blur}")

    @property
    def codes(self) -> PopulationCodes:
        """The code of each population."""
        if isinstance(self.code, PopulationCodes):
            return self.code
        each = (self.code,) * len(self.network.layers)
        return PopulationCodes(each, each)

    def init(self, *sample: Vector) -> tuple[SpikingPCState, tuple[Spikes, tuple[Deposit, ...]]]:
        """From rest: a feed-forward sweep of spikes, then errors of what is clamped fire.

        Args:
            sample: values of the network's clamped nodes, as its `clamp` takes them; a free $z_0$
                starts from zero.

        Returns:
            The state; the spikes so far and what they deposited.
        """
        rest, state, values, errors = self._begin(*sample)
        return state, (self._spell(values, errors), _deposits(rest, state))

    def step(
        self, state: SpikingPCState, blur: Int[Array, ""] | None = None
    ) -> tuple[SpikingPCState, tuple[Spikes, tuple[Deposit, ...]]]:
        """Values move and spike, then errors spike: the new state; its spikes and deposits."""
        after, values, errors = self._advance(state, 0 if blur is None else blur)
        return after, (self._spell(values, errors), _deposits(state, after))

    def __call__(self, *sample: Vector) -> Trial:
        """Settle one sample, recording every spike and what it deposited."""
        state, (start, first) = self.init(*sample)
        step = lambda state, blur: self.step(state, blur)
        state, (spikes, deposits) = jax.lax.scan(step, state, self._blurs[1:])
        deposits = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, deposits)
        return Trial(state, start, spikes, deposits)

    def settle(self, *sample: Vector) -> Settled:
        """Settle one sample, counting its spikes only: the same end as a recorded trial."""
        _, state, *moves = self._begin(*sample)

        def step(carry, blur):
            state, *totals = carry
            state, *moves = self._advance(state, blur)
            return (state, *map(jnp.add, totals, self._count(*moves))), None

        carry = state, *self._count(*moves)
        return Settled(*jax.lax.scan(step, carry, self._blurs[1:])[0])

    def predict(self, x: Vector) -> Vector:
        """What the label's error units are told by the feed-forward sweep alone."""
        return self._sweep(x)[0][-1]

    def energy(self, state: SpikingPCState) -> Float[Array, ""]:
        """Free energy (nats) of values under the predictions that spikes have told."""
        priced = zip(self.network.nodes[1:], state.values[1:], state.predictions, strict=True)
        total = sum(node.energy(z, mu) for node, z, mu in priced)
        root, z = self.network.nodes[0], state.values[0]
        return total if self._driven else total + root.energy(z, jnp.zeros_like(z))

    @property
    def _driven(self) -> bool:
        """Whether the input is clamped."""
        return self.network.nodes[0].name in self.network.clamped

    @property
    def _blurs(self) -> Int[Array, " blurs"]:
        return jnp.array(self.blur or (0,) * (1 + self.steps))

    def _sweep(self, x: Vector) -> tuple[Layers, Layers, Moves]:
        """Layer after layer tells the next: values 0..L, value traces and their moves 0..L-1."""
        values, traces, moves = (x,), (), ()
        for layer, code in zip(self.network.layers, self.codes.values, strict=True):
            rate = layer.activation(values[-1])
            trace, move = code.move(rate, jnp.zeros_like(rate))
            values += (layer.weight @ trace + layer.bias,)
            traces, moves = (*traces, trace), (*moves, move)
        return values, traces, moves

    def _begin(self, *sample: Vector) -> tuple[SpikingPCState, SpikingPCState, Moves, Moves]:
        layers = self.network.layers
        *inputs, y = sample
        if len(sample) != len(self.network.clamped):
            raise ValueError(f"a sample must give {self.network.clamped}, got {len(sample)} values")
        x = inputs[0] if inputs else jnp.zeros(layers[0].weight.shape[1], y.dtype)
        chex.assert_shape([x, y], [layers[0].weight.shape[1:], layers[-1].bias.shape])
        values, traces, moves = self._sweep(x)
        if self._driven:
            code, rate = self.codes.values[0], layers[0].activation(x)
            unsaid = jnp.any(jnp.abs(rate - traces[0]) > code.finest * (1 + 1e-3))
            told = "an input is beyond what a cycle can say: raise `largest`"
            traces = (eqx.error_if(traces[0], unsaid, told), *traces[1:])
        silent = jax.tree.map(jnp.zeros_like, values[1:])
        state = SpikingPCState((*values[:-1], y), traces, silent, values[1:])
        rest = state._replace(value_traces=jax.tree.map(jnp.zeros_like, traces))
        state, errors = self._fire_errors(state, self._blurs[0])
        return rest, state, moves, errors

    def _advance(
        self, state: SpikingPCState, blur: Int[Array, ""] | int
    ) -> tuple[SpikingPCState, Moves, Moves]:
        state, values = self._fire_values(self._move(state), blur)
        state, errors = self._fire_errors(state, blur)
        return state, values, errors

    def _move(self, state: SpikingPCState) -> SpikingPCState:
        """One Euler step of the free values, driven by the error traces they have been told."""
        values, h = list(state.values), state.error_traces
        for i, layer in enumerate(self.network.layers):
            z = values[i]
            if i == 0 and self._driven:
                continue
            own = h[i - 1] if i else self._slope(0, z, jnp.zeros_like(z))
            _, gain = jax.jvp(layer.activation, (z,), (jnp.ones_like(z),))
            values[i] = z + self.rate * (gain * (h[i] @ layer.weight) - own)
        return state._replace(values=tuple(values))

    def _slope(self, node: int, value: Vector, prediction: Vector) -> Vector:
        """Of a node's energy, towards its value: the negative of that towards its prediction."""
        energy = self.network.nodes[node].energy
        return -jax.grad(energy.cost, argnums=1)(value, prediction)

    def _fire_values(
        self, state: SpikingPCState, blur: Int[Array, ""] | int
    ) -> tuple[SpikingPCState, Moves]:
        traces, predictions, moves = (), (), ()
        populations = zip(
            self.network.layers,
            self.codes.values,
            state.values,
            state.value_traces,
            state.predictions,
            strict=False,  # the label's values tell nobody
        )
        for i, (layer, code, z, r, mu) in enumerate(populations):
            if i == 0 and self._driven:
                trace, move, told = r, jnp.zeros(r.shape, jnp.int32), mu
            else:
                trace, move = code.move(layer.activation(z), r, blur)
                told = mu + layer.weight @ (trace - r)
            traces, predictions, moves = (*traces, trace), (*predictions, told), (*moves, move)
        return state._replace(value_traces=traces, predictions=predictions), moves

    def _fire_errors(
        self, state: SpikingPCState, blur: Int[Array, ""] | int
    ) -> tuple[SpikingPCState, Moves]:
        populations = zip(
            self.codes.errors, state.values[1:], state.predictions, state.error_traces, strict=True
        )
        fired = [
            code.move(self._slope(i, z, mu), h, blur)
            for i, (code, z, mu, h) in enumerate(populations, 1)
        ]
        traces, moves = zip(*fired, strict=True)
        return state._replace(error_traces=traces), moves

    def _spell(self, values: Moves, errors: Moves) -> Spikes:
        spell = lambda codes, moves: tuple(
            code.spell(move).astype(self.network.layers[0].weight.dtype)
            for code, move in zip(codes, moves, strict=True)
        )
        return Spikes(spell(self.codes.values, values), spell(self.codes.errors, errors))

    def _count(self, values: Moves, errors: Moves) -> tuple[Totals, Totals]:
        count = lambda codes, moves: jnp.stack(
            [jnp.sum(code.count(move)) for code, move in zip(codes, moves, strict=True)]
        )
        return count(self.codes.values, values), count(self.codes.errors, errors)


def sharpening(steps: int, octaves: int, hold: int) -> tuple[int, ...]:
    """A `blur` that falls from a number of octaves to none, one octave every `hold` steps."""
    return tuple(min(octaves, (steps - t) // hold) for t in range(1 + steps))


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

    Populations value_0 to value_{L-1} and error_1 to error_L, all signed; value_0 is driven from
    outside where the network clamps it, and hears of errors where it is free.
    Value spikes run up W_l, error spikes down W_l transposed and one-to-one onto their own value.
    Both copies of a weight see the same spikes and traces, so the pair rule keeps them equal.
    A value and its error are compartments of one unit: what passes between them is no spike.
    """
    widths = [layer.weight.shape[1] for layer in network.layers]
    labels = network.layers[-1].weight.shape[0]
    driven = network.nodes[0].name in network.clamped
    values = [
        Population(f"value_{i}", n, signed=True, external=i == 0 and driven)
        for i, n in enumerate(widths)
    ]
    errors = [
        Population(f"error_{i}", n, signed=True) for i, n in enumerate([*widths[1:], labels], 1)
    ]
    projections: list[Projection] = []
    for i, layer in enumerate(network.layers, 1):
        below, above, weight = f"value_{i - 1}", f"error_{i}", np.asarray(layer.weight)
        projections.append(all_to_all(below, above, weight, plastic=True))
        if i > 1 or not driven:
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
