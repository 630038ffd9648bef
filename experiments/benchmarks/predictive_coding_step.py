"""One training step of a predictive-coding network, 784-300-300-10, beside FabricPC.

The same network, batch, start and settings on both sides; after a few steps both must hold the
same weights, or no time is reported.
"""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.pairing import interleave, peer_at_work, python_of, variable_of
from experiments.claims import Timing
from experiments.store import Refusal
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import Learner, LearnerState, PredictiveCoding
from fep.predictive_coding.network import Activated, chain, identity

WIDTHS, BATCH = (784, 300, 300, 10), 256
SETTLE_RATE, SETTLE_STEPS, RATE = 0.1, 20, 1e-3  # FabricPC's script has the same
PAIRS, REPETITIONS = 9, 20
COMPARED = 4  # steps after which both sides must hold the same weights
AGREEMENT = 1e-5  # of any weight; each moves by about RATE a step, float32 rounds at 1e-7
PEER = "fabricpc"


def bench() -> list[Timing]:
    """CPU seconds of a training step on one batch, ours and FabricPC's, turn by turn."""
    work = problem(np.random.default_rng(0))
    with jax.default_device(jax.devices("cpu")[0]):
        return [_timing(work)]


def problem(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights and a batch; the time of a step does not depend on what the pixels show."""
    pairs = enumerate(zip(WIDTHS[:-1], WIDTHS[1:], strict=True), 1)
    weights = {f"W{i}": generator.normal(size=(n, m)) / m**0.5 for i, (m, n) in pairs}
    labels = np.eye(WIDTHS[-1])[generator.integers(0, WIDTHS[-1], BATCH)]
    work = {**weights, "x": generator.random((BATCH, WIDTHS[0])), "y": labels}
    return {name: array.astype(np.float32) for name, array in work.items()}


def _timing(work: dict[str, np.ndarray]) -> Timing:
    learner, start, batch = _ours(work)
    step = eqx.filter_jit(learner.step)
    state = _repeat(step, start, batch, COMPARED)
    ours = partial(_cpu_seconds, step, start, batch)
    python = python_of(PEER)
    if python is None:
        seconds = statistics.median(ours(REPETITIONS) for _ in range(PAIRS)) / REPETITIONS
        note = f"no {PEER} here: `make peers`, or ${variable_of(PEER)}=/path/to/python"
        return _row(seconds, None, "", None, note)
    with tempfile.TemporaryDirectory() as folder:
        given, held = Path(folder, "given.npz"), Path(folder, "held.npz")
        np.savez(given, **work)
        arguments = str(given), str(held), str(COMPARED)
        with peer_at_work(python, "fabricpc_step.py", *arguments) as (about, peer):
            _check_same_work(state, dict(np.load(held)))
            timed = interleave(ours, peer, pairs=PAIRS, repetitions=REPETITIONS)
    return _row(timed.ours_s, timed.peer_s, f"{PEER} {about['version']}", timed.ratio, "")


def _row(ours_s: float, peer_s: float | None, version: str, ratio: float | None, note: str):
    unit = "CPU s/batch"
    return Timing("predictive_coding_step", unit, ours_s, peer_s, version, ratio, PAIRS, note)


def _ours(work: dict[str, np.ndarray]) -> tuple[Learner, LearnerState, tuple]:
    last = len(WIDTHS) - 1
    layers = tuple(
        Activated(jnp.asarray(work[f"W{i}"]), jnp.zeros(n), jnp.tanh if i < last else identity)
        for i, n in enumerate(WIDTHS[1:], 1)
    )
    rule = PredictiveCoding(GradientFlow(SETTLE_RATE, SETTLE_STEPS))
    learner = Learner(rule, optax.adam(RATE))
    return learner, learner.init(chain(layers)), (work["x"], work["y"])


def _repeat(step, state: LearnerState, batch: tuple, repetitions: int) -> LearnerState:
    for _ in range(repetitions):
        state, _ = step(state, batch)
    return jax.block_until_ready(state)


def _cpu_seconds(step, state: LearnerState, batch: tuple, repetitions: int) -> float:
    began = time.process_time()
    _repeat(step, state, batch, repetitions)
    return time.process_time() - began


def _check_same_work(state: LearnerState, theirs: dict[str, np.ndarray]) -> None:
    for i, layer in enumerate(state.network.layers, 1):
        gap = float(np.max(np.abs(layer.weight - theirs[f"W{i}"])))
        if not gap <= AGREEMENT:
            raise Refusal(
                f"{PEER} did other work: W{i} differs by {gap:.2g} after {COMPARED} steps"
            )
