"""A biological second of three networks beside Brian2, NEST and sparxml: Brunel's, COBA, CUBA."""

import time
from functools import partial

import equinox as eqx
import jax
import numpy as np

from experiments.benchmarks.spiking_turns import Peer, Task, beside, one_core
from experiments.claims import Timing
from experiments.papers import brunel_2000_sparse_networks as brunel
from experiments.papers import vogels_abbott_2005_irregular_activity as vogels
from snn.events import raster
from snn.network import Network, NetworkState
from snn.simulate import run
from snn.statistics import cv_isi

PAIRS = 5
STEPS = 10_000  # 1 s of 0.1 ms
SETTLED = 1_000  # steps before rate and irregularity are taken
PEERS = "brian2", "nest", "sparxml"


def bench() -> list[Timing]:
    """CPU seconds a biological second; rates and CVs of intervals are in the notes."""
    with one_core(), jax.default_device(jax.devices("cpu")[0]):
        rows = []
        for name, network, state in _cases():
            advance, key = eqx.filter_jit(run), jax.random.key(3)
            settled, recording = advance(network, state, STEPS, key=key)
            spikes = raster(np.asarray(recording.spikes["neurons"])[SETTLED:], _size(network))
            came_out = (
                f"{spikes.mean() / network.dt:.1f} Hz, "
                f"CV {cv_isi(spikes[:, :1000], network.dt):.2f}, no spike lost"
            )
            ours = partial(_cpu_seconds, advance, network, settled, key)
            peers = tuple(Peer(peer, f"{peer}_networks.py", (name,)) for peer in PEERS)
            task = Task(f"spiking_networks: {name}", "CPU s/s", came_out)
            rows += beside(task, ours, peers, pairs=PAIRS, repetitions=1)
        return rows


def _cases():
    asynchronous = brunel.REGIMES[2]
    net = brunel.network(asynchronous, 7)
    yield "brunel", net, brunel.start(net, 7)
    for name, build in (("coba", vogels.coba), ("cuba", vogels.cuba)):
        net = build(1)
        yield name, net, vogels.start(net, 1)


def _size(network: Network) -> int:
    return network.groups["neurons"].size


def _cpu_seconds(advance, network: Network, state: NetworkState, key, repetitions: int) -> float:
    began = time.process_time()
    for _ in range(repetitions):
        state, recording = advance(network, state, STEPS, key=key)
        jax.block_until_ready(recording)
    return time.process_time() - began
