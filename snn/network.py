"""Networks: groups of neurons joined by pathways, and the circuits that chips read off them.

A `Network` runs; a `Circuit` is what of it a chip or another simulator must know.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped, UInt32

from snn.connectivity import RowsInTime
from snn.delivery import Delivery, edges_of, shape_of
from snn.events import Words, pack
from snn.parameters import Parameter
from snn.stochastic_neurons import EscapeLIF, PoissonCounts, PoissonSource
from snn.synapses import Synapse, combine


@dataclass(frozen=True)
class Population:
    """A named group of like units.

    Attributes:
        name: unique within its circuit.
        size: number of units.
        signed: units emit spikes of both signs (+1 and -1) rather than +1 alone.
        external: units are driven from outside the chip and have no dynamics on it.
    """

    name: str
    size: int
    signed: bool = False
    external: bool = False

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"population {self.name!r}: size must be at least 1, got {self.size}")


@dataclass(frozen=True)
class Projection:
    """Synapses from one population to another, as an edge list.

    Attributes:
        source, target: names of populations.
        pre, post: indices of the joined units, shape (m,), int; each pair at most once.
        weights: efficacy of each synapse, shape (m,); a zero weight is still a synapse.
        plastic: the weights learn while the circuit runs.
    """

    source: str
    target: str
    pre: np.ndarray
    post: np.ndarray
    weights: np.ndarray
    plastic: bool = False

    def __post_init__(self):
        shapes = {np.shape(a) for a in (self.pre, self.post, self.weights)}
        if len(shapes) != 1 or len(shapes.pop()) != 1:
            raise ValueError(
                f"projection {self.source}->{self.target}: pre, post and weights must be vectors "
                f"of one length, got {np.shape(self.pre)}, {np.shape(self.post)}, "
                f"{np.shape(self.weights)}"
            )


def all_to_all(source: str, target: str, weights, *, plastic: bool = False) -> Projection:
    """Projection of a full weight matrix, shape (target size, source size)."""
    weights = np.asarray(weights)
    post, pre = np.indices(weights.shape)
    return Projection(source, target, pre.ravel(), post.ravel(), weights.ravel(), plastic)


def one_to_one(source: str, target: str, weights) -> Projection:
    """Projection of unit i to unit i, with weights of shape (size,)."""
    weights = np.asarray(weights)
    units = np.arange(weights.size)
    return Projection(source, target, units, units, weights)


@dataclass(frozen=True)
class Circuit:
    """Populations and the projections between them; checked when built."""

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]

    def __post_init__(self):
        sizes = {p.name: p.size for p in self.populations}
        if len(sizes) != len(self.populations):
            raise ValueError(
                f"population names must differ, got {[p.name for p in self.populations]}"
            )
        for p in self.projections:
            for role, name, units in (("source", p.source, p.pre), ("target", p.target, p.post)):
                if name not in sizes:
                    raise ValueError(f"projection {role} {name!r} is not one of {sorted(sizes)}")
                if units.size and not 0 <= units.min() <= units.max() < sizes[name]:
                    raise ValueError(
                        f"projection {p.source}->{p.target}: {role} index must lie in "
                        f"[0, {sizes[name]}), got [{units.min()}, {units.max()}]"
                    )


class Clock(NamedTuple):
    """What a step needs beside state and input."""

    dt: float  # s
    time: Int[Array, ""]  # steps since the start
    key: PRNGKeyArray  # of this step and part of the network alone


class PoissonInput(eqx.Module):
    """Many independent Poisson trains onto every neuron of a group, drawn as counts.

    Attributes:
        counts: the distribution of spikes a neuron and step.
        weight: of each train's synapse.
        receptor: which of the group's receptors they reach.
    """

    counts: PoissonCounts
    weight: float
    receptor: int = eqx.field(static=True, default=0)


class GroupState(NamedTuple):
    """What a group carries."""

    neuron: Any
    receptors: tuple


class Group(eqx.Module):
    """Like neurons, with the receptors that their synapses end on.

    Attributes:
        neuron: any neuron of `snn.neurons` and its neighbours.
        size: number of neurons.
        receptors: kinetics, in the order in which pathways count them.
        bias: constant current, in the neuron's unit.
        background: Poisson inputs.
    """

    neuron: eqx.Module
    size: int = eqx.field(static=True)
    receptors: tuple[Synapse, ...] = ()
    bias: Parameter = 0.0
    background: tuple[PoissonInput, ...] = ()

    def __check_init__(self):
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")
        for drive in self.background:
            if not 0 <= drive.receptor < len(self.receptors):
                raise ValueError(
                    f"background must reach one of {len(self.receptors)} receptors, "
                    f"got receptor {drive.receptor}"
                )

    def init(self) -> GroupState:
        """At rest and silent."""
        receptors = tuple(receptor.init(self.size) for receptor in self.receptors)
        return GroupState(self.neuron.init(self.size), receptors)

    def step(
        self, state: GroupState, arriving: Shaped[Array, "receptors n"], current: Any, clock: Clock
    ) -> tuple[GroupState, Float[Array, " n"]]:
        """One step under what arrives at each receptor and a current from outside: spikes (n,)."""
        own, *keys = jax.random.split(clock.key, 1 + len(self.background))
        for drive, key in zip(self.background, keys, strict=True):
            count = drive.counts.sample(self.size, key=key)
            arriving = arriving.at[drive.receptor].add(drive.weight * count)
        drives, receptors = [jnp.zeros(self.size) + (self.bias + current)], ()
        for i, receptor in enumerate(self.receptors):
            after, amplitude = receptor.step(state.receptors[i], arriving[i], dt=clock.dt)
            receptors += (after,)
            drives.append(receptor.drive(amplitude, state.neuron.v))
        noise = {"key": own} if isinstance(self.neuron, EscapeLIF) else {}
        neuron, spikes = self.neuron.step(state.neuron, combine(drives), dt=clock.dt, **noise)
        return GroupState(neuron, receptors), spikes


class SpikeInput(eqx.Module):
    """A group whose spikes come from outside, step by step.

    Attributes:
        size: number of trains.
    """

    size: int = eqx.field(static=True)
    receptors: ClassVar[tuple] = ()

    def init(self) -> tuple[()]:
        """Nothing is carried."""
        return ()

    def step(self, state: tuple[()], arriving: Array, spikes: Array, clock: Clock):
        """The spikes that are given."""
        return state, spikes


class PoissonGroup(SpikeInput):
    """A group of Poisson trains.

    Attributes:
        source: their rates.
    """

    source: PoissonSource = PoissonSource(0.0)

    def step(self, state: tuple[()], arriving: Array, spikes: Any, clock: Clock):
        """Spikes drawn anew; what comes from outside is not used."""
        return state, self.source.sample(self.size, dt=clock.dt, key=clock.key)


class Pathway(eqx.Module):
    """Synapses from one group to another, or to itself.

    Attributes:
        source, target: names of groups.
        delivery: strategy with its store; targets count receptor x size + neuron.
        delay: of all synapses, in steps: a spike of step t is felt in step t + delay. With
            delays of their own in the store, synapses add none here: it must stay 1.
    """

    source: str = eqx.field(static=True)
    target: str = eqx.field(static=True)
    delivery: Delivery
    delay: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if self.delay < 1:
            raise ValueError(
                f"pathway {self.source}->{self.target}: delay must be at least 1 step, "
                f"got {self.delay}"
            )
        if self._delays is not None and self.delay != 1:
            raise ValueError(
                f"pathway {self.source}->{self.target}: synapses have delays of their own, so "
                f"delay must be 1, got {self.delay}"
            )

    @property
    def _delays(self) -> Int[Array, "sources k"] | None:
        return getattr(getattr(self.delivery, "rows", None), "delays", None)

    def init(self) -> Any:
        """What is under way: sums by slot of time, where synapses have delays of their own."""
        if self._delays is None:
            return ()
        rows = self.delivery.rows
        slots = int(np.asarray(self._delays).max(initial=1))
        return jnp.zeros((slots, rows.size), rows.weights.dtype)

    def step(
        self, state: Any, words: Words, into: Shaped[Array, " size"], time: Int[Array, ""]
    ) -> tuple[Any, Shaped[Array, " size"], Int[Array, ""]]:
        """Add to `into` what arrives now; `words` are the spikes of `delay` steps ago."""
        if self._delays is None:
            into, lost = self.delivery(words, into)
            return state, into, lost
        slots = state.shape[0]
        shifted = replace(self.delivery, rows=RowsInTime(self.delivery.rows, time - 1, slots))
        flat, lost = shifted(words, state.ravel())
        state = flat.reshape(state.shape)
        now = time % slots
        return state.at[now].set(0), into + state[now], lost


class NetworkState(NamedTuple):
    """What a network carries from step to step."""

    time: Int[Array, ""]  # steps done
    groups: dict[str, Any]
    pathways: tuple
    history: dict[str, UInt32[Array, "delay words"]]  # spikes of the last steps, a ring
    lost: Int[Array, ""]  # spikes that a strategy had no room for


class Network(eqx.Module):
    """Groups and pathways as one thing that evolves.

    In a step, spikes of earlier steps arrive at receptors, then all groups move and fire together.

    Attributes:
        groups: by name.
        pathways: between them.
        dt: s.
    """

    groups: dict[str, Group | SpikeInput]
    pathways: tuple[Pathway, ...]
    dt: float = eqx.field(static=True)

    def __check_init__(self):
        if not self.dt > 0:
            raise ValueError(f"dt must be positive seconds, got {self.dt}")
        for p in self.pathways:
            label = f"pathway {p.source}->{p.target}"
            for role, name in (("source", p.source), ("target", p.target)):
                if name not in self.groups:
                    raise ValueError(f"{label}: {role} must be one of {sorted(self.groups)}")
            target = self.groups[p.target]
            found = shape_of(p.delivery)
            wanted = self.groups[p.source].size, target.size * len(target.receptors)
            if found != wanted:
                raise ValueError(
                    f"{label}: the store must have {wanted[0]} sources and {wanted[1]} targets "
                    f"(neurons x receptors), got {found[0]} and {found[1]}"
                )

    def init(self) -> NetworkState:
        """All groups at rest, nothing under way."""
        depth = dict.fromkeys(self.groups, 1)
        for p in self.pathways:
            depth[p.source] = max(depth[p.source], p.delay)
        history = {
            name: jnp.tile(pack(jnp.zeros(group.size)), (depth[name], 1))
            for name, group in self.groups.items()
        }
        groups = {name: group.init() for name, group in self.groups.items()}
        pathways = tuple(p.init() for p in self.pathways)
        return NetworkState(jnp.int32(0), groups, pathways, history, jnp.int32(0))

    def step(
        self, state: NetworkState, inputs: dict[str, Array] | None = None, *, key: PRNGKeyArray
    ) -> tuple[NetworkState, dict[str, Words]]:
        """One step of dt.

        Args:
            state: before the step.
            inputs: by group: current from outside, or the spikes of a `SpikeInput`.
            key: one for the whole run; the step folds in its own time, so that a run may be cut.

        Returns:
            The new state; by group, who spiked, packed as in `snn.events`.
        """
        inputs = inputs or {}
        sums = {
            name: jnp.zeros(group.size * len(group.receptors))
            for name, group in self.groups.items()
        }
        pathways, lost = (), state.lost
        for pathway, under_way in zip(self.pathways, state.pathways, strict=True):
            ring = state.history[pathway.source]
            words = ring[(state.time - pathway.delay) % ring.shape[0]]
            after, sums[pathway.target], missed = pathway.step(
                under_way, words, sums[pathway.target], state.time
            )
            pathways, lost = (*pathways, after), lost + missed
        now = jax.random.fold_in(key, state.time)
        groups, spikes, history = {}, {}, {}
        for i, (name, group) in enumerate(self.groups.items()):
            clock = Clock(self.dt, state.time, jax.random.fold_in(now, i))
            arriving = sums[name].reshape(len(group.receptors), group.size)
            groups[name], fired = group.step(
                state.groups[name], arriving, inputs.get(name, 0.0), clock
            )
            spikes[name] = pack(fired)
            ring = state.history[name]
            history[name] = ring.at[state.time % ring.shape[0]].set(spikes[name])
        return NetworkState(state.time + 1, groups, pathways, history, lost), spikes

    def circuit(self) -> Circuit:
        """The populations and projections of this network, for lowering to a chip.

        Synapses of one pair and pathway become one of their summed weight; delays, kinetics and
        reversal potentials are not part of a circuit.
        """
        populations = tuple(
            Population(name, group.size, external=isinstance(group, SpikeInput))
            for name, group in self.groups.items()
        )
        projections = ()
        for p in self.pathways:
            pre, flat, weights = edges_of(p.delivery)
            size = self.groups[p.target].size
            pairs, at = np.unique(pre.astype(np.int64) * size + flat % size, return_inverse=True)
            total = np.bincount(at, weights, len(pairs)).astype(np.asarray(weights).dtype)
            projections += (Projection(p.source, p.target, pairs // size, pairs % size, total),)
        return Circuit(populations, projections)
