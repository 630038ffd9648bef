"""Yin-yang learned by exact spike times and by surrogate gradients: Wunderlich & Pehle (2021).

Source: Wunderlich & Pehle (2021), Event-based backpropagation can compute exact gradients for
spiking neural networks, Sci. Rep. 11:12829; Kriener, Goeltz & Petrovici (2022), The Yin-Yang
dataset, NICE.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments.claims import Check, Row
from experiments.data_spiking import CLASSES, yin_yang
from experiments.figures import BLUE, GREEN, ORANGE, VERMILION, panels
from snn.eventprop import EventLIF
from snn.neurons import LI, LIF
from snn.surrogate import SuperSpike
from snn.training import Layer, SpikingNetwork, rollout

PAPER = "Wunderlich & Pehle (2021)"
TAU_SYN, WINDOW_S = 10e-3, 60e-3  # membranes have twice the first
FIRST_S, LAST_S, BIAS_S = 2e-3, 22e-3, 2e-3  # coordinates 0 and 1, and the bias, become times
BATCH, DT, STEPS = 100, 1e-3, 30
SPIKES = 2  # a hidden neuron, at most, by exact times


@dataclass(frozen=True)
class Config:
    """The published split, learned both ways.

    Attributes:
        seed: of weights and order; run k uses seed + k.
        seeds: independent runs.
        epochs: passes through the 5,000 training points.
        hidden: neurons.
        rate: Adam's at the start; it falls along a cosine to zero.
    """

    seed: int = 0
    seeds: int = 5
    epochs: int = 100
    hidden: int = 200
    rate: float = 2e-3

    def __post_init__(self):
        for name in ("seeds", "epochs", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must lie between 0 and 1, got {self.rate}")


class Learner(NamedTuple):
    """One run's weights and its optimiser's memory."""

    weights: tuple[Float[Array, "..."], Float[Array, "..."]]
    memory: optax.OptState


class State(NamedTuple):
    """What the experiment carries; learners with a leading axis of seeds."""

    exact: Learner
    surrogate: Learner
    accuracy: Float[Array, "epochs 2 seeds"]  # on the validation points


class Result(NamedTuple):
    """Accuracy on the test points, and how it was reached."""

    exact: Float[np.ndarray, " seeds"]
    surrogate: Float[np.ndarray, " seeds"]
    course: Float[np.ndarray, "epochs 2 seeds"]
    decided: Int[np.ndarray, " points"]  # by exact times, of the first seed, on test points
    points: Float[np.ndarray, "points 2"]


def input_times(x: Float[Array, " 4"]) -> Float[Array, " 5"]:
    """Spike times of the four coordinates and of the bias, s."""
    return jnp.append(FIRST_S + x * (LAST_S - FIRST_S), BIAS_S)


@jax.custom_vjp
def _rising(x: Array) -> Array:
    """The identity, which lets through only what would lower x."""
    return x


_rising.defvjp(lambda x: (x, None), lambda _, slope: (jnp.maximum(slope, 0),))


def output_times(weights, x: Float[Array, " 4"]) -> Float[Array, " 3"]:
    """First spike of each output neuron; the window's end where there is none."""
    first, second = weights
    hidden = EventLIF(TAU_SYN, spikes=SPIKES)(first, input_times(x))
    # weights of order 1 are learned at one rate in both layers
    second = jnp.tile(second / first.shape[1] ** 0.5, (SPIKES, 1))
    found = EventLIF(TAU_SYN).first(second, hidden.ravel())
    # a silent neuron has no spike to move: its weights rise together while it should fire
    drive = _rising(-jnp.sum(second, axis=0))
    silent = WINDOW_S + 0.1 * TAU_SYN * (drive - jax.lax.stop_gradient(drive))
    return jnp.where(found < WINDOW_S, found, silent)


def exact_logits(weights, x: Float[Array, " 4"]) -> Float[Array, " 3"]:
    """The earlier, the likelier, in units of a fifth of the synaptic time constant."""
    return -output_times(weights, x) / (0.2 * TAU_SYN)


def surrogate_logits(weights, x: Float[Array, " 4"]) -> Float[Array, " 3"]:
    """Mean membrane potential of each read-out under coordinates as constant currents."""
    first, second = weights
    hidden = Layer(first, LIF(TAU_SYN, spike=SuperSpike(5.0)))
    readout = Layer(second, LI(TAU_SYN, r=TAU_SYN / DT))
    currents = jnp.tile(jnp.append(x, 1.0), (STEPS, 1))
    return jnp.mean(rollout(SpikingNetwork((hidden, readout), DT), currents)[-1], axis=0)


def _start(config: Config, key: PRNGKeyArray) -> tuple[Array, Array]:
    """Hidden neurons that fire about once; read-outs that all of them together make fire."""
    k1, k2 = jax.random.split(key)
    first = 1.5 + 0.8 * jax.random.normal(k1, (5, config.hidden))
    second = 1 + jax.random.normal(k2, (config.hidden, len(CLASSES)))
    return first, second * (6 / config.hidden**0.5)


def _start_surrogate(config: Config, key: PRNGKeyArray) -> tuple[Array, Array]:
    k1, k2 = jax.random.split(key)
    first = 2.0 * jax.random.normal(k1, (5, config.hidden))
    return first, jax.random.normal(k2, (config.hidden, len(CLASSES))) / config.hidden**0.5


def _optimiser(config: Config) -> optax.GradientTransformation:
    updates = config.epochs * (5_000 // BATCH)
    adam = optax.adam(optax.cosine_decay_schedule(config.rate, updates))
    # a spike that only just happens has a slope without bound
    return optax.chain(optax.clip_by_global_norm(1.0), adam)


def chunks(config: Config) -> int:
    """One chunk an epoch."""
    return config.epochs


def init(config: Config) -> State:
    """Two learners a seed."""

    def fresh(start):
        def one(key):
            weights = start(config, key)
            return Learner(weights, _optimiser(config).init(weights))

        return jax.vmap(one)(jax.vmap(jax.random.key)(config.seed + jnp.arange(config.seeds)))

    course = jnp.zeros((config.epochs, 2, config.seeds))
    return State(fresh(_start), fresh(_start_surrogate), course)


def step(config: Config, state: State, chunk: int) -> tuple[State, dict[str, float]]:
    """One epoch of both."""
    learn, score = _programs(config)
    learners, rows = [], []
    validation = yin_yang(1_000, 41)
    for way, learner in enumerate((state.exact, state.surrogate)):
        learners.append(learn[way](learner, chunk))
        rows.append(score[way](learners[-1].weights, validation.inputs, validation.labels)[0])
    accuracy = jnp.stack(rows)
    state = State(*learners, state.accuracy.at[chunk].set(accuracy))
    exact, surrogate = map(float, jnp.mean(accuracy, axis=1))
    return state, {"accuracy, exact": exact, "accuracy, surrogate": surrogate}


@cache
def _programs(config: Config):
    train = yin_yang(5_000, 42)
    x, y = jnp.asarray(train.inputs), jnp.asarray(train.labels)
    optimiser = _optimiser(config)

    def learn(logits):
        def loss(weights, x, y):
            given = jax.vmap(logits, (None, 0))(weights, x)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(given, y))

        def update(learner, rows):
            slopes = jax.grad(loss)(learner.weights, x[rows], y[rows])
            updates, memory = optimiser.update(slopes, learner.memory)
            return Learner(optax.apply_updates(learner.weights, updates), memory), None

        def epoch(learner, seed, number):
            key = jax.random.fold_in(jax.random.key(seed), number)
            rows = jax.random.permutation(key, x.shape[0]).reshape(-1, BATCH)
            return jax.lax.scan(update, learner, rows)[0]

        seeds = config.seed + jnp.arange(config.seeds)
        return jax.jit(
            lambda learner, number: jax.vmap(epoch, (0, 0, None))(learner, seeds, number)
        )

    def score(logits):
        def one(weights, x, y):
            decided = jnp.argmax(jax.vmap(logits, (None, 0))(weights, x), axis=1)
            return jnp.mean(decided == y), decided

        return jax.jit(jax.vmap(one, (0, None, None)))

    ways = exact_logits, surrogate_logits
    return tuple(learn(way) for way in ways), tuple(score(way) for way in ways)


def result(config: Config, state: State) -> Result:
    """Both on the test points."""
    test = yin_yang(1_000, 40)
    _, score = _programs(config)
    exact, decided = score[0](state.exact.weights, test.inputs, test.labels)
    surrogate, _ = score[1](state.surrogate.weights, test.inputs, test.labels)
    arrays = exact, surrogate, state.accuracy, decided[0], test.inputs[:, :2]
    return Result(*map(np.asarray, arrays))


def summary(config: Config, result: Result) -> list[Row]:
    """Mean and range over seeds."""
    return [
        Row(f"test accuracy by {name}", float(a.mean()), low=float(a.min()), high=float(a.max()))
        for name, a in (("exact times", result.exact), ("surrogates", result.surrogate))
    ]


def figure(result: Result):
    """The yin-yang set learned by spikes.

    a, Test points as the network with exact spike times decides them. b, Error on the validation
    points while learning; one line a seed.
    """
    drawing, (a, b) = panels(1, 2, height_mm=62, width_mm=130)
    for c, colour in enumerate((BLUE, ORANGE, GREEN)):
        a.scatter(*result.points[result.decided == c].T, s=2, color=colour, label=CLASSES[c])
    a.set(xlabel="x", ylabel="y", aspect="equal")
    a.legend()
    epochs = np.arange(1, len(result.course) + 1)
    for way, (name, colour) in enumerate((("exact times", BLUE), ("surrogates", VERMILION))):
        lines = b.plot(epochs, 1 - result.course[:, way], color=colour, linewidth=0.5)
        lines[0].set_label(name)
    b.set(xlabel="epoch", ylabel="error", yscale="log")
    b.legend()
    return drawing


def verify() -> list[Check]:
    """Mean test accuracy of five seeds; 98.1 % is the paper's, by exact gradients."""
    config = Config()
    state = init(config)
    for chunk in range(chunks(config)):
        state, _ = step(config, state, chunk)
    found = result(config, state)
    exact, surrogate = float(found.exact.mean()), float(found.surrogate.mean())
    return [
        Check(PAPER, "test accuracy by exact gradients, section 3", 0.981, exact, 0.005),
        Check(PAPER, "test accuracy by surrogate gradients; not printed", 0.985, surrogate, 0.01),
    ]
