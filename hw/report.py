"""Accounts: what one workload costs on several platforms, as plain data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from hw.cost import Bill, Refusal, price, totals
from hw.events import Activity, Counter, activity, tally
from hw.graph import Graph
from hw.mapping import Infeasible, Placement, Violation, index_order, tiles, usage
from hw.platforms import EVIDENCE, Constant, Mesh, Platform, Tick, gaps
from hw.program import Program

# kinds whose counts depend on where the neurons are
PLACED = ("axon_out", "axon_in", "hop_east", "hop_west", "hop_north", "hop_south", "host_message")


class Entry(NamedTuple):
    """A workload on one platform; counts, seconds and joules are means a sample."""

    bill: Bill
    counts: dict[str, float]
    duration_s: float | None
    violations: tuple[Violation, ...]  # why the graph does not fit, if so
    use: dict[str, np.ndarray]  # what each core holds, by limit; empty where nothing is mapped
    gaps: tuple[Refusal, ...] = ()  # every term that the platform does not state
    envelope: Mapping[str, Constant] = {}  # whole-chip figures, in no sum


def account(
    graph: Graph,
    rasters: Sequence[Mapping[str, np.ndarray]],
    platforms: Sequence[Platform],
    *,
    step_s: float | None = None,
    place: Callable[[Graph, Platform], Placement] = index_order,
) -> tuple[Entry, ...]:
    """Map, count and price recorded spikes on each platform.

    A graph that breaks a limit of a platform is not mapped there. It is still priced if no price
    of the platform depends on where neurons are, and its `violations` say that this is a
    hypothetical figure; otherwise the bill refuses every term.

    Args:
        graph: what ran.
        rasters: spikes of each sample by node, shape (steps, size), in {0, 1}.
        platforms: where to price it.
        step_s: duration of a step, instead of the platform's own clock.
        place: puts neurons on cores, or raises `Infeasible`.

    Raises:
        ValueError: if there is no sample, or a raster does not fit the graph.
    """
    if not rasters:
        raise ValueError("account needs at least one sample, got none")
    samples = [activity(graph, graph.flatten(raster)) for raster in rasters]
    return tuple(_entry(graph, samples, platform, step_s, place) for platform in platforms)


def as_json(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Entries as numbers, strings, lists and dicts alone; every item with evidence and source."""
    return [
        {
            "platform": entry.bill.platform,
            "boundary": entry.bill.boundary,
            "joules": entry.bill.joules if entry.bill.items else None,
            "low": entry.bill.low,
            "high": entry.bill.high,
            "duration_s": entry.duration_s,
            "fits": not entry.violations,
            "violations": [str(violation) for violation in entry.violations],
            "items": [
                item._asdict() | {"constant": asdict(item.constant)} for item in entry.bill.items
            ],
            "refusals": [refusal._asdict() for refusal in entry.bill.refusals],
            "notes": list(entry.bill.notes),
            "counts": entry.counts,
            "use": {name: used.tolist() for name, used in entry.use.items()},
            "gaps": [gap._asdict() for gap in entry.gaps],
            "envelope": {name: asdict(c) for name, c in entry.envelope.items()},
        }
        for entry in entries
    ]


def _entry(
    graph: Graph,
    samples: Sequence[Activity],
    platform: Platform,
    step_s: float | None,
    place: Callable[[Graph, Platform], Placement],
) -> Entry:
    violations, use, clock, stated = (), {}, platform.clock, gaps(platform)
    placement, mesh = _nowhere(graph), Mesh(1, 1, 1)
    try:
        if mapped := platform.mesh is not None:
            placement, mesh = place(graph, platform), platform.mesh
            use = usage(graph, placement, platform)
    except Infeasible as error:
        mapped, violations = False, error.violations
        if set(platform.prices) & set(PLACED):
            platform = replace(platform, prices={}, static=None, refusal=f"does not fit: {error}")
    counter = Counter(graph, placement, mesh)
    counts, seconds = {}, []
    for sample in samples:
        ledger = tally(counter, sample)
        for kind, count in totals(ledger).items():
            if mapped or kind not in PLACED:
                counts[kind] = counts.get(kind, 0) + count
        if step_s is not None:
            seconds.append(step_s * len(sample.spikes))
        elif isinstance(clock, Tick) or (clock and mapped and clock.known(tiles(mesh, placement))):
            seconds.append(float(clock.seconds(ledger, tiles(mesh, placement)).sum()))
    counts = {kind: count / len(samples) for kind, count in counts.items()}
    duration_s = sum(seconds) / len(samples) if seconds else None
    bill = price(counts, platform, duration_s=duration_s)
    missing = tuple(Refusal(term, platform.name, reason) for term, reason in stated)
    return Entry(bill, counts, duration_s, violations, use, missing, platform.envelope)


def _nowhere(graph: Graph) -> Placement:
    """All neurons on one core without limits, for counts that do not ask where neurons are."""
    return Placement(np.where(graph.external, -1, 0))


class Layer(NamedTuple):
    """What one node of a graph did in a sample, on average; nothing here depends on placement."""

    node: str
    neurons: int
    spikes: float
    synapses: int  # onto it
    synaptic_events: float  # at its synapses
    zero_weight_events: float  # of them, at synapses of weight zero


def by_layer(graph: Graph, rasters: Sequence[Mapping[str, np.ndarray]]) -> tuple[Layer, ...]:
    """Spikes and synaptic events of every node, a sample's mean.

    Raises:
        ValueError: if there is no sample, or a raster does not fit the graph.
    """
    if not rasters:
        raise ValueError("by_layer needs at least one sample, got none")
    times = sum(graph.flatten(raster).sum(axis=0) for raster in rasters) / len(rasters)
    starts = np.cumsum([0, *(node.size for node in graph.nodes)])
    synapses, layers = graph.synapses, ()
    node_of = np.searchsorted(starts, synapses.post, side="right") - 1
    events, nodes = times[synapses.pre], len(graph.nodes)
    onto = np.bincount(node_of, minlength=nodes)
    reached = np.bincount(node_of, events, nodes)
    zero = np.bincount(node_of, events * (synapses.weight == 0), nodes)
    for i, node in enumerate(graph.nodes):
        spikes = float(times[starts[i] : starts[i + 1]].sum())
        counts = int(onto[i]), float(reached[i]), float(zero[i])
        layers += (Layer(node.name, node.size, spikes, *counts),)
    return layers


def account_dense(program: Program, platforms: Sequence[Platform]) -> tuple[Entry, ...]:
    """The same program on machines that compute every product: one pass, by its MACs.

    Args:
        program: what is run, spiking or not; a pass computes each of its operators once.
        platforms: those that price a MAC; others refuse by name.
    """
    counts = {"mac": float(program.macs)}
    return tuple(
        Entry(
            price(counts, platform, duration_s=None),
            counts,
            None,
            (),
            {},
            tuple(Refusal(term, platform.name, reason) for term, reason in gaps(platform)),
            platform.envelope,
        )
        for platform in platforms
    )


class Ratio(NamedTuple):
    """Energy on one platform over that on another, with all that a reader must know of it."""

    workload: str
    platform: str
    baseline: str
    batch: int  # samples that share a pass on either side
    ratio: float
    low: float | None  # from the ends of both bands; None where one is open
    high: float | None
    boundaries: tuple[str, str]
    evidence: str  # the weakest of any figure in either sum
    hypothetical: bool  # the graph does not fit one of them


def compare(
    entries: Sequence[Entry], baseline: Entry, *, workload: str, batch: int
) -> tuple[Ratio, ...]:
    """Ratios of energy to a baseline; entries that price nothing are left out.

    Raises:
        ValueError: if the baseline prices nothing.
    """
    base = baseline.bill
    if not base.items or not base.joules:
        raise ValueError(f"{base.platform} prices nothing of {workload}, and can be no baseline")
    ratios = ()
    for entry in entries:
        bill = entry.bill
        if not bill.items:
            continue
        over = lambda top, bottom: None if top is None or not bottom else top / bottom
        grades = [EVIDENCE.index(i.constant.evidence) for i in (*bill.items, *base.items)]
        ratios += (
            Ratio(
                workload,
                bill.platform,
                base.platform,
                batch,
                bill.joules / base.joules,
                over(bill.low, base.high),
                over(bill.high, base.low),
                (bill.boundary, base.boundary),
                EVIDENCE[max(grades)],
                bool(entry.violations or baseline.violations),
            ),
        )
    return ratios
