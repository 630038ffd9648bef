"""What each stage from a sentence to an action costs, by both accounts and on chips."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.claims import Row
from experiments.spike_prices import ADD8, BYTE, EXCLUDED, Load, accounts, on_chips
from experiments.workloads import bill
from snn.network import Circuit

# at 45 nm: SpikingBrain's account, ours, and the dense twin by both
OPERATIONS = "spikes, operations alone"
DENSE_OPERATIONS = "dense INT8, operations alone"
OURS, DENSE = "spikes, a weight read an event", "dense INT8"
ACCOUNTS = OPERATIONS, OURS, DENSE_OPERATIONS, DENSE

Price = dict[str, Any]  # stage, name, joules, low, high, source


def of_sentence(stage: str, load: Load, tokens: float) -> list[Price]:
    """A sentence in the encoder: 45 nm, then chips and GPUs."""
    chips = [
        {"name": e["platform"], **{k: e[k] for k in ("joules", "low", "high")}} | _told(e)
        for e in on_chips(load)
    ]
    return [_scaled(stage, entry, tokens) for entry in (*at_45_nm(load, load), *chips)]


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
        {"name": e["platform"], **{k: e[k] for k in ("joules", "low", "high")}} | _told(e)
        for e in bill(circuit, list(rasters), int(dense.weights))
        if e["joules"] is not None and "45 nm" not in e["platform"]
    ]
    return [
        _scaled(stage, e, 1.0) for e in (*at_45_nm(circuit_load(circuit, rasters), dense), *chips)
    ]


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
    return [
        {
            "name": name,
            "joules": table[name].joules,
            "low": table[name].band[0],
            "high": table[name].band[1],
            "source": ADD8.source if "alone" in name else f"{BYTE.source}; excludes {EXCLUDED}",
        }
        for name in ACCOUNTS
    ]


def price_rows(prices: Sequence[Price]) -> list[Row]:
    """Stage by stage, with band and source."""
    return [
        Row(f"{p['stage']}: {p['name']}", p["joules"], "J", p["source"], p["low"], p["high"])
        for p in prices
    ]


def _told(entry: Mapping[str, Any]) -> dict[str, str]:
    """What a bill covers, and limits that it breaks."""
    if "remarks" in entry:
        return {"source": "; ".join(entry["remarks"])}
    broken = [] if entry["fits"] else [f"hypothetical, does not fit: {entry['violations'][0]}"]
    return {"source": "; ".join([entry["boundary"], *broken])}


def _scaled(stage: str, entry: Mapping[str, Any], times: float) -> Price:
    scaled = {k: None if entry[k] is None else entry[k] * times for k in ("joules", "low", "high")}
    return {"stage": stage, **entry, **scaled}
