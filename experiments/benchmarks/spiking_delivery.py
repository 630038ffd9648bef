"""What a synaptic event costs, by strategy and by the size of the network, ns and no peer."""

import statistics
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.spiking_turns import one_core
from experiments.claims import Timing
from snn.connectivity import Rows, fixed_out_degree, rows
from snn.delivery import EventLoop, EventScatter, dense, fan_in
from snn.events import Words, pack

STEPS, RUNS = 100, 5
SIZES = 1_000, 4_000, 20_000, 100_000
ACTIVE, DEGREE = 0.005, 400  # of the neurons a step; synapses a neuron where size grows
COMPARED = 4_000  # neurons at which strategies are compared, with a tenth of all pairs' 2 %


def bench() -> list[Timing]:
    """CPU ns a synaptic event: strategies at 4,000 neurons, then growth at fixed activity."""
    with one_core(), jax.default_device(jax.devices("cpu")[0]):
        timings = []
        store, spikes = _problem(COMPARED, COMPARED // 50)
        capacity = int(max(jnp.sum(jax.lax.population_count(spikes), axis=1)))
        strategies = {
            "event_loop": EventLoop(store),
            "event_scatter": EventScatter(store, capacity),
            "dense": dense(store),
            "fan_in": fan_in(store),
        }
        for name, strategy in strategies.items():
            timings.append(_row(f"{name}, {COMPARED} neurons", strategy, store, spikes))
        for size in SIZES:
            store, spikes = _problem(size, DEGREE)
            timings.append(_row(f"event_loop, {size} neurons", EventLoop(store), store, spikes))
        return timings


def _problem(size: int, degree: int) -> tuple[Rows, Words]:
    """Weights of their own and Bernoulli spikes, packed, shape (STEPS, words)."""
    key = jax.random.key(size)
    edges = fixed_out_degree(size, size, degree, key=key)
    weights = np.random.default_rng(size).random(len(edges.pre), np.float32)
    spikes = jax.random.uniform(key, (STEPS, size)) < ACTIVE
    return rows(edges, weights), jax.vmap(pack)(spikes)


def _row(name: str, strategy, store: Rows, spikes: Words) -> Timing:
    @eqx.filter_jit
    def run(strategy, spikes):
        def step(sums, words):
            return strategy(words, 0.5 * sums)

        return jax.lax.scan(step, jnp.zeros(store.size), spikes)

    jax.block_until_ready(run(strategy, spikes))
    taken = []
    for _ in range(RUNS):
        began = time.process_time()
        _, lost = jax.block_until_ready(run(strategy, spikes))
        taken.append(time.process_time() - began)
    events = int(jnp.sum(jax.lax.population_count(spikes))) * store.targets.shape[1]
    seconds = statistics.median(taken)
    note = f"{seconds / STEPS * 1e6:.1f} us a step, {int(jnp.sum(lost))} spikes lost"
    return Timing(
        f"spiking_delivery: {name}",
        "CPU ns/event",
        seconds / events * 1e9,
        None,
        "",
        None,
        RUNS,
        note,
    )
