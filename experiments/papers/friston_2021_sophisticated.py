"""Deciding what to do by what one would then believe: Friston et al. (2021), the T-maze.

Source: Friston, Da Costa, Hafner, Hesp & Parr (2021), Sophisticated inference, Neural Comput. 33,
713-763; settings of SPM12's DEM_demo_MDP_XX.
"""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.claims import Check, Row
from experiments.environments.t_maze import AT_START, CUE, NEUTRAL, t_maze
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION, panels
from fep.active_inference.belief import Belief, joint, prior
from fep.active_inference.inference import ExactFilter
from fep.active_inference.model import Model
from fep.active_inference.planning import PerModality
from fep.active_inference.sophisticated import PrunedBackup, Sophisticated, StateBranches

PAPER = "Friston et al. (2021)"
PREFERENCES = 0, 1, 2, 4, 6  # c: a reward has c / 2, a loss -c
DEPTHS = 0, 1, 2  # N: times that a search goes on from its own consequences
PLACES = "start", "left arm", "right arm", "cue"


@dataclass(frozen=True)
class Config:
    """A rat at the start of a T-maze, before it has seen anything but where it is.

    Attributes:
        reward_probability: of the baited arm.
    """

    reward_probability: float = 0.98


class Result(NamedTuple):
    """Posterior over the first move, for each preference and depth."""

    moves: Float[Array, "preferences depths places"]


class Habit(eqx.Module):
    """What SPM12 counts beyond the last move of a trial, -ln U at every belief."""

    def __call__(self, model: Model, belief: Belief, time) -> Float[Array, " nodes"]:
        """The same for each node."""
        return jnp.full(belief.tables[0].shape[0], -float(np.log(model.num_actions)))


def planner(depth: int) -> Sophisticated:
    """SPM12's search: two moves are left, so that it ends there from the second depth on."""
    tail = Habit() if depth == 2 else None
    return Sophisticated(
        min(depth + 1, 2), StateBranches(), PrunedBackup(), PerModality(), tail=tail
    )


def first_move(model: Model, depth: int) -> Float[Array, " places"]:
    """Posterior over the first move, at the start."""
    seen = tuple(jnp.asarray(o) for o in (AT_START, NEUTRAL))
    belief = ExactFilter()(model, prior(model, joint(model)), seen).belief
    value = planner(depth)(model, belief, jnp.zeros((), jnp.int32)).value
    return jax.nn.softmax(value)


def run(config: Config) -> Result:
    """All preferences and depths."""
    pomdp = t_maze(reward_probability=config.reward_probability).pomdp
    counts = np.array([128.0, 1, 1, 1])
    models = [
        pomdp.model(
            C=(np.zeros(5), np.array([0.0, c / 2, -c])),
            D=(counts / counts.sum(), np.full(2, 0.5)),
        )
        for c in PREFERENCES
    ]
    move = eqx.filter_jit(first_move)
    found = [[move(model, depth) for depth in DEPTHS] for model in models]
    return Result(np.array(found))


def summary(config: Config, result: Result) -> list[Row]:
    """How likely the cue is the first move, for the paper's preference."""
    cue = result.moves[PREFERENCES.index(4), :, CUE]
    return [Row(f"P(cue first), depth {n}", float(p)) for n, p in zip(DEPTHS, cue, strict=True)]


def figure(result: Result):
    """Asking the cue first.

    a, Probability of going to the cue first, against the strength of preferences: with no depth
    the search cannot know what the cue is good for. b, Posterior over the first move at the
    paper's preference, c = 4; dashed, all alike.
    """
    drawing, (a, b) = panels(1, 2, height_mm=52, width_mm=120)
    for n, colour in zip(DEPTHS, (ORANGE, SKY, BLUE), strict=True):
        a.plot(PREFERENCES, result.moves[:, n, CUE], marker="o", color=colour, label=f"depth {n}")
    a.set(xlabel="preference c (nats)", ylabel="P(cue first)", ylim=(0, 1))
    a.legend()
    four = result.moves[PREFERENCES.index(4)]
    colours = BLACK, VERMILION, GREEN, BLUE
    for place, (name, colour) in enumerate(zip(PLACES, colours, strict=True)):
        b.bar(
            np.array(DEPTHS) + 0.2 * (place - 1.5), four[:, place], 0.18, color=colour, label=name
        )
    b.axhline(0.25, color=BLACK, linewidth=0.5, linestyle="--")
    b.set(xlabel="depth", ylabel="first move (probability)", ylim=(0, 1), xticks=DEPTHS)
    b.legend()
    return drawing


def verify() -> list[Check]:
    """The paper prints figures; SPM12 itself was run on the same maze.

    Values are held to 6e-5: they are given to four decimals, ours is float32.
    """
    result = run(Config())
    spm12 = {
        (4, 2): (0.1186, 0.0286, 0.0286, 0.8242),
        (4, 1): (0.1203, 0.0274, 0.0274, 0.8249),
        (4, 0): (0.2307, 0.1539, 0.1539, 0.4615),
        (0, 1): (0.2187, 0.2625, 0.2625, 0.2562),
    }
    rows = []
    for (c, depth), values in spm12.items():
        ours = result.moves[PREFERENCES.index(c), depth]
        for name, value, mine in zip(PLACES, values, ours, strict=True):
            told = f"P({name} first), c = {c}, depth {depth}"
            rows.append(Check(PAPER, told, value, float(mine), 6e-5))
    return rows
