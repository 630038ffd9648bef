"""Placement that keeps messages few and short.

A spike costs one message for each core that listens to it. So cores are filled greedily with
neurons that share sources, then single neurons move while that saves messages, and at last whole
cores trade places while that shortens their ways. The result is never dearer than index order.
"""

from collections.abc import Callable
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from hw.events import Activity, Counter
from hw.graph import Graph
from hw.ledger import Ledger
from hw.mapping import (
    Chooser,
    Infeasible,
    Placement,
    axons,
    fan,
    index_order,
    need,
    pack,
    position,
    room,
    violations,
)
from hw.platforms import Platform, Serial

# (graph, placement, platform, rates) to what is to be least
Objective = Callable[[Graph, Placement, Platform, np.ndarray], float]

SWEEPS = 3  # passes of single moves; later ones find little


def by_traffic(
    graph: Graph,
    platform: Platform,
    *,
    rates: Float[np.ndarray, " n"] | None = None,
    objective: Objective | None = None,
) -> Placement:
    """Place neurons where a local search finds that their messages cost least.

    The search saves messages and hops; of what it finds, and of index order, the objective picks.

    Args:
        graph: what to place.
        platform: its limits, mesh and prices of messages.
        rates: spikes of each neuron, shape (n,), up to a factor; all alike if not given.
        objective: what is made least: `message_energy` unless given, or `bottleneck_seconds`.

    Raises:
        Infeasible: if neither this search nor index order fits the chip.
    """
    rates = np.ones(graph.size) if rates is None else rates
    grown = pack(graph, platform, lambda: _sharing(graph, rates))
    grown_and_moved = grown, _move(graph, platform, grown, rates)
    traded = (_trade(graph, platform, p, rates) for p in grown_and_moved)
    found = [p for p in traded if not violations(graph, p, platform)]
    try:
        found.append(index_order(graph, platform))
    except Infeasible:
        if not found:
            raise
    cost = objective or message_energy
    return min(found, key=lambda p: cost(graph, p, platform, rates))


def bottleneck_seconds(
    graph: Graph, placement: Placement, platform: Platform, rates: Float[np.ndarray, " n"]
) -> float:
    """Seconds of a step on the busiest core while neurons spike `rates` times, without barrier.

    Raises:
        ValueError: for a platform without a serial clock.
    """
    clock = platform.clock
    if not isinstance(clock, Serial):
        raise ValueError(f"{platform.name} has no serial clock")
    counter = Counter(graph, placement, platform.mesh)
    ledger = counter(Activity(jnp.asarray(rates, jnp.float32), jnp.ones(graph.size, jnp.float32)))
    once = Ledger(*(np.asarray(count)[None] for count in ledger))
    return float(replace(clock, barrier={}, breakpoints=()).seconds(once, 1)[0])


def message_energy(
    graph: Graph, placement: Placement, platform: Platform, rates: Float[np.ndarray, " n"]
) -> float:
    """Joules of all messages while neurons spike `rates` times, by the platform's prices."""
    placed = axons(graph, placement)
    home = placement.core_of[placed.source]
    sent, inside = rates[placed.source], home >= 0
    each = _price(platform, "axon_out") + _hops(platform, home[inside], placed.core[inside])
    return float(sent.sum() * _price(platform, "axon_in") + sent[inside] @ each)


def _sharing(graph: Graph, rates: Float[np.ndarray, " n"]) -> Chooser:
    """Chooser for `fill`: the neuron of whose input the open core already hears most."""
    n, sources = graph.size, fan(graph)
    listener = np.repeat(np.arange(n), np.diff(sources.starts))
    total = np.maximum(np.bincount(listener, rates[sources.source], n), np.finfo(float).tiny)
    by_source = np.argsort(sources.source, kind="stable")
    starts = np.searchsorted(sources.source[by_source], np.arange(n + 1))
    listener = listener[by_source]
    heard, known = np.zeros(n), np.zeros(n, np.bool_)

    def choose(held, free):
        on_core = held > 0
        if (known & ~on_core).any():  # a new core was begun
            heard[:], known[:] = 0, False
        for source in np.flatnonzero(on_core & ~known):
            heard[listener[starts[source] : starts[source + 1]]] += rates[source]
        known[:] = on_core
        return np.argmax(np.where(free, heard / total, -1))

    return choose


def _move(
    graph: Graph, platform: Platform, placement: Placement, rates: Float[np.ndarray, " n"]
) -> Placement:
    """Move single neurons to other cores in use, each where it saves most messages."""
    n, sources, offered = graph.size, fan(graph), room(platform)[:, None]
    core_of, cores = placement.core_of.copy(), placement.cores
    inside = np.flatnonzero(core_of >= 0)
    core = core_of[graph.synapses.post]
    held = np.bincount(graph.synapses.pre * cores + core, minlength=n * cores).reshape(n, cores)
    memory = platform.capacity.synapse_format
    used = np.stack(
        [
            np.bincount(core_of[inside], minlength=cores),
            np.sum(held > 0, axis=0),
            np.sum(memory.bits(held), axis=0) if memory else np.zeros(cores),
        ]
    ).astype(float)
    for _ in range(SWEEPS):
        before = core_of.copy()
        for neuron in inside:
            source, synapses = sources.of(neuron)
            home, rate = core_of[neuron], rates[source]
            held[source, home] -= synapses
            needed = need(platform, held[source], synapses)
            used[:, home] -= needed[:, home]
            dearer = rate @ (held[source] == 0)
            dearer[(used + needed > offered).any(axis=0)] = np.inf
            target = np.argmin(dearer)
            if not dearer[target] < dearer[home]:
                target = home
            held[source, target] += synapses
            used[:, target] += needed[:, target]
            core_of[neuron] = target
        if np.array_equal(core_of, before):
            break
    return Placement(core_of)


def _trade(
    graph: Graph, platform: Platform, placement: Placement, rates: Float[np.ndarray, " n"]
) -> Placement:
    """Put cores on near tiles, then let pairs trade places while that saves energy of hops."""
    mesh, cores = platform.mesh, placement.cores
    if cores > mesh.cores:
        return placement  # there are not seats enough, as `violations` will say
    x, y = position(mesh, np.arange(mesh.cores))
    seat = np.lexsort((y, x, np.maximum(x, y)))[:cores]  # the corner's tiles first
    placed = axons(graph, placement)
    home = placement.core_of[placed.source]
    sent, inside = rates[placed.source], home >= 0
    flow = np.zeros((cores, cores))
    np.add.at(flow, (home[inside], placed.core[inside]), sent[inside])
    flow += flow.T
    np.fill_diagonal(flow, 0)
    between = lambda seat: _hops(platform, *np.broadcast_arrays(seat[:, None], seat))
    for _ in range(cores**2):  # far more than it takes; each trade saves energy
        apart = between(seat) + between(seat).T
        # saving of a trade in a symmetric assignment problem, for all pairs at once
        cross = flow @ apart
        own = np.diag(cross)
        change = cross + cross.T - own[:, None] - own + 2 * flow * apart
        a, b = np.unravel_index(np.argmin(change), change.shape)
        if change[a, b] >= -1e-9 * cross.trace():  # rounding
            break
        seat[[a, b]] = seat[[b, a]]
    return Placement(np.where(placement.core_of < 0, -1, seat[placement.core_of]))


def _hops(
    platform: Platform, home: Int[np.ndarray, "..."], core: Int[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """Energy of the hops of one message."""
    (x0, y0), (x1, y1) = position(platform.mesh, home), position(platform.mesh, core)
    ways = (
        ("hop_east", x1 - x0),
        ("hop_west", x0 - x1),
        ("hop_north", y1 - y0),
        ("hop_south", y0 - y1),
    )
    return sum(_price(platform, kind) * np.maximum(steps, 0) for kind, steps in ways)


def _price(platform: Platform, kind: str) -> float:
    return platform.prices[kind].value if kind in platform.prices else 0.0
