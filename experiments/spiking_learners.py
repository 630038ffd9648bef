"""Spiking predictive coding whose thresholds follow its errors, beside rate predictive coding.

Digits by default; `spiking_pc_networks` has the flags of larger networks.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.claims import Row
from experiments.data import FASHION_MNIST, MNIST, Dataset, Samples, digits, published
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, panels
from experiments.surprise import FIXED, label_surprise, surprise_rows
from fep.predictive_coding.energies import Categorical, Gaussian
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import Learner, LearnerState, PredictiveCoding
from fep.predictive_coding.network import multilayer
from snn.coding import HalvingCode, NonAdjacentCode
from snn.spiking_pc import sharpening
from snn.spiking_pc_learning import (
    ErrorScaledCodes,
    LeakyTracePlasticity,
    SpikingLearner,
    SpikingLearnerState,
    TracePlasticity,
)

CLASSES = 10
DATA = {
    "digits": digits,
    "mnist": lambda: published(MNIST),
    "fashion-mnist": lambda: published(FASHION_MNIST),
}
ENERGIES = {"gaussian": Gaussian(), "categorical": Categorical()}
LEARNERS = ("rate predictive coding", "spiking predictive coding")
KINDS = ("input", "values", "errors")
DECAYS = 0.95, 0.8, 0.5  # shares that traces keep from a settle step to the next
RULES = (
    "error-scaled",
    *(f"fixed, {n} halvings" for n in FIXED),
    *(f"error-scaled, traces keep {decay:g}" for decay in DECAYS),
)
COLOURS = BLUE, ORANGE, VERMILION, SKY, GREEN, PURPLE
PROBE = 256  # training samples on which gradients are compared


@dataclass(frozen=True)
class Config:
    """Train one network by rate and by spiking predictive coding, and follow the latter's gradient.

    Attributes:
        data: digits, mnist or fashion-mnist.
        hidden: widths of the hidden layers, joined by hyphens.
        energy: of the label, gaussian or categorical.
        seed: of weights and sample order; run k uses seed + k.
        seeds: independent runs of each learner.
        epochs: passes through the training samples.
        batch: samples a weight update.
        rate: peak of Adam's learning rate, which falls along a cosine to zero.
        settle_rate: Euler step of inference.
        settle_steps: steps of inference a sample.
        input_octaves: from 1 down to the input's finest spike.
        value_octaves: from a layer's mean error down to its finest value spike.
        rate_octaves: from 1 down to the coarsest that this spike may be.
        error_octaves: from a layer's mean error down to its finest error spike.
        blur: octaves by which spikes are coarser at first; one less every step towards the end.
        shift: pixels by which training images are shifted at random, either way.
        held_out: training samples, the last, that no learner sees and that stand in for the test
            samples, so that settings can be chosen without these; 0 for none.
    """

    data: str = "digits"
    hidden: str = "128-64"
    energy: str = "gaussian"
    seed: int = 0
    seeds: int = 5
    epochs: int = 30
    batch: int = 32
    rate: float = 3e-3
    settle_rate: float = 0.1
    settle_steps: int = 8
    input_octaves: int = 6
    value_octaves: int = 1
    rate_octaves: int = 3
    error_octaves: int = 2
    blur: int = 0
    shift: int = 0
    held_out: int = 0

    def __post_init__(self):
        if self.data not in ("digits", "mnist", "fashion-mnist"):
            raise ValueError(f"data must be digits, mnist or fashion-mnist, got {self.data!r}")
        if self.energy not in ("gaussian", "categorical"):
            raise ValueError(f"energy must be gaussian or categorical, got {self.energy!r}")
        widths = self.hidden.split("-")
        if not all(width.isdecimal() and int(width) for width in widths):
            raise ValueError(f"hidden must be widths joined by hyphens, got {self.hidden!r}")
        for name in ("seeds", "epochs", "batch", "settle_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("rate", "settle_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("seed", "blur", "shift", "held_out"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class History(NamedTuple):
    """What is followed; row 0 is before learning, row e after epoch e."""

    accuracy: Float[Array, "epochs+1 learners seeds"]  # on the test samples
    cosine: Float[Array, "epochs+1 rules seeds"]  # to the rate gradient, worst layer, on the probe
    magnitude: Float[Array, "epochs+1 layers seeds"]  # running mean of |error|, layers 1..L
    spikes: Float[Array, "epochs+1 kinds seeds"]  # a unit and sample, mean over the epoch


class State(NamedTuple):
    """What training carries."""

    rates: tuple[LearnerState, ...]  # one a seed
    spiking: tuple[SpikingLearnerState, ...]
    history: History


class Result(NamedTuple):
    """What came of it."""

    accuracy: Float[np.ndarray, "epochs+1 learners seeds"]
    cosine: Float[np.ndarray, "epochs+1 rules seeds"]
    magnitude: Float[np.ndarray, "epochs+1 layers seeds"]
    spikes: Float[np.ndarray, "epochs+1 kinds seeds"]
    surprise: Float[np.ndarray, "thresholds labels seeds"]  # error spikes a unit; right, wrong


def start(config: Config, run: int) -> tuple[LearnerState, SpikingLearnerState]:
    """One network before learning, for rates and for spikes that have heard its errors."""
    compiled, key = programs(config), jax.random.key(config.seed + run)
    energy = ENERGIES[config.energy]
    network = multilayer(_widths(config), jax.nn.relu, key=key, output=energy)
    return compiled.rate.init(network), compiled.listen(compiled.spiking.init(network))


def init(config: Config) -> State:
    """Networks before learning."""
    rates, spiking = zip(*(start(config, run) for run in range(config.seeds)), strict=True)
    rows = config.epochs + 1
    sizes = len(LEARNERS), len(RULES), len(_widths(config)) - 1, len(KINDS)
    nothing = History(*(jnp.full((rows, n, config.seeds), jnp.nan) for n in sizes))
    state = State(rates, spiking, nothing)
    return state._replace(history=_follow(config, state, 0))


def chunks(config: Config) -> int:
    """One chunk an epoch."""
    return config.epochs


def step(config: Config, state: State, chunk: int) -> tuple[State, dict[str, float]]:
    """One epoch of both learners and every seed."""
    compiled, rates, spiking, spikes = programs(config), [], [], []
    for k, (rate, spike) in enumerate(zip(state.rates, state.spiking, strict=True)):
        key = jax.random.fold_in(jax.random.key(config.seed + k), chunk)
        rates.append(compiled.rate_epoch(rate, key))
        after, row = compiled.spiking_epoch(spike, key)
        spiking.append(after)
        spikes.append(row)
    state = State(tuple(rates), tuple(spiking), state.history)
    history = _follow(config, state, chunk + 1)
    told = history.spikes.at[chunk + 1].set(jnp.stack(spikes, axis=1))
    state = state._replace(history=history._replace(spikes=told))
    row = jax.tree.map(lambda a: np.asarray(a[chunk + 1]), state.history)
    return state, {
        **{f"accuracy, {n}": float(a) for n, a in zip(LEARNERS, row.accuracy.mean(1), strict=True)},
        "spikes per unit and sample": float(row.spikes.sum(axis=0).mean()),
        "worst cosine to the rate gradient": float(row.cosine[0].min()),
    }


def result(config: Config, state: State) -> Result:
    """The history, and what an unexpected label costs."""
    told = [programs(config).surprise(spiking) for spiking in state.spiking]
    surprise = np.stack([np.asarray(t) for t in told], axis=-1)
    return Result(*(np.asarray(part) for part in state.history), surprise)


class Programs(NamedTuple):
    """Learners and compiled parts of a config."""

    rate: Learner
    spiking: SpikingLearner
    rate_epoch: eqx.Module  # (state, key) -> state
    listen: eqx.Module  # state -> state that knows how large errors are at first
    spiking_epoch: eqx.Module  # (state, key) -> state, spikes by kind
    follow: eqx.Module  # (rate state, spiking state) -> accuracies, cosines, magnitudes
    surprise: eqx.Module  # spiking state -> error spikes by threshold and label


def learners(config: Config, updates: int) -> tuple[Learner, SpikingLearner]:
    """Rate predictive coding, and the same with spikes as fine as errors are small."""
    adam = optax.adam(optax.cosine_decay_schedule(config.rate, updates))
    flow = GradientFlow(config.settle_rate, config.settle_steps)
    halvings = 24  # from the finest spike of the last epoch to rates beyond 1
    code = NonAdjacentCode(2.0 ** (halvings - 1 - config.input_octaves), halvings)
    codes = ErrorScaledCodes(
        code,
        config.value_octaves,
        config.error_octaves,
        start=2.0**-10,
        coarsest=2.0**-config.rate_octaves,
    )
    blur = sharpening(config.settle_steps, config.blur, 1)
    settle = config.settle_rate, config.settle_steps
    return Learner(PredictiveCoding(flow), adam), SpikingLearner(codes, *settle, blur, adam)


@cache
def programs(config: Config) -> Programs:
    """What a config trains, compiled once."""
    train, test = samples(config)
    inputs, labels = jnp.asarray(train.inputs), jax.nn.one_hot(train.labels, CLASSES)
    batches = len(inputs) // config.batch
    rate, spiking = learners(config, config.epochs * batches)
    probe = inputs[:PROBE], labels[:PROBE]
    widths = _widths(config)
    units = sum(widths[:-1]) + sum(widths[1:])

    def epoch(learner, state, key):
        order = jax.random.permutation(key, len(inputs))[: batches * config.batch]

        def update(state, rows):
            x = _shifted(inputs[rows], config.shift, jax.random.fold_in(key, rows[0]))
            return learner.step(state, (x, labels[rows]))

        return jax.lax.scan(update, state, order.reshape(batches, config.batch))

    def spiking_epoch(state, key):
        state, lesson = epoch(spiking, state, key)
        kinds = [
            lesson.value_spikes[:, 0],
            jnp.sum(lesson.value_spikes[:, 1:], axis=1),
            jnp.sum(lesson.error_spikes, axis=1),
        ]
        return state, jnp.stack([jnp.mean(kind) for kind in kinds]) / units

    def accuracy(predict):
        decided = jnp.argmax(jax.vmap(predict)(jnp.asarray(test.inputs)), axis=1)
        return jnp.mean(decided == jnp.asarray(test.labels))

    def follow(rates, state):
        rule, network = spiking.rule(state), state.network
        settings = rule.rate, rule.steps
        rules = [rule, *(TracePlasticity(HalvingCode(1.0, n), *settings) for n in FIXED)]
        slopes = [r(network, probe)[1] for r in rules]
        leaky = [LeakyTracePlasticity(rule.code, *settings, rule.blur, d) for d in DECAYS]
        trials = leaky[0].settle(network, probe)
        slopes += [r.slope(network, trials) for r in leaky]
        wanted = rate.gradient(network, probe)[1]
        cosines = [_worst_cosine(slope, wanted) for slope in slopes]
        right = accuracy(rates.network.predict), accuracy(rule.populations(network).predict)
        return jnp.stack(right), jnp.stack(cosines), state.scale.magnitudes

    def surprise(state):
        seen = jnp.asarray(test.inputs[:PROBE]), jax.nn.one_hot(test.labels[:PROBE], CLASSES)
        return label_surprise(spiking, state, seen)

    return Programs(
        rate,
        spiking,
        jax.jit(lambda state, key: epoch(rate, state, key)[0]),
        jax.jit(lambda state: spiking.listen(state, probe)),
        jax.jit(spiking_epoch),
        jax.jit(follow),
        jax.jit(surprise),
    )


def samples(config: Config) -> Dataset:
    """What is learnt from, and what accuracy is read on."""
    data = DATA[config.data]()
    if not config.held_out:
        return data
    kept = len(data.train.labels) - config.held_out
    if kept < max(PROBE, config.batch):
        raise ValueError(f"held_out must leave {PROBE} samples and a batch, got {config.held_out}")
    first, last = (Samples(*(a[at] for a in data.train)) for at in (slice(kept), slice(kept, None)))
    return Dataset(first, last)


def _widths(config: Config) -> tuple[int, ...]:
    pixels = samples(config).train.inputs.shape[1]
    return pixels, *map(int, config.hidden.split("-")), CLASSES


def _follow(config: Config, state: State, row: int) -> History:
    pairs = zip(state.rates, state.spiking, strict=True)
    seen = [programs(config).follow(*pair) for pair in pairs]
    accuracy, cosine, magnitude = (jnp.stack(part, axis=1) for part in zip(*seen, strict=True))
    old = state.history
    return History(
        old.accuracy.at[row].set(accuracy),
        old.cosine.at[row].set(cosine),
        old.magnitude.at[row].set(magnitude),
        old.spikes,
    )


def _shifted(images: Float[Array, "b pixels"], most: int, key: Array) -> Float[Array, "b pixels"]:
    """Square images moved by up to `most` pixels, zeros following."""
    if most == 0:
        return images
    side = round(images.shape[1] ** 0.5)
    framed = jnp.pad(images.reshape(-1, side, side), ((0, 0), (most, most), (most, most)))
    corners = jax.random.randint(key, (len(images), 2), 0, 2 * most + 1)
    cut = lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1]), (side, side))
    return jax.vmap(cut)(framed, corners).reshape(images.shape)


def _worst_cosine(a, b) -> Float[Array, ""]:
    """Over layers; 0 where a rule deposits nothing at all."""
    norm = lambda p: jnp.maximum(jnp.linalg.norm(p), 1e-30)
    cosine = lambda p, q: jnp.vdot(p, q) / (norm(p) * norm(q))
    pairs = zip(a.layers, b.layers, strict=True)
    return jnp.min(jnp.stack([cosine(p.weight, q.weight) for p, q in pairs]))


def inputs(config: Config) -> dict[str, str]:
    """Digest of the samples."""
    return {config.data: samples(config).sha256}


def summary(config: Config, result: Result) -> list[Row]:
    """Accuracy, gradients, spikes and surprise; ranges are over seeds."""
    spread = lambda label, values, unit="", source="": Row(
        label, float(np.mean(values)), unit, source, float(np.min(values)), float(np.max(values))
    )
    rows = [
        spread(f"test accuracy, {name}", 100 * part, "%", "last epoch, read out as it learns")
        for name, part in zip(LEARNERS, result.accuracy[-1], strict=True)
    ]
    points = 100 * (result.accuracy[-1, 1] - result.accuracy[-1, 0])
    rows.append(spread("spiking above rate predictive coding", points, "points"))
    for i, rule in enumerate(RULES):
        course = result.cosine[:, i]
        told = f"worst layer, {PROBE} training samples"
        rows.append(spread(f"cosine before learning, {rule}", course[0], "", told))
        rows.append(spread(f"least cosine throughout, {rule}", course.min(axis=0), "", told))
    total = result.spikes[1:].sum(axis=1)
    rows.append(spread("spikes of a unit and sample", total.mean(axis=0), "", "over training"))
    for kind, part in zip(KINDS, np.moveaxis(result.spikes[1:], 1, 0), strict=True):
        rows.append(spread(f"of which {kind}", part.mean(axis=0), "", "over training"))
    rows.append(spread("spikes, last epoch over first", total[-1] / total[0]))
    return rows + surprise_rows(result.surprise)


def figure(result: Result):
    """Spiking predictive coding with thresholds that follow the errors.

    a, Test accuracy of rate and spiking predictive coding. b, Cosine of the trace rule's gradient
    to that of rate predictive coding, worst layer, on the networks that the error-scaled rule
    trains: thresholds that are fixed are coarse beside errors that shrink, and traces that leak
    forget the values. c, Mean error of each layer, which the thresholds follow. d, Spikes of a unit
    and sample. Lines are means over seeds, bands their range.
    """
    drawing, (a, b, c, d) = panels(2, 2, height_mm=110)
    _draw(a, 100 * result.accuracy, LEARNERS, (BLACK, BLUE))
    a.set_ylabel("test accuracy (%)")
    low, high = 100 * np.nanmin(result.accuracy[1:]), 100 * np.nanmax(result.accuracy)
    a.set_ylim(low - 1, min(high + 1, 100))
    _draw(b, result.cosine, RULES, COLOURS)
    b.set(ylabel="cosine to the rate gradient", ylim=(min(0, result.cosine.min()) - 0.03, 1.03))
    layers = [f"layer {i + 1}" for i in range(result.magnitude.shape[1])]
    _draw(c, result.magnitude, layers, (SKY, BLUE, BLACK, GREEN, ORANGE))
    c.set(ylabel="mean error", yscale="log")
    _draw(d, result.spikes, KINDS, (SKY, GREEN, VERMILION))
    d.set_ylabel("spikes of a unit and sample")
    d.set_ylim(bottom=0)
    for ax in (a, b, c, d):
        ax.set_xlabel("epoch")
        ax.legend()
    return drawing


def _draw(ax, courses: np.ndarray, names, colours) -> None:
    epochs = np.arange(len(courses))
    for i, name in enumerate(names):
        colour, course = colours[i % len(colours)], courses[:, i]
        ax.plot(epochs, course.mean(axis=1), color=colour, label=name)
        low, high = course.min(axis=1), course.max(axis=1)
        ax.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
