"""Predictive coding of the times of first spikes: PC-SNN, whose errors are early or late.

Each neuron integrates without a leak and fires once; its time is the value of a node in a Gaussian
predictive-coding network, the layer below predicts it, and the error is by how much it should come
earlier or later. What a weight then learns from is its own spike times and its target's error. The
same network learns by backpropagation beside it.

Of the paper its abstracts were at hand and a summary of the method: first-spike coding, neurons
that integrate and fire without a leak, times as Gaussian variables. The shape of synaptic currents,
targets, sizes and rates are ours; so are the digits, of 8 x 8 pixels, where its figures are of
larger images.

Source: Lan et al. (2022), PC-SNN: Supervised learning with local Hebbian synaptic plasticity based
on predictive coding in spiking neural networks, arXiv:2211.15386v1; as revised by Wang et al.
(2025), v2.
"""

from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from experiments.claims import Check, Row
from experiments.data import Dataset, digits
from experiments.figures import BLACK, BLUE, ORANGE, VERMILION, panels
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import Learner, LearnerState, PredictiveCoding, backprop
from fep.predictive_coding.network import PCNetwork, chain

PAPER = "Lan et al. (2022)"
MNIST_PUBLISHED = 0.981  # abstract of v1
LEARNERS = "predictive coding", "backprop"
CLASSES = 10
# times are in units of the input's window, in which a white pixel fires at 0
THRESHOLD = 1.0  # of the integral of the synaptic currents
LATEST = 3.0  # a neuron that is silent counts as firing then
RIGHT, WRONG = 1.0, 2.0  # targets of output neurons
SPREAD = 3.0, 2.0  # of initial weights: mean x inputs, and deviation x root of inputs


@dataclass(frozen=True)
class Config:
    """Learn digits from the times of first spikes.

    Attributes:
        hidden: neurons between input and output.
        seed: of weights and sample order; run k uses seed + k.
        seeds: independent runs of each learner.
        epochs: passes through the training samples.
        batch: samples a weight update.
        rate: peak of Adam's learning rate, which falls along a cosine to zero.
        settle_rate: Euler step of inference.
        settle_steps: steps of inference a sample.
    """

    hidden: int = 128
    seed: int = 0
    seeds: int = 3
    epochs: int = 15
    batch: int = 32
    rate: float = 3e-2
    settle_rate: float = 0.1
    settle_steps: int = 8

    def __post_init__(self):
        for name in ("hidden", "seeds", "epochs", "batch", "settle_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("rate", "settle_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


class Result(NamedTuple):
    """What was learnt; examples are of the first run of predictive coding."""

    accuracy: Float[np.ndarray, "epochs learners seeds"]  # on the test samples
    outputs: Float[np.ndarray, "tested classes"]  # times of output spikes
    labels: Int[np.ndarray, " tested"]
    times: dict[str, Float[np.ndarray, " neurons"]]  # input, hidden, output spikes at one sample
    change: Float[
        np.ndarray, "pairs two"
    ]  # of a weight, at one sample: pre minus post, and deposit
    spikes: float  # until the first output spike, inputs and hidden, mean of a test sample


class FirstSpike(eqx.Module):
    r"""Times at which neurons without a leak first fire, from those of their inputs.

    From its time on an input adds $w$ to the slope of the potential, so that a neuron fires at
    $\mu = (\vartheta + \sum_{i \in C} w_i t_i) / \sum_{i \in C} w_i$, with C the inputs before it.
    Its slope in a weight, $(t_i - \mu) / \sum_C w$, is 0 for inputs that come later. A neuron that
    does not fire by `LATEST` counts as firing then, and its weights are told to raise the potential
    that it reaches.

    Attributes:
        weight: shape (n_out, n_in).
    """

    weight: Float[Array, "n_out n_in"]

    def __call__(self, times: Float[Array, " n_in"]) -> Float[Array, " n_out"]:
        """First spikes, shape (n_out,)."""
        causal, fires = self.causal(times)
        total = jnp.sum(jnp.where(causal, self.weight, 0.0), axis=1)
        moment = jnp.sum(jnp.where(causal, self.weight * times[None], 0.0), axis=1)
        fired = (THRESHOLD + moment) / jnp.where(fires, total, 1.0)
        reached = self.weight @ jax.nn.relu(LATEST - times)
        silent = LATEST - (reached - jax.lax.stop_gradient(reached))
        return jnp.where(fires, fired, silent)

    def causal(self, times: Float[Array, " n_in"]):
        """Which inputs come before each first spike, (n_out, n_in), and which neurons fire."""
        weight, times = jax.lax.stop_gradient((self.weight, times))
        before = (times[:, None] <= times[None, :]).astype(weight.dtype)
        total, moment = weight @ before, (weight * times[None]) @ before
        # after input k the slope is `total`: is the threshold passed before the next input?
        later = jnp.where(times[None, :] > times[:, None], times[None, :], LATEST)
        ends = jnp.min(later, axis=1)
        passes = (total * ends[None] - moment >= THRESHOLD) & (total > 0) & (ends > times)[None]
        first = jnp.min(jnp.where(passes, times[None], jnp.inf), axis=1)
        return times[None, :] <= first[:, None], jnp.any(passes, axis=1)


def times_of(pixels: Float[np.ndarray, "n pixels"]) -> Float[Array, "n pixels"]:
    """The brighter, the earlier; black never fires."""
    return jnp.asarray(np.where(pixels > 0, 1 - pixels, LATEST), jnp.float32)


def targets_of(labels: Int[np.ndarray, " n"]) -> Float[Array, "n classes"]:
    """The class first, all others together."""
    return jnp.where(jax.nn.one_hot(labels, CLASSES) > 0, RIGHT, WRONG)


def network(widths: tuple[int, ...], *, key: Array) -> PCNetwork:
    """Layers of neurons that mostly excite, so that they fire."""
    layers = ()
    for k, n_in, n_out in zip(
        jax.random.split(key, len(widths) - 1), widths[:-1], widths[1:], strict=True
    ):
        mean, deviation = SPREAD[0] / n_in, SPREAD[1] / n_in**0.5
        layers += (FirstSpike(mean + deviation * jax.random.normal(k, (n_out, n_in))),)
    return chain(layers)


def rules(config: Config) -> dict:
    """How each learner finds a slope."""
    flow = GradientFlow(config.settle_rate, config.settle_steps)
    return dict(zip(LEARNERS, (PredictiveCoding(flow), backprop), strict=True))


@cache
def run(config: Config) -> Result:
    """Train all runs of both learners; equal settings are run once a process."""
    data = digits()
    inputs, tested = times_of(data.train.inputs), times_of(data.test.inputs)
    truth = np.asarray(data.test.labels)
    targets = targets_of(data.train.labels)
    widths = inputs.shape[1], config.hidden, CLASSES
    batches = len(inputs) // config.batch
    schedule = optax.cosine_decay_schedule(config.rate, config.epochs * batches)
    accuracy = np.zeros((config.epochs, len(LEARNERS), config.seeds))
    shown = None
    for column, rule in enumerate(rules(config).values()):
        learner = Learner(rule, optax.adam(schedule))
        epoch = jax.jit(partial(_epoch, learner, config.batch))
        outputs = jax.jit(lambda state, x: jax.vmap(state.network.predict)(x))
        for number in range(config.seeds):
            weights, shuffles = jax.random.split(jax.random.key(config.seed + number))
            state = learner.init(network(widths, key=weights))
            for e, key in enumerate(jax.random.split(shuffles, config.epochs)):
                state = epoch(state, inputs, targets, key)
                told = np.asarray(outputs(state, tested))
                accuracy[e, column, number] = np.mean(told.argmin(axis=1) == truth)
            if shown is None:
                shown = _examples(state.network, data, tested, told)
    return Result(accuracy, *shown)


def _epoch(learner: Learner, batch: int, state: LearnerState, inputs, targets, key: Array):
    batches = len(inputs) // batch
    order = jax.random.permutation(key, len(inputs))[: batches * batch]
    learn = lambda state, rows: learner.step(state, (inputs[rows], targets[rows]))
    return jax.lax.scan(learn, state, order.reshape(batches, batch))[0]


def _examples(trained: PCNetwork, data: Dataset, tested: Array, outputs: np.ndarray) -> tuple:
    """What `Result` has after the accuracies."""
    first, _ = trained.layers
    hidden = np.asarray(jax.jit(jax.vmap(first))(tested))
    decided = outputs.min(axis=1, keepdims=True)
    spikes = np.sum(np.asarray(tested) < decided, axis=1) + np.sum(hidden < decided, axis=1)
    times = {"input": np.asarray(tested[0]), "hidden": hidden[0], "output": outputs[0]}
    target = np.asarray(targets_of(data.test.labels[:1]))[0]
    deposits = deposit(trained.layers[-1], times["hidden"], times["output"], target)
    apart = times["hidden"][None] - times["output"][:, None]
    causal = np.asarray(trained.layers[-1].causal(jnp.asarray(times["hidden"]))[0])
    pairs = np.stack([apart[causal], deposits[causal]], axis=1)
    return outputs, np.asarray(data.test.labels), times, pairs, float(spikes.mean())


def deposit(layer: FirstSpike, before, after, target) -> Float[np.ndarray, "n_out n_in"]:
    r"""$-\partial F / \partial w_{ji} = \varepsilon_j (t_i - \mu_j) / \sum_{C_j} w$, its own alone.

    A neuron that should be earlier ($\varepsilon_j < 0$) strengthens inputs that came before it,
    the more the longer before; one that should be later weakens them.

    Args:
        layer: whose weights.
        before: spike times of its inputs.
        after: predicted spike times of its neurons, all of which fire.
        target: where they should be.
    """
    causal, _ = layer.causal(jnp.asarray(before))
    total = np.sum(np.where(causal, layer.weight, 0.0), axis=1)
    pull = (np.asarray(target) - np.asarray(after)) / total
    return np.where(causal, pull[:, None] * (before[None] - np.asarray(after)[:, None]), 0.0)


def summary(config: Config, result: Result) -> list[Row]:
    """Accuracy of both learners, and what a decision takes."""
    rows = []
    for k, name in enumerate(LEARNERS):
        last = result.accuracy[-1, k]
        told = f"8 x 8 digits; mean and range of {config.seeds} runs, {len(result.labels)} samples"
        rows.append(Row(f"accuracy, {name}", last.mean(), "", told, last.min(), last.max()))
    rows.append(Row("spikes until the decision", result.spikes, "", "inputs and hidden neurons"))
    silent = float(np.mean(result.outputs.min(axis=1) >= LATEST))
    rows.append(Row("undecided", silent, "", "share of test samples without an output spike"))
    told = "of MNIST, which is not what ours is of: abstract of v1"
    rows.append(Row(f"accuracy, {PAPER}", MNIST_PUBLISHED, "", told))
    return rows


def verify() -> list[Check]:
    """The claim of the abstract: as well as backpropagation; its own figures are of MNIST."""
    result = run(Config())
    ours, rival = result.accuracy[-1].mean(axis=1)
    # two standard errors of the difference of two shares of so many samples
    error = 2 * (2 * rival * (1 - rival) / len(result.labels)) ** 0.5
    quantity = "digits: accuracy of predictive coding beside backpropagation, ours"
    return [Check(PAPER, quantity, float(rival), float(ours), float(error))]


def figure(result: Result):
    """Predictive coding of first-spike times.

    a, Spikes at one test sample, by layer; the first output spike decides. b, Accuracy on test
    samples, a line a run. c, Times of output spikes over test samples: of the class, and of the
    others. d, What the weights of one sample are told to change, against the time of the input's
    spike before the output's: outputs that should be later weaken, those that should be earlier
    strengthen what came before them.
    """
    drawing, (a, b, c, d) = panels(2, 2, height_mm=120)
    offset = 0
    for name, colour in zip(result.times, (BLACK, BLUE, VERMILION), strict=True):
        times = result.times[name]
        fired = times < LATEST
        a.plot(times[fired], offset + np.flatnonzero(fired), ".", color=colour, label=name)
        offset += len(times) + 5
    a.axvline(result.times["output"].min(), color=BLACK, linewidth=0.5, linestyle="--")
    a.set(xlabel="time (input windows)", ylabel="neuron")
    a.legend(loc="lower right")
    epochs = np.arange(len(result.accuracy)) + 1
    for k, (name, colour) in enumerate(zip(LEARNERS, (BLUE, ORANGE), strict=True)):
        lines = b.plot(epochs, 100 * result.accuracy[:, k], color=colour, linewidth=0.6)
        lines[0].set_label(name)
    b.set(xlabel="epoch", ylabel="accuracy (%)")
    b.legend(loc="lower right")
    own = np.eye(CLASSES, dtype=bool)[result.labels]
    edges = np.linspace(result.outputs.min(), LATEST, 60)
    for of, colour, name in ((own, BLUE, "the class"), (~own, ORANGE, "others")):
        c.hist(result.outputs[of], edges, density=True, histtype="step", color=colour, label=name)
    c.set(xlabel="output spike (input windows)", ylabel="density")
    c.legend()
    apart, told = result.change.T
    for of, colour, name in ((told > 0, BLUE, "earlier"), (told < 0, VERMILION, "later")):
        d.plot(apart[of], told[of], ".", color=colour, label=f"should be {name}")
    d.axhline(0, color=BLACK, linewidth=0.5)
    d.set(xlabel="input before output (input windows)", ylabel="deposit at the synapse")
    d.legend()
    return drawing
