"""Accuracy in the number formats of chips, beside the joules of an inference where published."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.claims import Row
from experiments.data import Samples, digits
from experiments.figures import BLACK, BLUE, ORANGE, panels
from hw.datasheets import (
    AKIDA1,
    BRAINSCALES2,
    CMOS45_FP32,
    CMOS45_INT8,
    H100,
    LOIHI1,
    NORTHPOLE,
    TRUENORTH,
    XYLO,
)
from hw.lower import lower_rates
from hw.platforms import Platform
from hw.quantise import activation, analog, least_error, loihi, truenorth
from hw.report import account_dense

WIDTHS = (64, 64, 10)
EXACT = 32  # bits of a number that is left as it is


class Layer(NamedTuple):
    """Weights of shape (d_out, d_in) and one bias an output."""

    weight: Array
    bias: Array


class Format(NamedTuple):
    """How a chip holds the network: weights one way, activations in so many bits."""

    chip: Platform
    weight_bits: int
    activation_bits: int


FORMATS = (
    Format(CMOS45_FP32, EXACT, EXACT),
    Format(H100, EXACT, EXACT),
    Format(CMOS45_INT8, 8, 8),
    Format(LOIHI1, 9, EXACT),
    Format(XYLO, 8, EXACT),
    Format(BRAINSCALES2, 6, 8),
    Format(AKIDA1, 4, 4),
    Format(AKIDA1, 4, 2),
    Format(AKIDA1, 4, 1),
    Format(NORTHPOLE, 8, 8),
    Format(NORTHPOLE, 4, 4),
    Format(NORTHPOLE, 2, 2),
    Format(TRUENORTH, 1, EXACT),
)


@dataclass(frozen=True)
class Config:
    """A rectified network learns digits in floats, and is then held as each chip would.

    Attributes:
        seed: of weights and noise.
        updates: with all training digits at once.
        rate: Adam's learning rate.
        fixed_noise: spread of analog synapses over a chip, relative; a setting, not a figure.
        trial_noise: spread from trial to trial, relative; a setting, not a figure.
        trials: of the analog chip.
    """

    seed: int = 0
    updates: int = 400
    rate: float = 1e-2
    fixed_noise: float = 0.1
    trial_noise: float = 0.05
    trials: int = 8

    def __post_init__(self):
        for name in ("updates", "trials"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.rate > 0 or min(self.fixed_noise, self.trial_noise) < 0:
            raise ValueError("rate must be positive, and noise not negative")


class Result(NamedTuple):
    """Rows as in FORMATS."""

    accuracy: Float[np.ndarray, " formats"]
    error: Float[np.ndarray, " formats"]  # of weights, relative root mean square
    joules: Float[np.ndarray, " formats"]  # of an inference; NaN where no price is published


def run(config: Config) -> Result:
    """Train once, then test in every format."""
    train, test = digits()
    layers = _trained(config, train)
    largest = _largest(layers, jnp.asarray(train.inputs))
    rows = [_tested(config, layers, largest, test, f) for f in FORMATS]
    return Result(*(np.array(column, float) for column in zip(*rows, strict=True)))


def _trained(config: Config, train: Samples) -> tuple[Layer, ...]:
    inputs, labels = jnp.asarray(train.inputs), jnp.asarray(train.labels)
    keys = jax.random.split(jax.random.key(config.seed), len(WIDTHS) - 1)
    layers = tuple(
        Layer(jax.random.normal(k, (b, a)) * (2 / a) ** 0.5, jnp.zeros(b))
        for k, a, b in zip(keys, WIDTHS, WIDTHS[1:], strict=False)
    )
    adam = optax.adam(optax.cosine_decay_schedule(config.rate, config.updates))

    def loss(layers):
        scores = _scores(layers, inputs, lambda x, i: jax.nn.relu(x))
        return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()

    def update(carry, _):
        layers, state = carry
        change, state = adam.update(jax.grad(loss)(layers), state)
        return (optax.apply_updates(layers, change), state), None

    learn = lambda start: jax.lax.scan(update, start, length=config.updates)[0][0]
    return jax.jit(learn)((layers, adam.init(layers)))


def _scores(layers: tuple[Layer, ...], x: Float[Array, "n d"], between) -> Float[Array, "n out"]:
    for i, layer in enumerate(layers):
        x = between(x, i) @ layer.weight.T + layer.bias[None]
    return x


def _largest(layers: tuple[Layer, ...], inputs: Array) -> list[float]:
    """Largest activation that each layer hears from the training digits."""
    seen = []
    _scores(layers, inputs, lambda x, i: (seen.append(float(x.max())), jax.nn.relu(x))[1])
    return seen


def _tested(
    config: Config, layers: tuple[Layer, ...], largest: list[float], test: Samples, how: Format
) -> tuple[float, float, float]:
    keys = jax.random.split(jax.random.key(config.seed + 1), len(layers))
    trials = config.trials if how.chip is BRAINSCALES2 else 1
    between = lambda x, i: (
        jax.nn.relu(x)
        if how.activation_bits == EXACT
        else activation(x, how.activation_bits, largest[i])
    )
    shares, errors = [], []
    for trial in range(trials):
        held = tuple(
            la._replace(weight=jnp.asarray(_weights(config, la, how, k, trial), jnp.float32))
            for la, k in zip(layers, keys, strict=True)
        )
        scores = _scores(held, jnp.asarray(test.inputs), between)
        shares.append(np.mean(np.argmax(np.asarray(scores), axis=1) == test.labels))
        off = [np.square(a.weight - b.weight).sum() for a, b in zip(held, layers, strict=True)]
        errors.append(np.sqrt(sum(off) / sum(np.square(la.weight).sum() for la in layers)))
    (entry,) = account_dense(lower_rates(layers), [how.chip])
    joules = entry.bill.joules if entry.bill.items else np.nan
    return float(np.mean(shares)), float(np.mean(errors)), float(joules)


def _weights(config: Config, layer: Layer, how: Format, key: Array, trial: int) -> np.ndarray:
    weight = np.asarray(layer.weight, float)
    if how.weight_bits == EXACT:
        return weight
    if how.chip is LOIHI1:
        return loihi(weight.ravel()).weights.reshape(weight.shape)
    if how.chip is TRUENORTH:
        made = truenorth(weight.T)
        return made.values.T * made.step
    if how.chip is BRAINSCALES2:
        made = key, jax.random.fold_in(key, trial)  # the chip stays, trials differ
        noise = config.fixed_noise, config.trial_noise
        return analog(weight.ravel(), *noise, keys=made)[1].reshape(weight.shape)
    return least_error(weight, how.weight_bits).weights


def _name(how: Format) -> str:
    bits = lambda n: "float" if n == EXACT else f"{n} bit"
    chip = how.chip.name.split(" (")[0]
    return f"{chip}: weights {bits(how.weight_bits)}, activations {bits(how.activation_bits)}"


def summary(config: Config, result: Result) -> list[Row]:
    """Accuracy of every format, and joules where a product has a price."""
    rows = []
    for how, accuracy, joules in zip(FORMATS, result.accuracy, result.joules, strict=True):
        rows.append(Row(_name(how), float(accuracy), "", "test accuracy, digits, 64-64-10"))
        if np.isfinite(joules):
            told = f"{how.chip.boundary}; one dense pass"
            rows.append(Row(f"{_name(how)}: an inference", float(joules), "J", told))
    return rows


def figure(result: Result):
    """Digits by a 64-64-10 network in the number formats of chips.

    Accuracy after quantisation, without training in the format; dashed, in floats. Orange, analog
    with the noise of the settings. TrueNorth's crossbar has four signed levels a neuron, one for
    each type of axon.
    """
    drawing, (ax,) = panels(1, 1, height_mm=70, width_mm=120)
    place = np.arange(len(FORMATS))[::-1]
    colours = [ORANGE if how.chip is BRAINSCALES2 else BLUE for how in FORMATS]
    ax.barh(place, result.accuracy, color=colours, height=0.6)
    ax.axvline(result.accuracy[0], color=BLACK, ls="--", linewidth=0.6)
    names = []
    for how, joules in zip(FORMATS, result.joules, strict=True):
        price = f"{joules * 1e9:.2g} nJ" if np.isfinite(joules) else "no MAC price"
        names.append(f"{_name(how)} ({price})")
    ax.set_yticks(place, names)
    ax.set(xlabel="test accuracy", xlim=(0, 1))
    return drawing
