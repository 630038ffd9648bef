"""What each stage from a sentence to an action costs, by both accounts and on chips.

The operation-only account is SpikingBrain's, spikes times one 8-bit addition; ours has accumulator
and memory at 45 nm, and messages, neuron updates and static power on chips.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.claims import Row
from experiments.spike_prices import ADD8, BYTE, EXCLUDED, GPUS, Load, accounts, on_chips
from experiments.workloads import bill
from hw.cost import price
from snn.network import Circuit

# at 45 nm: SpikingBrain's account, ours, and the dense twin by both
OPERATIONS = "spikes, operations alone"
DENSE_OPERATIONS = "dense INT8, operations alone"
OURS, DENSE = "spikes, a weight read an event", "dense INT8"
ACCOUNTS = OPERATIONS, OURS, DENSE_OPERATIONS, DENSE
# terms of a bill that grow with the spikes: all others are there in silence, too
BY_SPIKES = {"accumulate", "weights", "spike", "axon_out", "axon_in", "synaptic_event"}
BY_SPIKES |= {"hop_east", "hop_west", "hop_north", "hop_south", "host_message"}

Price = dict[str, Any]  # stage, name, joules, low, high, source, terms, sends, slots, break_even


def of_sentence(stage: str, load: Load, tokens: float) -> list[Price]:
    """A sentence in the encoder: 45 nm, then chips and GPUs."""
    chips = [
        {"name": e["platform"], **{k: e[k] for k in ("joules", "low", "high", "terms")}} | _told(e)
        for e in on_chips(load)
    ]
    entries = at_45_nm(load, load), chips
    return [priced(stage, e, load, load, tokens) for part in entries for e in part]


def of_circuit(
    stage: str, circuit: Circuit, rasters: Sequence[Mapping[str, np.ndarray]], dense: Load
) -> list[Price]:
    """Recorded spikes of populations: 45 nm, then lowered to chips and priced there.

    Args:
        stage: what the circuit does.
        circuit: what ran.
        rasters: its spikes, a sample each.
        dense: the work of its float twin.
    """
    chips = [
        {"name": e["platform"], **{k: e[k] for k in ("joules", "low", "high")}}
        | {"terms": {i["term"]: [i["joules"], i["constant"]["source"]] for i in e["items"]}}
        | _told(e)
        for e in bill(circuit, list(rasters), int(dense.weights))
        if e["joules"] is not None and "45 nm" not in e["platform"]
    ]
    load = circuit_load(circuit, rasters)
    return [priced(stage, e, load, dense, 1.0) for e in (*at_45_nm(load, dense), *chips)]


def circuit_load(circuit: Circuit, rasters: Sequence[Mapping[str, np.ndarray]]) -> Load:
    """Work of a sample, the mean over rasters."""
    fan_out = {p.name: np.zeros(p.size) for p in circuit.populations}
    for projection in circuit.projections:
        fan_out[projection.source] += np.bincount(
            projection.pre, minlength=fan_out[projection.source].size
        )
    internal = [p for p in circuit.populations if not p.external]
    fired = {n: np.mean([np.abs(r[n]).sum(axis=0) for r in rasters], axis=0) for n in fan_out}
    awake = {n: np.mean([np.any(r[n], axis=0) for r in rasters], axis=0) for n in fan_out}
    over = lambda counts: float(sum(counts[n] @ fan_out[n] for n in fan_out))
    return Load(
        values=float(sum(p.size for p in circuit.populations)),
        outputs=float(sum(p.size for p in internal)),
        weights=float(sum(f.sum() for f in fan_out.values())),
        active=over(awake),
        spikes=float(sum(f.sum() for f in fired.values())),
        events=over(fired),
        steps=len(next(iter(rasters[0].values()))),
        additions=0.0,
        layers=len(circuit.projections),
    )


def dense_load(values: int, outputs: int, products: int, layers: int) -> Load:
    """Work of a float twin that makes so many products."""
    return Load(values, outputs, products, products, 0, 0, 0, 0, layers)


def at_45_nm(spikes: Load, dense: Load) -> list[dict[str, Any]]:
    """Both accounts of the spikes, and of the dense work they replace."""
    table = {a.name: a for a in accounts(spikes) if a.name in (OPERATIONS, OURS)}
    table |= {a.name: a for a in accounts(dense) if a.name in (DENSE_OPERATIONS, DENSE)}
    source = lambda term: BYTE.source if term == "weights" else ADD8.source
    return [
        {
            "name": name,
            "joules": table[name].joules,
            "low": table[name].band[0],
            "high": table[name].band[1],
            "source": ADD8.source if "alone" in name else f"{BYTE.source}; excludes {EXCLUDED}",
            "terms": {term: [joules, source(term)] for term, joules in table[name].terms.items()},
        }
        for name in ACCOUNTS
    ]


def break_even(entry: Mapping[str, Any], spikes: Load, dense: Load) -> dict[str, float]:
    """Spikes an input at which the spikes take what each dense twin does; a twin does not spike.

    What grows with the spikes is scaled, the other terms stay: where they alone take more than the
    twin, no number of spikes is low enough, and 0 is told; beside it stands what the spikes' own
    terms would break even at, as "events alone". Inputs are weighted by their synapses.

    Args:
        entry: a bill, with its terms.
        spikes: the work that it prices.
        dense: the work of the twin.
    """
    alone = "alone" in entry["name"]
    moving = sum(joules for t, (joules, _) in entry["terms"].items() if t in BY_SPIKES)
    if entry["name"].startswith("dense") or "mac" in entry["terms"] or moving == 0:
        return {}
    fixed = sum(joules for joules, _ in entry["terms"].values()) - moving
    names = ("dense INT8, operations alone", "dense FP16, operations alone")
    names = names if alone else ("dense INT8", "dense FP16")
    rivals = {a.name: a.joules for a in accounts(dense) if a.name in names}
    if not alone:
        products = {"mac": dense.weights}
        rivals |= {gpu.name: price(products, gpu, duration_s=None).joules for gpu in GPUS}
    each = spikes.events / spikes.weights / moving
    even = {name: max(0.0, joules - fixed) * each for name, joules in rivals.items()}
    if fixed > 0:
        even |= {f"{name}, events alone": joules * each for name, joules in rivals.items()}
    return even


def price_rows(prices: Sequence[Price]) -> list[Row]:
    """Stage by stage, with band and source."""
    return [
        Row(f"{p['stage']}: {p['name']}", p["joules"], "J", p["source"], p["low"], p["high"])
        for p in prices
    ]


def term_rows(prices: Sequence[Price]) -> list[Row]:
    """Every term of every bill, with its source."""
    return [
        Row(f"{p['name']}: {term.replace('_', ' ')}", joules, "J", source)
        for p in prices
        for term, (joules, source) in p["terms"].items()
    ]


def even_rows(prices: Sequence[Price]) -> list[Row]:
    """Spikes an input, and share of silent slots, at which each platform breaks even."""
    rows = []
    for p in prices:
        for twin, spikes in p["break_even"].items():
            if spikes == 0:
                told = f"never: what it takes in silence is more; it sends {p['sends']:.2f}"
            elif spikes < p["slots"]:
                silent = 1 - spikes / p["slots"]
                told = f"{silent:.2%} of {p['slots']} slots silent; it sends {p['sends']:.2f}"
            else:
                told = f"a spike in every one of {p['slots']} slots; it sends {p['sends']:.2f}"
            label = f"{p['stage']}: {p['name']} breaks even with {twin}"
            rows.append(Row(label, spikes, "spikes/input", told))
    return rows


def _told(entry: Mapping[str, Any]) -> dict[str, str]:
    """What a bill covers, and limits that it breaks."""
    if "remarks" in entry:
        return {"source": "; ".join(entry["remarks"])}
    broken = [] if entry["fits"] else [f"hypothetical, does not fit: {entry['violations'][0]}"]
    return {"source": "; ".join([entry["boundary"], *broken])}


def priced(stage: str, entry: Mapping[str, Any], spikes: Load, dense: Load, times: float) -> Price:
    """A bill of so many samples, and where it breaks even with its twins."""
    scaled = {k: None if entry[k] is None else entry[k] * times for k in ("joules", "low", "high")}
    terms = {term: [joules * times, source] for term, (joules, source) in entry["terms"].items()}
    told = {
        "sends": spikes.events / spikes.weights,
        "slots": spikes.steps,
        "break_even": break_even(entry, spikes, dense),
    }
    return {"stage": stage, **entry, **scaled, "terms": terms, **told}
