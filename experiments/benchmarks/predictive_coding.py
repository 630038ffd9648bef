"""A training step of predictive coding: floor, ours, peers; one network and batch at a time.

The floor is the step's matrix products alone, at the speed at which this machine multiplies
matrices of 1024 x 1024 in the same turn. Every peer must have met our slopes in the first steps,
or no time is reported: Adam's running means of them are compared. All sides have the same large
epsilon in Adam, for it divides a slope by its size, and with the usual one whole steps are made of
slopes that are mere rounding, as all are deep down before the errors have come there.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.pairing import (
    PEERS,
    Work,
    interleave,
    peer_at_work,
    python_of,
    variable_of,
)
from experiments.claims import Timing
from experiments.store import Refusal
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import (
    IncrementalLearner,
    Learner,
    LearnerState,
    PredictiveCoding,
    backprop,
)
from fep.predictive_coding.loops import Scan
from fep.predictive_coding.network import Activated, Dense, PCNetwork, chain, identity
from fep.predictive_coding.second_order import GaussNewton

BATCH = 256
SETTLE_RATE, SETTLE_STEPS, RATE = 0.1, 20, 1e-3  # the peers' scripts have the same
PAIRS, REPETITIONS = 7, 10
EPSILON = 1e-3  # of Adam
COMPARED = 1  # steps after which both sides must have met the same slopes
AGREEMENT = 1e-2  # of a layer's slopes, root mean square
# and what float32 leaves of them: values of 0.5 are rounded by 3e-8, of which 256 samples' mean
# keeps a sixteenth; each side rounds, in several products
ROUNDING = 1e-8
UNIT = "CPU s/batch"


class Case(NamedTuple):
    """A network to train, and what its step is timed beside."""

    shapes: tuple[tuple[int, ...], ...]  # of its weights
    input: tuple[int, ...]  # shape
    repetitions: int  # of a step in one turn
    peers: tuple[tuple[str, str], ...]  # each with the rule that both sides train by


def perceptron(*widths: int) -> Case:
    """Linear layers with tanh between them, beside all peers."""
    shapes = tuple((n, m) for m, n in zip(widths[:-1], widths[1:], strict=True))
    peers = tuple((peer, "descent") for peer in ("fabricpc", "pcx", "jpc"))
    return Case(shapes, widths[:1], REPETITIONS, (*peers, ("pcx", "incremental")))


CASES = {
    "784-300-300-10": perceptron(784, 300, 300, 10),
    "784-10x128-10": perceptron(784, *[128] * 10, 10),
    "conv 1-16-32": Case(
        ((16, 1, 3, 3), (32, 16, 3, 3), (10, 32 * 49)), (1, 28, 28), 1, (("pcx", "descent"),)
    ),
}


class Convolution(eqx.Module):
    """tanh of a 3 x 3 convolution, the largest of each 2 x 2."""

    weight: jax.Array
    bias: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        """Predicted values."""
        u = jax.lax.conv(x[None], self.weight, (1, 1), "SAME")[0]
        u = jnp.tanh(u + self.bias[:, None, None])
        return u.reshape(len(u), u.shape[1] // 2, 2, u.shape[2] // 2, 2).max(axis=(2, 4))


class Flattened(Activated):
    """A layer that reads an image as a vector."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """Predicted values."""
        return super().__call__(x.ravel())


def bench() -> list[Timing]:
    """CPU seconds of a training step, turn by turn with what it is held against."""
    with jax.default_device(jax.devices("cpu")[0]):
        return [row for name, case in CASES.items() for row in _rows(name, case)]


def _rows(name: str, case: Case) -> list[Timing]:
    work = problem(case, np.random.default_rng(0))
    network, batch = _network(work), (work["x"], work["y"])
    loop = Scan(SETTLE_STEPS, unroll=SETTLE_STEPS if len(case.input) > 1 else 1)
    adam = optax.adam(RATE, eps=EPSILON)
    descent = Learner(PredictiveCoding(GradientFlow(SETTLE_RATE, loop)), adam)
    learners = {
        "descent": descent,
        "Gauss-Newton": Learner(PredictiveCoding(GaussNewton(1)), adam),
        "backprop": Learner(backprop, adam),
        "incremental": IncrementalLearner(optax.sgd(SETTLE_RATE), adam, SETTLE_STEPS),
    }
    ours = {rule: Ours(learner, network, batch) for rule, learner in learners.items()}
    rows = []
    if len(case.input) == 1:
        rows.append(_between(f"{name} descent", case, ours["descent"], "floor", _floor(case)))
        newton = ours["Gauss-Newton"]
        for other in ("descent", "backprop"):
            title = f"{name} Gauss-Newton"
            rows.append(_between(title, case, newton, f"our {other}", ours[other]))
    for peer, rule in case.peers:
        if peer == "jpc":  # its activation is before the weights
            before = Ours(learners[rule], _network(work, Dense), batch)
            rows.append(_beside(f"{name} {rule}", case, before, peer, rule, work))
        else:
            rows.append(_beside(f"{name} {rule}", case, ours[rule], peer, rule, work))
    return rows


def problem(case: Case, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights and a batch; the time of a step does not depend on what the pixels show."""
    scale = lambda shape: np.prod(shape[1:]) ** -0.5
    weights = {
        f"W{i:02}": generator.normal(size=shape) * scale(shape)
        for i, shape in enumerate(case.shapes, 1)
    }
    labels = np.eye(10)[generator.integers(0, 10, BATCH)]
    work = {**weights, "x": generator.random((BATCH, *case.input)), "y": labels}
    return {name: array.astype(np.float32) for name, array in work.items()}


def _network(work: dict[str, np.ndarray], kind: type[eqx.Module] = Activated) -> PCNetwork:
    weights = [jnp.asarray(work[name]) for name in sorted(work) if name.startswith("W")]
    layers = ()
    for i, weight in enumerate(weights):
        silent = i == (0 if kind is Dense else len(weights) - 1)
        bias = jnp.zeros(len(weight))
        if weight.ndim == 4:
            layers += (Convolution(weight, bias),)
        else:
            read = Flattened if weights[0].ndim == 4 else kind
            layers += (read(weight, bias, identity if silent else jnp.tanh),)
    return chain(layers)


class Ours:
    """Our step on one batch, as work to be timed."""

    def __init__(self, learner: Learner | IncrementalLearner, network: PCNetwork, batch: tuple):
        self.step, self.start = eqx.filter_jit(learner.step), learner.init(network)
        self.batch = tuple(jnp.asarray(a) for a in batch)

    def train(self, steps: int) -> LearnerState:
        """The state after so many steps from the start."""
        state = self.start
        for _ in range(steps):
            state, _ = self.step(state, self.batch)
        return jax.block_until_ready(state)

    def __call__(self, repetitions: int) -> float:
        """CPU seconds of so many steps."""
        return _cpu_seconds(lambda: self.train(repetitions))


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _floor(case: Case) -> Work:
    """CPU seconds of the floating-point operations of a descent step at full speed."""
    first, *inner = (2 * BATCH * int(np.prod(shape)) for shape in case.shapes)
    # start, settling with the first product made once, last predictions, slopes of all weights
    operations = (first + sum(inner)) * 2 + (2 * SETTLE_STEPS + 1) * sum(inner)
    side = 1024
    square = jnp.ones((side, side))
    product = jax.jit(lambda a: a @ a)
    product(square)

    def work(repetitions: int) -> float:
        rounds = 8
        seconds = _cpu_seconds(lambda: [product(square).block_until_ready() for _ in range(rounds)])
        return repetitions * operations * seconds / (rounds * 2 * side**3)

    return work


def _between(name: str, case: Case, ours: Ours, what: str, other: Work) -> Timing:
    ours.train(2), other(2)  # compiled apart
    timed = interleave(ours, other, pairs=PAIRS, repetitions=case.repetitions)
    return Timing(name, UNIT, timed.ours_s, timed.peer_s, what, timed.ratio, PAIRS)


def _beside(
    name: str, case: Case, ours: Ours, peer: str, rule: str, work: dict[str, np.ndarray]
) -> Timing:
    met = slopes(ours.train(COMPARED))
    python = python_of(peer)
    if python is None:
        seconds = ours(case.repetitions) / case.repetitions
        made = "`make peers`, or " if (PEERS / f"{peer}.txt").is_file() else ""  # JPC: no registry
        note = f"no {peer} here: {made}${variable_of(peer)}=/path/to/python"
        return Timing(name, UNIT, seconds, None, "", None, 1, note)
    with tempfile.TemporaryDirectory() as folder:
        given, held = Path(folder, "given.npz"), Path(folder, "held.npz")
        np.savez(given, **work)
        arguments = str(given), str(held), str(COMPARED), rule
        with peer_at_work(python, f"{peer}_step.py", *arguments) as (about, theirs):
            check_same_work(peer, met, dict(np.load(held)))
            timed = interleave(ours, theirs, pairs=PAIRS, repetitions=case.repetitions)
    version = f"{peer} {about['version']}"
    return Timing(name, UNIT, timed.ours_s, timed.peer_s, version, timed.ratio, PAIRS)


def slopes(state: LearnerState) -> dict[str, np.ndarray]:
    """Adam's running mean of each weight's slopes."""
    layers = state.optimiser[0].mu.layers
    return {f"W{i:02}": np.asarray(layer.weight) for i, layer in enumerate(layers, 1)}


def check_same_work(peer: str, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    """Refuse a peer whose slopes are not ours."""
    size = lambda a: float(np.sqrt(np.mean(a**2)))
    for name, slope in ours.items():
        apart = size(slope - theirs[name].reshape(slope.shape))
        if not apart <= AGREEMENT * size(slope) + ROUNDING:
            told = f"{name}'s are {apart:.2g} of {size(slope):.2g} apart"
            raise Refusal(f"{peer} met other slopes: {told}")
