"""ODIN's power at two clocks from leakage, idle power and the energy of a synaptic operation.

Source: Frenkel, Lefebvre, Legat & Bol (2019), A 0.086-mm2 12.7-pJ/SOP 64k-synapse 256-neuron
online-learning digital spiking neuromorphic processor in 28-nm CMOS, IEEE TBioCAS 13(1), 145-158.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.claims import Check, Row
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, VERMILION, panels
from hw.chips import ODIN_IDLE, ODIN_LEAKAGE
from hw.cost import price
from hw.datasheets import odin

PAPER = "Frenkel et al. (2019)"
POINTS = ((75.0, 37.5e6, 477e-6), (1.3, 650e3, 35e-6))  # MHz, SOP/s, W


@dataclass(frozen=True)
class Config:
    """The chip at its full rate of events, two cycles each, over a range of clocks.

    Attributes:
        slowest, fastest: clocks in MHz.
    """

    slowest: float = 0.3
    fastest: float = 100.0

    def __post_init__(self):
        if not 0 < self.slowest < self.fastest:
            raise ValueError(
                f"0 < slowest < fastest is needed, got {self.slowest}, {self.fastest} MHz"
            )


class Result(NamedTuple):
    """Power in W, by part, along the clocks."""

    clock_mhz: Float[np.ndarray, " clocks"]
    leakage: Float[np.ndarray, " clocks"]
    idle: Float[np.ndarray, " clocks"]
    events: Float[np.ndarray, " clocks"]


def run(config: Config) -> Result:
    """A second at each clock."""
    clock = np.geomspace(config.slowest, config.fastest, 80)
    events = [_bill(float(mhz), 0.5e6 * float(mhz)).items[0].joules for mhz in clock]
    leakage = np.full(clock.shape, ODIN_LEAKAGE.value)
    return Result(clock, leakage, ODIN_IDLE.value * clock, np.array(events))


def _bill(mhz: float, rate: float):
    return price({"synaptic_event": rate}, odin(mhz), duration_s=1.0)


def summary(config: Config, result: Result) -> list[Row]:
    """Energy of an operation with all that is drawn meanwhile, fast and slow."""
    return [
        Row(f"all power per operation at {mhz:g} MHz", _bill(mhz, rate).joules / rate, "J", PAPER)
        for mhz, rate, _ in POINTS
    ]


def figure(result: Result):
    """ODIN at full rate.

    a, Power by part against the clock; dots, measured. b, The same per synaptic operation: the
    marginal energy is a floor that leakage keeps slow clocks from.
    """
    drawing, (a, b) = panels(1, 2, height_mm=58, width_mm=140)
    parts = result.events, result.idle, result.leakage
    names, colours = ("events", "idle clock", "leakage"), (BLUE, GREEN, ORANGE)
    for part, name, colour in zip(parts, names, colours, strict=True):
        a.plot(result.clock_mhz, part * 1e6, color=colour, label=name)
    a.plot(result.clock_mhz, sum(parts) * 1e6, color=BLACK, label="all")
    for mhz, _, watts in POINTS:
        a.plot(mhz, watts * 1e6, "o", color=VERMILION)
    a.plot([], [], "o", color=VERMILION, label="measured")
    a.set(xlabel="clock (MHz)", ylabel="power (µW)", xscale="log", yscale="log", ylim=(1, 1000))
    a.legend(loc="upper left")
    rate = 0.5e6 * result.clock_mhz
    for part, name, colour in zip((sum(parts), parts[0]), ("all", "events"), (VERMILION, BLUE),
                                  strict=True):  # fmt: skip
        b.plot(result.clock_mhz, part / rate * 1e12, color=colour, label=name)
    b.set(xlabel="clock (MHz)", ylabel="energy per operation (pJ)", xscale="log", yscale="log")
    b.legend()
    return drawing


def verify() -> list[Check]:
    """Both measured powers, and the 12.7 pJ of the title."""
    rows = [
        Check(PAPER, f"power at {mhz:g} MHz (W)", watts, _bill(mhz, rate).joules, 0.01 * watts)
        for mhz, rate, watts in POINTS
    ]
    mhz, rate, _ = POINTS[0]
    each = _bill(mhz, rate).joules / rate
    rows.append(Check(PAPER, "energy per SOP at 75 MHz (J)", 12.7e-12, each, 0.05e-12))
    return rows
