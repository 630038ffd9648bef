"""What a decision costs: multiply-adds and messages of each planner, and joules, by planning depth.

Operations are counted from the traced program, nothing is run. Arithmetic is priced at 45 nm and a
message at half a 64-bit read of an 8 KB cache; logarithms and other single operations have no
published price there and are counted alone.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.claims import Row
from experiments.environments.t_maze import t_maze
from experiments.figures import BLUE, GREEN, ORANGE, VERMILION, panels
from fep.active_inference.belief import joint, prior
from fep.active_inference.induction import BackwardInduction
from fep.active_inference.model import Model
from fep.active_inference.operations import Operations, count_operations
from fep.active_inference.planning import Exhaustive, Pruned
from fep.active_inference.sophisticated import OutcomeBranches, Sophisticated, possible_outcomes
from hw.cost import price
from hw.processors import CACHE_8K, CMOS45_FP32

PLANNERS = "exhaustive", "pruned", "sophisticated", "backward induction"
MESSAGE_J = CACHE_8K.value / 2  # 32 of 64 bits


@dataclass(frozen=True)
class Config:
    """A rat in a T-maze thinks ahead, by every planner, ever deeper.

    Attributes:
        horizon: most moves ahead.
        width: prefixes that the pruned tree keeps for each first move.
    """

    horizon: int = 4
    width: int = 4

    def __post_init__(self):
        if self.horizon < 1 or self.width < 1:
            raise ValueError(
                f"horizon and width must be at least 1, got {self.horizon} and {self.width}"
            )


class Result(NamedTuple):
    """Of one plan, by planner as in PLANNERS and by horizon."""

    multiply_adds: Float[np.ndarray, "planners horizons"]
    messages: Float[np.ndarray, "planners horizons"]
    others: Float[np.ndarray, "planners horizons"]  # elementwise and transcendental, not priced
    arithmetic_j: Float[np.ndarray, "planners horizons"]
    messages_j: Float[np.ndarray, "planners horizons"]


def planners(model: Model, horizon: int, width: int) -> tuple:
    """One of each kind, as in PLANNERS."""
    branches = OutcomeBranches(possible_outcomes(model))
    return (
        Exhaustive(horizon),
        Pruned(horizon, width),
        Sophisticated(horizon, branches),
        BackwardInduction(horizon),
    )


def operations(model: Model, planner) -> Operations:
    """Of one plan from the belief before anything is seen."""
    belief, now = prior(model, joint(model)), jnp.zeros((), jnp.int32)
    return count_operations(lambda q: planner(model, q, now).value, belief)


def run(config: Config) -> Result:
    """Every planner at every horizon."""
    model = t_maze().pomdp.model()
    counts = [
        [operations(model, planner) for planner in planners(model, horizon, config.width)]
        for horizon in range(1, config.horizon + 1)
    ]
    table = np.array(counts, float).transpose(2, 1, 0)  # kinds, planners, horizons
    macs, elementwise, transcendental, messages = table
    bill = lambda n: price({"mac": n}, CMOS45_FP32, duration_s=None).joules
    joules = np.vectorize(bill, otypes=[float])(macs)
    return Result(macs, messages, elementwise + transcendental, joules, messages * MESSAGE_J)


def summary(config: Config, result: Result) -> list[Row]:
    """One decision at the greatest horizon."""
    rows, told = [], f"{config.horizon} moves ahead"
    priced, moved = CMOS45_FP32.prices["mac"].source, CACHE_8K.source
    for i, name in enumerate(PLANNERS):
        macs, messages = result.multiply_adds[i, -1], result.messages[i, -1]
        rows += [
            Row(f"{name}, {told}: multiply-adds", float(macs)),
            Row(f"{name}: messages", float(messages)),
            Row(f"{name}: other operations, not priced", float(result.others[i, -1])),
            Row(f"{name}: arithmetic", float(result.arithmetic_j[i, -1]), "J", priced),
            Row(f"{name}: messages", float(result.messages_j[i, -1]), "J", moved),
        ]
    return rows


def figure(result: Result):
    """What a decision in a T-maze costs, by how far a planner looks.

    a, Multiply-adds of one plan. b, Joules of arithmetic (solid) and of messages (dashed) at 45 nm.
    """
    drawing, (a, b) = panels(1, 2, height_mm=55, width_mm=130)
    ahead = 1 + np.arange(result.multiply_adds.shape[1])
    for i, (name, colour) in enumerate(
        zip(PLANNERS, (BLUE, GREEN, VERMILION, ORANGE), strict=True)
    ):
        a.plot(ahead, result.multiply_adds[i], marker="o", color=colour, label=name)
        b.plot(ahead, 1e9 * result.arithmetic_j[i], marker="o", color=colour)
        b.plot(ahead, 1e9 * result.messages_j[i], marker="o", color=colour, linestyle="--")
    a.set(xlabel="moves ahead", ylabel="multiply-adds a decision", yscale="log")
    b.set(xlabel="moves ahead", ylabel="energy a decision (nJ)", yscale="log")
    a.legend()
    for ax in (a, b):
        ax.set_xticks(ahead)
    return drawing
