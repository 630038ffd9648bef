"""Spike timing makes synapses compete until they are strong or weak: Song, Miller & Abbott (2000).

Source: Song, Miller & Abbott (2000), Competitive Hebbian learning through spike-timing-dependent
synaptic plasticity, Nat. Neurosci. 3, 919-926; settings of Brian2's example of it.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from experiments.claims import Check, Row
from experiments.figures import BLACK, BLUE, panels
from snn.neurons import ConductanceLIF, LIFState
from snn.plasticity import Additive, PairSTDP, Traces, learn
from snn.stochastic_neurons import PoissonSource
from snn.synapses import Conductance, Exponential, ExponentialState

PAPER = "Song, Miller & Abbott (2000)"
DT = 1e-4
INPUTS, RATE_HZ = 1_000, 15.0
G_MAX = 0.01  # of the leak
NEURON = ConductanceLIF(10e-3, v_threshold=-54e-3, v_reset=-60e-3, v_leak=-74e-3)
RECEPTOR = Conductance(Exponential(5e-3), 0.0)
# weights in units of the largest
RULE = PairSTDP(Additive(1.0), a_plus=0.01, a_minus=0.0105, tau_plus=20e-3, tau_minus=20e-3)
PER_CHUNK_S = 5.0


@dataclass(frozen=True)
class Config:
    """One neuron that learns from a thousand Poisson inputs.

    Attributes:
        seed: of inputs and weights.
        duration_s: a multiple of 5.
    """

    seed: int = 3
    duration_s: float = 100.0

    def __post_init__(self):
        if not self.duration_s >= 5 or self.duration_s % 5:
            raise ValueError(f"duration_s must be a multiple of 5, got {self.duration_s}")


class State(NamedTuple):
    """What the run carries."""

    neuron: LIFState
    receptor: ExponentialState
    traces: Traces
    weights: Float[Array, "inputs 1"]
    rates: Float[Array, " chunks"]  # Hz, so far


class Result(NamedTuple):
    """Weights and rates after learning."""

    weights: Float[np.ndarray, " inputs"]  # in units of the largest
    rates: Float[np.ndarray, " chunks"]  # Hz, each 5 s


def chunks(config: Config) -> int:
    """Five seconds each."""
    return round(config.duration_s / PER_CHUNK_S)


def init(config: Config) -> State:
    """Weights spread evenly."""
    key = jax.random.fold_in(jax.random.key(config.seed), 0)
    return State(
        LIFState(jnp.full(1, -60e-3)),
        RECEPTOR.init(1),
        RULE.init(INPUTS, 1),
        jax.random.uniform(key, (INPUTS, 1)),
        jnp.zeros(chunks(config)),
    )


def step(config: Config, state: State, chunk: int) -> tuple[State, dict[str, float]]:
    """Five seconds of learning."""
    key = jax.random.fold_in(jax.random.key(config.seed), 1 + chunk)
    state, spikes = _program()(state, key)
    rate = spikes / PER_CHUNK_S
    state = state._replace(rates=state.rates.at[chunk].set(rate))
    return state, {"rate (Hz)": float(rate), "mean weight": float(jnp.mean(state.weights))}


@cache
def _program():
    def tick(carry, key):
        neuron, receptor, traces, weights = carry
        before = PoissonSource(RATE_HZ).sample(INPUTS, dt=DT, key=key)
        receptor, g = RECEPTOR.step(receptor, G_MAX * (before @ weights), dt=DT)
        neuron, after = NEURON.step(neuron, RECEPTOR.drive(g, neuron.v), dt=DT)
        traces, weights = learn(RULE, traces, weights, (before, after), dt=DT)
        return (neuron, receptor, traces, weights), after[0]

    def advance(state: State, key) -> tuple[State, Int[Array, ""]]:
        time = jnp.arange(round(PER_CHUNK_S / DT))
        one = lambda carry, t: tick(carry, jax.random.fold_in(key, t))
        carry, spikes = jax.lax.scan(one, tuple(state[:4]), time)
        return State(*carry, state.rates), jnp.sum(spikes)

    return jax.jit(advance)


def result(config: Config, state: State) -> Result:
    """Weights, flat."""
    return Result(np.asarray(state.weights[:, 0]), np.asarray(state.rates))


def summary(config: Config, result: Result) -> list[Row]:
    """How the weights split."""
    weights = result.weights
    return [
        Row("weights below 0.1 of the largest", float(np.mean(weights < 0.1))),
        Row("weights above 0.9 of the largest", float(np.mean(weights > 0.9))),
        Row("rate at the end", float(result.rates[-1]), "Hz"),
    ]


def figure(result: Result):
    """Competition among a thousand inputs.

    a, Weights after learning, in units of the largest. b, The neuron's rate while it learns.
    """
    drawing, (a, b) = panels(1, 2, height_mm=52, width_mm=120)
    a.hist(result.weights, bins=20, range=(0, 1), color=BLUE)
    a.set(xlabel="weight / largest", ylabel="synapses", xlim=(0, 1))
    b.plot((np.arange(len(result.rates)) + 0.5) * PER_CHUNK_S, result.rates, color=BLACK)
    b.set(xlabel="time (s)", ylabel="rate (Hz)", ylim=(0, None))
    return drawing


def verify() -> list[Check]:
    """The histogram after 100 s beside Brian2 2.11.0's at the same settings."""
    config = Config()
    state = init(config)
    for chunk in range(chunks(config)):
        state, _ = step(config, state, chunk)
    weights, rates = result(config, state)
    told = "Brian2 2.11.0, 100 s"
    low, high = float(np.mean(weights < 0.1)), float(np.mean(weights > 0.9))
    return [
        Check(PAPER, f"fraction of weights below 0.1, {told}", 0.24, low, 0.03),
        Check(PAPER, f"fraction of weights above 0.9, {told}", 0.19, high, 0.03),
        Check(PAPER, f"mean weight, {told}", 0.473, float(weights.mean()), 0.03),
        Check(PAPER, f"rate (Hz) in the last 20 s, {told}", 22.0, float(rates[-4:].mean()), 2.0),
    ]
