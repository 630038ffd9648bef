"""Nearest-neighbour search on 32 Loihi chips: core energy of a query from its events alone.

Source: Frady et al. (2020), Neuromorphic nearest-neighbor search using Intel's Pohoiki Springs,
NICE 2020, arXiv:2004.12691, Table 2, k = 1, 76,800 patterns.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.claims import Check, Row
from experiments.figures import BLACK, BLUE, ORANGE, SKY, panels
from hw.cost import price
from hw.datasheets import LOIHI1, LOIHI1_SANAFE

PAPER = "Frady et al. (2020)"
MEASURED_J = 1.33e-3  # of neuromorphic cores, a query
PLATFORMS = {"Davies 2018": LOIHI1, "SANA-FE's fit": LOIHI1_SANAFE}
FEWEST, MOST = 667, 750  # input spikes of a query


@dataclass(frozen=True)
class Config:
    """A query's input spikes are broadcast to a neuron a pattern; all are visited every step.

    Attributes:
        patterns: stored, one neuron each.
        steps: of a query's window.
    """

    patterns: int = 76800
    steps: int = 60

    def __post_init__(self):
        for name in ("patterns", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class Result(NamedTuple):
    """Joules of a query: rows by account, few and many input spikes; columns visits, events."""

    joules: Float[np.ndarray, "accounts spikes terms"]


def run(config: Config) -> Result:
    """Price the fewest and the most input spikes that the paper reports."""
    return Result(
        np.array(
            [
                [[item.joules for item in _bill(config, n, p).items] for n in (FEWEST, MOST)]
                for p in PLATFORMS.values()
            ]
        )
    )


def _bill(config: Config, spikes: int, platform):
    counts = {
        "soma_access": config.patterns * config.steps,
        "synaptic_event": config.patterns * spikes,
    }
    return price(counts, platform, duration_s=None)


def summary(config: Config, result: Result) -> list[Row]:
    """Our joules beside the measured ones."""
    rows = [Row("measured", MEASURED_J, "J", PAPER)]
    for name, (few, many) in zip(PLATFORMS, result.joules.sum(axis=2), strict=True):
        told = f"{few / MEASURED_J - 1:+.0%} to {many / MEASURED_J - 1:+.0%} of measured"
        rows.append(Row(name, float((few + many) / 2), "J", told, float(few), float(many)))
    return rows


def figure(result: Result):
    """A query among 76,800 patterns on 32 Loihi chips: core energy by two sets of prices.

    Bars, for the fewest and the most input spikes of a query; dashed, measured, with a quarter
    either way.
    """
    drawing, (ax,) = panels(1, 1, height_mm=60, width_mm=89)
    accounts, spikes, _ = result.joules.shape
    bars = result.joules.reshape(accounts * spikes, 2) * 1e3
    place = np.arange(len(bars))
    ax.bar(place, bars[:, 0], color=SKY, label="visits of neurons", width=0.6)
    ax.bar(place, bars[:, 1], bottom=bars[:, 0], color=BLUE, label="synaptic events", width=0.6)
    ax.axhline(MEASURED_J * 1e3, color=BLACK, ls="--", label="measured")
    ax.axhspan(0.75e3 * MEASURED_J, 1.25e3 * MEASURED_J, color=ORANGE, alpha=0.3, lw=0, zorder=0)
    names = [f"{name}\n{n} spikes" for name in PLATFORMS for n in (FEWEST, MOST)]
    ax.set_xticks(place, names)
    ax.set(ylabel="energy of a query (mJ)", ylim=(0, 3.2))
    ax.legend(loc="upper left")
    return drawing


def verify() -> list[Check]:
    """Intel's own prices come within a quarter; SANA-FE's fit to another board does not."""
    rows = []
    for spikes in (FEWEST, MOST):
        ours = _bill(Config(), spikes, LOIHI1).joules
        told = f"energy of a query, {spikes} input spikes (J)"
        rows.append(Check(PAPER, told, MEASURED_J, ours, 0.25 * MEASURED_J))
    return rows
