"""Active inference, Q-learning and Bayesian RL on a frozen lake: Sajid et al. (2021), table 1.

Source: Sajid, Ball, Parr & Friston (2021), Active inference: demystified and compared, Neural
Comput. 33, 674-712; settings and per-episode scores as its authors publish them (ucbtns/dai).
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments.claims import Check, Row
from experiments.environments.grids import frozen_lake
from experiments.environments.trials import live, plans
from experiments.environments.world import World
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION, panels
from fep.active_inference.trial import MessagePassing, TrialAgent, model_average
from fep.population import map_members

PAPER = "Sajid et al. (2021), table 1"
LEFT, DOWN, RIGHT, UP = range(4)
# the nine policies of three moves
MOVES = [
    *([move] * 3 for move in (DOWN, RIGHT, LEFT, UP)),
    *([DOWN, DOWN, RIGHT], [DOWN, RIGHT, DOWN], [RIGHT, RIGHT, DOWN]),
    *([RIGHT, DOWN, DOWN], [RIGHT, DOWN, RIGHT]),
]
CELLS, ACTIONS, START = 9, 4, 0
EAST, SOUTH = 5, 7  # goal and hole, or hole and goal
STEPS = 15  # most moves of an episode
LEARNING_RATE, DISCOUNT = 0.5, 0.99  # of Q-learning
PLANNED, SAMPLES, SWEEPS = 0.9, 2, 100  # discount, models and value iterations of Bayesian RL
NAMES = "active inference", "null model", "Q, eps .1", "Q, eps 1 to 0", "Bayesian RL"
# mean score (%) and half of its 95 % interval over episodes, in the order of the names
PUBLISHED = {
    "stationary": ((99.88, 0.24), (50.02, 0.33), (97.78, 0.37), (80.44, 1.48), (99.77, 0.31)),
    "switching": ((98.90, 0.90), (50.22, 0.33), (66.08, 2.79), (65.13, 2.55), (64.39, 4.05)),
}


@dataclass(frozen=True)
class Config:
    """Agents that must find the goal in one of two places, a hole in the other.

    Attributes:
        seed: of all that is random.
        agents: of each algorithm; the paper has 200.
        episodes: of each; context and beliefs are carried from one to the next.
        width: agents computed together.
    """

    seed: int = 0
    agents: int = 50
    episodes: int = 500
    width: int = 50


class Result(NamedTuple):
    """Score of each episode, mean over agents: 100 at the goal, else 0."""

    stationary: Float[Array, "algorithms episodes"]
    switching: Float[Array, "algorithms episodes"]
    errors: Float[Array, "settings algorithms"]  # standard error of the mean score, over agents


def switches(episodes: int, *spells: tuple[int, int]) -> Int[Array, " episodes"]:
    """One in the given spells of episodes, zero elsewhere."""
    episode = np.arange(episodes)
    return jnp.asarray(sum((a <= episode) & (episode < b) for a, b in spells).astype(np.int32))


# active inference


def agent(world: World) -> TrialAgent:
    """The paper's: tau 12, alpha 2048, beta 1, nine policies."""
    passing = MessagePassing(time_constant=12.0)
    policies = plans(MOVES, 2, 0)
    return TrialAgent(world.pomdp.model(), policies, jnp.ones(len(MOVES)), passing, alpha=2048.0)


def without_preferences(mind: TrialAgent) -> TrialAgent:
    """The null model: all outcomes are liked the same."""
    flat = tuple(jnp.zeros_like(c) for c in mind.model.C)
    return eqx.tree_at(lambda m: m.model, mind, mind.model.replace(C=flat))


def infer(mind: TrialAgent, world: World, contexts: Int[Array, " episodes"], key: PRNGKeyArray):
    """Scores of one active inference agent; its last belief in the context is its next prior."""

    def episode(belief, given):
        context, key = given
        model = mind.model.replace(D=(mind.model.D[0], belief))
        lived = live(
            eqx.tree_at(lambda m: m.model, mind, model), world, (jnp.asarray(START), context), key
        )
        return model_average(lived.thoughts)[1][-1], lived.rewards.max()

    keys = jax.random.split(key, contexts.shape[0])
    return jax.lax.scan(episode, mind.model.D[1], (contexts, keys))[1]


# reinforcement learning


def q_learning(
    world: World,
    contexts: Int[Array, " episodes"],
    exploration: Float[Array, " episodes"],
    key: PRNGKeyArray,
) -> Float[Array, " episodes"]:
    """Scores of one tabular Q-learner that explores at random with a probability each episode."""

    def move(carry, given):
        Q, place, over, score = carry
        epsilon, key = given
        exploring, tied, any_action = jax.random.split(key, 3)
        cell = place.factors[0]
        best = jnp.where(Q[cell] == Q[cell].max(), 0.0, -jnp.inf)  # ties are broken at random
        chosen = jax.random.categorical(tied, best)
        explored = jax.random.randint(any_action, (), 0, ACTIONS)
        action = jnp.where(jax.random.uniform(exploring) > epsilon, chosen, explored)
        moved = world.step(place, jnp.stack([action, jnp.zeros_like(action)]), key=key)
        target = moved.reward + DISCOUNT * Q[moved.observation[0]].max()
        learned = Q.at[cell, action].add(LEARNING_RATE * (target - Q[cell, action]))
        after = learned, moved.state, over | moved.terminated, moved.reward
        return jax.tree.map(partial(jnp.where, over), carry, after), None

    def episode(Q, given):
        context, epsilon, key = given
        _, place = world.start((jnp.asarray(START), context), key)
        start = Q, place, jnp.asarray(False), jnp.zeros(())
        keys = jax.random.split(key, STEPS)
        (Q, _, _, score), _ = jax.lax.scan(move, start, (jnp.full(STEPS, epsilon), keys))
        return Q, score

    keys = jax.random.split(key, contexts.shape[0])
    return jax.lax.scan(episode, jnp.zeros((CELLS, ACTIONS)), (contexts, exploration, keys))[1]


class BetaBeliefs(NamedTuple):
    """Of the Bayesian agent: that moves succeed, and that the goal is in the east."""

    moves: Float[Array, " 2"]
    east: Float[Array, " 2"]


def q_values(world: World, success: Float[Array, ""], east: Float[Array, ""]):
    r"""Q of each cell and action, by value iteration in a sampled model.

    A move leads where it should with probability `success`; else to the cell before or after that
    in reading order. A cell is worth 10, the eastern end $100\,p$, the southern $100 (1 - p) / 2$.
    """
    intended = jnp.argmax(jnp.asarray(world.pomdp.B[0], float), axis=0)  # (cells, actions)
    ends = jnp.isin(jnp.arange(CELLS), jnp.array([EAST, SOUTH]))
    hot = lambda cells: jax.nn.one_hot(jnp.clip(cells, 0, CELLS - 1), CELLS)
    astray = (hot(intended - 1) + hot(intended + 1)) * (1 - success) / 2
    model = success * hot(intended) + astray
    model = jnp.where(ends[:, None, None], hot(intended), model)
    worth = jnp.full(CELLS, 10.0).at[EAST].set(100 * east).at[SOUTH].set(50 * (1 - east))
    backup = lambda V: worth[:, None] + PLANNED * model @ V
    V = jax.lax.fori_loop(0, SWEEPS, lambda _, V: backup(V).max(axis=1), jnp.zeros(CELLS))
    return backup(V)


def bayesian_rl(
    world: World, contexts: Int[Array, " episodes"], key: PRNGKeyArray
) -> Float[Array, " episodes"]:
    """Scores of one agent that samples two models a move and takes the best action of their mean.

    Moves always succeed in this lake, so that belief only firms. Source: the code published with
    the paper, Thompson sampling with averaged Q-values.
    """

    def move(carry):
        beliefs, place, _, _, time, key = carry
        key, drawing = jax.random.split(key)
        counts = jnp.stack(beliefs)  # (moves and east, for and against)
        parts = jax.random.loggamma(drawing, counts, (SAMPLES, 2, 2))
        success, east = jax.nn.softmax(parts, axis=-1)[..., 0].T  # Betas are shares of two Gammas
        Q = jax.vmap(partial(q_values, world))(success, east).mean(axis=0)
        action = jnp.argmax(Q[place.factors[0]]).astype(jnp.int32)
        moved = world.step(place, jnp.stack([action, jnp.zeros_like(action)]), key=key)
        cell, won = moved.observation[0], moved.reward > 0
        east = ((cell == EAST) & won) | ((cell == SOUTH) & ~won)
        west = ((cell == SOUTH) & won) | ((cell == EAST) & ~won)
        beliefs = BetaBeliefs(
            beliefs.moves + jnp.array([1.0, 0.0]),
            beliefs.east + jnp.stack([east, west]).astype(float),
        )
        return beliefs, moved.state, moved.terminated, moved.reward, time + 1, key

    def episode(beliefs, given):
        context, key = given
        _, place = world.start((jnp.asarray(START), context), key)
        start = beliefs, place, jnp.asarray(False), jnp.zeros(()), jnp.zeros((), jnp.int32), key
        going = lambda carry: ~carry[2] & (carry[4] < STEPS)
        beliefs, _, _, score, _, _ = jax.lax.while_loop(going, move, start)
        return beliefs, score

    keys = jax.random.split(key, contexts.shape[0])
    start = BetaBeliefs(jnp.ones(2), jnp.ones(2))
    return jax.lax.scan(episode, start, (contexts, keys))[1]


def run(config: Config) -> Result:
    """All five algorithms in both settings.

    As published, the goal of the stationary setting is in the east for active inference and in the
    south for the others, and spells begin one episode earlier or later.
    """
    world = frozen_lake(horizon=None)
    n, mind = config.episodes, agent(frozen_lake())
    none = jnp.zeros(n, jnp.int32)
    spells = switches(n, (0, 20), (119, 140), (249, 450))
    theirs = 1 - switches(n, (0, 20), (120, 140), (250, 450))  # the south, but in the spells
    constant, decaying = jnp.full(n, 0.1), 1 - jnp.arange(n) / n
    courses, errors = [], []
    for i, (ours, rivals) in enumerate(((none, none + 1), (spells, theirs))):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), i), 5)
        algorithms = (
            (infer, mind, world, ours),
            (infer, without_preferences(mind), world, ours),
            (q_learning, world, rivals, constant),
            (q_learning, world, rivals, decaying),
            (bayesian_rl, world, rivals),
        )
        found = [
            np.asarray(_scores(config, *algorithm, key))
            for algorithm, key in zip(algorithms, keys, strict=True)
        ]
        courses.append(np.stack([scores.mean(axis=0) for scores in found]))
        spread = np.array([scores.mean(axis=1).std(ddof=1) for scores in found])
        errors.append(spread / config.agents**0.5)
    return Result(*courses, np.stack(errors))


@eqx.filter_jit
def _scores(config: Config, algorithm, *arguments) -> Float[Array, "agents episodes"]:
    *given, key = arguments
    members = jnp.arange(config.agents)
    return map_members(partial(algorithm, *given), members, key=key, width=config.width)


def summary(config: Config, result: Result) -> list[Row]:
    """Mean scores, in percent of the greatest."""
    settings = {"stationary": result.stationary, "switching": result.switching}
    return [
        Row(f"{name}, {setting}", float(course.mean()), "%")
        for setting, courses in settings.items()
        for name, course in zip(NAMES, courses, strict=True)
    ]


def figure(result: Result):
    """Scores on the frozen lake, mean over agents and five episodes.

    a, The goal stays where it is. b, Goal and hole change places at the dashed lines: active
    inference loses one episode, and the others their habits.
    """
    drawing, (a, b) = panels(2, 1, height_mm=90, width_mm=140)
    colours = BLUE, SKY, GREEN, ORANGE, VERMILION
    for ax, courses in ((a, result.stationary), (b, result.switching)):
        for name, course, colour in zip(NAMES, courses, colours, strict=True):
            blocks = course[: len(course) // 5 * 5].reshape(-1, 5).mean(axis=1)
            ax.plot(2.5 + 5 * np.arange(len(blocks)), blocks, color=colour, label=name)
        ax.set(xlabel="episode", ylabel="score (% of the greatest)", ylim=(-3, 103))
    for episode in (20, 120, 140, 250, 450):
        b.axvline(episode, color=BLACK, linewidth=0.5, linestyle="--")
    a.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return drawing


def verify() -> list[Check]:
    """Mean scores, within two standard errors: those of the authors' 95 % intervals and our own."""
    result = run(Config())
    rows = []
    for (setting, table), errors in zip(PUBLISHED.items(), result.errors, strict=True):
        means = getattr(result, setting).mean(axis=1)
        for name, (mean, interval), ours, error in zip(NAMES, table, means, errors, strict=True):
            tolerance = 2 * float(np.hypot(interval / 1.96, error))
            rows.append(Check(PAPER, f"{name}, {setting} (%)", mean, float(ours), tolerance))
    return rows
