"""A convolutional network of digits converted to spikes and simulated, beside SpikingJelly.

Both sides get the same trained weights, find their own thresholds (the 99.9th percentile of each
layer's activity) on the same images and simulate the same batch; both must read out the same, or no
time is reported.
"""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.pairing import interleave, peer_at_work, python_of, variable_of
from experiments.claims import Timing
from experiments.data import digits
from experiments.store import Refusal
from snn.conversion import RateNetwork, SpikingNetwork, convert, percentiles

SIDE, KNOWN, BATCH, STEPS = 8, 512, 256, 32
EPOCHS, RATE, TRAINED = 6, 3e-3, 32  # passes, Adam's rate, digits an update
PAIRS, REPETITIONS = 9, 5
# a current within float32's rounding of a threshold may fire a step later on one side
AGREEMENT = 0.02  # mean difference of read-outs after all steps, of logits around 10
PEER = "spikingjelly"


class Work(NamedTuple):
    """A trained network, what is known of its activities, and a batch to simulate."""

    network: RateNetwork
    known: np.ndarray
    x: np.ndarray
    labels: np.ndarray


def bench() -> list[Timing]:
    """CPU seconds of 32 steps of a batch, ours and SpikingJelly's, turn by turn."""
    with jax.default_device(jax.devices("cpu")[0]):
        return [_timing(problem())]


def problem() -> Work:
    """The digits' network, trained for a few seconds."""
    data = digits()
    images, test = (part.inputs.reshape(-1, 1, SIDE, SIDE) for part in data)
    network = _train(_network(jax.random.key(0)), images, data.train.labels)
    return Work(network, images[:KNOWN], test[:BATCH], data.test.labels[:BATCH])


def _network(key) -> RateNetwork:
    a, b, c = jax.random.split(key, 3)
    relu = eqx.nn.Lambda(jax.nn.relu)
    layers = (
        eqx.nn.Conv2d(1, 12, 3, 1, 1, key=a),
        relu,
        eqx.nn.Conv2d(12, 24, 3, 2, 1, key=b),
        relu,
        eqx.nn.Lambda(jnp.ravel),
        eqx.nn.Linear(24 * 4 * 4, 10, key=c),
    )
    return RateNetwork.of(eqx.nn.Sequential(layers))


def _train(network: RateNetwork, images: np.ndarray, labels: np.ndarray) -> RateNetwork:
    optimiser = optax.adam(RATE)

    def loss(network, x, y):
        logits = jax.vmap(network)(x)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))

    @eqx.filter_jit
    def update(network, moments, x, y):
        slope = eqx.filter_grad(loss)(network, x, y)
        change, moments = optimiser.update(slope, moments)
        return eqx.apply_updates(network, change), moments

    moments = optimiser.init(eqx.filter(network, eqx.is_inexact_array))
    generator = np.random.default_rng(0)
    for _ in range(EPOCHS):
        order = generator.permutation(len(labels))
        for at in range(0, len(order) - TRAINED + 1, TRAINED):
            some = order[at : at + TRAINED]
            network, moments = update(network, moments, images[some], labels[some])
    return network


def _timing(work: Work) -> Timing:
    thresholds = percentiles(work.network, jnp.asarray(work.known), 99.9)
    spikes = convert(work.network, thresholds, start=0.0)
    outputs = np.asarray(_simulate(spikes, work.x))
    ours = partial(_cpu_seconds, spikes, work.x)
    python = python_of(PEER)
    if python is None:
        seconds = statistics.median(ours(REPETITIONS) for _ in range(PAIRS)) / REPETITIONS
        note = f"no {PEER} here: `make peers`, or ${variable_of(PEER)}=/path/to/python"
        return _row(seconds, None, "", None, f"{_accuracy('ours', outputs, work)}; {note}")
    with tempfile.TemporaryDirectory() as folder:
        given, held = Path(folder, "given.npz"), Path(folder, "held.npz")
        np.savez(given, **_arrays(work))
        arguments = str(given), str(held), str(STEPS)
        with peer_at_work(python, "spikingjelly_conversion.py", *arguments) as (about, peer):
            theirs = np.load(held)["outputs"].swapaxes(0, 1)
            _check_same_work(outputs, theirs)
            timed = interleave(ours, peer, pairs=PAIRS, repetitions=REPETITIONS)
    better = np.asarray(_simulate(convert(work.network, thresholds), work.x))
    told = ("ours", outputs), (PEER, theirs), ("ours from half a threshold", better)
    note = "; ".join(_accuracy(name, found, work) for name, found in told)
    return _row(timed.ours_s, timed.peer_s, f"{PEER} {about['version']}", timed.ratio, note)


def _row(ours_s: float, peer_s: float | None, version: str, ratio: float | None, note: str):
    unit = "CPU s/batch"
    return Timing("converted_network", unit, ours_s, peer_s, version, ratio, PAIRS, note)


def _accuracy(name: str, outputs: np.ndarray, work: Work) -> str:
    right = np.mean(np.argmax(outputs, axis=2) == work.labels[:, None], axis=0)
    return (
        f"accuracy of {name} at 4, 8, {STEPS} steps: {right[3]:.3f} {right[7]:.3f} {right[-1]:.3f}"
    )


def _arrays(work: Work) -> dict[str, np.ndarray]:
    layers = [layer for chain in work.network.chains for layer in chain.layers]
    weighted = {0: layers[0], 2: layers[1], 5: layers[-1]}  # places in the peer's sequence
    arrays = {"known": work.known, "x": work.x}
    for place, layer in weighted.items():
        arrays |= {f"W{place}": np.asarray(layer.weight), f"b{place}": np.asarray(layer.bias)}
    return arrays


@eqx.filter_jit
def _simulate(spikes: SpikingNetwork, x):
    return jax.vmap(lambda one: spikes.run(one, STEPS)[1])(x)


def _cpu_seconds(spikes: SpikingNetwork, x, repetitions: int) -> float:
    began = time.process_time()
    for _ in range(repetitions):
        jax.block_until_ready(_simulate(spikes, x))
    return time.process_time() - began


def _check_same_work(ours: np.ndarray, theirs: np.ndarray) -> None:
    gap = float(np.mean(np.abs(ours[:, -1] - theirs[:, -1])))
    if not gap <= AGREEMENT:
        raise Refusal(f"{PEER} did other work: read-outs differ by {gap:.2g} after {STEPS} steps")
