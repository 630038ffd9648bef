"""Triplets of spikes explain how plasticity depends on frequency: Pfister & Gerstner (2006).

Sixty pairs of spikes, 10 ms apart, at frequencies from 0.1 to 50 Hz change a synapse of visual
cortex; the minimal all-to-all triplet rule, with the paper's parameters, against what Sjoestroem
et al. measured. Beside it the best that pairs alone can do with the same time constants.

Source: Pfister & Gerstner (2006), Triplets of spikes in a model of spike timing-dependent
plasticity, J. Neurosci. 26, 9673-9682; data of Sjoestroem, Turrigiano & Nelson (2001), Neuron 32,
1149-1164.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from experiments.claims import Check, Row
from experiments.figures import BLACK, BLUE, VERMILION, panels
from snn.plasticity import Additive, TripletSTDP, learn

PAPER = "Pfister & Gerstner (2006)"
DT = 5e-3  # divides the gap and all periods
GAP = 10e-3  # s between the spikes of a pair
FREQUENCIES = (0.1, 10.0, 20.0, 40.0, 50.0)  # Hz
# relative changes of the weight and their standard errors: pre before post, post before pre
MEASURED = np.array([[-0.04, 0.14, 0.29, 0.53, 0.56], [-0.29, -0.41, -0.34, 0.56, 0.75]])
ERRORS = np.array([[0.05, 0.10, 0.14, 0.11, 0.26], [0.08, 0.11, 0.10, 0.32, 0.19]])
TRIPLETS = TripletSTDP(Additive(100.0, -100.0))  # the paper's values; bounds are out of reach


@dataclass(frozen=True)
class Config:
    """The pairing protocol.

    Attributes:
        pairs: of spikes at each frequency.
    """

    pairs: int = 60

    def __post_init__(self):
        if self.pairs < 1:
            raise ValueError(f"pairs must be at least 1, got {self.pairs}")


class Result(NamedTuple):
    """Relative changes: pre before post, then post before pre, at each frequency."""

    triplets: Float[np.ndarray, "orders frequencies"]
    pairs: Float[np.ndarray, "orders frequencies"]
    amplitudes: Float[np.ndarray, " two"]  # A+ and A- of the pairs alone, by weighted least squares


def trains(frequency: float, order: int, pairs: int) -> Bool[np.ndarray, "steps two"]:
    """Spikes of both sides; order 0 is pre before post."""
    period, gap = round(1 / (frequency * DT)), round(GAP / DT)
    first = np.arange(pairs) * period
    spikes = np.zeros((first[-1] + gap + 1, 2), bool)
    spikes[first, order], spikes[first + gap, 1 - order] = True, True
    return spikes


def changes(rule: TripletSTDP, pairs: int) -> Float[np.ndarray, "orders frequencies"]:
    """What a rule does to a weight of 1 in every protocol."""
    protocols = [[trains(f, order, pairs) for f in FREQUENCIES] for order in (0, 1)]
    return np.array([[_change(rule, jnp.asarray(s)) for s in row] for row in protocols])


def _change(rule: TripletSTDP, spikes) -> float:
    return float(_program()(rule, spikes * 1.0)) - 1


@cache
def _program():
    @jax.jit
    def weight(rule, spikes):
        def step(carry, now):
            traces, weights = learn(rule, *carry, (now[:1], now[1:]), dt=DT)
            return (traces, weights), None

        (_, weights), _ = jax.lax.scan(step, (rule.init(1, 1), jnp.ones((1, 1))), spikes)
        return weights[0, 0]

    return weight


def run(config: Config) -> Result:
    """All protocols under both rules."""
    none = replace(TRIPLETS, a2_plus=0.0, a3_plus=0.0, a2_minus=0.0, a3_minus=0.0)
    alone = [
        changes(replace(none, **{name: 1e-3}), config.pairs) / 1e-3
        for name in ("a2_plus", "a2_minus")
    ]
    columns = np.stack([(a / ERRORS).ravel() for a in alone], axis=1)
    amplitudes = np.linalg.lstsq(columns, (MEASURED / ERRORS).ravel())[0]
    best = amplitudes[0] * alone[0] + amplitudes[1] * alone[1]
    return Result(changes(TRIPLETS, config.pairs), best, amplitudes)


def misfit(changes: Float[np.ndarray, "orders frequencies"]) -> float:
    """Mean squared distance from the data, in standard errors."""
    return float(np.mean(((changes - MEASURED) / ERRORS) ** 2))


def summary(config: Config, result: Result) -> list[Row]:
    """How far each rule is from the data."""
    unit = "squared standard errors"
    return [
        Row("misfit of triplets", misfit(result.triplets), unit, PAPER),
        Row("misfit of pairs, at best", misfit(result.pairs), unit),
        Row("A+ of pairs", float(result.amplitudes[0])),
        Row("A- of pairs", float(result.amplitudes[1])),
    ]


def figure(result: Result):
    """Plasticity by frequency.

    a, Pre before post by 10 ms. b, Post before pre. Points: visual cortex with standard errors;
    lines: triplets with the paper's parameters, and pairs at their best.
    """
    drawing, axes = panels(1, 2, height_mm=52, width_mm=120)
    for order, ax in enumerate(axes):
        ax.errorbar(
            FREQUENCIES, MEASURED[order], ERRORS[order], fmt="o", color=BLACK, linewidth=0.6
        )
        ax.plot(FREQUENCIES, result.triplets[order], color=BLUE, label="triplets")
        ax.plot(FREQUENCIES, result.pairs[order], "--", color=VERMILION, label="pairs")
        ax.axhline(0, color="0.8", linewidth=0.5, zorder=0)
        ax.set(xlabel="frequency (Hz)", ylim=(-0.6, 1.0))
    axes[0].set_ylabel("relative change of the weight")
    axes[0].legend()
    return drawing


def verify() -> list[Check]:
    """Every measured change within two of its standard errors."""
    found = run(Config()).triplets
    orders = "pre before post", "post before pre"
    return [
        Check(
            PAPER,
            f"relative change, {orders[i]} by 10 ms at {frequency:g} Hz, table 1",
            float(MEASURED[i, k]),
            float(found[i, k]),
            2 * float(ERRORS[i, k]),
        )
        for i in (0, 1)
        for k, frequency in enumerate(FREQUENCIES)
    ]
