"""An epoch of FashionMNIST, 784-400-10: spiking predictive coding beside rate predictive coding."""

import time
from functools import partial

import jax

from experiments.benchmarks.pairing import interleave
from experiments.benchmarks.spiking_turns import one_core
from experiments.claims import Timing
from experiments.spiking_learners import programs, start
from experiments.spiking_pc_networks import NETWORKS

CONFIG = NETWORKS["784-400-10 on FashionMNIST"]
PAIRS = 3
PEER = "rate predictive coding, GradientFlow of fepstack"


def bench() -> list[Timing]:
    """CPU seconds an epoch, both with the same network, steps and optimiser."""
    with one_core(), jax.default_device(jax.devices("cpu")[0]):
        compiled, (rate, spiking) = programs(CONFIG), start(CONFIG, 0)
        ours = partial(_cpu_seconds, lambda s, k: compiled.spiking_epoch(s, k)[0], spiking)
        peer = partial(_cpu_seconds, compiled.rate_epoch, rate)
        for work in (ours, peer):
            work(1)  # compiles
        timed = interleave(ours, peer, pairs=PAIRS, repetitions=1)
    name = f"spiking_pc_epoch: {CONFIG.data}, {CONFIG.hidden} hidden"
    note = f"{CONFIG.settle_steps} settle steps, batch {CONFIG.batch}"
    times = timed.ours_s, timed.peer_s
    return [Timing(name, "CPU s/epoch", *times, PEER, timed.ratio, PAIRS, note)]


def _cpu_seconds(epoch, state, repetitions: int) -> float:
    began = time.process_time()
    for k in range(repetitions):
        state = epoch(state, jax.random.key(k))
    jax.block_until_ready(state)
    return time.process_time() - began
