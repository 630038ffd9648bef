"""What a platform is: cited constants, the limits of its cores, its prices and its clock."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Float

from hw.ledger import Ledger

# how a figure came about, from silicon to desk
EVIDENCE = ("measured", "simulated", "datasheet", "derived", "estimated")
# what can be priced: events of the ledger, and multiply-accumulates of a dense twin;
# zero-weight events are synaptic events already
EVENTS = tuple(k for k in Ledger._fields if k != "zero_weight_event")
KINDS = (*EVENTS, "mac")


@dataclass(frozen=True)
class Constant:
    """One published figure.

    Attributes:
        value: in `unit`.
        unit: SI.
        quantity: what it is, in the words of the source.
        node: process and supply voltage.
        evidence: one of EVIDENCE.
        source: publication and table; for derived figures the arithmetic too.
        low, high: band as the source states it; None where none is published.
        aggregate: total power over rate at one operating point, not the cost of one more event.
    """

    value: float | int
    unit: str
    quantity: str
    node: str
    evidence: str
    source: str
    low: float | None = None
    high: float | None = None
    aggregate: bool = False

    def __post_init__(self):
        for name in ("unit", "quantity", "node", "source"):
            if not getattr(self, name):
                raise ValueError(f"constant {self.quantity!r}: {name} is missing")
        if self.evidence not in EVIDENCE:
            raise ValueError(
                f"constant {self.quantity!r}: evidence must be one of {EVIDENCE}, "
                f"got {self.evidence!r}"
            )
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        if not (math.isfinite(self.value) and 0 <= low <= self.value <= high):
            raise ValueError(
                f"constant {self.quantity!r}: 0 <= low <= value <= high is needed, "
                f"got {self.low}, {self.value}, {self.high}"
            )


@dataclass(frozen=True)
class Mesh:
    """Tiles in a grid, numbered down a column first: tile t is at x = t // height, y = t % height.

    Messages travel along x, then along y.
    """

    width: int
    height: int
    cores_per_tile: int

    def __post_init__(self):
        for axis in fields(self):
            if getattr(self, axis.name) < 1:
                raise ValueError(f"mesh {axis.name} must be at least 1, got {self}")

    @property
    def cores(self) -> int:
        """Cores on the mesh."""
        return self.width * self.height * self.cores_per_tile


@dataclass(frozen=True)
class SynapseFormat:
    """How a core stores synapses: per axon, blocks with a header, padded to memory words.

    Attributes:
        weight_bits, index_bits: of each synapse.
        header_bits, block: of each block, and most synapses in it.
        word_bits: a block takes whole words.
        source: where the format is described.
    """

    weight_bits: int
    index_bits: int
    header_bits: int
    block: int
    word_bits: int
    source: str

    def bits(self, synapses):
        """Memory of axons with so many synapses each: the same shape, in bits."""
        full, rest = synapses // self.block, synapses % self.block
        return full * self._words(self.block) + (rest > 0) * self._words(rest)

    def _words(self, synapses):
        bits = self.header_bits + synapses * (self.weight_bits + self.index_bits)
        return -(-bits // self.word_bits) * self.word_bits


@dataclass(frozen=True)
class Capacity:
    """Limits that a mapped graph must keep; None where a chip has no such limit or none is known.

    Attributes:
        neurons, input_axons, output_axons, synapse_bits: a core.
        synapse_format: how synapses fill `synapse_bits`.
        fan_in: synapses onto a neuron.
        fan_out: cores that a neuron can reach.
        weight_levels: different non-zero weights onto a neuron.
        delay_steps: longest synaptic delay.
        learns: synapses can be plastic by pair traces.
    """

    neurons: Constant | None = None
    input_axons: Constant | None = None
    output_axons: Constant | None = None
    synapse_bits: Constant | None = None
    synapse_format: SynapseFormat | None = None
    fan_in: Constant | None = None
    fan_out: Constant | None = None
    weight_levels: Constant | None = None
    delay_steps: Constant | None = None
    learns: bool = False


@dataclass(frozen=True)
class Tick:
    """A clock of fixed period: real-time chips wait for it, whatever they have to do."""

    period: Constant

    def __post_init__(self):
        _check_unit(self.period, "s")

    def seconds(self, ledger: Ledger, tiles: int) -> Float[np.ndarray, " steps"]:
        """Duration of each step, the same whatever the ledger says."""
        return np.full(len(ledger.spike), float(self.period.value))


@dataclass(frozen=True)
class Serial:
    """Cores work through their events one by one and then wait for the slowest.

    A core serves its neurons and its messages side by side. Messages do not queue in the mesh, so
    that times are lower bounds.

    Attributes:
        send: seconds by event kind, for what a core does to its neurons.
        receive: seconds by event kind, for what it does with messages.
        barrier: seconds by number of tiles in use; the largest key not above it counts.

    Source: the simple timing model of SANA-FE, Boyle et al. (2025), IEEE TCAD 44(8):3165-3178.
    """

    send: Mapping[str, Constant]
    receive: Mapping[str, Constant]
    barrier: Mapping[int, Constant] = field(default_factory=dict)

    def __post_init__(self):
        for kind, constant in (*self.send.items(), *self.receive.items()):
            if kind not in EVENTS:
                raise ValueError(f"latency of {kind!r}: kind must be one of {EVENTS}")
            _check_unit(constant, "s")
        for constant in self.barrier.values():
            _check_unit(constant, "s")

    def seconds(self, ledger: Ledger, tiles: int) -> Float[np.ndarray, " steps"]:
        """Duration of each step of a ledger of shape (steps, cores), with `tiles` in use."""
        counts, slowest = ledger._asdict(), np.zeros(len(ledger.spike))
        for latency in (self.send, self.receive):
            for_core = [c.value * counts[kind] for kind, c in latency.items()]
            slowest = np.maximum(slowest, np.max(sum(for_core, np.zeros_like(slowest)[:, None]), 1))
        keys = [key for key in self.barrier if key <= tiles]
        return slowest + (self.barrier[max(keys)].value if keys else 0.0)


@dataclass(frozen=True)
class Platform:
    """A chip, or an account of one, under one set of figures.

    Attributes:
        name: of chip and calibration.
        boundary: what the prices cover, and what they leave out.
        prices: joules by kind, of KINDS.
        absorbed: kinds that another figure already covers, with the reason.
        static: power drawn whatever happens, in W.
        absorbed_static: why there is no static power to add, if that is so.
        clock: how long a step takes.
        mesh: where its cores are; None for what is not made of cores.
        capacity: their limits.
        refusal: why it cannot be priced at all, if that is so.
    """

    name: str
    boundary: str
    prices: Mapping[str, Constant] = field(default_factory=dict)
    absorbed: Mapping[str, str] = field(default_factory=dict)
    static: Constant | None = None
    absorbed_static: str = ""
    clock: Tick | Serial | None = None
    mesh: Mesh | None = None
    capacity: Capacity = Capacity()
    refusal: str = ""

    def __post_init__(self):
        for kind in (*self.prices, *self.absorbed):
            if kind not in KINDS:
                raise ValueError(f"{self.name}: price of {kind!r}, kind must be one of {KINDS}")
        if both := set(self.prices) & set(self.absorbed):
            raise ValueError(f"{self.name}: {sorted(both)} are both priced and absorbed")
        for constant in self.prices.values():
            _check_unit(constant, "J")
        if self.static is not None:
            _check_unit(self.static, "W")
        whole = [c for c in self.prices.values() if c.aggregate]
        if whole and (len(self.prices) > 1 or self.static is not None):
            raise ValueError(
                f"{self.name}: {whole[0].quantity!r} is total power over rate and holds all "
                "other costs already; it must be the only price, without static power"
            )


def _check_unit(constant: Constant, unit: str):
    if constant.unit != unit:
        raise ValueError(f"{constant.quantity!r} must be in {unit}, got {constant.unit}")
