"""A thousand pulse-coupled neurons that fall into alpha and gamma rhythms: Izhikevich (2003).

Source: Izhikevich (2003), Simple model of spiking neurons, IEEE Trans. Neural Netw. 14:1569-1572,
section III and the program printed there.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from experiments.claims import Check, Row
from experiments.figures import BLACK, BLUE, ORANGE, VERMILION, panels
from snn.delivery import Dense
from snn.events import pack
from snn.nonlinear_neurons import Izhikevich

PAPER = "Izhikevich (2003)"
DT = 1e-3
EXCITATORY, INHIBITORY = 800, 200
NOISE = 5.0, 2.0  # deviation of the thalamic input of each kind
EXCITES, INHIBITS = 0.5, 1.0  # largest weights
STEPS = 1_000
ALPHA, GAMMA = (5.0, 15.0), (25.0, 60.0)  # Hz, where the two peaks are looked for
# a, b, c and d of figure 2's cortical types
TYPES = {
    "regular spiking": (0.02, 0.2, -65.0, 8.0),
    "intrinsically bursting": (0.02, 0.2, -55.0, 4.0),
    "chattering": (0.02, 0.2, -50.0, 2.0),
    "fast spiking": (0.1, 0.2, -65.0, 2.0),
    "low-threshold spiking": (0.02, 0.25, -65.0, 2.0),
}
STEPPED = 10.0  # from 100 ms on


@dataclass(frozen=True)
class Config:
    """Several seconds of the printed program, each with neurons and synapses of its own.

    Attributes:
        seed: of the first network; network k has seed + k.
        networks: independent ones, a second each.
    """

    seed: int = 0
    networks: int = 20

    def __post_init__(self):
        if self.networks < 1:
            raise ValueError(f"networks must be at least 1, got {self.networks}")


class Result(NamedTuple):
    """What the networks did."""

    rates_hz: Float[np.ndarray, "networks 2"]  # of excitatory and of inhibitory neurons
    power: Float[np.ndarray, " frequencies"]  # of the summed activity, mean over networks
    raster: Bool[np.ndarray, "steps n"]  # of the first network
    types: Float[np.ndarray, "steps types"]  # mV, each alone under a step of current


def neurons(key: PRNGKeyArray) -> Izhikevich:
    """Excitatory ones from regular spiking to chattering, then inhibitory ones."""
    ke, ki = jax.random.split(key)
    e, i = jax.random.uniform(ke, (EXCITATORY,)), jax.random.uniform(ki, (INHIBITORY,))
    join = lambda a, b: jnp.concatenate([a, b])
    return Izhikevich(
        join(jnp.full(EXCITATORY, 0.02), 0.02 + 0.08 * i),
        join(jnp.full(EXCITATORY, 0.2), 0.25 - 0.05 * i),
        join(-65 + 15 * e**2, jnp.full(INHIBITORY, -65.0)),
        join(8 - 6 * e**2, jnp.full(INHIBITORY, 2.0)),
    )


def synapses(key: PRNGKeyArray) -> Dense:
    """All to all; a row a sender."""
    size = EXCITATORY + INHIBITORY
    largest = jnp.where(jnp.arange(size) < EXCITATORY, EXCITES, -INHIBITS)
    return Dense(largest[:, None] * jax.random.uniform(key, (size, size)))


@jax.jit
def second(key: PRNGKeyArray) -> Bool[Array, "steps n"]:
    """A second of one network: who fired in each millisecond.

    As in the program, a spike is felt in the step in which it is seen.
    """
    kinds, wiring, noise = jax.random.split(key, 3)
    neuron, delivery = neurons(kinds), synapses(wiring)
    size = EXCITATORY + INHIBITORY
    deviation = jnp.where(jnp.arange(size) < EXCITATORY, *NOISE)

    def step(state, t):
        thalamic = deviation * jax.random.normal(jax.random.fold_in(noise, t), (size,))
        current, _ = delivery(pack(state.v >= 30), thalamic)
        state, spikes = neuron.step(state, current, dt=DT)
        return state, spikes > 0

    return jax.lax.scan(step, neuron.init(size), jnp.arange(STEPS))[1]


@jax.jit
def alone() -> Float[Array, "steps types"]:
    """Potentials of each type under a step of current, mV; a spike is drawn at 30."""
    a, b, c, d = jnp.array(list(TYPES.values())).T
    neuron = Izhikevich(a, b, c, d)

    def step(state, t):
        shown = jnp.minimum(state.v, 30.0)
        state, _ = neuron.step(state, jnp.where(t >= 100, STEPPED, jnp.zeros(len(TYPES))), dt=DT)
        return state, shown

    return jax.lax.scan(step, neuron.init(len(TYPES)), jnp.arange(500))[1]


def spectrum(raster: Bool[np.ndarray, "steps n"]) -> Float[np.ndarray, " frequencies"]:
    """Power of the summed activity, a bin a hertz for a second; its mean is taken out."""
    activity = raster.sum(axis=1).astype(float)
    return np.abs(np.fft.rfft(activity - activity.mean())) ** 2 / len(activity)


def peak_hz(power: Float[np.ndarray, " frequencies"], band: tuple[float, float]) -> float:
    """Where the power, smoothed over 3 Hz, is largest in a band."""
    frequency = np.fft.rfftfreq(STEPS, DT)
    smooth = np.convolve(power, np.ones(3) / 3, "same")
    inside = (frequency >= band[0]) & (frequency <= band[1])
    return float(frequency[inside][np.argmax(smooth[inside])])


def run(config: Config) -> Result:
    """All networks, one after the other."""
    rates, power, first = [], [], None
    for k in range(config.networks):
        raster = np.asarray(second(jax.random.key(config.seed + k)))
        rates.append([raster[:, :EXCITATORY].mean() / DT, raster[:, EXCITATORY:].mean() / DT])
        power.append(spectrum(raster))
        first = raster if first is None else first
    return Result(np.array(rates), np.mean(power, axis=0), first, np.asarray(alone()))


def summary(config: Config, result: Result) -> list[Row]:
    """Rates over networks, and where the rhythms are."""
    rows = []
    for name, rates in zip(("excitatory", "inhibitory"), result.rates_hz.T, strict=True):
        band = float(rates.min()), float(rates.max())
        rows.append(Row(f"rate of {name} neurons", float(rates.mean()), "Hz", "", *band))
    for name, band in (("alpha", ALPHA), ("gamma", GAMMA)):
        rows.append(Row(f"peak of the {name} rhythm", peak_hz(result.power, band), "Hz"))
    return rows


def figure(result: Result):
    """Types of neurons, and the rhythms of a thousand of them.

    a, Potentials of the types of figure 2 under a step of current at 100 ms. b, Spikes of one
    network as in figure 3; inhibitory neurons are the upper fifth. c, Power of the summed activity,
    mean over networks; bands are where the peaks are looked for.
    """
    drawing, (a, b, c) = panels(1, 3, height_mm=62)
    for k, (name, trace) in enumerate(zip(TYPES, result.types.T, strict=True)):
        a.plot(np.arange(len(trace)), trace - 130 * k, color=BLACK, linewidth=0.5)
        a.text(0, 45 - 130 * k, name, fontsize=5.5, va="center")
    a.set(xlabel="time (ms)", yticks=[], xlim=(0, 500))
    a.spines["left"].set_visible(False)
    step, neuron = np.nonzero(result.raster)
    colours = np.where(neuron < EXCITATORY, BLUE, VERMILION)
    b.scatter(step, neuron, s=0.4, c=colours, linewidths=0, rasterized=True)
    b.set(xlabel="time (ms)", ylabel="neuron", xlim=(0, STEPS), ylim=(0, result.raster.shape[1]))
    frequency = np.fft.rfftfreq(STEPS, DT)
    shown = (frequency > 0) & (frequency <= 80)
    c.plot(frequency[shown], result.power[shown], color=BLACK)
    for band, name in ((ALPHA, "alpha"), (GAMMA, "gamma")):
        c.axvspan(*band, color=ORANGE, alpha=0.15, linewidth=0)
        c.text(np.mean(band), 1.02, name, ha="center", transform=c.get_xaxis_transform())
    c.set(xlabel="frequency (Hz)", ylabel="power (spikes²)", ylim=(0, None), xlim=(0, 80))
    return drawing


def verify() -> list[Check]:
    """Twenty networks beside twenty of the program as it is printed, run in float64 by NumPy.

    The paper itself gives no rates; it tells of episodes of alpha and gamma rhythms (figure 3).
    Tolerances are three standard errors of the difference of two means of twenty.
    """
    result = run(Config())
    excitatory, inhibitory = (float(rate) for rate in result.rates_hz.mean(axis=0))
    told = "the printed program in NumPy 2, seeds 100 to 119"
    return [
        Check(PAPER, f"rate of excitatory neurons (Hz), {told}", 7.59, excitatory, 0.15),
        Check(PAPER, f"rate of inhibitory neurons (Hz), {told}", 7.31, inhibitory, 0.2),
        Check(PAPER, f"alpha rhythm (Hz), {told}", 8.0, peak_hz(result.power, ALPHA), 1.0),
        Check(PAPER, f"gamma rhythm (Hz), {told}", 31.0, peak_hz(result.power, GAMMA), 6.0),
    ]
