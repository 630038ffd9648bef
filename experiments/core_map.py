"""Where neurons go on a chip, what each core holds, and what placement saves of the bill."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.claims import Row
from experiments.figures import BLUE, ORANGE, SKY, VERMILION, panels
from hw.cost import price, totals
from hw.datasheets import LOIHI1_SANAFE
from hw.events import Activity, Counter, tally
from hw.graph import Edge, Graph, Node
from hw.mapping import Placement, index_order, tiles, usage
from hw.placement import by_traffic, message_energy

CHIP = LOIHI1_SANAFE
PLACERS = {"index order": index_order, "by traffic": by_traffic}
GROUPS = {  # terms of the bill that are drawn together
    "neurons": ("soma_access", "neuron_update", "spike"),
    "synapses": ("synaptic_event",),
    "messages": ("axon_out", "axon_in"),
    "hops": ("hop_east", "hop_west", "hop_north", "hop_south"),
}


@dataclass(frozen=True)
class Config:
    """A modular network whose neurons are numbered in no order, on Loihi 1.

    Attributes:
        seed: of the network and of its spikes.
        neurons: in all.
        modules: that mostly talk to themselves.
        fan_out: synapses of a neuron, before doubles are dropped.
        inside: share of them that stay in the module.
        rate: spikes of a neuron and step.
        steps: that are priced.
    """

    seed: int = 0
    neurons: int = 4096
    modules: int = 16
    fan_out: int = 128
    inside: float = 0.9
    rate: float = 0.02
    steps: int = 20

    def __post_init__(self):
        for name in ("neurons", "modules", "fan_out", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.neurons % self.modules:
            raise ValueError(f"modules must divide {self.neurons} neurons, got {self.modules}")
        for name in ("inside", "rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in (0, 1], got {getattr(self, name)}")


class Result(NamedTuple):
    """Rows as in PLACERS."""

    synapses: Float[np.ndarray, "placers cores"]  # share of a core's synapse memory in use
    axons: Float[np.ndarray, "placers cores"]  # share of its input axons
    joules: Float[np.ndarray, "placers groups"]  # as in GROUPS
    message_j: Float[np.ndarray, " placers"]  # messages and hops, expected
    seconds: Float[np.ndarray, " placers"]


def run(config: Config) -> Result:
    """Place the network twice, and price the same spikes."""
    rng = np.random.default_rng(config.seed)
    graph = _modular(config, rng)
    spikes = rng.random((config.steps, config.neurons)) < config.rate
    rows = [_placed(graph, place(graph, CHIP), spikes) for place in PLACERS.values()]
    return Result(*(np.array(column) for column in zip(*rows, strict=True)))


def _modular(config: Config, rng: np.random.Generator) -> Graph:
    n, size = config.neurons, config.neurons // config.modules
    pre = np.repeat(np.arange(n), config.fan_out)
    own = pre // size * size + rng.integers(0, size, pre.size)
    post = np.where(rng.random(pre.size) < config.inside, own, rng.integers(0, n, pre.size))
    name = rng.permutation(n)
    pre, post = np.divmod(np.unique(name[pre] * n + name[post]), n)
    return Graph((Node("a", n),), (Edge("a", "a", pre, post, np.ones(pre.size)),))


def _placed(graph: Graph, placement: Placement, spikes: np.ndarray) -> tuple:
    held, cores, capacity = usage(graph, placement, CHIP), CHIP.mesh.cores, CHIP.capacity
    share = lambda name: np.pad(
        held[name] / getattr(capacity, name).value, (0, cores - placement.cores)
    )
    everyone = np.ones_like(spikes)
    ledger = tally(Counter(graph, placement, CHIP.mesh), Activity(spikes, everyone))
    bill = {i.term: i.joules for i in price(totals(ledger), CHIP, duration_s=None).items}
    joules = [sum(bill[term] for term in terms) for terms in GROUPS.values()]
    messages = message_energy(graph, placement, CHIP, spikes.sum(axis=0) * 1.0)
    seconds = float(CHIP.clock.seconds(ledger, tiles(CHIP.mesh, placement)).sum())
    return share("synapse_bits"), share("input_axons"), joules, messages, seconds


def summary(config: Config, result: Result) -> list[Row]:
    """What placement saves."""
    told = f"{CHIP.name}, {config.neurons} neurons in {config.modules} modules"
    saved = 1 - result.message_j[1] / result.message_j[0]
    rows = [Row("energy of messages saved by placement", float(saved), "", told)]
    for name, joules, seconds in zip(PLACERS, result.joules, result.seconds, strict=True):
        rows.append(Row(f"{name}: energy of events", float(joules.sum()), "J", told))
        rows.append(Row(f"{name}: duration", float(seconds), "s", told))
    return rows


def figure(result: Result):
    """A modular network of 4,096 neurons on Loihi 1.

    a, b, Share of each core's input axons in use, in index order and placed by traffic; four cores
    a tile, tiles as on the mesh. c, What the same spikes cost, by group of terms.
    """
    drawing, (a, b, c) = panels(1, 3, height_mm=56)
    mesh = CHIP.mesh
    for ax, shares, name in zip((a, b), result.axons, PLACERS, strict=True):
        tile = shares.reshape(mesh.width, mesh.height, 2, 2)  # core within a tile as 2 x 2
        image = tile.transpose(1, 2, 0, 3).reshape(2 * mesh.height, 2 * mesh.width)
        shown = ax.imshow(image, vmin=0, vmax=float(result.axons.max()), origin="lower",
                          extent=(0, mesh.width, 0, mesh.height))  # fmt: skip
        for x in range(1, mesh.width):
            ax.axvline(x, color="white", linewidth=0.4)
        for y in range(1, mesh.height):
            ax.axhline(y, color="white", linewidth=0.4)
        ax.set(xlabel=f"tile column ({name})", ylabel="tile row")
        drawing.colorbar(shown, ax=ax, label="input axons in use", shrink=0.6)
    bottom, place = np.zeros(len(PLACERS)), np.arange(len(PLACERS))
    colours = SKY, BLUE, ORANGE, VERMILION
    for joules, name, colour in zip(result.joules.T, GROUPS, colours, strict=True):
        c.bar(place, joules * 1e6, bottom=bottom * 1e6, color=colour, label=name, width=0.6)
        bottom += joules
    c.set_xticks(place, list(PLACERS))
    c.set(ylabel="energy of events (µJ)", ylim=(0, 1.5e6 * bottom.max()), xlim=(-0.6, 1.6))
    c.legend(ncols=2)
    return drawing
