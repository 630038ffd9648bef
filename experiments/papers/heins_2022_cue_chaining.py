"""One cue tells where the next is, and that one where the reward is: Heins et al. (2022).

Source: Heins, Millidge, Demekas, Klein, Friston, Couzin & Tschantz (2022), pymdp: a Python library
for active inference in discrete state spaces, J. Open Source Softw. 7, 4098; its example of
epistemic chaining.
"""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from experiments.claims import Check, Row
from experiments.environments.grids import NOTHING, REWARD, cue_chaining
from experiments.environments.world import World
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILION, panels
from fep.active_inference.agent import Agent, BestAction
from fep.active_inference.planning import Exhaustive, Factorised

PAPER = "Heins et al. (2022)"
SHOWN = 3, 1  # the context of the published example: the fourth second cue, the lower arm
ROWS, COLUMNS = 5, 7
START, FIRST_CUE = (0, 0), (2, 0)
SECOND_CUES = (0, 2), (1, 3), (3, 3), (4, 2)
ARMS = (1, 5), (3, 5)


@dataclass(frozen=True)
class Config:
    """Agents on a grid of 5 x 7, in each of the eight contexts that they do not know.

    Attributes:
        horizon: moves that the agent thinks through in all combinations.
        example: the same in the published example.
        steps: decisions of each agent.
    """

    horizon: int = 6
    example: int = 4
    steps: int = 20


class Result(NamedTuple):
    """Of each context: the second cue's place, slowest, and the baited arm."""

    cells: Int[Array, "contexts steps"]  # where the agent was
    first: Bool[Array, "contexts steps"]  # the first cue was seen
    second: Bool[Array, "contexts steps"]  # the second one was
    rewarded: Bool[Array, "contexts steps"]
    shocked: Bool[Array, "contexts steps"]
    example: Bool[Array, "contexts steps"]  # rewarded, with the example's horizon
    example_shocked: Bool[Array, "contexts steps"]


def explore(agent: Agent, world: World, factors: tuple[Int[Array, ""], ...], steps: int):
    """Cells and outcomes of an agent's life from given states."""
    first, rest = jax.random.split(jax.random.key(0))  # of nothing: all is certain
    observation, place = world.start(factors, first)

    def move(carry, keys):
        mind, observation, place = carry
        mind, decision = agent.step(mind, observation, key=keys[0])
        moved = world.step(place, decision.action, key=keys[1])
        return (mind, moved.observation, moved.state), observation

    keys = jax.random.split(rest, (steps, 2))
    return jax.lax.scan(move, (agent.init(), observation, place), keys)[1]


def run(config: Config) -> Result:
    """All contexts, with the horizon and with the example's."""
    world = cue_chaining()
    model = world.pomdp.model()
    start = START[0] * COLUMNS + START[1]
    grid = jnp.indices((len(SECOND_CUES), len(ARMS))).reshape(2, -1)
    live = eqx.filter_jit(
        lambda agent: jax.vmap(
            lambda cue, arm: explore(agent, world, (jnp.asarray(start), cue, arm), config.steps)
        )(*grid)
    )
    courses = []
    for horizon in (config.horizon, config.example):
        planner = Factorised(Exhaustive(horizon))
        courses.append(live(Agent(model, planner, selection=BestAction())))
    (cells, first, second, feedback), example = courses[0], courses[1][3]
    seen = first != NOTHING, second != NOTHING
    came = feedback == REWARD, feedback > REWARD, example == REWARD, example > REWARD
    return Result(*(np.asarray(x) for x in (cells, *seen, *came)))


def solved(result: Result) -> Bool[np.ndarray, " contexts"]:
    """Contexts where first cue, second cue and reward came in this order, and no shock."""
    when = lambda seen: np.where(seen.any(axis=1), seen.argmax(axis=1), seen.shape[1])
    order = (when(result.first) < when(result.second)) & (
        when(result.second) < when(result.rewarded)
    )
    return order & result.rewarded.any(axis=1) & ~result.shocked.any(axis=1)


def summary(config: Config, result: Result) -> list[Row]:
    """Contexts solved, and moves to the reward.

    With the example's horizon all moves are worth the same while the reward is six moves away, so
    that which of them is made, and with it two of the contexts, hangs on how a program breaks ties.
    """
    moves = result.rewarded.argmax(axis=1)[solved(result)]
    short = f"contexts rewarded with the example's horizon of {config.example}"
    return [
        Row("contexts solved, of 8", float(solved(result).sum())),
        Row(short, float(result.example.any(axis=1).sum()), source="of the paper's one is shown"),
        Row("moves to the reward, mean", float(moves.mean()) if moves.size else float("nan")),
        Row("moves to the reward, most", float(moves.max()) if moves.size else float("nan")),
    ]


def figure(result: Result):
    """Eight ways to the reward.

    Paths of the agent in the eight contexts: from the start (black) to the first cue (blue), to the
    second cue that it names (orange; the three others grey), to the arm that this one names
    (green; the other vermilion).
    """
    drawing, axes = panels(2, 4, height_mm=75)
    shown = zip(axes, result.cells, np.ndindex(len(SECOND_CUES), len(ARMS)), strict=True)
    shift = np.linspace(-0.12, 0.12, result.cells.shape[1])
    for ax, cells, (cue, arm) in shown:
        rows, columns = np.divmod(cells, COLUMNS)
        ax.plot(columns + shift, rows + shift, color=PURPLE, linewidth=0.8)
        marks = [(START, BLACK), (FIRST_CUE, BLUE)]
        marks += [(c, ORANGE if i == cue else "#BBBBBB") for i, c in enumerate(SECOND_CUES)]
        marks += [(c, GREEN if i == arm else VERMILION) for i, c in enumerate(ARMS)]
        for (row, column), colour in marks:
            ax.plot(column, row, marker="s", markersize=5, color=colour, zorder=0)
        ax.set(xlim=(-0.6, 6.6), ylim=(4.6, -0.6), xticks=range(COLUMNS), yticks=range(ROWS))
        ax.set_aspect("equal")
    return drawing


def verify() -> list[Check]:
    """The example's course with its own settings, and all contexts with a longer view.

    The published example shows one context: ten moves, by both cues, to the reward. Nothing is
    printed of the other seven. In two of them the reward is six moves from the second cue, where a
    search of the example's four moves cannot see it and all moves tie; six moves see it.
    """
    config = Config()
    result = run(config)
    shown = SHOWN[0] * len(ARMS) + SHOWN[1]
    moves = float(result.example[shown].argmax()) if result.example[shown].any() else float("nan")
    told = f"moves to the reward in the context shown, horizon {config.example}"
    every = f"contexts solved, of 8, horizon {config.horizon}; the paper shows one, with 4"
    return [
        Check(PAPER, told, 10.0, moves, 0.0),
        Check(PAPER, "shocks on the way", 0.0, float(result.example_shocked[shown].sum()), 0.0),
        Check(PAPER, every, 8.0, float(solved(result).sum()), 0.0),
    ]
