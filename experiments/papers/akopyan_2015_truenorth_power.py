"""TrueNorth's power against firing rate: a marginal price and static power, or one total price.

Source: Akopyan et al. (2015), TrueNorth, IEEE TCAD 34(10), 1537-1557, Fig. 17, at 0.8 V; the total
price of 26 pJ is that of Merolla et al. (2014), Science 345, 668-673, at 20 Hz and 0.775 V.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.claims import Check, Row
from experiments.figures import BLACK, BLUE, ORANGE, VERMILION, panels
from hw.cost import price
from hw.datasheets import TRUENORTH, TRUENORTH_AGGREGATE

PAPER = "Akopyan et al. (2015)"
MEASURED = {11.58: 68e-3, 20.07: 71e-3, 95.93: 94e-3}  # Hz: W
HELD_OUT = 20.07  # Hz; the price was drawn through the other two


@dataclass(frozen=True)
class Config:
    """All neurons of a chip fire at one rate, each onto some active synapses.

    Attributes:
        neurons: of the chip.
        active_synapses: that each spike reaches.
        highest: rate of the sweep, in Hz.
    """

    neurons: int = 1048576
    active_synapses: int = 128
    highest: float = 120.0

    def __post_init__(self):
        for name in ("neurons", "active_synapses", "highest"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


class Result(NamedTuple):
    """Power in W along the rates."""

    rate: Float[np.ndarray, " rates"]  # Hz
    power: Float[np.ndarray, " rates"]  # by marginal price and static power
    low: Float[np.ndarray, " rates"]
    high: Float[np.ndarray, " rates"]
    total: Float[np.ndarray, " rates"]  # by the total price alone


def run(config: Config) -> Result:
    """A second at each rate, priced both ways."""
    rate = np.linspace(0.0, config.highest, 121)
    bills = [_bill(config, float(hertz), TRUENORTH) for hertz in rate]
    total = [_bill(config, float(hertz), TRUENORTH_AGGREGATE).joules for hertz in rate]
    columns = ([getattr(b, end) for b in bills] for end in ("joules", "low", "high"))
    return Result(rate, *(np.array(c) for c in columns), np.array(total, float))


def _bill(config: Config, hertz: float, platform):
    events = hertz * config.neurons * config.active_synapses
    return price({"synaptic_event": events}, platform, duration_s=1.0)


def summary(config: Config, result: Result) -> list[Row]:
    """The price of one more event, what is drawn without any, and how far a total price is off."""
    event, static = _bill(config, HELD_OUT, TRUENORTH).items
    rows = [
        Row(i.term.replace("_", " "), c.value, c.unit, c.source, c.low, c.high)
        for i, c in ((event, event.constant), (static, static.constant))
    ]
    for hertz, watts in MEASURED.items():
        off = _bill(config, hertz, TRUENORTH_AGGREGATE).joules / watts - 1
        rows.append(Row(f"error of the total price at {hertz} Hz", off, "", PAPER))
    return rows


def figure(result: Result):
    """TrueNorth's power at 0.8 V, 128 active synapses a spike.

    Dots, measured; the open one is predicted. Line and band, a marginal price of an event and
    static power. Dashed, 26 pJ an event and nothing else: right at one operating point alone.
    """
    drawing, (ax,) = panels(1, 1, height_mm=60, width_mm=89)
    ax.fill_between(result.rate, result.low * 1e3, result.high * 1e3, color=BLUE, alpha=0.2, lw=0)
    ax.plot(result.rate, result.power * 1e3, color=BLUE, label="marginal price and static power")
    ax.plot(result.rate, result.total * 1e3, color=ORANGE, ls="--", label="total price alone")
    for hertz, watts in MEASURED.items():
        face = "white" if hertz == HELD_OUT else VERMILION
        ax.plot(hertz, watts * 1e3, "o", color=VERMILION, markerfacecolor=face)
    ax.plot([], [], "o", color=VERMILION, label="measured")
    ax.axhline(0, color=BLACK, linewidth=0.3)
    ax.set(xlabel="firing rate (Hz)", ylabel="power (mW)", ylim=(0, 200))
    ax.legend()
    return drawing


def verify() -> list[Check]:
    """The point held out, the two it was drawn through, and the total price where it was taken."""
    config, rows = Config(), []
    for hertz, watts in MEASURED.items():
        told = "power, held out" if hertz == HELD_OUT else "power, drawn through"
        tolerance = 0.02 * watts if hertz == HELD_OUT else 0.5e-3  # the figure's rounding
        ours = _bill(config, hertz, TRUENORTH).joules
        rows.append(Check(PAPER, f"{told}: {hertz} Hz (W)", watts, ours, tolerance))
    own = 26e-12 * 20.0 * config.neurons * config.active_synapses
    # 26 pJ is two digits of the power of 72 mW at its own operating point
    rows.append(Check("Merolla et al. (2014)", "power, 20 Hz, 0.775 V (W)", 72e-3, own, 2.5e-3))
    return rows
