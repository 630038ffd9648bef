"""A convolutional network of FashionMNIST as integrate-and-fire neurons: accuracy against steps.

Source: Bu et al. (2022), Optimal ANN-SNN conversion for high-accuracy and ultra-low-latency spiking
neural networks, ICLR; beside it Diehl et al. (2015), Rueckauer et al. (2017), Li et al. (2021),
Wang et al. (2022) and Hao et al. (2023), all on the same two trained networks.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.claims import Row
from experiments.data import FASHION_MNIST, published
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, panels
from snn.conversion import (
    ClipFloorShift,
    RateNetwork,
    SpikingNetwork,
    calibrate,
    convert,
    largest_activities,
    percentiles,
    trained_thresholds,
    without_offset_spikes,
)
from snn.integrate_and_fire import RetractingIF

SIDE, CLASSES = 28, 10
TWINS = ("relu", "clip-floor-shift")
AT_ONCE = 500  # images simulated side by side


@dataclass(frozen=True)
class Config:
    """Train a network with each activation, convert it every way, and count steps.

    Attributes:
        seed: of weights and sample order.
        epochs: passes through the training images.
        batch: images a weight update.
        rate: peak of Adam's learning rate, which falls along a cosine to zero.
        levels: of the clip-floor-shift activation.
        steps: longest simulation.
        calibration: training images on which thresholds and shifts are found.
    """

    seed: int = 0
    epochs: int = 6
    batch: int = 128
    rate: float = 3e-3
    levels: int = 8
    steps: int = 16
    calibration: int = 512

    def __post_init__(self):
        for name in ("epochs", "batch", "levels", "steps", "calibration"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must lie between 0 and 1, got {self.rate}")


class Result(NamedTuple):
    """Accuracy of the rate networks, and of their spiking twins at each step."""

    rate_accuracy: Float[np.ndarray, " twins"]
    accuracy: dict[str, Float[np.ndarray, " steps"]]  # by conversion
    spikes: dict[str, Float[np.ndarray, " steps"]]  # of a unit and image, up to each step


class State(NamedTuple):
    """Two networks in training."""

    weights: tuple[Any, ...]  # arrays of each twin
    moments: tuple[Any, ...]  # of Adam


def network(activation, key: Array) -> RateNetwork:
    """Two convolutions of stride 2 and a read-out; 28x28 pixels to 10 classes."""
    a, b, c = jax.random.split(key, 3)
    layers = (
        eqx.nn.Conv2d(1, 12, 5, 2, 2, key=a),
        activation,
        eqx.nn.Conv2d(12, 24, 3, 2, 1, key=b),
        activation,
        eqx.nn.Lambda(jnp.ravel),
        eqx.nn.Linear(24 * 7 * 7, CLASSES, key=c),
    )
    return RateNetwork.of(eqx.nn.Sequential(layers))


def _twins(config: Config) -> tuple[RateNetwork, ...]:
    key = jax.random.key(config.seed)
    activations = eqx.nn.Lambda(jax.nn.relu), ClipFloorShift(2.0, config.levels)
    return tuple(network(activation, key) for activation in activations)


def _optimiser(config: Config) -> optax.GradientTransformation:
    updates = config.epochs * (len(published(FASHION_MNIST).train.labels) // config.batch)
    return optax.adam(optax.cosine_decay_schedule(config.rate, updates))


def chunks(config: Config) -> int:
    """One chunk an epoch."""
    return config.epochs


def init(config: Config) -> State:
    """Networks before learning."""
    weights = tuple(eqx.filter(twin, eqx.is_inexact_array) for twin in _twins(config))
    return State(weights, tuple(map(_optimiser(config).init, weights)))


def step(config: Config, state: State, chunk: int) -> tuple[State, dict[str, float]]:
    """One epoch of both networks."""
    optimiser = _optimiser(config)
    images, labels = _images(published(FASHION_MNIST).train)
    order = np.random.default_rng((config.seed, chunk)).permutation(len(labels))
    batches = order[: len(order) // config.batch * config.batch].reshape(-1, config.batch)
    weights, moments, losses = (), (), {}
    for name, twin, w, m in zip(TWINS, _twins(config), state.weights, state.moments, strict=True):
        static = eqx.filter(twin, eqx.is_inexact_array, inverse=True)

        @jax.jit
        def update(w, m, x, y, static=static):
            loss, slope = jax.value_and_grad(_loss)(w, static, x, y)
            change, m = optimiser.update(slope, m, w)
            return optax.apply_updates(w, change), m, loss

        total = 0.0
        for batch in batches:
            w, m, loss = update(w, m, images[batch], labels[batch])
            total += float(loss)
        weights, moments = (*weights, w), (*moments, m)
        losses[f"cross entropy, {name} (nats)"] = total / len(batches)
    return State(weights, moments), losses


def _loss(weights, static, x, y):
    logits = jax.vmap(eqx.combine(weights, static))(x)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))


def result(config: Config, state: State) -> Result:
    """Convert both networks every way and simulate them on the test images."""
    pairs = zip(state.weights, _twins(config), strict=True)
    relu, shifted = (eqx.combine(w, twin) for w, twin in pairs)
    images, labels = _images(published(FASHION_MNIST).test)
    known = jnp.asarray(_images(published(FASHION_MNIST).train)[0][: config.calibration])
    rate = [_accuracy(twin, images, labels) for twin in (relu, shifted)]
    accuracy, spikes = {}, {}
    for name, simulate in _conversions(config, relu, shifted, known).items():
        accuracy[name], spikes[name] = _simulate(simulate, images, labels)
    return Result(np.array(rate), accuracy, spikes)


def _conversions(config: Config, relu: RateNetwork, shifted: RateNetwork, known):
    """By name, a function of one image to its states and read-outs at each step."""
    steps = config.steps
    run = lambda net: lambda x: _course(net, x, steps)
    largest, most = largest_activities(relu, known), percentiles(relu, known, 99.9)
    trained = trained_thresholds(shifted)
    half, quantised = convert(relu, most), convert(shifted, trained)
    calibrated = eqx.filter_jit(calibrate)(half, known, steps=config.levels)

    def corrected(x):
        return _course(without_offset_spikes(quantised, x, probe=config.levels), x, steps)

    return {
        "largest activity (Diehl 2015)": run(convert(relu, largest, start=0.0)),
        "99.9 % (Rueckauer 2017)": run(convert(relu, most, start=0.0)),
        "99.9 %, half a threshold": run(half),
        "99.9 %, calibrated (Li 2021)": run(calibrated),
        "clip-floor-shift (Bu 2022)": run(quantised),
        "the same, retracting (Wang 2022)": run(convert(shifted, trained, neuron=RetractingIF)),
        "the same, offset spikes (Hao 2023)": corrected,
    }


def _course(spikes: SpikingNetwork, x, steps: int):
    """Read-outs and the spikes of a unit so far, at each step."""

    def advance(carry, _):
        state, sent = carry
        after, output = spikes.step(state, x)
        pairs = zip(state.neurons, after.neurons, strict=True)
        sent += sum(jnp.sum(jnp.abs(b.sent - a.sent)) for a, b in pairs)
        return (after, sent), (output, sent)

    start = spikes.init(x)
    units = sum(neurons.v.size for neurons in start.neurons)
    _, (outputs, sent) = jax.lax.scan(advance, (start, jnp.zeros(())), length=steps)
    return outputs, sent / units


def _simulate(simulate, images, labels):
    many = jax.jit(jax.vmap(simulate))
    right, spikes = 0.0, 0.0
    for at in range(0, len(labels), AT_ONCE):
        outputs, sent = many(images[at : at + AT_ONCE])
        told = np.argmax(np.asarray(outputs), axis=2)
        right += np.sum(told == labels[at : at + AT_ONCE, None], axis=0)
        spikes += np.sum(np.asarray(sent), axis=0)
    return right / len(labels), spikes / len(labels)


def _accuracy(twin: RateNetwork, images, labels) -> float:
    told = np.argmax(np.asarray(jax.jit(jax.vmap(twin))(images)), axis=1)
    return float(np.mean(told == labels))


def _images(samples) -> tuple[np.ndarray, np.ndarray]:
    return samples.inputs.reshape(-1, 1, SIDE, SIDE), samples.labels


def inputs(_: Config) -> dict[str, str]:
    """Digest of the images."""
    return {"FashionMNIST": published(FASHION_MNIST).sha256}


def summary(config: Config, result: Result) -> list[Row]:
    """Accuracy with and without spikes, and what conversion cost."""
    rows = [
        Row(f"test accuracy, {name}", float(a), "", "rate network")
        for name, a in zip(TWINS, result.rate_accuracy, strict=True)
    ]
    for steps in (s for s in (4, 8, 16) if s <= config.steps):
        for name, course in result.accuracy.items():
            rows.append(Row(f"test accuracy at {steps} steps, {name}", float(course[steps - 1])))
    for name, course in result.accuracy.items():
        lost = 100 * (result.rate_accuracy[_twin(name)] - course[min(8, config.steps) - 1])
        rows.append(Row(f"lost within 8 steps, {name}", float(lost), "points"))
        sent = float(result.spikes[name][min(8, config.steps) - 1])
        rows.append(Row(f"spikes of a unit within 8 steps, {name}", sent))
    return rows


def _twin(name: str) -> int:
    return 0 if "%" in name or "largest" in name else 1


def figure(result: Result):
    """A convolutional network of FashionMNIST, converted seven ways.

    a, Accuracy on the test images lost to the rate network (points) after each step. b, Against the
    spikes that a unit has sent. Beyond the levels that it was trained for, the clip-floor-shift
    network loses a little again: units that training had kept just silent begin to fire.
    """
    drawing, (a, b) = panels(1, 2, height_mm=65)
    colours = (SKY, BLUE, GREEN, PURPLE, ORANGE, VERMILION, BLACK)
    for (name, course), colour in zip(result.accuracy.items(), colours, strict=True):
        lost = 100 * (result.rate_accuracy[_twin(name)] - course)
        a.plot(np.arange(1, len(lost) + 1), lost, ".-", color=colour)
        b.plot(result.spikes[name], lost, ".-", color=colour, label=name)
    for ax in (a, b):
        ax.set_yscale("symlog", linthresh=0.5)
        ax.axhline(0.5, color="0.6", linewidth=0.5, linestyle="--")
        ax.set_ylabel("accuracy lost (points)")
    a.set(xlabel="steps")
    b.set(xlabel="spikes of a unit and image")
    b.legend(loc="upper right")
    return drawing
