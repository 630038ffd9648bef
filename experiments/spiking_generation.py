"""Spiking predictive coding the other way round: digits explained, reconstructed and filled in."""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.claims import Row
from experiments.data import digits
from experiments.figures import panels
from fep.predictive_coding.energies import Gaussian, LearnedGaussian
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.network import Node, PCNetwork, multilayer
from snn.coding import NonAdjacentCode
from snn.spiking_pc import SpikingPC
from snn.spiking_pc_learning import ErrorScaledCodes, SpikingLearner, SpikingLearnerState

SIDE = 8
SHOWN = 8  # test digits in the figure
SILENT = -60.0  # log precision of a pixel that is not seen
SEEN = np.arange(SIDE**2) < SIDE**2 // 2  # the upper half


@dataclass(frozen=True)
class Config:
    """Causes are inferred from images alone, and images predicted from causes.

    Attributes:
        seed: of weights and sample order.
        epochs: passes through the training digits.
        batch: samples a weight update.
        causes: units at the root, of unit variance around zero.
        hidden: units between causes and pixels.
        variance: of a pixel, in squared units of brightness.
        hidden_variance: of a hidden unit, given the causes.
        rate: peak of Adam's learning rate, which falls along a cosine to zero.
        settle_rate: Euler step of inference.
        settle_steps: steps of inference a sample; filling in takes three times as many.
    """

    seed: int = 0
    epochs: int = 30
    batch: int = 32
    causes: int = 16
    hidden: int = 48
    variance: float = 0.2
    hidden_variance: float = 0.5
    rate: float = 3e-3
    settle_rate: float = 0.05
    settle_steps: int = 40

    def __post_init__(self):
        for name in ("epochs", "batch", "causes", "hidden", "settle_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("variance", "hidden_variance", "rate", "settle_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


class Result(NamedTuple):
    """Test digits, pixels in the last axis."""

    images: Float[np.ndarray, "n pixels"]
    mean: Float[np.ndarray, " pixels"]  # of the training digits
    reconstructed: Float[np.ndarray, "n pixels"]  # predicted while the whole image is clamped
    filled: Float[np.ndarray, "n pixels"]  # predicted while its upper half is
    twin: Float[np.ndarray, "n pixels"]  # the same by gradient flow of the float network
    linear: Float[np.ndarray, "n pixels"]  # the lower half by least squares from the upper
    spikes: Float[np.ndarray, "epochs two"]  # a unit and sample in training: values, errors


def network(config: Config, pixels: Gaussian | LearnedGaussian, key: Array) -> PCNetwork:
    """Causes free, image clamped; weights start small, for predictions near nothing."""
    widths = config.causes, config.hidden, SIDE**2
    plain = jax.tree.map(lambda a: 0.3 * a, multilayer(widths, jnp.tanh, key=key))
    nodes = (
        Node("0", Gaussian(), shape=(config.causes,)),
        Node("1", Gaussian(config.hidden_variance)),
        Node("2", pixels),
    )
    return PCNetwork(nodes, plain.edges, ("2",))


def learner(config: Config) -> SpikingLearner:
    """Trace plasticity with spikes that follow the errors; there is no input but the causes."""
    updates = config.epochs * (len(digits().train.labels) // config.batch)
    adam = optax.adam(optax.cosine_decay_schedule(config.rate, updates))
    codes = ErrorScaledCodes(NonAdjacentCode(2.0**14, 20), values=2, errors=2)
    return SpikingLearner(codes, config.settle_rate, config.settle_steps, (), adam)


def run(config: Config) -> Result:
    """Learn to predict the training digits, then explain the test digits and their halves."""
    images, key = jnp.asarray(digits().train.inputs), jax.random.key(config.seed)
    machine, batches = learner(config), len(images) // config.batch

    @jax.jit
    def epoch(state, key):
        order = jax.random.permutation(key, len(images))[: batches * config.batch]
        update = lambda state, rows: machine.step(state, (images[rows],))
        return jax.lax.scan(update, state, order.reshape(batches, config.batch))

    state, spikes = machine.init(network(config, Gaussian(config.variance), key)), []
    values, errors = config.causes + config.hidden, config.hidden + SIDE**2
    for number in range(config.epochs):
        state, lesson = epoch(state, jax.random.fold_in(key, number))
        spikes.append(
            [
                float(jnp.mean(jnp.sum(lesson.value_spikes, axis=1))) / values,
                float(jnp.mean(jnp.sum(lesson.error_spikes, axis=1))) / errors,
            ]
        )
    test = jnp.asarray(digits().test.inputs)
    told = _explain(config, machine, state, test)
    mean = np.asarray(jnp.mean(images, axis=0))
    told = *map(np.asarray, told), _linear(np.asarray(images), np.asarray(test))
    return Result(np.asarray(test), mean, *told, np.array(spikes))


def _explain(
    config: Config, machine: SpikingLearner, state: SpikingLearnerState, test: Array
) -> tuple[Array, Array, Array]:
    codes, steps = machine.rule(state).code, 3 * config.settle_steps
    heard = LearnedGaussian(jnp.where(SEEN, -np.log(config.variance), SILENT))
    half = eqx.tree_at(lambda net: net.nodes[-1], state.network, Node("2", heard))
    flow = GradientFlow(config.settle_rate, steps)

    def spiking(net, steps):
        populations = SpikingPC(net, codes, config.settle_rate, steps)
        return lambda y: populations.settle(y).state.predictions[-1]

    def rates(y):
        return half.clamp(y).predictions(flow(half, y).state)[-1]

    many = lambda one, images: jax.jit(jax.vmap(one))(images)
    dark = jnp.where(SEEN[None], test, 0.0)
    return (
        many(spiking(state.network, config.settle_steps), test),
        many(spiking(half, steps), dark),
        many(rates, dark),
    )


def _linear(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """What least squares on the training digits makes of the lower half; the upper as it is."""
    seen = lambda images: np.column_stack([images[:, SEEN], np.ones(len(images))])
    weights = np.linalg.lstsq(seen(train), train[:, ~SEEN], rcond=1e-6)[0]
    return np.concatenate([test[:, SEEN], seen(test) @ weights], axis=1)


def unexplained(result: Result, predicted: np.ndarray, pixels: np.ndarray) -> float:
    """Squared error over some pixels, as a share of that of the training digits' mean."""
    squares = lambda guess: float(np.sum((result.images - guess)[:, pixels] ** 2))
    return squares(predicted) / squares(result.mean[None])


def inputs(_: Config) -> dict[str, str]:
    """Digest of the digits."""
    return {"digits": digits().sha256}


def summary(_: Config, result: Result) -> list[Row]:
    """What stays unexplained, and what spikes it takes."""
    told = "squared error over that of the mean training digit; test digits"
    rows = [
        Row("reconstruction", unexplained(result, result.reconstructed, SEEN | ~SEEN), "", told),
        Row("lower half from the upper", unexplained(result, result.filled, ~SEEN), "", told),
        Row("the same by gradient flow", unexplained(result, result.twin, ~SEEN), "", told),
        Row("the same by least squares", unexplained(result, result.linear, ~SEEN), "", told),
    ]
    apart = float(np.sqrt(np.mean((result.filled - result.twin)[:, ~SEEN] ** 2)))
    rows.append(Row("apart from gradient flow, root mean square", apart, "", "brightness, 0 to 1"))
    for name, spikes in zip(("value", "error"), result.spikes[-1], strict=True):
        rows.append(Row(f"spikes of a {name} unit and sample", float(spikes), "", "last epoch"))
    return rows


def figure(result: Result):
    """Test digits and what a spiking network that has learnt to generate digits makes of them.

    Rows: the image; its reconstruction while all of it is clamped; the upper half alone; what the
    spiking network fills in below; and what gradient flow on its float twin does.
    """
    drawing, axes = panels(5, SHOWN, height_mm=78, width_mm=120)
    half = np.where(SEEN, result.images, np.nan)
    rows = result.images, result.reconstructed, half, result.filled, result.twin
    names = "image", "reconstruction", "seen", "filled in", "gradient flow"
    for i, (images, name) in enumerate(zip(rows, names, strict=True)):
        for j in range(SHOWN):
            ax = axes[i * SHOWN + j]
            ax.imshow(images[j].reshape(SIDE, SIDE), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[], title="")
            ax.set_title("", loc="left")
        axes[i * SHOWN].set_ylabel(name, rotation=0, ha="right", va="center")
    return drawing
