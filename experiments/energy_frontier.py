"""Where spikes win: energy of a dense GPU over that of a spiking chip, by activity and batch."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.claims import Row
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, VERMILION, panels
from hw.cost import price
from hw.datasheets import H100, LOIHI1, LOIHI1_X86
from hw.events import Activity, Counter
from hw.graph import Edge, Graph, Node
from hw.mapping import index_order, tiles
from hw.platforms import Constant

WIDTHS = (784, 512, 512, 10)
BANDWIDTH = Constant(
    3.35e12,
    "B/s",
    "HBM3 bandwidth",
    node="4N",
    evidence="datasheet",
    source="NVIDIA datasheets; recalled, not re-read",
)
BYTES = 2  # of a bf16 weight
# published ratios of energy, each with what was compared; none is a network of ours
PUBLISHED = (
    (110.0, "Quadro K4000 / Loihi 1", "keyword spotting, batch 1, idle subtracted; measured"),
    (250.0, "Jetson Orin Nano / Loihi 2", "delay networks on speech, up to; measured, abstract"),
    (25.0, "12 nm GPU / NorthPole", "ResNet-50, frames per joule; measured, dense, no spikes"),
    (5.0, "H100 / Hala Point", "peak int8 per watt, at 10:1 sparsity; data sheets"),
)
ACCOUNTS = ("events alone", "with static power", "with static power and x86 cores")


@dataclass(frozen=True)
class Config:
    """A multilayer network of 674,816 weights, as spikes on Loihi 1 and as products on an H100.

    Attributes:
        steps: of a presentation on the chip; the GPU does one dense pass.
        lowest: activity at which the sweep begins: spikes a neuron and step.
        points: of the sweep, up to one spike a step.
    """

    steps: int = 16
    lowest: float = 0.0003
    points: int = 40

    def __post_init__(self):
        if self.steps < 1 or self.points < 2:
            raise ValueError(f"steps and points must be positive, got {self.steps}, {self.points}")
        if not 0 < self.lowest < 1:
            raise ValueError(f"lowest must lie in (0, 1), got {self.lowest}")


class Result(NamedTuple):
    """Joules of one inference."""

    activity: Float[np.ndarray, " points"]
    chip_j: Float[np.ndarray, "accounts points"]  # rows as in ACCOUNTS
    batch: Float[np.ndarray, " batches"]
    gpu_j: Float[np.ndarray, " batches"]


def run(config: Config) -> Result:
    """Price the expected ledger at every activity, and the GPU's roofline at every batch."""
    graph = _graph()
    placement = index_order(graph, LOIHI1)
    counter, used = Counter(graph, placement, LOIHI1.mesh), tiles(LOIHI1.mesh, placement)
    activity = np.geomspace(config.lowest, 1.0, config.points)
    chip = np.array([_chip(config, counter, float(a), used) for a in activity]).T
    batch = 2.0 ** np.arange(0, 13, 2)
    return Result(activity, chip, batch, np.array([_gpu(float(b)) for b in batch]))


def _graph() -> Graph:
    nodes = tuple(Node(f"layer{i}", n, external=i == 0) for i, n in enumerate(WIDTHS))
    edges = ()
    for a, b in zip(nodes, nodes[1:], strict=False):
        pre, post = (x.ravel() for x in np.indices((a.size, b.size)))
        edges += (Edge(a.name, b.name, pre, post, np.ones(pre.size)),)
    return Graph(nodes, edges)


def _chip(config: Config, counter: Counter, activity: float, used: int) -> list[float]:
    """Expected joules of a presentation: events, then with static power, then with x86 cores."""
    rates = jnp.full(sum(WIDTHS), activity)
    ledger = counter(Activity(rates, jnp.ones_like(rates)))
    counts = {k: float(np.sum(c)) * config.steps for k, c in ledger._asdict().items()}
    counts = {k: c for k, c in counts.items() if k in LOIHI1.prices}
    one = type(ledger)(*(np.asarray(c)[None] for c in ledger))
    seconds = float(LOIHI1.clock.seconds(one, used)[0]) * config.steps
    bills = [price(counts, LOIHI1, duration_s=None)]
    bills += [price(counts, platform, duration_s=seconds) for platform in (LOIHI1, LOIHI1_X86)]
    return [float(bill.joules) for bill in bills]


def _gpu(batch: float) -> float:
    """Peak power for as long as products or weights take, whichever is longer.

    The weights are read once a batch, so that small batches wait for memory. Kernels that start
    late only add to this time, and idle units only lessen the power: no measurement is at hand.
    """
    macs = sum(a * b for a, b in zip(WIDTHS, WIDTHS[1:], strict=False))
    power, peak = H100.envelope["peak_power"].value, H100.envelope["peak_rate"].value
    compute = 2 * macs / peak
    return power * max(compute, macs * BYTES / BANDWIDTH.value / batch)


def break_even(result: Result, account: int, batch: int) -> float:
    """Activity at which the chip costs as much as the GPU; NaN where it never does."""
    ratio = result.gpu_j[batch] / result.chip_j[account]
    if not (ratio[0] > 1 > ratio[-1]):
        return float("nan")
    logs = np.log(ratio), np.log(result.activity)
    return float(np.exp(np.interp(0.0, logs[0][::-1], logs[1][::-1])))


def summary(config: Config, result: Result) -> list[Row]:
    """Ratios with workload, boundary, batch and evidence; no bare one."""
    rows = []
    pick = lambda a: int(np.argmin(np.abs(np.log(result.activity / a))))
    for account, name in enumerate(ACCOUNTS):
        for batch in (0, len(result.batch) - 1):
            for activity in (0.01, 0.1):
                ratio = result.gpu_j[batch] / result.chip_j[account][pick(activity)]
                told = (
                    f"H100 at TDP for its roofline time (data sheet) / Loihi 1 {name} (simulated); "
                    f"784-512-512-10, {config.steps} steps, batch {result.batch[batch]:g}"
                )
                rows.append(Row(f"ratio at {activity:.0%} activity", float(ratio), "", told))
    for batch, size in enumerate(result.batch):
        even = break_even(result, 0, batch)
        if np.isfinite(even):
            told = f"batch {size:g}, events alone: below it spikes win"
            rows.append(Row("break-even activity", even, "spikes/neuron/step", told))
    rows += [Row(f"published: {who}", ratio, "", what) for ratio, who, what in PUBLISHED]
    return rows


def figure(result: Result):
    """Energy of a dense H100, at peak power for its roofline time, over that of Loihi 1.

    The network is 784-512-512-10.

    a, Against activity, at batch 1 (solid) and the largest batch (dashed), by what the chip's bill
    holds; spikes win above the line. b, With events alone, over activity and batch; the line is
    where both cost the same. c, Published ratios: none comes near a thousand.
    """
    drawing, (a, b, c) = panels(1, 3, height_mm=60)
    for joules, name, colour in zip(result.chip_j, ACCOUNTS, (BLUE, GREEN, VERMILION), strict=True):
        a.plot(result.activity, result.gpu_j[0] / joules, color=colour, label=name)
        a.plot(result.activity, result.gpu_j[-1] / joules, color=colour, ls="--")
    a.axhline(1, color=BLACK, linewidth=0.5)
    a.axhline(1000, color=ORANGE, linewidth=0.5, ls=":")
    a.set(xlabel="spikes per neuron and step", ylabel="GPU / chip energy", xscale="log",
          yscale="log", ylim=(1e-4, 3e5))  # fmt: skip
    a.legend(loc="upper right")
    ratio = np.log10(result.gpu_j[:, None] / result.chip_j[0])
    shade = b.pcolormesh(
        result.activity, result.batch, ratio, cmap="PuOr", vmin=-4, vmax=4, rasterized=True
    )
    b.contour(result.activity, result.batch, ratio, levels=[0], colors=BLACK, linewidths=0.8)
    drawing.colorbar(shade, ax=b, label="log10 GPU / chip energy")
    b.set(xlabel="spikes per neuron and step", ylabel="batch of the GPU", xscale="log",
          yscale="log")  # fmt: skip
    place = np.arange(len(PUBLISHED))[::-1]
    c.barh(place, [ratio for ratio, _, _ in PUBLISHED], color=BLUE, height=0.5)
    c.axvline(1000, color=ORANGE, ls=":")
    c.set_yticks(place, [who.replace(" / ", "\n/ ") for _, who, _ in PUBLISHED])
    c.set(xlabel="published energy ratio", xscale="log", xlim=(1, 2000))
    return drawing
