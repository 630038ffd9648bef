"""Self-sustained irregular activity, by conductances and by currents: Vogels & Abbott (2005).

Source: Vogels & Abbott (2005), Signal propagation and logic gating in networks of
integrate-and-fire neurons, J. Neurosci. 25, 10786-10795; settings as in benchmarks 1 and 2 of
Brette et al. (2007), Simulation of networks of spiking neurons, J. Comput. Neurosci. 23, 349-398.
"""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool

from experiments.claims import Check, Row
from experiments.figures import BLACK, BLUE, VERMILION, panels
from snn.connectivity import bernoulli, rows
from snn.delivery import EventLoop
from snn.events import raster
from snn.network import Group, Network, NetworkState, Pathway
from snn.neurons import LIF, ConductanceLIF
from snn.simulate import run as simulate
from snn.statistics import cv_isi
from snn.stochastic_neurons import Refractory
from snn.synapses import Conductance, Exponential

PAPER = "Vogels & Abbott (2005)"
DT = 1e-4
EXCITATORY, INHIBITORY, PROBABILITY = 3_200, 800, 0.02
SIZE = EXCITATORY + INHIBITORY
TAU_MEM, TAU_E, TAU_I, T_REF = 20e-3, 5e-3, 10e-3, 5e-3
V_THRESHOLD, V_RESET = -50e-3, -60e-3
WARM_UP_S = 0.1
SHOWN = 100


@dataclass(frozen=True)
class Config:
    """Both networks of 4,000 neurons.

    Attributes:
        seed: of connections and start.
        duration_s: of the run; the irregularity of the second network grows with it.
    """

    seed: int = 1
    duration_s: float = 2.0

    def __post_init__(self):
        if not 0.5 <= self.duration_s <= 100:
            raise ValueError(f"duration_s must lie in [0.5, 100], got {self.duration_s}")


class Result(NamedTuple):
    """Of the network of conductances (coba) and that of currents (cuba)."""

    coba_hz: float
    coba_cv: float
    cuba_hz: float
    cuba_cv: float
    coba: Bool[np.ndarray, "steps n"]  # spikes of SHOWN neurons in the last 0.4 s
    cuba: Bool[np.ndarray, "steps n"]


def coba(seed: int) -> Network:
    """Conductances 0.6 and 6.7 of the leak, with a constant drive of 20 mV."""
    neuron = ConductanceLIF(TAU_MEM, V_THRESHOLD, V_RESET, v_leak=-60e-3)
    receptors = Conductance(Exponential(TAU_E), 0.0), Conductance(Exponential(TAU_I), -80e-3)
    group = Group(Refractory(neuron, T_REF), SIZE, receptors, bias=20e-3)
    return _network(group, (0.6, 6.7), seed)


def cuba(seed: int) -> Network:
    """Currents of 1.62 and -9 mV onto a membrane that rests above its threshold."""
    neuron = LIF(TAU_MEM, V_THRESHOLD, V_RESET, v_leak=-49e-3)
    receptors = Exponential(TAU_E), Exponential(TAU_I)
    group = Group(Refractory(neuron, T_REF), SIZE, receptors)
    return _network(group, (1.62e-3, -9e-3), seed)


def _network(group: Group, weights: tuple[float, float], seed: int) -> Network:
    """Each pair is joined with probability 0.02; inhibitory neurons come last."""
    edges = bernoulli(SIZE, SIZE, PROBABILITY, key=jax.random.key(seed))
    inhibits = np.arange(SIZE) >= EXCITATORY
    edges = edges._replace(post=edges.post + SIZE * inhibits[edges.pre], targets=2 * SIZE)
    store = rows(edges, np.where(inhibits, weights[1], weights[0]))
    return Network({"neurons": group}, (Pathway("neurons", "neurons", EventLoop(store)),), DT)


def start(net: Network, seed: int) -> NetworkState:
    """Potentials drawn around -55 mV with a deviation of 2 mV."""
    state = net.init()
    where = lambda s: s.groups["neurons"].neuron.neuron.v
    key = jax.random.fold_in(jax.random.key(seed), 1)
    return eqx.tree_at(where, state, -55e-3 + 2e-3 * jax.random.normal(key, (SIZE,)))


ADVANCE = eqx.filter_jit(simulate)


def spikes_of(net: Network, config: Config) -> Bool[np.ndarray, "steps n"]:
    """Who fired when, after the warm-up."""
    steps = round(config.duration_s / DT)
    state = start(net, config.seed)
    _, recording = ADVANCE(net, state, steps, key=jax.random.key(config.seed))
    return raster(np.asarray(recording.spikes["neurons"])[round(WARM_UP_S / DT) :], SIZE)


def run(config: Config) -> Result:
    """Both networks."""
    numbers, shown = [], []
    for build in (coba, cuba):
        spikes = spikes_of(build(config.seed), config)
        numbers += [
            float(spikes.mean() / DT),
            cv_isi(spikes, DT, least=10),
        ]
        shown.append(spikes[-4000:, :: SIZE // SHOWN])
    return Result(*numbers, *shown)


def summary(config: Config, result: Result) -> list[Row]:
    """Rate and irregularity of both networks."""
    return [
        Row("COBA: rate", result.coba_hz, "Hz"),
        Row("COBA: CV of intervals", result.coba_cv),
        Row("CUBA: rate", result.cuba_hz, "Hz"),
        Row("CUBA: CV of intervals", result.cuba_cv),
    ]


def figure(result: Result):
    """Self-sustained irregular activity of 4,000 neurons, of which 100 are shown.

    a, Synapses are conductances. b, Synapses are currents. c, Rates of both over time.
    """
    drawing, (a, b, c) = panels(1, 3, height_mm=52)
    for ax, spikes in ((a, result.coba), (b, result.cuba)):
        step, neuron = np.nonzero(spikes)
        ax.scatter(step * 0.1, neuron, s=0.5, color=BLACK, linewidths=0, rasterized=True)
        ax.set(xlim=(0, 400), xlabel="time (ms)", ylabel="neuron")
    shown = ("COBA", result.coba, BLUE), ("CUBA", result.cuba, VERMILION)
    for name, spikes, colour in shown:
        rate = spikes.reshape(40, 100, -1).mean(axis=(1, 2)) / DT
        c.plot(np.arange(40) * 10 + 5, rate, color=colour, label=name)
    c.set(xlabel="time (ms)", ylabel="rate (Hz)", xlim=(0, 400), ylim=(0, None))
    c.legend()
    return drawing


def verify() -> list[Check]:
    """Beside Brian2 2.11.0 and NEST 3.10.0 on the same networks; bands span their seeds."""
    result = run(Config())
    others = "Brian2 2.11.0 and NEST 3.10.0, 2 s"
    return [
        Check(PAPER, f"COBA: rate (Hz), {others}", 20.5, result.coba_hz, 2.5),
        Check(PAPER, f"COBA: CV of intervals, {others}", 1.85, result.coba_cv, 0.25),
        Check(PAPER, f"CUBA: rate (Hz), {others}", 5.45, result.cuba_hz, 0.35),
        Check(PAPER, f"CUBA: CV of intervals, {others}", 0.58, result.cuba_cv, 0.08),
    ]
