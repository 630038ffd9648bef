"""The von Neumann share: joules that move data against joules that compute, for one network."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.claims import Row
from experiments.figures import BLUE, GREEN, ORANGE, VERMILION, panels
from hw.datasheets import CMOS45_FP32, CMOS45_INT8, LOIHI1
from hw.processors import CACHE_1M, CACHE_8K, DRAM

WIDTHS = (784, 512, 512, 10)
WORD = 64  # bits that a price of memory is for
MACHINES = (
    "one at a time, DRAM",
    "batched, DRAM and cache",
    "co-located, dense",
    "co-located, spikes",
)


@dataclass(frozen=True)
class Config:
    """The same layers on machines that differ only in where the weights live.

    Attributes:
        batch: of the batched machine.
        activity: spikes a neuron and step on the spiking machine.
        steps: of its presentation.
        hops: tiles that a message crosses on the co-located machines.
    """

    batch: int = 256
    activity: float = 0.05
    steps: int = 16
    hops: int = 2

    def __post_init__(self):
        for name in ("batch", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.activity <= 1 or self.hops < 0:
            raise ValueError(
                f"activity must lie in (0, 1] and hops from 0 on, got {self.activity}, {self.hops}"
            )


class Result(NamedTuple):
    """Joules of an inference, rows as in MACHINES."""

    compute_j: Float[np.ndarray, " machines"]
    weights_j: Float[np.ndarray, " machines"]  # fetching weights
    signals_j: Float[np.ndarray, " machines"]  # fetching or sending activities
    share: Float[np.ndarray, " machines"]  # of moving
    batches: Float[np.ndarray, " batches"]
    share_of_batch: Float[np.ndarray, " batches"]  # of the machine with DRAM
    share_high: Float[np.ndarray, " batches"]  # with DRAM's dearer figure


def run(config: Config) -> Result:
    """Count words, products and messages, all at the 45 nm prices of one source."""
    rows = np.array([
        _processor(1, DRAM.value),
        _processor(config.batch, DRAM.value),
        _dense_cores(config),
        _spiking_cores(config),
    ])  # fmt: skip
    compute, weights, signals = rows.T
    batches = 2.0 ** np.arange(0, 13)
    share = lambda joules: np.array(
        [1 - r[0] / sum(r) for r in (_processor(float(b), joules) for b in batches)]
    )
    moved = (weights + signals) / rows.sum(axis=1)
    return Result(compute, weights, signals, moved, batches, share(DRAM.value), share(DRAM.high))


def _macs() -> int:
    return sum(a * b for a, b in zip(WIDTHS, WIDTHS[1:], strict=False))


def _read(price, bits: float) -> float:
    """Joules a number of so many bits."""
    return price * bits / WORD


def _processor(batch: float, dram: float) -> tuple[float, float, float]:
    """fp32: each weight from DRAM once a batch and from a 1 MB cache for each sample."""
    macs = _macs()
    compute = macs * CMOS45_FP32.prices["mac"].value
    cached = _read(CACHE_1M.value, 32) if batch > 1 else 0.0
    weights = macs * (_read(dram, 32) / batch + cached)
    signals = 2 * sum(WIDTHS) * _read(CACHE_1M.value, 32)  # written and read once
    return compute, weights, signals


def _dense_cores(config: Config) -> tuple[float, float, float]:
    """int8 weights in 8 KB memories beside the arithmetic; activities cross the mesh as bytes."""
    macs = _macs()
    compute = macs * CMOS45_INT8.prices["mac"].value
    return compute, macs * _read(CACHE_8K.value, 8), sum(WIDTHS[:-1]) * _message(config)


def _spiking_cores(config: Config) -> tuple[float, float, float]:
    """A synapse that a spike reaches is an addition and a weight from 8 KB; spikes are messages."""
    spikes = config.activity * config.steps
    events = _macs() * spikes
    add = CMOS45_INT8.prices["mac"].value / 3  # the 0.1 pJ addition of 0.2 + 0.1 pJ
    return events * add, events * _read(CACHE_8K.value, 8), (
        sum(WIDTHS[:-1]) * spikes * _message(config)
    )  # fmt: skip


def _message(config: Config) -> float:
    """A message that leaves its tile, at Loihi's simulated prices of 14 nm: no others are known."""
    hop = (LOIHI1.prices["hop_east"].value + LOIHI1.prices["hop_north"].value) / 2
    return LOIHI1.prices["axon_out"].value + config.hops * hop


def summary(config: Config, result: Result) -> list[Row]:
    """Shares and sums, with what they stand on."""
    told = "784-512-512-10; Horowitz (2014), 45 nm, recalled; messages Davies et al. (2018), 14 nm"
    rows = []
    for name, compute, share, total in zip(
        MACHINES,
        result.compute_j,
        result.share,
        result.compute_j + result.weights_j + result.signals_j,
        strict=True,
    ):
        rows += [
            Row(f"{name}: share of moving", float(share), "", told),
            Row(f"{name}: energy of an inference", float(total), "J", told),
            Row(f"{name}: of it, arithmetic", float(compute), "J", told),
        ]
    return rows


def figure(result: Result):
    """Moving and computing, 784-512-512-10 at 45 nm.

    a, Energy of an inference by what it is spent on, and the share of moving data. b, That share on
    a machine with DRAM against its batch; the band is the range of published DRAM energies.
    """
    drawing, (a, b) = panels(1, 2, height_mm=62, width_mm=160)
    place, bottom = np.arange(len(MACHINES)), np.full(len(MACHINES), 0.0)
    parts = result.compute_j, result.weights_j, result.signals_j
    names, colours = ("arithmetic", "weights", "activities"), (BLUE, VERMILION, ORANGE)
    for part, name, colour in zip(parts, names, colours, strict=True):
        a.bar(place - 0.25 + 0.25 * names.index(name), part * 1e6, color=colour, label=name,
              width=0.25)  # fmt: skip
        bottom += part
    for x, share, part in zip(place, result.share, np.max(parts, axis=0), strict=True):
        a.text(x, part * 1.6e6, f"{share:.0%}", ha="center", fontsize=6)
    a.set_xticks(place, [name.replace(", ", "\n") for name in MACHINES])
    a.set(ylabel="energy (µJ per inference)", yscale="log", ylim=(1e-3, 3e4))
    a.legend()
    b.fill_between(
        result.batches, result.share_of_batch, result.share_high, color=GREEN, alpha=0.2, lw=0
    )
    b.plot(result.batches, result.share_of_batch, color=GREEN)
    b.set(xlabel="batch", ylabel="share of moving data", xscale="log", ylim=(0.8, 1.005))
    return drawing
