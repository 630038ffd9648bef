"""Counting and pricing the events of mapped networks, beside the stored times of SANA-FE 2.2.9.

SANA-FE is not run here, because of its licence: its CPU seconds, counts and joules were measured
once and are stored below. Our counts must equal its counts, or no time is reported. Its network for
DVS gestures is read from its own package, where FEPSTACK_SANAFE_DVS names `dvs_challenge.npz`.
"""

import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims import Timing
from experiments.store import Refusal
from hw.cost import Bill, price, totals
from hw.datasheets import LOIHI1_SANAFE
from hw.emulate import LoihiCores
from hw.events import Activity, Counter, tally
from hw.graph import Edge, Graph, Node
from hw.mapping import Placement, tiles, violations
from hw.operators import Conv2d
from hw.placement import by_traffic, message_energy
from hw.unroll import linear

VARIABLE = "FEPSTACK_SANAFE_DVS"
STEPS, RUNS = 100, 5
CHIP = LOIHI1_SANAFE
DVS_CORES = (1, 4, 16, 16, 4, 1)  # of each layer, in order of its neurons: as in its tutorial


class Stored(NamedTuple):
    """What SANA-FE's simple model took and gave for 100 steps; one thread, peak memory in MiB."""

    cpu_s: float
    spikes: int
    events: int
    messages: int
    joules: float
    seconds: float


class Network(NamedTuple):
    """What is mapped and run."""

    graph: Graph
    bias: np.ndarray
    v_threshold: float | np.ndarray
    leak_decay: float
    placement: Placement


RANDOM = {  # neurons: (fan-out, neurons a core)
    256: (32, 64),
    1000: (100, 128),
    4096: (64, 256),
    16384: (64, 256),
}
STORED = {
    256: Stored(0.0026362, 644, 20608, 2576, 2.899110000000001e-06, 0.00013605439999999996),
    1000: Stored(0.1332723, 11569, 1156900, 92552, 5.9538615300000524e-05, 0.00087216619999),
    4096: Stored(0.5742107, 25519, 1633216, 402380, 0.00013599, 0.0009606),
    16384: Stored(6.4955259, 118885, 7608640, 4840805, 0.00097729, 0.0018987),
}
DVS = Stored(0.4036031, 29252, 4172959, 198161, 0.0002890621194999991, 0.0019491053999999976)
PEER_MIB = 1754.0  # peak of SANA-FE for 256 neurons


def bench() -> list[Timing]:
    """CPU seconds of counting and pricing 100 steps, and the peak memory of a small network."""
    timings = [_timing(f"{n} neurons", random_network(n), STORED[n]) for n in RANDOM]
    path = os.environ.get(VARIABLE)
    if path is None:
        note = f"set ${VARIABLE} to dvs_challenge.npz of SANA-FE's package"
        timings.append(Timing("event_ledger, DVS gestures", "CPU s", None, None, "", None, 0, note))
    else:
        network = dvs_network(Path(path))
        timings.append(_timing("DVS gestures", network, DVS))
        timings.append(_placement(network))
    timings.append(_memory())
    return timings


def random_network(n: int) -> Network:
    """One of the stored random networks, by the recipe that SANA-FE was given."""
    fan_out, per_core = RANDOM[n]
    rng = np.random.default_rng(0)
    pre = np.repeat(np.arange(n), fan_out)
    post = np.concatenate([rng.choice(n, size=fan_out, replace=False) for _ in range(n)])
    inhibits = rng.random(n) < 0.2
    driven = rng.random(n) < 0.25
    bias = np.where(driven, rng.integers(4, 17, size=n) / 64, 0.0)
    weight = np.where(inhibits[pre], -0.5625, 0.125)
    graph = Graph((Node("pop", n),), (Edge("pop", "pop", pre, post, weight),))
    return Network(graph, bias, 1.0, 0.9375, Placement(np.arange(n) // per_core))


def dvs_network(path: Path) -> Network:
    """The gesture network: convolutions without padding; neurons by channel, row and column."""
    with np.load(path) as file:
        stored = dict(file)
    names, strides = ("conv1", "conv2", "conv3", "conv4"), (2, 1, 1, 1)
    nodes, edges, shape = [Node("input", 1024)], [], (1, 32, 32)
    for name, stride in zip(names, strides, strict=True):
        kernel = stored[name].transpose(3, 2, 0, 1)
        layer = Conv2d(kernel, np.zeros(len(kernel)), (stride, stride), (0, 0), (1, 1))
        links, _ = linear(layer, shape)
        edges.append(Edge(nodes[-1].name, name, *links))
        shape = layer.output_shape(shape)
        nodes.append(Node(name, math.prod(shape)))
    dense = stored["dense1"]
    pre, post = (a.ravel() for a in np.indices(dense.shape))
    edges.append(Edge("conv4", "dense1", pre, post, dense.ravel().astype(float)))
    nodes.append(Node("dense1", dense.shape[1]))
    graph = Graph(tuple(nodes), tuple(edges))
    sizes = [node.size for node in nodes]
    bias = np.zeros(graph.size)
    bias[: sizes[0]] = stored["inputs"]
    core_of, core = [], 0
    for size, cores in zip(sizes, DVS_CORES, strict=True):
        core_of.append(core + np.minimum(np.arange(size) // (size // cores), cores - 1))
        core += cores
    v_threshold = np.repeat(stored["thresholds"].astype(float), sizes)
    return Network(graph, bias, v_threshold, 1.0, Placement(np.concatenate(core_of)))


def run(network: Network) -> Activity:
    """100 steps on emulated cores, undriven from outside."""
    cores = LoihiCores(
        network.graph,
        network.bias,
        v_threshold=network.v_threshold,
        leak_decay=network.leak_decay,
    )
    silent = jnp.zeros(network.graph.size, bool)

    @eqx.filter_jit
    def course(cores):
        return jax.lax.scan(lambda s, _: cores.step(s, silent), cores.init(), length=STEPS)[1]

    return jax.tree.map(np.asarray, course(cores))


def count(counter: Counter, network: Network, did: Activity) -> tuple[Bill, float]:
    """Counted and priced: the bill of the events, and the duration in s."""
    ledger = tally(counter, did)
    used = tiles(CHIP.mesh, network.placement)
    seconds = float(CHIP.clock.seconds(ledger, used).sum())
    return price(totals(ledger), CHIP, duration_s=None), seconds


def _timing(name: str, network: Network, stored: Stored) -> Timing:
    did = run(network)
    began = time.process_time()
    counter = Counter(network.graph, network.placement, CHIP.mesh)
    tables_s = time.process_time() - began
    _check_same_work(name, *count(counter, network, did), stored)
    spent = []
    for _ in range(RUNS):
        began = time.process_time()
        count(counter, network, did)
        spent.append(time.process_time() - began)
    ours = statistics.median(spent)
    note = f"peer's time is stored; its tables {tables_s:.3f} s once here, 2 to 5 s there"
    return Timing(
        f"event_ledger, {name}", "CPU s", ours, stored.cpu_s, "sanafe 2.2.9 (stored)",
        ours / stored.cpu_s, RUNS, note,
    )  # fmt: skip


def _placement(network: Network) -> Timing:
    """Joules of messages where we put the neurons, beside the index order of SANA-FE's tutorial."""
    graph, rates = network.graph, run(network).spikes.sum(axis=0).astype(float)
    ours = by_traffic(graph, CHIP, rates=rates)
    joules, theirs = (message_energy(graph, p, CHIP, rates) for p in (ours, network.placement))
    broken = sorted({v.limit for v in violations(graph, network.placement, CHIP)})
    note = f"index order breaks {', '.join(broken)}; ours keeps all limits, on {ours.cores} cores"
    name = "event_ledger, DVS gestures: messages by traffic and in index order"
    return Timing(name, "J", joules, theirs, "index order", joules / theirs, 1, note)


def _check_same_work(name: str, bill: Bill, seconds: float, stored: Stored) -> None:
    counts = {item.term: item.count for item in bill.items}
    found = counts["spike"], counts["synaptic_event"], counts["axon_out"]
    if found != stored[1:4]:
        raise Refusal(f"{name}: other counts than SANA-FE's {stored[1:4]}: {found}")
    for what, ours, theirs in (("J", bill.joules, stored.joules), ("s", seconds, stored.seconds)):
        if not abs(ours - theirs) <= 1e-4 * theirs:  # some are stored with four digits only
            raise Refusal(f"{name}: {ours} {what} where SANA-FE has {theirs}")


def _memory() -> Timing:
    name, unit = "event_ledger, peak memory of 256 neurons", "MiB"
    if not Path("/proc/self/status").exists():
        return Timing(name, unit, None, PEER_MIB, "", None, 0, "measured on Linux alone")
    command = [sys.executable, "-c", f"from {__name__} import peak; peak()"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[2]
    told = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    if told.returncode:
        raise Refusal(f"memory: {told.stderr.strip().splitlines()[-1:]}")
    ours = float(told.stdout)
    return Timing(name, unit, ours, PEER_MIB, "sanafe 2.2.9 (stored)", ours / PEER_MIB, 1, "")


def peak() -> None:
    """Print the peak memory in MiB of a process that emulates, counts and prices 256 neurons."""
    network = random_network(256)
    count(Counter(network.graph, network.placement, CHIP.mesh), network, run(network))
    # of this program alone: ru_maxrss would begin with what its parent held when it forked
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    print(int(line.split()[1]) / 1024)
