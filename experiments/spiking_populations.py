"""How fast spiking beliefs near the exact filter as populations grow, alone and coordinated."""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from experiments.claims import Row
from experiments.figures import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    panels,
)
from snn.spiking_beliefs import SpikingBelief
from snn.spiking_beliefs_firing import (
    Coupled,
    Firing,
    IntegrateAndFire,
    Jittered,
    LateCoupled,
    Poisson,
    Rates,
    Varied,
)
from snn.spiking_beliefs_rivals import Timing

SMALLEST = 16  # neurons a state; sizes double from here
FITTED = 256  # largest size in the fit of slopes: beyond, the floor of the rate limit shows
MISMATCH = 0.1
CODES = (
    "Poisson",
    "alone, random phases",
    "alone, mismatched",
    "staggered, alike",
    "coupled, alike",
    "coupled, mismatched",
    "coupled, mismatched, half dead",
    "coupled, mismatched synapses",
    "coupled, mismatched, 1 ms jitter",
    "coupled a step late, mismatched",
)
ALONE, COORDINATED = CODES[:3], CODES[3:7]
COLOURS = dict(
    zip(
        CODES,
        (BLACK, PURPLE, VERMILION, SKY, BLUE, GREEN, ORANGE, PURPLE, SKY, BLACK),
        strict=True,
    )
)
SHOWN = 48  # neurons of the raster


@dataclass(frozen=True)
class Config:
    """Random worlds are filtered by populations of every size and code.

    Attributes:
        seed: of worlds, chances and neurons.
        worlds: how many.
        steps: observations in each.
        states: of each world, which has as many outcomes.
        actions: in each world, taken at random.
        largest: neurons a state, in steps of two from 16.
    """

    seed: int = 0
    worlds: int = 4
    steps: int = 100
    states: int = 8
    actions: int = 3
    largest: int = 1024

    def __post_init__(self):
        if not 32 <= self.largest <= 65536:
            raise ValueError(f"largest must lie between 32 and 65536, got {self.largest}")
        for name in ("worlds", "steps", "actions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 2 <= self.states <= 64:
            raise ValueError(f"states must lie between 2 and 64, got {self.states}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


class Result(NamedTuple):
    """Distances are total variations to the exact filter, in mean over worlds and steps."""

    sizes: Int[np.ndarray, " sizes"]  # neurons a state
    distance: Float[np.ndarray, "codes sizes"]
    limit: float  # of infinitely many neurons
    slack: Float[np.ndarray, " codes"]  # least distance of Hilbert's metric below Birkhoff's bound
    residual: Float[np.ndarray, "two steps"]  # of one population: alone and coupled, mismatched
    raster: Float[np.ndarray, "two steps neurons"]  # its spikes


class Course(NamedTuple):
    """A world, and what is seen and done in it."""

    likelihood: Float[np.ndarray, "outcomes states"]
    transitions: Float[np.ndarray, "states states actions"]
    outcomes: Int[np.ndarray, " steps"]
    actions: Int[np.ndarray, " steps"]


def course(config: Config, rng: np.random.Generator) -> Course:
    """A world in which everything is possible, some things much more than others."""
    n = config.states
    draw = lambda *shape: np.moveaxis(rng.dirichlet(np.full(n, 0.5), shape), -1, 0) + 0.02
    likelihood, transitions = draw(n), draw(n, config.actions)
    likelihood, transitions = (p / p.sum(axis=0) for p in (likelihood, transitions))
    actions = rng.integers(config.actions, size=config.steps)
    state, outcomes = rng.integers(n), []
    for action in actions:
        outcomes.append(rng.choice(n, p=likelihood[:, state]))
        state = rng.choice(n, p=transitions[:, state, action])
    return Course(likelihood, transitions, np.array(outcomes), actions)


def exact(seen: Course) -> Float[np.ndarray, "steps states"]:
    """Bayes' rule in float64, step by step."""
    states = seen.likelihood.shape[1]
    beliefs, expected = [], np.full(states, 1 / states)
    for outcome, action in zip(seen.outcomes, seen.actions, strict=True):
        belief = seen.likelihood[outcome] * expected
        beliefs.append(belief / belief.sum())
        expected = seen.transitions[:, :, action] @ beliefs[-1]
    return np.array(beliefs)


def firing(code: str, neurons: int, key: Array) -> Firing:
    """Neurons of a code; coupled ones may fire half as much again as is ever asked at once."""
    most = int(1.5 * neurons * Timing().rate_hz * Timing().dt_s) + 8
    kinds = {
        "Poisson": lambda: Poisson(key),
        "alone, random phases": lambda: IntegrateAndFire(Varied(key)),
        "alone, mismatched": lambda: IntegrateAndFire(Varied(key, MISMATCH)),
        "staggered, alike": IntegrateAndFire,
        "coupled, alike": lambda: Coupled(Varied(key), most=most),
        "coupled, mismatched": lambda: Coupled(Varied(key, MISMATCH), most=most),
        "coupled, mismatched, half dead": lambda: Coupled(Varied(key, MISMATCH, 0.5), most=most),
        "coupled, mismatched synapses": lambda: Coupled(
            Varied(key, MISMATCH, synapses=MISMATCH), most=most
        ),
        "coupled, mismatched, 1 ms jitter": lambda: Jittered(
            Coupled(Varied(key, MISMATCH), most=most), 1e-3 / Timing().dt_s, key
        ),
        "coupled a step late, mismatched": lambda: LateCoupled(Varied(key, MISMATCH)),
        "rates": Rates,
    }
    return kinds[code]()


@eqx.filter_jit
def spiking(seen: Course, neurons: int, kind: Firing) -> Float[Array, "steps states"]:
    """Beliefs read out of spikes."""
    likelihood, transitions, outcomes, actions = (jnp.asarray(a) for a in seen)
    states = likelihood.shape[1]
    prior = jnp.full(states, 1 / states, likelihood.dtype)
    beliefs = SpikingBelief((likelihood,), transitions, prior, neurons, firing=kind)

    def step(state, now):
        outcome, action = now
        state, cycle = beliefs.step(state, (outcome,))
        return beliefs.expect(state, cycle.belief, action), cycle.belief

    return jax.lax.scan(step, beliefs.init(), (outcomes, actions))[1]


def hilbert(p: Float[np.ndarray, " n"], q: Float[np.ndarray, " n"]) -> float:
    """Hilbert's projective distance between positive vectors."""
    ratio = np.log(p) - np.log(q)
    return float(ratio.max() - ratio.min())


def slack(seen: Course, beliefs: np.ndarray, truth: np.ndarray) -> float:
    r"""Least amount, over steps, by which a run stays below Birkhoff's bound; negative if broken.

    $d(\hat s_t, s_t) \le \tanh(\Delta(B) / 4)\, d(\hat s_{t-1}, s_{t-1}) + d(\hat s_t, s^*_t)$,
    where $s^*_t$ is the exact step from $\hat s_{t-1}$ and $\Delta(B)$ the diameter of B's image.

    Source: Birkhoff (1957), Trans. Am. Math. Soc. 85, 219-227.
    """
    found = []
    for t in range(1, len(beliefs)):
        b = seen.transitions[:, :, seen.actions[t - 1]]
        ratios = np.log(b[:, None, :, None] * b[None, :, None, :])
        diameter = np.max(ratios - np.swapaxes(ratios, 2, 3))
        ideal = seen.likelihood[seen.outcomes[t]] * (b @ beliefs[t - 1])
        bound = np.tanh(diameter / 4) * hilbert(beliefs[t - 1], truth[t - 1])
        found.append(bound + hilbert(beliefs[t], ideal) - hilbert(beliefs[t], truth[t]))
    return min(found, default=0.0)


def run(config: Config) -> Result:
    """Filter every world with every code and size."""
    doublings = int(np.log2(config.largest / SMALLEST))
    return study(config, CODES, tuple(SMALLEST * 2**k for k in range(doublings + 1)))


def study(config: Config, codes: tuple[str, ...], sizes: tuple[int, ...]) -> Result:
    """Filter every world with some codes and sizes, of which the result then has rows and columns.

    What a code does at a size is the same whatever else is studied.
    """
    rng = np.random.default_rng(config.seed)
    courses = [course(config, rng) for _ in range(config.worlds)]
    truths = [exact(seen) for seen in courses]
    root = jax.random.key(config.seed)

    def beliefs(code, size):
        keys = jax.random.split(jax.random.fold_in(root, size), config.worlds)
        each = zip(courses, keys, strict=True)
        single = lambda c: Course(*(a.astype(np.float32) for a in c[:2]), *c[2:])
        told = (spiking(single(c), size, firing(code, size, key)) for c, key in each)
        return [np.asarray(b, np.float64) for b in told]

    def distance(told):
        return np.mean([0.5 * np.abs(b - t).sum(axis=1) for b, t in zip(told, truths, strict=True)])

    distances, slacks = [], []
    for code in codes:
        row = [beliefs(code, size) for size in sizes]
        distances.append([distance(told) for told in row])
        each = ((c, b, t) for told in row for c, b, t in zip(courses, told, truths, strict=True))
        slacks.append(min(slack(*of) for of in each))
    residual, raster = _close_up(root)
    limit = float(distance(beliefs("rates", 1)))
    return Result(np.array(sizes), np.array(distances), limit, np.array(slacks), residual, raster)


def slopes(result: Result) -> Float[np.ndarray, " codes"]:
    """Of log distance over log size, by least squares over sizes of at most FITTED."""
    fitted = result.sizes <= FITTED
    return np.polyfit(np.log(result.sizes[fitted]), np.log(result.distance[:, fitted]).T, 1)[0]


def _close_up(key: Array) -> tuple[np.ndarray, np.ndarray]:
    """One population under a steady drive: drive minus spikes, and who fires."""
    steps, drive = 100, 0.05
    residuals, rasters = [], []
    for kind in (IntegrateAndFire, Coupled):
        neurons = kind(Varied(key, MISMATCH))
        drives = jnp.full((steps, 1), drive)
        start = neurons.init(1, SHOWN)
        live = eqx.filter_jit(lambda n, s, d: jax.lax.scan(lambda s, d: n.step(s, d), s, d)[1])
        spikes = np.asarray(live(neurons, start, drives))[:, 0]
        residuals.append(SHOWN * drive * np.arange(1, steps + 1) - spikes.sum(axis=1).cumsum())
        rasters.append(spikes)
    return np.array(residuals), np.array(rasters)


def summary(_: Config, result: Result) -> list[Row]:
    """Slopes, the limit, what coordination saves, and the bound."""
    span = f"N = {result.sizes[0]} to {min(FITTED, result.sizes[-1])}"
    rows = [Row("rate limit, total variation", result.limit, "", "to exact filter, mean")]
    for code, value in zip(CODES, slopes(result), strict=True):
        rows.append(Row(f"slope in N: {code}", float(value), "", span))
    alone, coupled = (CODES.index(f"{code}, mismatched") for code in ("alone", "coupled"))
    column = np.searchsorted(result.sizes, FITTED, side="right") - 1
    size, distance = int(result.sizes[column]), result.distance[:, column]
    as_many = size * float(distance[alone] / distance[coupled]) ** 2
    told = f"as {size} coupled ones; extrapolated by the root of their number"
    rows.append(Row("neurons a state that err as little alone, mismatched", as_many, "", told))
    least = float(result.slack.min())
    rows.append(Row("least slack of the contraction bound", least, "", "nats; all runs and steps"))
    return rows


def tables(_: Config, result: Result) -> dict[str, list[Row]]:
    """Every distance."""
    rows = [
        Row(f"{code}, N = {size}", float(value))
        for code, row in zip(CODES, result.distance, strict=True)
        for size, value in zip(result.sizes, row, strict=True)
    ]
    return {"Total variation to the exact filter": rows}


def figure(result: Result):
    """Spiking beliefs near the exact filter as 1/N if neurons are coordinated, else as its root.

    a, Total variation to the exact filter, in mean over random worlds, against neurons a state;
    numbers are slopes, the dotted line the limit of rates; the three coordinated codes lie on each
    other. b, What spoils the coordination of coupled neurons, and what does not. c, Drive minus
    spikes of one population of 48 neurons with thresholds mismatched by 10 %, alone and coupled.
    d, Spikes of the coupled one, whose neurons come to take turns.
    """
    drawing, (a, b, c, d) = panels(2, 2, height_mm=125)
    found = slopes(result)
    _draw_distances(a, result, found, (*ALONE, *COORDINATED[:3]))
    _draw_distances(b, result, found, ("alone, mismatched", "coupled, mismatched", *CODES[6:]))
    for line, colour, name in zip(
        result.residual, (VERMILION, BLUE), ("alone", "coupled"), strict=True
    ):
        c.plot(np.arange(len(line)), line, color=colour, label=name)
    c.set(xlabel="time (ms)", ylabel="drive minus spikes")
    c.legend()
    time, neuron = np.nonzero(result.raster[1])
    d.plot(time, neuron, "|", color=BLACK, markersize=2, rasterized=True)
    d.set(xlabel="time (ms)", ylabel="neuron")
    return drawing


def _draw_distances(ax, result: Result, found: np.ndarray, codes: tuple[str, ...]) -> None:
    for code in codes:
        row, colour = CODES.index(code), COLOURS[code]
        label = f"{code} ({found[row]:.2f})"
        ax.plot(result.sizes, result.distance[row], "o-", color=colour, label=label)
    ax.axhline(result.limit, xmin=0.7, color=BLACK, linewidth=0.5, linestyle=":")
    ax.set(xscale="log", yscale="log", xlabel="neurons a state", ylabel="total variation")
    ax.set_ylim(result.limit / 2, 2 * result.distance.max())
    ax.legend(loc="lower left")
