"""What the main job's spikes and their dense twins cost, platform by platform, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from experiments.claims import Row
from experiments.digit_learners import WIDTHS
from fep.predictive_coding.network import PCNetwork
from hw.cost import price
from hw.datasheets import CMOS45_FP32, CMOS45_INT8, H100, LOIHI1, LOIHI1_SANAFE, TRUENORTH
from hw.lower import lower, lower_raster
from hw.placement import by_traffic
from hw.report import Entry, account, as_json
from snn.network import Circuit
from snn.spiking_beliefs import Cycle, SpikingBelief
from snn.spiking_beliefs import circuit as belief_circuit
from snn.spiking_beliefs import raster as belief_raster
from snn.spiking_pc import SpikingPC, Trial, circuit, raster

SPIKING = (LOIHI1, LOIHI1_SANAFE, TRUENORTH)
DENSE = (CMOS45_INT8, CMOS45_FP32, H100)
SAMPLES = 16  # digits, and decisions, over which joules are averaged

Account = list[dict[str, Any]]  # as `hw.report.as_json` gives it


def digits_account(
    populations: SpikingPC, inputs: np.ndarray, targets: np.ndarray
) -> tuple[dict[str, Account], dict[str, np.ndarray]]:
    """Bills of recognising and of learning a digit, and the spikes of the first one learnt.

    Recognising is the feed-forward sweep alone: values tell the layer above, no error fires, the
    weights are held. Learning is a whole trial, with every synapse updated by its own spikes.

    Args:
        populations: the trained network.
        inputs: digits, shape (n, 64).
        targets: their one-hot labels, shape (n, 10).
    """
    trials = jax.vmap(populations)(jnp.asarray(inputs), jnp.asarray(targets))
    trials = jax.tree.map(np.asarray, trials)
    rasters = [raster(_nth(trials, i)) for i in range(len(inputs))]
    sweep = len(WIDTHS[1:]) * populations.code.halvings
    feed_forward = [{name: train[:sweep] for name, train in r.items()} for r in rasters]
    learning = circuit(populations.network)
    macs = dense_macs(populations.network)
    bills = {
        "recognising a digit": bill(held(learning), feed_forward, macs),
        # forward once; then a step of inference is W and its transpose, the update one more
        "learning a digit": bill(learning, rasters, macs * (2 * populations.steps + 2)),
    }
    return bills, rasters[0]


def belief_account(
    beliefs: SpikingBelief, cycles: Sequence[tuple[Cycle, tuple[Int[Array, ""], ...], int]]
) -> dict[str, Account]:
    """Bill of the belief behind one decision; choosing among policies is not on the chip.

    Args:
        beliefs: the populations that ran.
        cycles: what they did, the outcomes that drove them, and the action before.
    """
    rasters = [belief_raster(beliefs, *cycle) for cycle in cycles]
    states = beliefs.prior.shape[0]
    macs = states * states + states * len(beliefs.likelihoods)
    return {"a belief in the T-maze": bill(belief_circuit(beliefs), rasters, macs)}


def bill(ran: Circuit, rasters: list[dict[str, np.ndarray]], macs: int) -> Account:
    """Recorded spikes of a circuit on spiking chips, and so many products on dense machines."""
    lowered = [lower_raster(ran, r) for r in rasters]
    spiking = account(lower(ran), lowered, SPIKING, place=by_traffic)
    counts = {"mac": macs}
    dense = [
        Entry(price(counts, platform, duration_s=None), counts, None, (), {}) for platform in DENSE
    ]
    return as_json((*spiking, *dense))


def dense_macs(network: PCNetwork) -> int:
    """Multiply-accumulates of one dense feed-forward pass."""
    return sum(layer.weight.size for layer in network.layers)


def energy_rows(accounts: Mapping[str, Account]) -> list[Row]:
    """One row a workload and platform: joules, band, and what they cover."""
    return [
        Row(
            f"{workload} · {entry['platform']}",
            entry["joules"],
            "J",
            _boundary(entry),
            entry["low"],
            entry["high"],
        )
        for workload, account in accounts.items()
        for entry in account
        if entry["joules"] is not None
    ]


def bill_rows(account: Account) -> list[Row]:
    """Every term of every bill of a workload, with its evidence and source; and what is refused."""
    told = []
    for entry in account:
        for item in (item for item in entry["items"] if item["count"]):
            constant = item["constant"]
            count = f"{item['count']:.4g} {'s' if item['term'] == 'static' else 'events'}"
            each = f"{constant['value']:.3g} {constant['unit']}"
            source = f"{count} at {each}; {constant['evidence']}: {constant['source']}"
            label = f"{entry['platform']}: {item['term'].replace('_', ' ')}"
            told.append(Row(label, item["joules"], "J", source, item["low"], item["high"]))
        for note in (*entry["notes"], *entry["violations"]):
            told.append(Row(f"{entry['platform']}: note", None, "", note))
    return told


def _boundary(entry: dict[str, Any]) -> str:
    fits = "" if entry["fits"] else "; hypothetical, it does not fit: " + entry["violations"][0]
    return entry["boundary"] + fits


def held(learning: Circuit) -> Circuit:
    """The same circuit with its weights held."""
    held = (replace(projection, plastic=False) for projection in learning.projections)
    return Circuit(learning.populations, tuple(held))


def _nth(trials: Trial, i: int) -> Trial:
    return jax.tree.map(lambda a: a[i], trials)
