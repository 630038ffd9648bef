"""An image of Diehl and Cook's network, 350 steps with learning, beside BindsNET."""

import tempfile
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.spiking_turns import Peer, Task, beside, one_core
from experiments.claims import Timing
from experiments.papers import diehl_cook_2015_unsupervised_digits as paper
from snn.events import indices, pack

SIZES = 100, 400
IMAGES, STEPS, PAIRS = 20, 350, 5
MOST = 32  # pixels that fire in a step, at most: 4 on average here


def bench() -> list[Timing]:
    """CPU seconds an image; spikes an image in the notes. Input spikes are given to both sides."""
    pixels, spikes = problem(np.random.default_rng(0))
    with one_core(), jax.default_device(jax.devices("cpu")[0]), tempfile.TemporaryDirectory() as f:
        given = Path(f, "given.npz")
        np.savez(given, spikes=spikes)
        rows = []
        for size in SIZES:
            show = jax.jit(partial(paper.show, learning=True))
            synapses = 0.3 * jax.random.uniform(jax.random.key(1), (paper.PIXELS, size))
            start = paper.Weights(synapses, jnp.zeros(size))
            weights, counts = start, []
            for image in pixels:
                weights, count = show(weights, image)
                counts.append(float(count.sum()))
            ours = partial(_cpu_seconds, show, weights, pixels)
            peers = (Peer("bindsnet", "bindsnet_digits.py", (str(given), str(size))),)
            task = Task(
                f"spiking_digits: {size} neurons", "CPU s/image", f"{np.mean(counts):.1f} spikes"
            )
            rows += beside(task, ours, peers, pairs=PAIRS, repetitions=IMAGES)
        return rows


def problem(random: np.random.Generator) -> tuple[jax.Array, np.ndarray]:
    """Images of 100 lit pixels at 16 to 64 Hz: who fires, and the same as a raster."""
    images = np.zeros((IMAGES, paper.PIXELS))
    for image in images:
        image[random.choice(paper.PIXELS, 100, replace=False)] = random.uniform(0.25, 1, 100)
    spikes = random.random((IMAGES, STEPS, paper.PIXELS)) < images[:, None] * 0.064
    if (busiest := spikes.sum(axis=2).max()) > MOST:
        raise ValueError(f"at most {MOST} pixels may fire in a step, got {busiest}")
    who = jax.vmap(jax.vmap(lambda s: indices(pack(s), MOST, paper.PIXELS)))
    return who(jnp.asarray(spikes)), spikes


def _cpu_seconds(show, weights: paper.Weights, pixels: jax.Array, repetitions: int) -> float:
    began = time.process_time()
    for k in range(repetitions):
        weights, _ = show(weights, pixels[k % IMAGES])
    jax.block_until_ready(weights)
    return time.process_time() - began
