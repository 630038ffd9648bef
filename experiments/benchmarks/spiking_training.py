"""A training step through time, 700-256-20, 100 steps, batch 128, beside four libraries."""

import tempfile
import time
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.pairing import Work, interleave
from experiments.benchmarks.spiking_turns import Peer, Task, beside, one_core
from experiments.claims import Timing
from snn.neurons import LI, LIF, soft_reset
from snn.surrogate import SuperSpike
from snn.training import Events, Layer, SpikingNetwork, rollout

INPUTS, HIDDEN, OUTPUTS, STEPS, BATCH = 700, 256, 20, 100, 128
DENSITY, KEEP, SLOPE, RATE = 0.02, 0.95, 25.0, 1e-3
PAIRS, REPETITIONS, COMPARED = 5, 4, 4
PEERS = ("spyx", "spyx"), ("snntorch", "torch"), ("norse", "torch"), ("spikingjelly", "torch")


def bench() -> list[Timing]:
    """CPU seconds of a step, dense and with sparse input; losses are in the notes.

    The last row is what the machine allows: the two products with the dense input, which no such
    step can do without, on their own.
    """
    work = problem(np.random.default_rng(0))
    sparse = Events(jnp.asarray(_who(work["x"])))
    with one_core(), jax.default_device(jax.devices("cpu")[0]), tempfile.TemporaryDirectory() as f:
        given = Path(f, "given.npz")
        np.savez(given, **work)
        rows = []
        for name, inputs in (("dense", jnp.asarray(work["x"])), ("events", sparse)):
            step, start = _ours(work, inputs)
            state, first = start, None
            for _ in range(COMPARED):
                state, loss = step(state)
                first = loss if first is None else first
            came_out = f"loss {float(first):.3f} to {float(loss):.3f}"
            peers = tuple(
                Peer(peer, f"{script}_training.py", (str(given), peer, str(COMPARED)))
                for peer, script in PEERS
            )
            task = Task(f"spiking_training: {name}", "CPU s/step", came_out)
            ours = partial(_cpu_seconds, step, start)
            rows += beside(task, ours, peers, pairs=PAIRS, repetitions=REPETITIONS)
            if inputs is not sparse:
                floor = interleave(ours, _products(work), pairs=PAIRS, repetitions=REPETITIONS)
        note = f"x W, and the slope of W; the dense step takes {floor.ratio:.2f} times as long"
        name = "spiking_training: what no dense step can do without"
        rows.append(Timing(name, "CPU s/step", floor.peer_s, None, "", None, PAIRS, note))
        return rows


def problem(random: np.random.Generator) -> dict[str, np.ndarray]:
    """A batch, its labels and the weights that all sides start from."""
    x = random.random((STEPS, BATCH, INPUTS)) < DENSITY
    return {
        "x": x.astype(np.float32),
        "y": random.integers(0, OUTPUTS, BATCH).astype(np.int32),
        "w1": (random.normal(size=(INPUTS, HIDDEN)) * 0.1).astype(np.float32),
        "w2": (random.normal(size=(HIDDEN, OUTPUTS)) / HIDDEN**0.5).astype(np.float32),
    }


def _who(x: np.ndarray) -> np.ndarray:
    """Indices of the active inputs, padded with the number of inputs."""
    most = int(x.sum(axis=-1).max())
    order = np.argsort(-x, axis=-1, kind="stable")[..., :most].astype(np.int32)
    return np.where(np.take_along_axis(x, order, axis=-1) > 0, order, INPUTS)


def _ours(work: dict[str, np.ndarray], inputs):
    tau = -1e-3 / np.log(KEEP)  # s; the other libraries count in steps of 1
    unit = float(1 / (1 - KEEP))  # a resistance by which a weight of 1 lifts v by 1
    hidden = LIF(tau, r=unit, reset=soft_reset, spike=SuperSpike(SLOPE))
    layers = Layer(jnp.asarray(work["w1"]), hidden), Layer(jnp.asarray(work["w2"]), LI(tau, r=unit))
    optimiser, labels = optax.adam(RATE), jnp.asarray(work["y"])

    def loss(network):
        sent = jax.vmap(rollout, (None, 1))(network, inputs)[-1]
        logits = jnp.max(sent, axis=1)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    @eqx.filter_jit
    def step(state):
        network, memory = state
        value, gradient = eqx.filter_value_and_grad(loss)(network)
        updates, memory = optimiser.update(gradient, memory)
        return (eqx.apply_updates(network, updates), memory), value

    network = SpikingNetwork(layers, 1e-3)
    return step, (network, optimiser.init(eqx.filter(network, eqx.is_array)))


def _products(work: dict[str, np.ndarray]) -> Work:
    """Forwards and backwards through the input weights, as fast as this machine can."""
    x = jnp.asarray(work["x"]).reshape(-1, INPUTS)
    weight = jnp.asarray(work["w1"])
    both = jax.jit(lambda x, w: x.T @ (x @ w))
    jax.block_until_ready(both(x, weight))

    def spent(repetitions: int) -> float:
        began = time.process_time()
        for _ in range(repetitions):
            jax.block_until_ready(both(x, weight))
        return time.process_time() - began

    return spent


def _cpu_seconds(step, state, repetitions: int) -> float:
    began = time.process_time()
    for _ in range(repetitions):
        state, loss = step(state)
    jax.block_until_ready(loss)
    return time.process_time() - began
