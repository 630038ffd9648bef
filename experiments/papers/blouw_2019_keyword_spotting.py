"""Keyword spotting on Loihi: what neurons cost as the network grows, and what x86 cores add.

Source: Blouw, Choo, Hunsberger & Eliasmith (2019), Benchmarking keyword spotting efficiency on
neuromorphic hardware, NICE 2019, arXiv:1812.01739, and the means of its published power logs:
dynamic power is power above idle, idle is after boot. The scaled networks have random weights.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.claims import Check, Row
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION, panels
from hw.cost import price
from hw.datasheets import LOIHI1, LOIHI1_SANAFE, LOIHI1_X86

PAPER = "Blouw et al. (2019)"
FAN_IN, STEPS = 256, 10  # of a hidden neuron; of an inference
# hidden neurons, inferences a second, dynamic uJ an inference: means of three runs each
SCALED = (
    (512, 125.84, 620.0),
    (3072, 114.72, 681.3),
    (5632, 114.35, 703.9),
    (10752, 114.31, 733.5),
    (15872, 114.33, 768.2),
    (20992, 113.96, 802.2),
    (26112, 114.0, 836.2),
)
# the keyword spotter itself: five runs
RATE, RUNNING_W, IDLE_W = 296.46, 0.11019, 0.02969
LAYERS = (390, 256, 256, 29)
OTHERS = {  # dynamic J an inference at batch 1, idle subtracted, table 1
    "Quadro K4000": 0.0298,
    "Xeon E5-2630": 0.0063,
    "Jetson TX1": 0.0056,
    "Movidius NCS": 0.0015,
    "Loihi": 0.00027,
}


@dataclass(frozen=True)
class Config:
    """Which runs the line is drawn through.

    Attributes:
        smallest: hidden neurons of the smallest network of the line; below, the rate differed.
    """

    smallest: int = 3072

    def __post_init__(self):
        # the second largest of SCALED, which a Config cannot see
        if self.smallest > 20992:
            raise ValueError(f"smallest must leave two networks, got {self.smallest}")


class Result(NamedTuple):
    """The line through the logs, and what the model makes of it."""

    slope_j: float  # a hidden neuron and step
    intercept_j: float  # an inference
    residual: float  # largest, relative
    activity: Float[np.ndarray, " accounts"]  # that explains the slope: Davies, SANA-FE
    cores_j: Float[np.ndarray, " networks"]  # an inference, by Davies at that activity
    x86_j: Float[np.ndarray, " networks"]
    running_w: Float[np.ndarray, " terms"]  # of the keyword spotter: idle, x86, cores


def run(config: Config) -> Result:
    """Draw the line and explain its slope by activity, its intercept by the x86 cores."""
    size, rate, micro = (np.array(column) for column in zip(*SCALED, strict=True))
    chosen = size >= config.smallest
    slope, intercept = np.polyfit(size[chosen], micro[chosen] * 1e-6, 1)
    line = slope * size[chosen] + intercept
    residual = np.abs(line / (micro[chosen] * 1e-6) - 1).max()
    activity = [_activity(slope / STEPS, p) for p in (LOIHI1, LOIHI1_SANAFE)]
    x86 = LOIHI1_X86.management.value
    cores = [_neuron_step(activity[0], LOIHI1) * n * STEPS for n in size]
    spotter = _spotter_w(activity[0])
    return Result(
        float(slope / STEPS),
        float(intercept),
        float(residual),
        np.array(activity),
        np.array(cores),
        x86 / rate,
        np.array([IDLE_W, x86, spotter]),
    )


def _neuron_step(activity: float, platform) -> float:
    """Joules of a visited and updated neuron whose inputs are active at this rate."""
    counts = {"soma_access": 1, "neuron_update": 1, "synaptic_event": FAN_IN * activity}
    return price(counts, platform, duration_s=None).joules


def _activity(joules: float, platform) -> float:
    at_rest, of_all = (_neuron_step(a, platform) for a in (0.0, 1.0))
    return (joules - at_rest) / (of_all - at_rest)


def _spotter_w(activity: float) -> float:
    """Power of the cores in the keyword spotter."""
    steps = RATE * STEPS
    synapses = sum(a * b for a, b in zip(LAYERS, LAYERS[1:], strict=False))
    neurons = sum(LAYERS[1:]) * steps
    counts = {"soma_access": neurons, "neuron_update": neurons}
    counts["synaptic_event"] = activity * synapses * steps
    return price(counts, LOIHI1, duration_s=None).joules


def summary(config: Config, result: Result) -> list[Row]:
    """Slope, activity, overhead, and the measured ratios at batch 1."""
    rows = [
        Row("a hidden neuron and step, measured", result.slope_j, "J", "slope of the logs"),
        Row("activity that explains it, Davies 2018", float(result.activity[0]), "", "ours"),
        Row("activity that explains it, SANA-FE's fit", float(result.activity[1]), "", "ours"),
        Row("intercept of an inference, measured", result.intercept_j, "J", "same logs"),
        Row("x86 cores an inference", float(np.mean(result.x86_j[1:])), "J", "70 mW, the authors"),
        Row("running power, idle, x86 and cores", float(result.running_w.sum()), "W", "ours"),
        Row("running power, measured", RUNNING_W, "W", PAPER),
        Row("of it, what the cores draw", float(result.running_w[2]), "W", "ours"),
    ]
    loihi = OTHERS["Loihi"]
    told = f"{PAPER}, table 1: keyword spotting, batch 1, idle subtracted, measured"
    return rows + [Row(f"{k} / Loihi", j / loihi, "", told) for k, j in OTHERS.items() if j > loihi]


def figure(result: Result):
    """Keyword spotting on Loihi.

    a, Dynamic energy of an inference against the size of the network: measured, and explained by
    cores and x86 cores. b, Running power of the keyword spotter: the neuromorphic cores are the
    line on top.
    """
    drawing, (a, b) = panels(1, 2, height_mm=58, width_mm=140)
    size, _, micro = (np.array(column) for column in zip(*SCALED, strict=True))
    a.plot(size, micro, "o", color=VERMILION, label="measured")
    a.plot(size, result.x86_j * 1e6, color=ORANGE, label="x86 cores, 70 mW")
    both = (result.cores_j + result.x86_j) * 1e6
    a.plot(size, both, color=BLUE, label="x86 and neuromorphic cores")
    a.set(xlabel="hidden neurons", ylabel="dynamic energy (µJ per inference)", ylim=(0, 1000))
    a.legend(loc="lower right")
    bottom, colours = 0.0, (SKY, ORANGE, BLUE)
    for watts, name, colour in zip(
        result.running_w * 1e3, ("idle", "x86 cores", "cores"), colours, strict=True
    ):
        b.bar(0, watts, bottom=bottom, color=colour, label=name, width=0.5)
        bottom += watts
    b.bar(1, RUNNING_W * 1e3, color=GREEN, width=0.5, label="measured")
    b.axhline(0, color=BLACK, linewidth=0.3)
    b.set_xticks([0, 1], ["model", "measured"])
    b.set(ylabel="running power (mW)", ylim=(0, 190), xlim=(-0.6, 1.6))
    b.legend(ncols=2, loc="upper left")
    return drawing


def verify() -> list[Check]:
    """The logs' own numbers, and the three readings of them that the model must allow."""
    result = run(Config())
    x86 = LOIHI1_X86.management.value
    spotter = [Check(PAPER, "running power of the spotter (W)", RUNNING_W,
                     float(result.running_w.sum()), 0.25 * RUNNING_W)]  # fmt: skip
    told = "activity that explains the slope, to lie within 5 to 12 %; not printed"
    mean_rate = float(np.mean([rate for n, rate, _ in SCALED if n >= Config().smallest]))
    return [
        Check(PAPER, "slope of the logs (J)", 0.6621e-9, result.slope_j, 5e-13),
        Check(PAPER, "linear within, relative", 0.0, result.residual, 0.005),
        Check(PAPER, f"{told}; Davies 2018", 0.085, float(result.activity[0]), 0.035),
        Check(PAPER, f"{told}; SANA-FE", 0.085, float(result.activity[1]), 0.035),
        # the authors say "about 70 mW"; the line says what is left at no neurons
        Check(
            PAPER, "x86 cores (W); from the intercept", x86, result.intercept_j * mean_rate, 7e-3
        ),
        *spotter,
    ]
