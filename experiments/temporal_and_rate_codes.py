"""What a spike is worth in temporal codes and in rate codes: bits, noise, and digits told apart.

Values are sent by the codes of `snn.coding`. First the information that reaches a receiver is
reckoned, a spike; then spikes are displaced and lost on their way; at last images are sent with so
many spikes and recognised by linear regression on what was decoded, fitted for each code and number
of spikes anew.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.stats import binom

from experiments.claims import Check, Row
from experiments.data import digits
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, VERMILION, panels
from snn.coding import (
    burst_code,
    latency_code,
    latency_decode,
    phase_code,
    phase_decode,
    poisson_code,
    rank_order_code,
    rate_decode,
)

LEVELS, WINDOW = 32, 32  # equally likely values, and steps
BITS = 5  # of the phase code: as many levels
JITTERS = 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0  # steps
LOSSES = 0.0, 0.1, 0.2, 0.3, 0.5, 0.7  # share of the spikes
EXPECTED = np.arange(1, 33)  # spikes, of the closed forms
BUDGETS = 2, 4, 8, 16, 32, 64, 128, 256  # spikes an image
DIGITS = 1, 2, 3, 4  # binary ones, of images by phases
STEPS = 64  # of an image
RANK_WEIGHT = 0.95  # of a spike, over that of the spike before it
PENALTIES = 1e-2, 1e-1, 1.0, 10.0, 100.0
Image, Trains = Float[Array, " pixels"], Float[Array, "steps pixels"]
COLOURS = {"rate": VERMILION, "count": ORANGE, "latency": BLUE, "phase": GREEN, "rank": BLACK}


@dataclass(frozen=True)
class Config:
    """Send values and images.

    Attributes:
        seed: of Poisson spikes and of noise.
        samples: values sent by each code under each noise.
    """

    seed: int = 0
    samples: int = 20_000

    def __post_init__(self):
        if self.samples < 1_000:
            raise ValueError(f"samples must be at least 1000, got {self.samples}")


class Code(NamedTuple):
    """A value to spikes, and back to the nearest level."""

    encode: Callable[[Float[Array, " n"], PRNGKeyArray], Float[Array, "steps n"]]
    decode: Callable[[Float[Array, "steps n"]], Float[Array, " n"]]


class Result(NamedTuple):
    """Groups by code."""

    bits: dict[str, Float[np.ndarray, " expected"]]  # exact, without noise, by spikes expected
    displaced: dict[str, Float[np.ndarray, " jitters"]]  # bits a spike
    lost: dict[str, Float[np.ndarray, " losses"]]  # bits a spike that was sent
    spikes: dict[str, Float[np.ndarray, " budgets"]]  # of a test image
    accuracy: dict[str, Float[np.ndarray, " budgets"]]
    ceiling: float  # accuracy on the images themselves


CODES = {
    "rate": Code(lambda x, key: poisson_code(x, WINDOW, key=key), rate_decode),
    "count": Code(lambda x, _: burst_code(x, WINDOW, WINDOW), rate_decode),
    "latency": Code(lambda x, _: latency_code(x, WINDOW), latency_decode),
    "phase": Code(lambda x, _: phase_code(x, BITS), phase_decode),
}


def levels() -> Float[np.ndarray, " levels"]:
    """Values from 0 to 1."""
    return np.arange(LEVELS, dtype=np.float32) / (LEVELS - 1)


def poisson_bits(steps: int) -> float:
    """Exact information of a Bernoulli train's count about its rate, one of LEVELS, in bits."""
    counts = np.arange(steps + 1)
    likely = binom.pmf(counts[None, :], steps, levels()[:, None])
    together = likely / LEVELS
    apart = together.sum(axis=0, keepdims=True) / LEVELS
    seen = together > 0
    return float(np.sum(together[seen] * np.log2((together / apart)[seen])))


def exact_bits() -> dict[str, Float[np.ndarray, " expected"]]:
    """Bits against expected spikes: windows grow until the code spends so many on a mean value."""
    spikes = EXPECTED.astype(float)
    return {
        "rate": np.array([poisson_bits(2 * n) for n in EXPECTED]),
        "count": np.log2(2 * spikes + 1),  # one of 0 ... 2 n spikes
        "latency": spikes * np.log2(WINDOW),  # n neurons, a spike each
        "phase": 2 * spikes,  # half of the digits are ones
        "rank": np.cumsum(np.log2(EXPECTED)),  # an order of n neurons
    }


def disturb(
    trains: Float[Array, "steps n"], jitter: Array, loss: Array, *, key: PRNGKeyArray
) -> Float[Array, "steps n"]:
    """Each spike is lost with a probability, else moved by a normal number of steps, cut at ends.

    Spikes that fall together are one.
    """
    kl, kj = jax.random.split(key)
    steps, n = trains.shape
    kept = trains * (jax.random.uniform(kl, trains.shape) >= loss)
    moved = jnp.rint(jitter * jax.random.normal(kj, trains.shape)).astype(int)
    to = jnp.clip(jnp.arange(steps)[:, None] + moved, 0, steps - 1)
    return jnp.zeros_like(trains).at[to, jnp.arange(n)[None, :]].max(kept)


@partial(jax.jit, static_argnums=(0, 1))
def receive(code: Code, samples: int, jitter: Array, loss: Array, key: PRNGKeyArray):
    """Levels sent and values received, and spikes sent a value."""
    kv, kc, kd = jax.random.split(key, 3)
    sent = jax.random.randint(kv, (samples,), 0, LEVELS)
    trains = code.encode(jnp.asarray(levels())[sent], kc)
    received = code.decode(disturb(trains, jitter, loss, key=kd))
    return sent, received, jnp.mean(jnp.sum(trains, axis=0))


def information(sent: Int[np.ndarray, " n"], received: Float[np.ndarray, " n"]) -> float:
    """Mutual information of two discrete numbers, bits, less the bias of a finite sample.

    Source: of the correction, Miller (1955); Panzeri & Treves (1996), Network 7:87.
    """
    (a, at), (b, to) = (np.unique(x, return_inverse=True) for x in (sent, received))
    counts = np.bincount(at * len(b) + to, minlength=len(a) * len(b)).reshape(len(a), len(b))
    together = counts / counts.sum()
    apart = np.outer(together.sum(axis=1), together.sum(axis=0))
    seen = counts > 0
    bias = (seen.sum() - len(a) - len(b) + 1) / (2 * len(sent) * np.log(2))
    return float(np.sum(together[seen] * np.log2((together / apart)[seen])) - bias)


def bits_a_spike(name: str, jitter: float, loss: float, config: Config) -> float:
    """Information that arrives, over the spikes that were sent."""
    key = jax.random.key(config.seed)
    sent, received, spikes = receive(CODES[name], config.samples, jitter, loss, key)
    return information(np.asarray(sent), np.asarray(received)) / float(spikes)


def accuracy(train: Float[np.ndarray, "n d"], test: Float[np.ndarray, "m d"]) -> float:
    """Of ridge regression onto classes; its penalty is chosen on a fifth of the training images."""
    data = digits()
    classes = np.eye(10)[data.train.labels]
    held = len(train) // 5

    def fit(x, y, penalty):
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)

    def right(weights, x, labels):
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        return np.mean(np.argmax(x @ weights, axis=1) == labels)

    trials = [
        right(fit(train[held:], classes[held:], p), train[:held], data.train.labels[:held])
        for p in PENALTIES
    ]
    best = PENALTIES[int(np.argmax(trials))]
    return float(right(fit(train, classes, best), test, data.test.labels))


def rate_image(budget: int, image: Image, key: PRNGKeyArray) -> tuple[Image, Trains]:
    """Poisson spikes at rates that spend the budget on an image of mean brightness."""
    trains = poisson_code(image * budget / (brightness() * STEPS), STEPS, key=key)
    return rate_decode(trains), trains


def count_image(budget: int, image: Image, _: PRNGKeyArray) -> tuple[Image, Trains]:
    """Whole numbers of spikes, coarser the smaller the budget."""
    trains = burst_code(jnp.rint(image * budget / brightness()) / STEPS, STEPS, STEPS)
    return rate_decode(trains), trains


def latency_image(budget: int, image: Image, _: PRNGKeyArray) -> tuple[Image, Trains]:
    """Bright pixels first, dark ones never, until the step in which the budget is spent."""
    trains = jnp.where(image[None] > 0, latency_code(image, STEPS), 0)
    count = jnp.sum(trains, axis=1)
    trains = jnp.where((jnp.cumsum(count) - count)[:, None] < budget, trains, 0)
    return latency_decode(trains), trains


def rank_image(budget: int, image: Image, _: PRNGKeyArray) -> tuple[Image, Trains]:
    """The brightest pixels in order, each worth a little less than the one before."""
    trains = rank_order_code(image)[:budget]
    return RANK_WEIGHT ** jnp.arange(len(trains)) @ trains, trains


def phase_image(bits: int, image: Image, _: PRNGKeyArray) -> tuple[Image, Trains]:
    """The first binary digits; here the budget is their number."""
    trains = phase_code(image, bits)
    return phase_decode(trains), trains


SENDERS = {
    "rate": (rate_image, BUDGETS),
    "count": (count_image, BUDGETS),
    "latency": (latency_image, BUDGETS),
    "phase": (phase_image, DIGITS),
    "rank": (rank_image, BUDGETS),
}


@cache
def brightness() -> float:
    """Of all pixels of a training image together."""
    return float(np.mean(np.sum(digits().train.inputs, axis=1)))


@partial(jax.jit, static_argnums=(0, 1))
def sent_images(
    send: Callable, budget: int, images: Float[Array, "n pixels"], key: PRNGKeyArray
) -> tuple[Float[Array, "n pixels"], Float[Array, " n"]]:
    """Images as they arrive, and spikes of each."""
    keys = jax.random.split(key, len(images))
    received, trains = jax.vmap(partial(send, budget))(images, keys)
    return received, jnp.sum(trains, axis=(1, 2))


def run(config: Config) -> Result:
    """All three parts."""
    displaced = {
        name: np.array([bits_a_spike(name, j, 0.0, config) for j in JITTERS]) for name in CODES
    }
    lost = {name: np.array([bits_a_spike(name, 0.0, p, config) for p in LOSSES]) for name in CODES}
    data, key = digits(), jax.random.key(config.seed)
    images = jnp.concatenate([jnp.asarray(part.inputs) for part in (data.train, data.test)])
    spikes, right = {}, {}
    for name, (send, budgets) in SENDERS.items():
        found = [sent_images(send, budget, images, key) for budget in budgets]
        first = len(data.train.inputs)
        spikes[name] = np.array([float(jnp.mean(count[first:])) for _, count in found])
        right[name] = np.array([accuracy(*np.split(np.asarray(x), [first])) for x, _ in found])
    ceiling = accuracy(data.train.inputs, data.test.inputs)
    return Result(exact_bits(), displaced, lost, spikes, right, ceiling)


def needed(result: Result, name: str, accuracy: float) -> float:
    """Fewest spikes an image that reach an accuracy; infinite where none does."""
    reached = result.accuracy[name] >= accuracy
    return float(np.min(result.spikes[name], where=reached, initial=np.inf))


def summary(config: Config, result: Result) -> list[Row]:
    """Bits a spike with and without noise, and spikes for nine digits in ten."""
    rows = []
    for name in CODES:
        rows.append(Row(f"bits a spike, {name}", float(result.displaced[name][0])))
        noisy = float(result.displaced[name][JITTERS.index(2.0)])
        rows.append(Row(f"bits a spike displaced by 2 steps, {name}", noisy))
        noisy = float(result.lost[name][LOSSES.index(0.3)])
        rows.append(Row(f"bits a spike with 30 % lost, {name}", noisy))
    for name in result.accuracy:
        rows.append(
            Row(f"spikes an image for an accuracy of 0.9, {name}", needed(result, name, 0.9))
        )
    return [*rows, Row("accuracy without spikes", result.ceiling)]


def figure(result: Result):
    """What a spike is worth.

    a, Information against spikes, without noise. b and c, Information a spike as spikes are
    displaced and lost. d, Accuracy on test digits against spikes an image; dotted: on the images
    themselves.
    """
    drawing, (a, b, c, d) = panels(1, 4, height_mm=50)
    for name, bits in result.bits.items():
        some = bits > 0  # one spike has no order
        a.plot(EXPECTED[some], bits[some], color=COLOURS[name], label=name)
    a.set(xscale="log", yscale="log", xlabel="spikes", ylabel="information (bits)")
    a.legend()
    for ax, group, at, told in (
        (b, result.displaced, JITTERS, "displacement (steps)"),
        (c, result.lost, LOSSES, "share of spikes lost"),
    ):
        for name, bits in group.items():
            ax.plot(at, np.maximum(bits, 0), "o-", color=COLOURS[name], label=name)
        ax.set(xlabel=told, ylabel="bits a spike", ylim=(0, None))
    for name, right in result.accuracy.items():
        some = result.spikes[name] > 0
        d.plot(result.spikes[name][some], 100 * right[some], "o-", color=COLOURS[name])
    d.axhline(100 * result.ceiling, color="0.5", linestyle=":", linewidth=0.7)
    d.set(xscale="log", xlabel="spikes an image", ylabel="accuracy (%)")
    return drawing


def verify() -> list[Check]:
    """Sampled information beside its closed forms: the codes carry what they should."""
    config, told = Config(), "closed form"
    counts = np.ceil(np.arange(LEVELS) * WINDOW / (LEVELS - 1))  # 0 and 2 to 32
    forms = {
        "rate": poisson_bits(WINDOW) / (WINDOW / 2),
        "count": np.log2(LEVELS) / counts.mean(),
        "latency": np.log2(LEVELS),
        "phase": 2.0,
    }
    checks = []
    for name, form in forms.items():
        ours, quantity = bits_a_spike(name, 0.0, 0.0, config), f"bits a spike, {name}"
        checks.append(Check(told, quantity, float(form), ours, 0.02 * float(form)))
    return checks
