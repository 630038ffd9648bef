"""Counting: from spikes on mapped neurons to the ledger, in integers, step by step."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped

from hw.graph import Graph
from hw.ledger import Counts, Ledger
from hw.mapping import Placement, axons, position
from hw.platforms import Mesh

# columns of `Counter.sent`, one row a neuron
SENT = ("spike", "axon_out", "hop_east", "hop_west", "hop_north", "hop_south", "learning_update")
# planes of `Counter.arriving`, one row a neuron and one column a core
ARRIVING = ("axon_in", "synaptic_event", "zero_weight_event", "learning_update", "host_message")


class Activity(NamedTuple):
    """What the neurons did in a step, or in many with leading axes."""

    spikes: Shaped[Counts, "*time n"]  # boolean, 0 or 1; or rates
    active: Shaped[Counts, "*time n"]  # had something to integrate


class Counter(eqx.Module):
    """Counts events of a mapped graph: every count is a sum over spikes of what one spike causes.

    Linear in the activity. With integer or boolean spikes the counts are exact int32; with float
    rates they are expected counts, and gradients pass. Tables are dense in neurons x cores: 335 MB
    for a full chip of 131,072 neurons on 128 cores.

    Attributes:
        core_of: core of each neuron on the chip.
        on_chip: their indices among all neurons.
        sent: what a spike causes on its own core, columns as in SENT.
        arriving: what it causes on each core, planes as in ARRIVING.

    Raises:
        ValueError: if a count could pass int32.
    """

    core_of: Int[Array, " k"]
    on_chip: Int[Array, " k"]
    sent: Int[Array, "k columns"]
    arriving: Int[Array, "n planes cores"]

    def __init__(self, graph: Graph, placement: Placement, mesh: Mesh):
        if graph.synapses.pre.size >= 2**31:
            raise ValueError(f"at most 2^31 - 1 synapses, got {graph.synapses.pre.size}")
        on_chip = np.flatnonzero(~graph.external)
        integers = lambda values: jnp.asarray(values, jnp.int32)
        self.on_chip = integers(on_chip)
        self.core_of = integers(placement.core_of[on_chip])
        self.sent = integers(_sent(graph, placement, mesh)[on_chip])
        self.arriving = integers(_arriving(graph, placement))

    def __call__(self, activity: Activity) -> Ledger:
        """The ledger of one step."""
        cores = self.arriving.shape[2]
        dtype = jnp.promote_types(activity.spikes.dtype, jnp.int32)
        spikes, active = (jnp.asarray(a).astype(dtype) for a in activity)
        arriving = jnp.tensordot(spikes, self.arriving.astype(dtype), 1)
        per_neuron = jnp.concatenate(
            [
                jnp.ones((self.on_chip.size, 1), dtype),
                active[self.on_chip, None],
                spikes[self.on_chip, None] * self.sent.astype(dtype),
            ],
            axis=1,
        )
        at_home = jax.ops.segment_sum(per_neuron, self.core_of, cores)
        counts = dict(zip(("soma_access", "neuron_update", *SENT), at_home.T, strict=True))
        for name, count in zip(ARRIVING, arriving, strict=True):
            counts[name] = counts.get(name, 0) + count
        return Ledger(barrier=jnp.ones(cores, dtype), **counts)


def tally(counter: Counter, activity: Activity) -> Ledger:
    """Ledgers of many steps, counted on the host from spike to spike, in int64.

    The same counts as `counter` gives step by step; the work grows with the spikes, not with the
    neurons, and nothing is compiled.

    Args:
        counter: of the mapped graph.
        activity: integer or boolean, shape (steps, n).

    Returns: counts of shape (steps, cores).
    """
    sent, arriving = np.asarray(counter.sent), np.asarray(counter.arriving)
    core_of, on_chip = np.asarray(counter.core_of), np.asarray(counter.on_chip)
    steps, cores = len(activity.spikes), arriving.shape[2]
    made = {kind: np.zeros((steps, cores), np.int64) for kind in Ledger._fields}
    made["soma_access"] += np.bincount(core_of, minlength=cores)
    made["barrier"] += 1
    for step, (spikes, active) in enumerate(zip(*map(np.asarray, activity), strict=True)):
        times = spikes.astype(np.int64)
        here = np.flatnonzero(times[on_chip])
        each = sent[here] * times[on_chip[here], None]
        made["neuron_update"][step] = _per_core(core_of, active[on_chip].astype(float), cores)
        for kind, column in zip(SENT, each.T, strict=True):
            made[kind][step] = _per_core(core_of[here], column, cores)
        spiked = np.flatnonzero(times)
        rows = arriving[spiked]
        if (times[spiked] != 1).any():
            rows = rows * times[spiked, None, None]
        for kind, count in zip(ARRIVING, rows.sum(axis=0, dtype=np.int64), strict=True):
            made[kind][step] += count
    return Ledger(**made)


def _per_core(core: np.ndarray, count: np.ndarray, cores: int) -> np.ndarray:
    # sums of integers below 2^53 are exact in the float64 of bincount
    return np.bincount(core, count, cores).astype(np.int64)


def activity(graph: Graph, spikes: Bool[np.ndarray, "steps n"]) -> Activity:
    """What a raster tells of the neurons' activity.

    A neuron counts as active when it spikes or a spike reaches it in that step. A membrane that
    decays unseen between events is not in a raster: an emulator can say more.
    """
    steps, n = spikes.shape
    by_pre = np.argsort(graph.synapses.pre, kind="stable")
    starts = np.searchsorted(graph.synapses.pre[by_pre], np.arange(n + 1))
    degree = np.diff(starts)
    time, neuron = np.nonzero(spikes)
    rows = degree[neuron]
    # position of each event's synapse: start of its row, plus its place in the row
    place = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows)
    synapse = by_pre[np.repeat(starts[neuron], rows) + place]
    arrival = np.repeat(time, rows) + graph.synapses.delay[synapse]
    seen = arrival < steps
    active = spikes.copy()
    active[arrival[seen], graph.synapses.post[synapse[seen]]] = True
    return Activity(spikes, active)


def _sent(graph: Graph, placement: Placement, mesh: Mesh) -> Int[np.ndarray, "n columns"]:
    """Per spike of each neuron: itself, its messages, their hops, learning at its own synapses."""
    placed = axons(graph, placement)
    x, y = position(mesh, placed.core)
    home = placement.core_of[placed.source]
    home_x, home_y = position(mesh, home)
    inside = home >= 0
    total = lambda weights: np.bincount(placed.source, weights * inside, graph.size)
    onto = np.bincount(graph.synapses.post, graph.synapses.plastic, graph.size)
    columns = (
        ~graph.external,
        total(np.ones(placed.source.size)),
        total(np.maximum(x - home_x, 0)),
        total(np.maximum(home_x - x, 0)),
        total(np.maximum(y - home_y, 0)),
        total(np.maximum(home_y - y, 0)),
        onto,
    )
    return np.stack(columns, axis=1).astype(np.int64)


def _arriving(graph: Graph, placement: Placement) -> Int[np.ndarray, "n planes cores"]:
    """Per spike of each neuron and core: messages, synapses, zero and plastic ones, from host."""
    synapses, cores = graph.synapses, max(placement.cores, 1)
    core, shape = placement.core_of[synapses.post], (graph.size, cores)
    pairs = synapses.pre * cores + core
    count = lambda keys: np.bincount(keys, minlength=graph.size * cores).reshape(shape)
    total = lambda which: count(pairs[which]) if which.any() else np.zeros(shape, np.int64)
    reached = count(pairs)
    message = reached > 0
    planes = (
        message,
        reached,
        total(synapses.weight == 0),
        total(synapses.plastic),
        message & graph.external[:, None],
    )
    return np.stack(planes, axis=1)
