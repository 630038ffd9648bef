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
# whole-chip figures that say how far a workload can be off, but price none
ENVELOPES = (
    *("chips", "chip_neurons", "chip_synapses", "memory", "clock_low", "clock_high"),
    *("typical_power", "peak_power", "idle_power", "peak_rate", "synaptic_rate", "neuron_rate"),
    *("efficiency", "full_load_event", "state_reset", "speed_up"),
    *("workload_power", "workload_energy", "workload_rate", "workload_latency", "workload_ratio"),
)


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

    Messages travel along x, then along y. `source` says what is published of the shape.
    """

    width: int
    height: int
    cores_per_tile: int
    source: str = ""

    def __post_init__(self):
        for axis in ("width", "height", "cores_per_tile"):
            if getattr(self, axis) < 1:
                raise ValueError(f"mesh {axis} must be at least 1, got {self}")

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
        inputs: external neurons, of the whole chip.
        synapses: a core.
        targets: synapses from a neuron.
        spikes_per_step: of a neuron; binary neurons need one.
        weight_bits, state_bits, activation_bits: widths of numbers; see `hw.quantise`.
        boundless: limits that a chip does not have, with the reason.
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
    inputs: Constant | None = None
    synapses: Constant | None = None
    targets: Constant | None = None
    spikes_per_step: Constant | None = None
    weight_bits: Constant | None = None
    state_bits: Constant | None = None
    activation_bits: Constant | None = None
    boundless: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for name in self.boundless:
            if name not in LIMITS:
                raise ValueError(f"boundless {name!r}: a limit must be one of {LIMITS}")
            if getattr(self, name) is not None:
                raise ValueError(f"limit {name!r} is both given and called boundless")


NOT_LIMITS = {"synapse_format", "learns", "boundless"}
LIMITS = tuple(f.name for f in fields(Capacity) if f.name not in NOT_LIMITS)


@dataclass(frozen=True)
class Tick:
    """A clock of fixed period: real-time chips wait for it, whatever they have to do."""

    period: Constant

    def __post_init__(self):
        _check_unit(self.period, "s")

    def seconds(self, ledger: Ledger, tiles: int) -> Float[np.ndarray, " steps"]:
        """Duration of each step, the same whatever the ledger says."""
        return np.full(len(ledger.spike), float(self.period.value))

    def gaps(self) -> tuple[str, ...]:
        """Nothing is missing from a fixed period."""
        return ()

    def known(self, tiles: int) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class Serial:
    """Cores work through their events one by one and then wait for the slowest.

    A core serves its neurons and its messages side by side. Messages do not queue in the mesh, so
    that times are lower bounds.

    Attributes:
        send: seconds by event kind, for what a core does to its neurons.
        receive: seconds by event kind, for what it does with messages.
        barrier: seconds by number of tiles in use; the largest key not above it counts.
        instant: kinds that take no time of their own, with the reason.
        breakpoints: keys that the barrier should have; those it has, unless given.

    Source: the simple timing model of SANA-FE, Boyle et al. (2025), IEEE TCAD 44(8):3165-3178.
    """

    send: Mapping[str, Constant]
    receive: Mapping[str, Constant]
    barrier: Mapping[int, Constant] = field(default_factory=dict)
    instant: Mapping[str, str] = field(default_factory=dict)
    breakpoints: tuple[int, ...] = ()

    def __post_init__(self):
        if not self.breakpoints:
            object.__setattr__(self, "breakpoints", tuple(sorted(self.barrier)))
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
        return slowest + self._barrier(tiles)

    def gaps(self) -> tuple[str, ...]:
        """Kinds whose time is neither published nor excused, and steps that the barrier lacks."""
        known = {*self.send, *self.receive, *self.instant}
        kinds = tuple(k for k in EVENTS if k not in known and k != "barrier")
        barrier = () if self.barrier or "barrier" in self.instant else ("barrier",)
        missing = (k for k in self.breakpoints if k not in self.barrier)
        return kinds + barrier + tuple(f"barrier from {key} tiles" for key in missing)

    def known(self, tiles: int) -> bool:
        """Whether the barrier of so many tiles is."""
        keys = [key for key in self.breakpoints if key <= tiles]
        return not keys or max(keys) in self.barrier

    def _barrier(self, tiles: int) -> float | int:
        keys = [key for key in self.breakpoints if key <= tiles]
        if not self.known(tiles):
            raise ValueError(f"no published barrier for {tiles} tiles, from {max(keys)} on")
        return self.barrier[max(keys)].value if keys else 0.0


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
        management: power of processors beside the cores while these work, in W.
        warning: what its boundary leaves out though it is known to matter.
        envelope: whole-chip figures by name, of ENVELOPES: printed beside a bill, never in it.
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
    envelope: Mapping[str, Constant] = field(default_factory=dict)
    management: Constant | None = None
    warning: str = ""

    def __post_init__(self):
        if odd := set(self.envelope) - set(ENVELOPES):
            raise ValueError(f"{self.name}: envelope {sorted(odd)} is not one of {ENVELOPES}")
        for kind in (*self.prices, *self.absorbed):
            if kind not in KINDS:
                raise ValueError(f"{self.name}: price of {kind!r}, kind must be one of {KINDS}")
        if both := set(self.prices) & set(self.absorbed):
            raise ValueError(f"{self.name}: {sorted(both)} are both priced and absorbed")
        for constant in self.prices.values():
            _check_unit(constant, "J")
        for power in (self.static, self.management):
            if power is not None:
                _check_unit(power, "W")
        whole = [c for c in self.prices.values() if c.aggregate]
        if whole and (len(self.prices) > 1 or self.static is not None):
            raise ValueError(
                f"{self.name}: {whole[0].quantity!r} is total power over rate and holds all "
                "other costs already; it must be the only price, without static power"
            )


def gaps(platform: Platform) -> tuple[tuple[str, str], ...]:
    """Every term that a platform neither states nor excuses: its name, and what follows.

    Nothing is filled in: a price that is missing is refused on a bill, a limit that is missing is
    not checked, an envelope that is missing is not told.
    """
    found = [
        (kind, "cannot be priced")
        for kind in KINDS
        if kind not in platform.prices and kind not in platform.absorbed
    ]
    if platform.static is None and not platform.absorbed_static:
        found.append(("static", "cannot be priced"))
    if platform.management is None:
        found.append(("management", "cannot be priced"))
    if platform.clock is None:
        found.append(("time", "no clock is published"))
    else:
        found += [(f"time of {k}", "left out of durations") for k in platform.clock.gaps()]
    found += [
        (f"limit of {name}", "not checked")
        for name in LIMITS
        if getattr(platform.capacity, name) is None and name not in platform.capacity.boundless
    ]
    found += [(name, "not told") for name in ENVELOPES if name not in platform.envelope]
    return tuple(found)


def _check_unit(constant: Constant, unit: str):
    if constant.unit != unit:
        raise ValueError(f"{constant.quantity!r} must be in {unit}, got {constant.unit}")
