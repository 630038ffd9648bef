"""Which core each neuron lives on, and whether the chip can hold it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hw.graph import Graph
from hw.platforms import Mesh, Platform

# picks the next neuron, given the synapses that the open core holds from each neuron, and which
# neurons are still free; both of shape (n,)
Chooser = Callable[[np.ndarray, np.ndarray], int | np.integer]


@dataclass(frozen=True)
class Placement:
    """The core of every neuron, and -1 for external ones; shape (n,), int."""

    core_of: Int[np.ndarray, " n"]

    @property
    def cores(self) -> int:
        """Cores from the first to the last in use."""
        return int(self.core_of.max(initial=-1)) + 1


class Violation(NamedTuple):
    """One limit that a mapped graph breaks, where it breaks it most."""

    platform: str
    limit: str
    allowed: int
    needed: int
    where: str

    def __str__(self):
        return (
            f"{self.platform}: {self.limit}: at most {self.allowed}, "
            f"needed {self.needed} ({self.where})"
        )


class Infeasible(ValueError):
    """A graph does not fit a chip; `violations` names every broken limit."""

    def __init__(self, violations: tuple[Violation, ...]):
        super().__init__("; ".join(map(str, violations)))
        self.violations = violations


class Axons(NamedTuple):
    """One row for each neuron and core that it has synapses on."""

    source: Int[np.ndarray, " axons"]  # neuron
    core: Int[np.ndarray, " axons"]
    synapses: Int[np.ndarray, " axons"]


def axons(graph: Graph, placement: Placement) -> Axons:
    """The axons that a mapping makes of a graph's synapses, by source and then core."""
    pre, post = graph.synapses.pre, graph.synapses.post
    cores = max(placement.cores, 1)
    keys, table = pre * cores + placement.core_of[post], graph.size * cores
    if table <= 8 * max(keys.size, 1 << 20):  # a dense count is faster than a sort, if it is small
        every = np.bincount(keys, minlength=table)
        pairs = np.flatnonzero(every)
        synapses = every[pairs]
    else:
        pairs, synapses = np.unique(keys, return_counts=True)
    return Axons(*np.divmod(pairs, cores), synapses)


def position(mesh: Mesh, core: Int[np.ndarray, "..."]) -> tuple[np.ndarray, np.ndarray]:
    """Column x and row y of the tiles of cores."""
    return np.divmod(core // mesh.cores_per_tile, mesh.height)


def tiles(mesh: Mesh, placement: Placement) -> int:
    """Number of tiles in use."""
    return np.unique(placement.core_of[placement.core_of >= 0] // mesh.cores_per_tile).size


def usage(graph: Graph, placement: Placement, platform: Platform) -> dict[str, np.ndarray]:
    """What each core holds, by limit of `Capacity`: arrays of shape (cores,)."""
    placed, cores = axons(graph, placement), placement.cores
    count = lambda core, weights=None: np.bincount(core, weights, cores).astype(np.int64)
    on_chip = placement.core_of[placed.source] >= 0
    used = {
        "neurons": count(placement.core_of[placement.core_of >= 0]),
        "input_axons": count(placed.core),
        "output_axons": count(placement.core_of[placed.source[on_chip]]),
    }
    if platform.capacity.synapses is not None:
        used["synapses"] = count(placed.core, placed.synapses)
    if memory := platform.capacity.synapse_format:
        used["synapse_bits"] = count(placed.core, memory.bits(placed.synapses))
    return used


def violations(graph: Graph, placement: Placement, platform: Platform) -> tuple[Violation, ...]:
    """Every limit of a platform that a mapping breaks; empty if it fits.

    Raises:
        ValueError: if the mapping is not one of this graph.
    """
    if (
        placement.core_of.shape != (graph.size,)
        or ((placement.core_of < 0) != graph.external).any()
    ):
        raise ValueError(
            f"mapping must give a core to each of {graph.size} neurons and -1 to external ones, "
            f"got shape {placement.core_of.shape}"
        )
    if platform.mesh is None:
        raise ValueError(f"{platform.name} has no cores to map onto")
    capacity, found = platform.capacity, list(_of_graph(graph, platform))
    add = lambda *fields: found.append(Violation(platform.name, *fields))
    if placement.cores > platform.mesh.cores:
        add("cores", platform.mesh.cores, placement.cores, "one chip")
    for name, used in usage(graph, placement, platform).items():
        limit = getattr(capacity, name)
        if limit is not None and used.max(initial=0) > limit.value:
            over = f"core {used.argmax()}, and {np.sum(used > limit.value) - 1} more"
            add(f"{name} per core", int(limit.value), int(used.max()), over)
    if capacity.fan_out is not None:
        source = axons(graph, placement).source
        reach = np.bincount(source[~graph.external[source]], minlength=graph.size)
        if reach.max(initial=0) > capacity.fan_out.value:
            add("fan_out", int(capacity.fan_out.value), int(reach.max()), _neuron(reach))
    return tuple(found)


def check(graph: Graph, placement: Placement, platform: Platform) -> None:
    """Raise `Infeasible`, naming each broken limit, unless the mapping fits."""
    if found := violations(graph, placement, platform):
        raise Infeasible(found)


def index_order(graph: Graph, platform: Platform) -> Placement:
    """Fill core after core with neurons in their order, each as far as its limits go.

    The baseline: what a chip's user gets who gives placement no thought.

    Raises:
        Infeasible: naming each limit that is broken even so.
    """
    order = np.flatnonzero(~graph.external)
    placement = pack(graph, platform, lambda: _following(order))
    check(graph, placement, platform)
    return placement


class Fan(NamedTuple):
    """The distinct sources of every neuron, in one list: those of i from starts[i] on."""

    starts: Int[np.ndarray, " n+1"]
    source: Int[np.ndarray, " pairs"]
    synapses: Int[np.ndarray, " pairs"]  # from that source

    def of(self, neuron: int | np.integer) -> tuple[np.ndarray, np.ndarray]:
        """Sources of a neuron, and how many synapses each has on it."""
        rows = slice(self.starts[neuron], self.starts[neuron + 1])
        return self.source[rows], self.synapses[rows]


def fan(graph: Graph) -> Fan:
    """The sources of every neuron of a graph."""
    n = graph.size
    pairs, synapses = np.unique(graph.synapses.post * n + graph.synapses.pre, return_counts=True)
    post, source = np.divmod(pairs, n)
    return Fan(np.searchsorted(post, np.arange(n + 1)), source, synapses)


def room(platform: Platform) -> Float[np.ndarray, " resources"]:
    """What a core offers of neurons, input axons and synapse bits."""
    capacity = platform.capacity
    limits = capacity.neurons, capacity.input_axons, capacity.synapse_bits
    return np.array([np.inf if limit is None else limit.value for limit in limits], float)


def need(
    platform: Platform,
    held: Int[np.ndarray, "sources ..."],
    synapses: Int[np.ndarray, " sources"],
) -> Float[np.ndarray, "resources ..."]:
    """What one more neuron takes of each resource of `room`.

    Args:
        platform: how it stores synapses.
        held: synapses that the core (or each of several) holds from the neuron's sources.
        synapses: how many more the neuron brings from each.
    """
    memory = platform.capacity.synapse_format
    synapses = synapses.reshape(-1, *(1,) * (held.ndim - 1))
    inputs = np.sum(held == 0, axis=0)
    bits = (
        np.sum(memory.bits(held + synapses) - memory.bits(held), axis=0) if memory else 0 * inputs
    )
    return np.stack([np.ones_like(inputs), inputs, bits]).astype(float)


def pack(graph: Graph, platform: Platform, chooser: Callable[[], Chooser]) -> Placement:
    """Fill cores; where one sends more axons than it may, fill all again half as full.

    Args:
        graph: what to place.
        platform: whose cores to fill.
        chooser: begins an order of neurons.

    Returns: a placement, not yet checked against other limits.
    """
    neurons, limit = float(min(room(platform)[0], graph.size)), platform.capacity.output_axons
    first = placement = fill(graph, platform, chooser(), neurons)
    while (
        limit is not None
        and usage(graph, placement, platform)["output_axons"].max(initial=0) > limit.value
    ):
        neurons //= 2
        placement = fill(graph, platform, chooser(), neurons)
        if neurons < 1 or placement.cores > platform.mesh.cores:
            return first
    return placement


def fill(graph: Graph, platform: Platform, choose: Chooser, neurons: float) -> Placement:
    """Put neuron after neuron on the open core; when one does not fit, the next core is begun.

    Args:
        graph: what to place.
        platform: whose cores to fill.
        choose: the next neuron.
        neurons: most neurons a core.
    """
    sources, offered = fan(graph), room(platform)
    offered[0] = neurons
    core_of, free = np.full(graph.size, -1), ~graph.external
    held, core, used = np.zeros(graph.size, np.int64), 0, np.zeros_like(offered)
    for _ in range(np.sum(free)):
        neuron = choose(held, free)
        source, synapses = sources.of(neuron)
        needed = need(platform, held[source], synapses)
        if used[0] and (used + needed > offered).any():
            held, core, used = np.zeros_like(held), core + 1, np.zeros_like(offered)
            needed = need(platform, held[source], synapses)
        used += needed
        held[source] += synapses
        core_of[neuron], free[neuron] = core, False
    return Placement(core_of)


def _following(order: Int[np.ndarray, " k"]) -> Chooser:
    rest = iter(order)
    return lambda held, free: next(rest)


def _of_graph(graph: Graph, platform: Platform):
    """Violations of limits that no mapping can help with."""
    capacity, synapses = platform.capacity, graph.synapses
    needs = ("fan_in", _fan_in), ("targets", _targets), ("weight_levels", _weight_levels)
    for name, needed in needs:
        limit = getattr(capacity, name)
        if limit is not None and (used := needed(graph)).max(initial=0) > limit.value:
            where = _neuron(used)
            yield Violation(platform.name, name, int(limit.value), int(used.max()), where)
    outside = int(graph.external.sum())
    if capacity.inputs is not None and outside > capacity.inputs.value:
        allowed = int(capacity.inputs.value)
        yield Violation(platform.name, "inputs", allowed, outside, "external neurons")
    longest = int(synapses.delay.max(initial=1))
    if capacity.delay_steps is not None and longest > capacity.delay_steps.value:
        allowed = int(capacity.delay_steps.value)
        yield Violation(platform.name, "delay_steps", allowed, longest, "longest delay")
    if not capacity.learns and synapses.plastic.any():
        plastic = int(synapses.plastic.sum())
        yield Violation(platform.name, "synapses plastic by pair traces", 0, plastic, "whole graph")


def _fan_in(graph: Graph) -> Int[np.ndarray, " n"]:
    return np.bincount(graph.synapses.post, minlength=graph.size)


def _targets(graph: Graph) -> Int[np.ndarray, " n"]:
    return np.bincount(graph.synapses.pre, minlength=graph.size) * ~graph.external


def _weight_levels(graph: Graph) -> Int[np.ndarray, " n"]:
    """How many different non-zero weights each neuron has."""
    post, weight = graph.synapses.post, graph.synapses.weight
    order = np.lexsort((weight, post))
    post, weight = post[order], weight[order]
    fresh = np.ones(post.size, np.bool_)
    fresh[1:] = (np.diff(post) != 0) | (np.diff(weight) != 0)
    return np.bincount(post[fresh & (weight != 0)], minlength=graph.size)


def _neuron(count: np.ndarray) -> str:
    return f"neuron {count.argmax()}"
