"""What a step costs as a network grows at fixed activity: in proportion to its synaptic events.

Leaky neurons under Poisson drive, with synapses so weak that the drive alone sets the activity.
Times are CPU seconds of this machine, on one core; a compiled run is timed, the median of several.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.benchmarks.spiking_turns import one_core
from experiments.claims import Row
from experiments.figures import BLACK, BLUE, VERMILION, panels
from snn.connectivity import Rows, fixed_out_degree, rows
from snn.delivery import EventLoop
from snn.events import pack
from snn.network import Group, Network, Pathway, PoissonInput
from snn.neurons import LIF
from snn.simulate import run as simulate
from snn.stochastic_neurons import PoissonCounts
from snn.synapses import Delta

DT, TAU_MEM = 1e-3, 20e-3  # s
DRIVE = 1.0, 0.0385  # counts a step and what each lifts a membrane by: about 5 Hz
WEAK = 1e-4  # deviation of the weights, in thresholds
RUNS = 5
ACTIVITIES = 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1


@dataclass(frozen=True)
class Config:
    """Networks of 1,000 neurons and more, then one network at many activities.

    Attributes:
        seed: of synapses, drive and spikes.
        largest: size of the largest network; sizes are 1, 2 and 5 times powers of ten.
        degree: synapses a neuron.
        steps: of 1 ms in a timed run.
        compared: size of the network whose activity is varied.
    """

    seed: int = 0
    largest: int = 100_000
    degree: int = 400
    steps: int = 100
    compared: int = 20_000

    def __post_init__(self):
        if not 1_000 <= self.largest <= 1_000_000:
            raise ValueError(f"largest must lie in [1000, 1000000], got {self.largest}")
        for name in ("degree", "steps", "compared"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class Result(NamedTuple):
    """CPU seconds and synaptic events a step."""

    sizes: Float[np.ndarray, " sizes"]
    step_s: Float[np.ndarray, " sizes"]  # of the whole network
    events: Float[np.ndarray, " sizes"]
    activity: Float[np.ndarray, " sizes"]  # fraction of neurons that fire in a step
    delivery_s: Float[np.ndarray, " activities"]  # alone, at one size
    delivered: Float[np.ndarray, " activities"]


def sizes_of(config: Config) -> list[int]:
    """1, 2 and 5 times powers of ten, from 1,000 on."""
    sizes = [m * 10**k for k in range(3, 7) for m in (1, 2, 5)]
    return [size for size in sizes if size <= config.largest]


def run(config: Config) -> Result:
    """All sizes, then all activities."""
    with one_core(), jax.default_device(jax.devices("cpu")[0]):
        grown = [_whole(config, size) for size in sizes_of(config)]
        store = _store(config, config.compared)
        alone = [_delivery(config, store, active) for active in ACTIVITIES]
    columns = [np.array(column) for column in zip(*grown, strict=True)]
    return Result(
        np.array(sizes_of(config), float), *columns, *map(np.array, zip(*alone, strict=True))
    )


def network(config: Config, size: int) -> Network:
    """One group of leaky neurons that reach each other."""
    drive = PoissonInput(PoissonCounts(DRIVE[0]), DRIVE[1])
    group = Group(LIF(TAU_MEM), size, (Delta(TAU_MEM),), background=(drive,))
    pathway = Pathway("neurons", "neurons", EventLoop(_store(config, size)))
    return Network({"neurons": group}, (pathway,), DT)


def _store(config: Config, size: int) -> Rows:
    edges = fixed_out_degree(size, size, config.degree, key=jax.random.key(config.seed))
    weights = np.random.default_rng(config.seed).standard_normal(len(edges.pre), np.float32)
    return rows(edges, WEAK * weights)


def _whole(config: Config, size: int) -> tuple[float, float, float]:
    net, key = network(config, size), jax.random.key(config.seed + 1)
    advance = eqx.filter_jit(simulate)
    settled, _ = advance(net, net.init(), config.steps, key=key)
    again = lambda: advance(net, settled, config.steps, key=key)
    seconds, (_, recording) = _timed(again)
    spikes = int(jnp.sum(jax.lax.population_count(recording.spikes["neurons"])))
    activity = spikes / config.steps / size
    return seconds / config.steps, spikes * config.degree / config.steps, activity


def _delivery(config: Config, store: Rows, active: float) -> tuple[float, float]:
    key = jax.random.key(config.seed + 2)
    fired = jax.random.uniform(key, (config.steps, store.sources)) < active
    words = jax.vmap(pack)(fired)
    strategy = EventLoop(store)

    @eqx.filter_jit
    def deliver(strategy, words):
        step = lambda sums, now: (strategy(now, 0.5 * sums)[0], None)
        return jax.lax.scan(step, jnp.zeros(store.size), words)[0]

    seconds, _ = _timed(lambda: deliver(strategy, words))
    events = int(jnp.sum(fired)) * store.targets.shape[1]
    return seconds / config.steps, events / config.steps


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Median CPU seconds of a call, the first of which compiles, and what it gave."""
    out = jax.block_until_ready(work())
    taken = []
    for _ in range(RUNS):
        began = time.process_time()
        jax.block_until_ready(work())
        taken.append(time.process_time() - began)
    return statistics.median(taken), out


def exponent(events: Float[np.ndarray, " n"], seconds: Float[np.ndarray, " n"]) -> float:
    """Slope of log cost over log events by least squares: 1 is linear growth."""
    return float(np.polyfit(np.log(events), np.log(seconds), 1)[0])


def summary(config: Config, result: Result) -> list[Row]:
    """Exponents, and what an event costs at both ends."""
    step_ns, alone_ns = (
        1e9 * result.step_s / result.events,
        1e9 * result.delivery_s / result.delivered,
    )
    return [
        Row("cost over events as the network grows, exponent", exponent(*result[2:0:-1])),
        Row("a step of the smallest network", float(result.step_s[0]), "s"),
        Row("a step of the largest network", float(result.step_s[-1]), "s"),
        Row("all costs of the smallest network an event", float(step_ns[0]), "ns"),
        Row("all costs of the largest network an event", float(step_ns[-1]), "ns"),
        Row("cost over events as activity grows, exponent", exponent(*result[5:3:-1])),
        Row("delivery alone an event, busiest", float(alone_ns[-1]), "ns"),
        Row("neurons that fire in a step", 100 * float(result.activity.mean()), "%"),
    ]


def figure(result: Result):
    """Cost follows events.

    a, CPU time of a step as the network grows at fixed activity; dashed, in proportion to events.
    b, The same, divided by the events of a step. c, Delivery alone, in one network whose activity
    grows.
    """
    drawing, (a, b, c) = panels(1, 3, height_mm=52)
    ratio = statistics.median(result.step_s / result.events)
    a.loglog(result.sizes, 1e6 * ratio * result.events, color=BLACK, linestyle="--", linewidth=0.6)
    a.loglog(result.sizes, 1e6 * result.step_s, "o-", color=BLUE)
    a.set(xlabel="neurons", ylabel="CPU time a step (µs)")
    b.semilogx(result.sizes, 1e9 * result.step_s / result.events, "o-", color=BLUE)
    b.set(xlabel="neurons", ylabel="CPU time an event (ns)", ylim=(0, None))
    ratio = statistics.median(result.delivery_s / result.delivered)
    c.loglog(
        result.delivered, 1e6 * ratio * result.delivered, color=BLACK, linestyle="--", linewidth=0.6
    )
    c.loglog(result.delivered, 1e6 * result.delivery_s, "o-", color=VERMILION)
    c.set(xlabel="synaptic events a step", ylabel="CPU time a step (µs)")
    return drawing
