"""Deep predictive coding at equilibrium: the default solver trains 784-10x128-10 on FashionMNIST.

One Gauss-Newton step in error coordinates settles every batch. What decides is the variance of the
outputs: the larger it is, the less errors compete with them, and the nearer learning comes to
backprop. So for each variance three seeds are trained, and where inference ends is printed beside
the accuracy; backprop has the same network, rate and batches.

Settings were chosen on the last 5,000 training samples, seed 0: `--held-out` repeats that.

Source: of the limit of large output variance, Whittington & Bogacz (2017), Neural Comput. 29.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.claims import Check, Row
from experiments.data import FASHION_MNIST, published
from experiments.figures import BLACK, BLUE, VERMILION, panels
from fep.predictive_coding.energies import Gaussian
from fep.predictive_coding.equilibrium import Regime, regime
from fep.predictive_coding.learning import Learner, PredictiveCoding, backprop, settle_batch
from fep.predictive_coding.network import Activated, PCNetwork, multilayer
from fep.predictive_coding.second_order import GaussNewton

WIDTHS = (784, *[128] * 10, 10)
MEAN, DEVIATION = 0.2860, 0.3530  # of FashionMNIST's training pixels
VARIANCES = (1.0, 10.0, 30.0, 100.0)  # of the outputs; backprop's gradient has no use for it
# the least with a point to spare on the held-out samples: 87.4 %; 10 had 85.4, backprop 88.0
CHOSEN = 30.0
HELD_OUT = 5_000
JUDGED = 256  # samples on which inference is judged
TARGET = 85.0  # % of the test set, of every seed
COLLAPSE = 10.0  # points that the last epoch lies below the best


@dataclass(frozen=True)
class Config:
    """Three seeds of each output variance, and of backprop.

    Attributes:
        seed: of weights and sample order; run k uses seed + k.
        seeds: independent runs.
        epochs: passes through the training set; the cosine schedule ends with them.
        batch: samples a weight update.
        rate: of Adam, at the start.
        held_out: judge on the last 5,000 training samples, which are then not learned.
    """

    seed: int = 0
    seeds: int = 3
    epochs: int = 5
    batch: int = 256
    rate: float = 1e-3
    held_out: bool = False

    def __post_init__(self):
        for name in ("seeds", "epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")


class Result(NamedTuple):
    """First axis: VARIANCES in order, then backprop; NaN where a run is still to come."""

    accuracy: Float[Array, "rules seeds epochs"]  # %
    gap: Float[Array, "rules seeds"]  # energy that one step leaves, of the feed-forward start's
    to_backprop: Float[Array, "rules seeds layers"]  # cosine of the weight gradient
    to_equilibrium: Float[Array, "rules seeds layers"]


def init(config: Config) -> Result:
    """Nothing known yet."""
    shape = len(VARIANCES) + 1, config.seeds
    layers = np.full((*shape, len(WIDTHS) - 1), np.nan)
    return Result(np.full((*shape, config.epochs), np.nan), layers[..., 0], layers, layers)


def chunks(config: Config) -> int:
    """One chunk a run."""
    return (len(VARIANCES) + 1) * config.seeds


def step(config: Config, state: Result, chunk: int) -> tuple[Result, dict[str, float]]:
    """One variance, or backprop, and one seed, from the first epoch to the last."""
    number, rule = divmod(chunk, len(VARIANCES) + 1)
    variance = VARIANCES[rule] if rule < len(VARIANCES) else None
    found = learn(config, variance, config.seed + number)
    state = Result(*(np.array(part) for part in state))  # a copy
    for part, value in zip(state, found, strict=True):
        part[rule, number] = value
    return state, {"accuracy": found.accuracy[-1], "to_backprop": found.to_backprop.mean()}


def result(config: Config, state: Result) -> Result:
    """All runs."""
    return Result(*(np.asarray(part) for part in state))


def inputs(config: Config) -> dict[str, str]:
    """Digest of the samples."""
    return {FASHION_MNIST.name: published(FASHION_MNIST).sha256}


class Learned(NamedTuple):
    """One run: `Result` without its first axes."""

    accuracy: np.ndarray  # (epochs,)
    gap: float
    to_backprop: np.ndarray  # (layers,)
    to_equilibrium: np.ndarray


@cache  # so that what a run has learned is verified for nothing
def learn(config: Config, variance: float | None, seed: int) -> Learned:
    """Train one network, by backprop without a variance, and judge where inference ends."""
    train, test = published(FASHION_MNIST)
    scale = lambda part: jnp.asarray((part.inputs - MEAN) / DEVIATION)
    x, y = scale(train), jax.nn.one_hot(train.labels, 10)
    unseen, labels = scale(test), jnp.asarray(test.labels)
    if config.held_out:
        unseen, labels = x[-HELD_OUT:], jnp.asarray(train.labels[-HELD_OUT:])
        x, y = x[:-HELD_OUT], y[:-HELD_OUT]
    updates = len(x) // config.batch
    rule = PredictiveCoding(GaussNewton(1)) if variance else backprop
    rate = optax.cosine_decay_schedule(config.rate, updates * config.epochs)
    learner, key = Learner(rule, optax.adam(rate)), jax.random.key(seed)
    output = Gaussian(variance or 1.0)
    network = multilayer(WIDTHS, jnp.tanh, key=key, layer=Activated, output=output)

    @jax.jit
    def epoch(state, key):
        order = jax.random.permutation(key, len(x))[: updates * config.batch]
        learn = lambda state, rows: learner.step(state, (x[rows], y[rows]))
        state, _ = jax.lax.scan(learn, state, order.reshape(updates, config.batch))
        decided = jnp.argmax(jax.vmap(state.network.predict)(unseen), axis=1)
        return state, 100 * jnp.mean(decided == labels)

    state, accuracy = learner.init(network), []
    for number in range(config.epochs):
        state, right = epoch(state, jax.random.fold_in(key, number))
        accuracy.append(float(right))
    where = _judged(state.network, x[:JUDGED], y[:JUDGED])
    return Learned(np.array(accuracy), float(where.gap), where.to_backprop, where.to_equilibrium)


@jax.jit
def _judge(network: PCNetwork, *batch: Array) -> Regime:
    ends, star = (settle_batch(GaussNewton(n), network, batch) for n in (1, 10))
    return regime(ends, star, network, batch)


def _judged(network: PCNetwork, *batch: Array) -> Regime:
    with jax.enable_x64(True):
        wide = lambda a: jnp.asarray(np.asarray(a), jnp.float64)
        found = _judge(jax.tree.map(wide, network), *map(wide, batch))
        return jax.tree.map(np.asarray, found)


def collapsed(accuracy: np.ndarray) -> np.ndarray:
    """Whether runs end far below their best epoch; along the last axis."""
    return accuracy[..., -1] < accuracy.max(axis=-1) - COLLAPSE


def summary(config: Config, result: Result) -> list[Row]:
    """Every seed's accuracy, and where inference ends."""
    rows = []
    source = "last 5,000 training samples" if config.held_out else "test set"
    for name, accuracy, gap, twin, star in zip(_names(), *result, strict=True):
        for k, last in enumerate(accuracy[:, -1]):
            rows.append(Row(f"{name}, seed {config.seed + k}", float(last), "%", source))
        rows.append(Row(f"{name}, seeds collapsed", float(collapsed(accuracy).sum())))
        rows.append(Row(f"{name}, energy gap after one step", float(gap.max()), "", "worst seed"))
        for told, part in (("backprop", twin), ("equilibrium", star)):
            band = float(part.min()), float(part.max())
            mean = float(part.mean())
            rows.append(Row(f"{name}, cosine to {told}", mean, "", "layers and seeds", *band))
    return rows


def _names() -> list[str]:
    return [*(f"output variance {variance:g}" for variance in VARIANCES), "backprop"]


def figure(result: Result):
    """Ten hidden layers trained at equilibrium, by the variance of the outputs.

    a, Accuracy after the last epoch, three seeds; the line across is backprop's mean. b, Cosine of
    the weight gradient to backprop's, by layer, mean over seeds, at the end of training.
    """
    drawing, axes = panels(1, 2, height_mm=62)
    last = result.accuracy[..., -1]
    for k in range(last.shape[1]):
        axes[0].plot(VARIANCES, last[:-1, k], "o", color=BLUE)
    axes[0].axhline(last[-1].mean(), color=BLACK, linewidth=0.8)
    axes[0].text(VARIANCES[0], last[-1].mean(), "backprop", va="bottom")
    axes[0].axhline(TARGET, color=VERMILION, linewidth=0.8, linestyle="--")
    axes[0].set(xscale="log", xlabel="output variance", ylabel="accuracy (%)")
    layers = np.arange(1, result.to_backprop.shape[-1] + 1)
    for i, variance in enumerate(VARIANCES):
        shade = BLUE, (i + 1) / len(VARIANCES)
        course = result.to_backprop[i].mean(axis=0)
        axes[1].plot(layers, course, color=shade, label=f"{variance:g}")
    axes[1].set(xlabel="layer", ylabel="cosine to backprop")
    axes[1].legend(title="output variance")
    return drawing


def verify() -> list[Check]:
    """This project's own target for its default solver, on all seeds; nothing is published."""
    config = Config()
    runs = [learn(config, CHOSEN, config.seed + k) for k in range(config.seeds)]
    accuracy = np.stack([run.accuracy for run in runs])
    short = max(0.0, TARGET - float(accuracy[:, -1].min()))
    gap = max(run.gap for run in runs)
    return [
        Check("own target", "points that the worst seed falls short of 85 %", 0, short, 0),
        Check("own target", "seeds collapsed", 0, float(collapsed(accuracy).sum()), 0),
        Check("own target", "worst energy gap of one Gauss-Newton step", 0, gap, 5e-3),
    ]
