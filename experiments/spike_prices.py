"""What the spikes of a converted network cost, by two accounts, beside the dense work they replace.

The operation-only account counts spikes times one 8-bit addition, as SpikingBrain does. Ours adds
the width of the accumulator, the doublings of bit-serial sums, the float side before the threshold,
memory, messages and static power; what no source prices is refused by name.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from hw.cost import Bill, price
from hw.datasheets import A100, H100, LOIHI1, LOIHI1_SANAFE, SPINNAKER1, SPINNAKER2, TRUENORTH, V100
from hw.platforms import Constant, Platform, Serial, Tick
from snn.transformer import Encoder, LayerSent

_horowitz = partial(
    Constant,
    node="45 nm, 0.9 V",
    evidence="estimated",
    source="Horowitz (2014), ISSCC, Computing's energy problem, fig. 1.1.9; as cited in later work",
)
ADD8, ADD32 = _horowitz(0.03e-12, "J", "int8 add"), _horowitz(0.1e-12, "J", "int32 add")
MULTIPLY8 = _horowitz(0.2e-12, "J", "int8 multiply")
ADD16, MULTIPLY16 = _horowitz(0.4e-12, "J", "fp16 add"), _horowitz(1.1e-12, "J", "fp16 multiply")
BYTE = _horowitz(
    2.5e-12,
    "J",
    "one byte of a 64-bit read, cache of 32 KB",
    evidence="derived",
    source=ADD8.source + ": 20 pJ / 8 bytes; band: 10 pJ (8 KB) to 100 pJ (1 MB)",
    low=1.25e-12,
    high=12.5e-12,
)
EXCLUDED = "routing, activations' memory and leakage: no published figure in the 45 nm account"
CHIPS = LOIHI1, LOIHI1_SANAFE, TRUENORTH, SPINNAKER1, SPINNAKER2
GPUS = V100, A100, H100


class Load(NamedTuple):
    """Work of one token in the linear layers of a network; sums over the layers."""

    values: float  # sent by neurons before the layers
    outputs: float
    weights: float  # input-output pairs
    active: float  # of them, those whose input is not silent
    spikes: float  # of the neurons
    events: float  # synapses that spikes reach
    steps: int  # of the code
    additions: float  # of the rotation before the thresholds, in floating point
    layers: int  # that wait for one another


def token_load(
    network: Encoder, sent: tuple[LayerSent, ...], mask: Bool[np.ndarray, "sentences tokens"]
) -> Load:
    """Work of one token of a converted encoder, the mean over sentences.

    Args:
        network: the encoder that ran.
        sent: what its populations sent, with a leading axis of sentences.
        mask: true where there is a token.
    """
    tokens, populations, largest = int(mask.sum()), [], 0
    for layer, told in zip(network.layers, sent, strict=True):
        for site in told._fields:
            counts = np.abs(np.asarray(getattr(told, site).counts)[mask])
            largest = max(largest, int(counts.max()))
            projection = getattr(layer, site)
            outputs = projection.bias.shape[0]
            spikes = np.sum(np.bitwise_count(counts)) / tokens
            rotation = projection.rotation
            populations.append(
                {
                    "values": counts.shape[1],
                    "outputs": outputs,
                    "weights": counts.shape[1] * outputs,
                    "active": np.count_nonzero(counts) / tokens * outputs,
                    "spikes": spikes,
                    "events": spikes * outputs,
                    "additions": 0 if rotation is None else rotation.additions,
                }
            )
    total = {name: float(sum(p[name] for p in populations)) for name in populations[0]}
    return Load(**total, steps=largest.bit_length(), layers=len(populations))


class Account(NamedTuple):
    """Joules of one token."""

    name: str
    terms: dict[str, float]

    @property
    def joules(self) -> float:
        """Sum of the terms."""
        return sum(self.terms.values())

    @property
    def band(self) -> tuple[float, float]:
        """The sum with the cheapest and the dearest memory."""
        read = self.terms.get("weights", 0.0)
        ends = (read * end / BYTE.value for end in (BYTE.low, BYTE.high))
        return tuple(self.joules - read + end for end in ends)


def accounts(load: Load) -> tuple[Account, ...]:
    """The spikes at 45 nm by both accounts, and the dense work of their twins.

    A product of an 8-bit weight with an activation of b bits is taken at b / 8 of an 8-bit
    multiplication, as the rows of an array multiplier go. A dense network reads every weight once a
    token; spikes read a weight at every event, or, with its row held, once a token if at all.
    """
    scales = {"thresholds and scales": (2 * load.values + load.outputs) * MULTIPLY16.value}
    rotation = {"rotation": load.additions * ADD16.value} if load.additions else {}
    spiking = {
        "accumulate": load.events * ADD32.value,
        "doublings": load.steps * load.outputs * ADD32.value,
        **scales,
        **rotation,
    }

    def dense(bits: int, **more: float) -> dict[str, float]:
        multiply = load.weights * MULTIPLY8.value * bits / 8
        read = load.weights * BYTE.value
        add = load.weights * ADD32.value
        return {"multiply": multiply, "accumulate": add, "weights": read, **scales, **more}

    half = {
        "multiply": load.weights * MULTIPLY16.value,
        "accumulate": load.weights * ADD16.value,
    }
    bare = {
        "multiply": load.weights * MULTIPLY8.value,
        "accumulate": load.weights * ADD8.value,
    }
    twin = load.steps + 1  # bits of the largest count and of its sign
    return (
        Account("spikes, operations alone", {"accumulate": load.events * ADD8.value}),
        Account("dense INT8, operations alone", bare),
        Account("dense FP16, operations alone", half),
        Account("spikes, a weight read an event", spiking | _reads(load.events)),
        Account("spikes, a weight read a token", spiking | _reads(load.active)),
        Account(f"dense INT{twin}, the same function", dense(twin, **rotation)),
        Account("dense INT8", dense(8)),
        Account("dense FP16", half | _reads(2 * load.weights)),
    )


def _reads(count: float) -> dict[str, float]:
    return {"weights": count * BYTE.value}


def break_even(load: Load) -> dict[str, float]:
    """Spikes an input at which the spikes cost, at 45 nm, what each dense twin does.

    By operations alone, and with all that is counted, a weight being read at every event.
    """
    table = {account.name: account for account in accounts(load)}
    found = {}
    for name in ("dense INT8", "dense FP16"):
        joules = table[f"{name}, operations alone"].joules
        found[f"{name}, operations alone"] = joules / (load.weights * ADD8.value)
    event = ADD32.value + BYTE.value
    ours = table["spikes, a weight read an event"].joules
    for name, account in table.items():
        if name.startswith("dense") and "alone" not in name:
            fixed = ours - load.events * event
            found[name] = (account.joules - fixed) / (load.weights * event)
    return found


def on_chips(load: Load) -> list[dict[str, Any]]:
    """Joules a token on each platform that prices synaptic events or products, as plain data.

    Where `break_even` is zero, neuron updates and static power alone cost more than the dense work;
    what messages and synapses would break even at is told beside it, as "events alone".

    Each spike sends a message to each core that holds synapses of its layer, and weights fill as
    few cores as their memory allows; hops depend on a placement and are left out. Time is the
    clock's period, or else a barrier each step and events shared evenly by the cores. All these are
    lower bounds, and so is static energy. A GPU does the dense work: what it prices is products.
    """
    return [_on_chip(load, p) for p in CHIPS] + [_dense(load, p) for p in GPUS]


def _on_chip(load: Load, platform: Platform) -> dict[str, Any]:
    cores, limits = _cores(load, platform)
    chips = -(-cores // platform.mesh.cores) if platform.mesh else 1
    messages = load.spikes * max(1.0, cores / load.layers)
    updates = load.steps * load.outputs
    counts = {
        "soma_access": updates,
        "neuron_update": updates,
        "spike": load.spikes,
        "axon_out": messages,
        "axon_in": messages,
        "synaptic_event": load.events,
    }
    seconds = _seconds(load, platform, cores)
    bill = price(counts, platform, duration_s=None if seconds is None else chips * seconds)
    by_event = ("spike", "axon_out", "axon_in", "synaptic_event")
    moving = sum(item.joules for item in bill.items if item.term in by_event) / load.events
    fixed = bill.joules - moving * load.events
    rivals = {account.name: account.joules for account in accounts(load)}
    rivals = {name: rivals[name] for name in ("dense INT8", "dense FP16")}
    rivals |= {gpu.name: _dense(load, gpu)["joules"] for gpu in GPUS}
    spikes = lambda joules: max(0.0, joules) / (moving * load.weights)
    even = {name: spikes(joules - fixed) for name, joules in rivals.items()}
    even |= {f"{name}, events alone": spikes(joules) for name, joules in rivals.items()}
    size = f"{cores} cores on {chips} chips or more" if platform.mesh else "size not published"
    return _entry(bill, [size, *limits], seconds, even)


def _dense(load: Load, platform: Platform) -> dict[str, Any]:
    return _entry(price({"mac": load.weights}, platform, duration_s=None), ["dense"], None, {})


def _entry(bill: Bill, remarks: list[str], seconds: float | None, even: dict[str, float]):
    return {
        "platform": bill.platform,
        "joules": bill.joules,
        "low": bill.low,
        "high": bill.high,
        "seconds": seconds,
        "terms": {item.term: [item.joules, item.constant.source] for item in bill.items},
        "remarks": [*remarks, bill.boundary, *bill.notes],
        "break_even": even,
    }


def _cores(load: Load, platform: Platform) -> tuple[int, list[str]]:
    """Fewest cores that hold the weights, and limits that they break whatever the number."""
    capacity, weights = platform.capacity, int(load.weights)
    limits = []
    if (levels := capacity.weight_levels) is not None:
        limits.append(f"hypothetical: {levels.value} different weights a neuron, not 255")
    if capacity.synapse_bits is not None and capacity.synapse_format is not None:
        return -(-capacity.synapse_format.bits(weights) // capacity.synapse_bits.value), limits
    if capacity.neurons is not None and capacity.input_axons is not None:
        return -(-weights // (capacity.neurons.value * capacity.input_axons.value)), limits
    return 1, limits


def _seconds(load: Load, platform: Platform, cores: int) -> float | None:
    clock, steps = platform.clock, load.steps * load.layers
    if isinstance(clock, Tick):
        return steps * clock.period.value
    if isinstance(clock, Serial):
        barrier = clock.barrier[max(clock.barrier)].value
        return steps * barrier + load.events / cores * clock.receive["synaptic_event"].value
    return None
