"""A hundred layers, and rates that transfer: mu-PC, Innocenti, Achour & Buckley (2025).

Residual perceptrons of 8 to 32 layers, or up to 128, on MNIST under mu-PC and under the standard
parametrisation, each at rates of a grid: the training loss against the rate by depth and by width.
Beside it the run of the authors' notebook, 30 layers of 128 units.

Source: Innocenti, Achour & Buckley (2025), NeurIPS, arXiv:2505.13124, "mu-PC: scaling predictive
coding to 100+ layer networks"; the notebook examples/mupc.ipynb and Fig. 1 as spotlight_fig.png in
the authors' repository, thebuckleylab/jpc.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.claims import Check, Row
from experiments.data import MNIST, published
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION, panels
from fep.predictive_coding.inference import GradientFlow, Solver
from fep.predictive_coding.learning import Learner, PredictiveCoding
from fep.predictive_coding.network import PCNetwork
from fep.predictive_coding.scaling import mu_pc, residual_chain, standard
from fep.predictive_coding.second_order import BarzilaiBorwein

PAPER = "Innocenti et al. (2025)"
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's training pixels, as the notebook has them
DEPTHS, WIDTHS = (8, 16, 32, 64, 128), (32, 64, 128)  # weight layers; units
RATES = {mu_pc: (0.01, 0.03, 0.1, 0.3), standard: (3e-4, 1e-3, 3e-3, 1e-2)}  # of Adam
NAMES = {mu_pc: "mu-PC", standard: "standard"}
# In error coordinates a few steps come near the equilibrium at any depth; the paper's state steps
# need as many as there are layers.
SETTLE: Solver = BarzilaiBorwein(5)
BATCH = 64
# The notebook's rate is 0.5 for the slope of the batch's mean, 1 / 64 of a sample's.
NOTEBOOK_DEPTH, NOTEBOOK_WIDTH, NOTEBOOK_RATE = 30, 128, 0.1
NOTEBOOK_SOLVER = GradientFlow(0.5 / BATCH, NOTEBOOK_DEPTH)
NOTEBOOK_ACCURACY = {100: 85.83, 200: 88.54, 300: 90.81, 600: 92.18, 900: 93.26}  # %, as it prints


@dataclass(frozen=True)
class Config:
    """Training runs of one length.

    At 128 layers mu-PC trains as well, after 100 updates to 80 % with 32 units and to 89 % with
    128, but best at the least rate of the grid: that far the rate of 8 layers does not transfer.

    Attributes:
        seed: of weights and sample order.
        deepest: weight layers of the deepest network; the paper has 128, which takes minutes.
        updates: of each network, with batches of 64.
        notebook: updates of the notebook's network, in hundreds; the notebook makes 900.
    """

    seed: int = 0
    deepest: int = 32
    updates: int = 100
    notebook: int = 300

    def __post_init__(self):
        if not 8 <= self.deepest <= 128:
            raise ValueError(f"deepest must be from 8 to 128 layers, got {self.deepest}")
        if not 1 <= self.updates <= 937:
            raise ValueError(f"updates must be from 1 to 937, one epoch, got {self.updates}")
        if self.notebook % 100 or not 100 <= self.notebook <= 900:
            raise ValueError(f"notebook must be hundreds from 100 to 900, got {self.notebook}")


class Result(NamedTuple):
    """Parametrisations and rates in the orders of RATES."""

    by_depth: Float[Array, "2 depths rates"]  # squared error on the last tenth of the batches
    depth_accuracy: Float[Array, "2 depths rates"]  # on test images, %
    by_width: Float[Array, "2 widths rates"]  # squared error, at the least depth
    notebook: Float[Array, " hundreds"]  # test accuracy after each hundred updates, %
    rates: Float[Array, "2 rates"]
    depths: Float[Array, " depths"]  # weight layers


class Images(NamedTuple):
    """Training batches in order, and test images."""

    x: Float[Array, "updates 64 784"]
    y: Float[Array, "updates 64 10"]
    test: Float[Array, "n 784"]
    labels: Array


@cache  # `verify` asks again
def run(config: Config) -> Result:
    """All runs, one after another; the rates of a network side by side."""
    images = _images(config, max(config.updates, config.notebook))
    depths = [depth for depth in DEPTHS if depth <= config.deepest]
    deep, wide = [], []
    for scaling, rates in RATES.items():
        for depth in depths:
            deep.append(_rates(config, images, scaling, WIDTHS[0], depth, rates))
        wide.append(deep[-len(depths)])  # the least depth at the least width is in both
        for width in WIDTHS[1:]:
            wide.append(_rates(config, images, scaling, width, DEPTHS[0], rates))
    shape = lambda parts: np.reshape(parts, (len(RATES), -1, len(RATES[mu_pc])))
    return Result(
        shape([loss for loss, _ in deep]),
        shape([accuracy for _, accuracy in deep]),
        shape([loss for loss, _ in wide]),
        notebook(config),
        np.array(list(RATES.values())),
        np.array(depths, float),
    )


def notebook(config: Config) -> Float[Array, " hundreds"]:
    """Test accuracy of the notebook's network after each hundred updates, in %."""
    images = _images(config, config.notebook)
    sizes = (784, NOTEBOOK_WIDTH, NOTEBOOK_DEPTH, 10)
    network = residual_chain(sizes, jax.nn.relu, mu_pc, key=jax.random.key(config.seed))
    learner = Learner(PredictiveCoding(NOTEBOOK_SOLVER), optax.adam(NOTEBOOK_RATE))

    @jax.jit
    def hundred(state, x, y):
        state, _ = jax.lax.scan(lambda s, batch: learner.step(s, batch), state, (x, y))
        return state, _accuracy(state.network, images)

    state, course = learner.init(network), []
    for start in range(0, config.notebook, 100):
        rows = slice(start, start + 100)
        state, accuracy = hundred(state, images.x[rows], images.y[rows])
        course.append(float(accuracy))
    return np.array(course)


def _rates(config: Config, images: Images, scaling: Callable, width: int, depth: int, rates):
    """Loss at the end of training, and test accuracy, at each rate."""
    sizes = (784, width, depth, 10)
    key = jax.random.key(config.seed)

    @jax.jit
    def trained(rate):
        network = residual_chain(sizes, jax.nn.relu, scaling, key=key)
        learner = Learner(PredictiveCoding(SETTLE), optax.adam(rate))

        def step(state, batch):
            outputs = jax.vmap(state.network.predict)(batch[0])
            loss = jnp.mean((outputs - batch[1]) ** 2)
            return learner.step(state, batch)[0], loss

        rows = slice(0, config.updates)
        state, losses = jax.lax.scan(step, learner.init(network), (images.x[rows], images.y[rows]))
        last = max(1, config.updates // 10)
        return jnp.mean(losses[-last:]), _accuracy(state.network, images)

    return tuple(map(np.asarray, jax.vmap(trained)(jnp.asarray(rates))))


def _accuracy(network: PCNetwork, images: Images) -> Float[Array, ""]:
    decided = jnp.argmax(jax.vmap(network.predict)(images.test), axis=1)
    return 100 * jnp.mean(decided == images.labels)


def _images(config: Config, updates: int) -> Images:
    train, test = published(MNIST)
    order = np.random.default_rng(config.seed).permutation(len(train.labels))
    rows = order[: updates * BATCH].reshape(updates, BATCH)
    scale = lambda inputs: jnp.asarray((inputs - MEAN) / DEVIATION)
    x, y = scale(train.inputs[rows]), jax.nn.one_hot(train.labels[rows], 10)
    return Images(x, y, scale(test.inputs), jnp.asarray(test.labels))


def summary(config: Config, result: Result) -> list[Row]:
    """Accuracy by depth at each parametrisation's best rate, where that rate lies, the notebook."""
    rows = []
    for i, name in enumerate(NAMES.values()):
        best = np.nanargmin(result.by_depth[i], axis=1)
        for depth, k, accuracies in zip(result.depths, best, result.depth_accuracy[i], strict=True):
            told = f"test accuracy, {name}, {depth:g} layers of {WIDTHS[0]}"
            source = f"{config.updates} updates, rate {result.rates[i, k]:g}, the best"
            rows.append(Row(told, float(accuracies[k]), "%", source))
        for axis, losses in (("depth", result.by_depth[i]), ("width", result.by_width[i])):
            label = f"loss lost by the rate of the smallest net, {name}, over {axis}"
            rows.append(Row(label, float(transfer_loss(losses)), "", "worst; ratio less 1"))
    for number, accuracy in enumerate(result.notebook, start=1):
        label = f"test accuracy, notebook, {100 * number} updates"
        rows.append(Row(label, float(accuracy), "%", "30 layers of 128"))
    return rows


def transfer_loss(losses: Float[Array, "sizes rates"]) -> float:
    """How much worse the first size's best rate does on the others than their own best: ratio - 1.

    A rate that diverges does infinitely worse.
    """
    losses = np.where(np.isfinite(losses), losses, np.inf)
    chosen = losses[:, np.argmin(losses[0])]
    return float(np.max(chosen / losses.min(axis=1)) - 1)


def figure(result: Result):
    """Depth and width under mu-PC (solid) and the standard parametrisation (dashed).

    a, Test accuracy at the best rate by depth. b, Training loss against the rate of the weights by
    depth. c, By width. d, The authors' notebook: ours, and what it prints (open).
    """
    drawing, (a, b, c, d) = panels(1, 4, height_mm=52)
    lines = ("o-", BLUE), ("s--", VERMILION)
    for (line, colour), name, losses, accuracies in zip(
        lines, NAMES.values(), result.by_depth, result.depth_accuracy, strict=True
    ):
        best = np.nanargmin(losses, axis=1)
        a.plot(
            result.depths, accuracies[np.arange(len(best)), best], line, color=colour, label=name
        )
    a.set(xscale="log", ylim=(0, 100), xlabel="weight layers", ylabel="test accuracy (%)")
    a.set_xticks(result.depths, [f"{depth:g}" for depth in result.depths])
    a.minorticks_off()
    a.legend(loc="lower left")
    colours = SKY, GREEN, BLACK, ORANGE, VERMILION
    parts = (
        (b, result.by_depth, result.depths, "layers", "upper right"),
        (c, result.by_width, WIDTHS, "units", "lower left"),
    )
    for ax, losses, sizes, unit, place in parts:
        for i, line in enumerate(("o-", "s--")):
            for size, colour, course in zip(sizes, colours, losses[i], strict=False):
                label = f"{size:g} {unit}" if i == 0 else None
                ax.plot(result.rates[i], course, line, color=colour, label=label)
        low, high = 0.5 * np.nanmin(losses), 2 * np.nanmax(losses[np.isfinite(losses)])
        ax.set(xscale="log", yscale="log", ylim=(low, high))
        ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if low <= tick <= high]
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
        ax.set(xlabel="rate of the weights", ylabel="squared error")
        ax.legend(loc=place)
    updates = 100 * np.arange(1, len(result.notebook) + 1)
    d.plot(updates, result.notebook, "o-", color=BLUE, label="ours")
    theirs = list(NOTEBOOK_ACCURACY), list(NOTEBOOK_ACCURACY.values())
    d.plot(*theirs, "s", color=ORANGE, markerfacecolor="white", label="notebook")
    d.set(xlabel="updates", ylabel="test accuracy (%)")
    d.legend(loc="lower right")
    return drawing


def verify() -> list[Check]:
    """The notebook's accuracy after 300 updates, and what Fig. 1 and the abstract claim of depth.

    Fig. 1 has networks of 8 to 128 hidden layers together at every length of training, near 95 %
    after 300 updates; ours are narrower and shorter trained, so that only their spread is held
    against it, and the notebook's number against ours.
    """
    result = run(Config())
    best = result.depth_accuracy[0].max(axis=1)
    depth, width = (transfer_loss(part[0]) for part in (result.by_depth, result.by_width))
    # single runs: the notebook's own two runs from the same weights lie up to 0.7 points apart at
    # one count of updates, and ours starts from other weights; 6 points at 100 updates,
    # where accuracy still climbs by that much in the next 100; 0.25: a quarter of the loss, where a
    # rate that does not transfer loses as much again or diverges
    return [
        Check(
            f"{PAPER}, examples/mupc.ipynb",
            "test accuracy of 30 layers of 128 after 300 updates (%)",
            NOTEBOOK_ACCURACY[300],
            float(result.notebook[2]),
            1.5,
        ),
        Check(
            f"{PAPER}, spotlight_fig.png",
            "accuracy of 32 layers less that of 8 (points); together there",
            0.0,
            float(best[-1] - best[0]),
            6.0,
        ),
        Check(
            f"{PAPER}, spotlight_fig.png",
            "loss lost by the rate of 8 layers on up to 32; transfers there",
            0.0,
            depth,
            0.25,
        ),
        Check(
            f"{PAPER}, spotlight_fig.png",
            "loss lost by the rate of 32 units on up to 128; transfers there",
            0.0,
            width,
            0.25,
        ),
    ]
