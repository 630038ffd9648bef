"""Test accuracy of the benchmark's perceptron on FashionMNIST: Pinchetti et al. (2025), table 1.

Their settings: 784-128-128-128-10, batch 128, 25 epochs, AdamW under a warm-up and a cosine, and
for each rule the activation and rates of their search. How far inference came stands beside each
accuracy, because most of these settings stop near backprop.

Source: Pinchetti et al. (2025), ICLR, arXiv:2407.01163; settings of liukidar/pcx v0.6.1,
examples/s4_1_discriminative_mode/MLP/fmnist.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.claims import Row
from experiments.data import FASHION_MNIST, published
from experiments.figures import BLACK, BLUE, VERMILION, panels
from fep.predictive_coding.equilibrium import Regime, regime
from fep.predictive_coding.inference import Descent
from fep.predictive_coding.learning import (
    IncrementalLearner,
    Learner,
    PredictiveCoding,
    backprop,
    settle_batch,
)
from fep.predictive_coding.network import Activated, PCNetwork, multilayer
from fep.predictive_coding.second_order import GaussNewton

WIDTHS = (784, 128, 128, 128, 10)


class Setting(NamedTuple):
    """One row of the benchmark."""

    activation: Callable
    weight_rate: float
    weight_decay: float
    steps: int = 0  # of inference
    state_rate: float = 0.0
    momentum: float = 0.0


SETTINGS = {
    "PC-SE": Setting(jax.nn.gelu, 2.97e-4, 1.8e-3, 5, 0.0261, 0.1),
    "iPC": Setting(jax.nn.leaky_relu, 2.69e-4, 1.2e-2, 8, 0.800, 0.25),
    "BP-SE": Setting(jax.nn.relu, 2.75e-4, 1.7e-4),
}
COLOURS = {"PC-SE": BLUE, "iPC": VERMILION, "BP-SE": BLACK}


@dataclass(frozen=True)
class Config:
    """Three rules on FashionMNIST at their published settings.

    Attributes:
        seed: of weights and sample order; run k uses seed + k.
        seeds: independent runs of each rule; the paper has 5.
        epochs: passes through the training set; the schedule ends with them.
        batch: samples a weight update.
        samples: of the training set to use.
    """

    seed: int = 0
    seeds: int = 1
    epochs: int = 25
    batch: int = 128
    samples: int = 60_000

    def __post_init__(self):
        for name in ("seeds", "epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.batch <= self.samples <= 60_000:
            raise ValueError(f"samples must be from batch to 60000, got {self.samples}")


class Result(NamedTuple):
    """Rules in the order of SETTINGS."""

    accuracy: Float[Array, "rules seeds epochs"]  # on the test set, %
    gap: Float[Array, "rules seeds"]  # relative energy gap at the last epoch; 1 for backprop
    to_backprop: Float[Array, "rules seeds"]  # cosine of the weight gradient, worst layer


def run(config: Config) -> Result:
    """All rules and seeds, one after another."""
    train, test = published(FASHION_MNIST)
    scale = lambda part: jnp.asarray((part.inputs - 0.5) / 0.5)
    batch = scale(train)[: config.samples], jax.nn.one_hot(train.labels[: config.samples], 10)
    held_out = scale(test), jnp.asarray(test.labels)
    rows = [
        _run_one(config, setting, config.seed + k, batch, held_out)
        for setting in SETTINGS.values()
        for k in range(config.seeds)
    ]
    shape = len(SETTINGS), config.seeds
    stack = lambda i: np.reshape([row[i] for row in rows], (*shape, *np.shape(rows[0][i])))
    return Result(stack(0), stack(1), stack(2))


def _run_one(config: Config, setting: Setting, seed: int, samples: tuple, held_out: tuple):
    updates = config.samples // config.batch
    learner = _learner(setting, updates * config.epochs)
    key = jax.random.key(seed)
    state = learner.init(_network(setting, key))

    @jax.jit
    def epoch(state, key):
        order = jax.random.permutation(key, config.samples)[: updates * config.batch]
        step = lambda state, rows: learner.step(state, tuple(a[rows] for a in samples))
        state, _ = jax.lax.scan(step, state, order.reshape(updates, config.batch))
        decided = jnp.argmax(jax.vmap(state.network.predict)(held_out[0]), axis=1)
        return state, jnp.mean(decided == held_out[1])

    accuracy = []
    for number in range(config.epochs):
        state, right = epoch(state, jax.random.fold_in(key, number))
        accuracy.append(100 * float(right))
    if not setting.steps:
        return accuracy, 1.0, 1.0
    solver = Descent(optax.sgd(setting.state_rate, setting.momentum), setting.steps)
    few = tuple(a[: config.batch] for a in samples)

    @jax.jit
    def judge(network) -> Regime:
        ends, star = (settle_batch(s, network, few) for s in (solver, GaussNewton(20)))
        return regime(ends, star, network, few)

    where = judge(state.network)
    return accuracy, float(where.gap), float(jnp.min(where.to_backprop))


def _learner(setting: Setting, updates: int) -> Learner | IncrementalLearner:
    rate = setting.weight_rate
    schedule = optax.warmup_cosine_decay_schedule(
        rate, 1.1 * rate, max(1, updates // 10), updates, 0.1 * rate
    )
    weights = optax.adamw(schedule, weight_decay=setting.weight_decay)
    if not setting.steps:
        return Learner(backprop, weights)
    states = optax.sgd(setting.state_rate, setting.momentum)
    if setting is SETTINGS["iPC"]:
        return IncrementalLearner(states, weights, setting.steps)
    return Learner(PredictiveCoding(Descent(states, setting.steps)), weights)


def _network(setting: Setting, key: Array) -> PCNetwork:
    """Weights and biases uniform within 1 / sqrt(d_in), as Equinox's linear layers start."""
    k_layers, k_bounds = jax.random.split(key)
    network = multilayer(WIDTHS, setting.activation, key=k_layers, layer=Activated)
    fans = [layer.weight.shape[1] for layer in network.layers for _ in range(2)]
    leaves, tree = jax.tree.flatten(network)
    keys = jax.random.split(k_bounds, len(leaves))
    start = lambda k, a, n: jax.random.uniform(k, a.shape, minval=-1, maxval=1) / n**0.5
    return jax.tree.unflatten(tree, map(start, keys, leaves, fans))


def summary(config: Config, result: Result) -> list[Row]:
    """Last and best epoch of each rule, and where its inference ends."""
    rows = []
    for i, name in enumerate(SETTINGS):
        last, best = result.accuracy[i, :, -1], result.accuracy[i].max(axis=1)
        for told, part in (("last epoch", last), ("best epoch", best)):
            band = float(part.min()), float(part.max())
            rows.append(Row(f"{name}, {told}", float(part.mean()), "%", "test set", *band))
        if SETTINGS[name].steps:
            gap, cosine = float(result.gap[i].mean()), float(result.to_backprop[i].mean())
            rows.append(Row(f"{name}, energy gap left", gap, source="1 is feed-forward"))
            rows.append(Row(f"{name}, cosine to backprop, worst layer", cosine))
    return rows


def figure(result: Result):
    """Test accuracy on FashionMNIST by epoch, at the settings of Pinchetti et al. (2025).

    Lines are means over seeds, bands their range.
    """
    drawing, (ax,) = panels(1, 1, height_mm=60, width_mm=89)
    epochs = np.arange(1, result.accuracy.shape[-1] + 1)
    for name, course in zip(SETTINGS, result.accuracy, strict=True):
        ax.plot(epochs, course.mean(axis=0), color=COLOURS[name], label=name)
        low, high = course.min(axis=0), course.max(axis=0)
        ax.fill_between(epochs, low, high, color=COLOURS[name], alpha=0.2, linewidth=0)
    ax.set(xlabel="epoch", ylabel="test accuracy (%)")
    ax.legend()
    return drawing
