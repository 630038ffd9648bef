"""Whether spiking agents act as exact ones: T-maze, grid and random worlds, sound and damaged."""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from experiments.claims import Row
from experiments.environments.grids import grid_world
from experiments.environments.t_maze import t_maze
from experiments.environments.world import POMDP, World
from experiments.figures import BLACK, BLUE, ORANGE, VERMILION, panels
from fep.active_inference.agent import Agent, BestAction, first_actions
from fep.active_inference.belief import advance
from fep.active_inference.model import Model
from fep.active_inference.planning import Exhaustive
from snn.spiking_agent import SpikingAgent
from snn.spiking_beliefs_firing import (
    Coupled,
    Firing,
    IntegrateAndFire,
    Jittered,
    Poisson,
    Varied,
)
from snn.spiking_beliefs_rivals import Timing, WinnerTakeAll

WORLDS = "T-maze", "grid", "random worlds"
CODES = (
    "coupled, mismatched",
    "staggered, alike",
    "alone, mismatched",
    "Poisson",
    "coupled, damaged",
    "alone, damaged",
    "coupled, damaged, common noise",
)
DAMAGED = CODES[4:]
MISMATCH, DEAD, JITTER_S, WEIGHT_NOISE = 0.1, 0.5, 1e-3, 0.1
TIE = 1e-3  # nats of ln q by which two actions may differ and still be a tie for the exact agent


@dataclass(frozen=True)
class Config:
    """A spiking agent lives in worlds that an exact agent watches; and the other way round.

    Attributes:
        seed: of worlds, lives and neurons.
        neurons: of each population.
        decisions: in each kind of world, shared among its lives.
        lives: with neurons, damage and chances of their own; each in a random world of its own.
        states: of a random world, which has as many outcomes.
        actions: in a random world.
        gamma: precision of policies.
    """

    seed: int = 0
    neurons: int = 256
    decisions: int = 1200
    lives: int = 20
    states: int = 8
    actions: int = 4
    gamma: float = 16.0

    def __post_init__(self):
        for name in ("neurons", "decisions", "lives"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("states", "actions"):
            if not 2 <= getattr(self, name) <= 64:
                raise ValueError(f"{name} must lie between 2 and 64, got {getattr(self, name)}")
        if self.decisions < self.lives:
            raise ValueError(f"decisions must be at least {self.lives}, one a life")
        if not self.gamma > 0 or self.seed < 0:
            raise ValueError(f"gamma > 0 and seed >= 0 are needed, got {self.gamma}, {self.seed}")


class Life(NamedTuple):
    """Decisions of an agent, beside what the exact one would have done in its place."""

    same: Bool[Array, " decisions"]  # the very action
    loss: Float[Array, " decisions"]  # nats of ln q(action) that the exact agent sees given away
    variation: Float[Array, " decisions"]  # total variation between beliefs
    reward: Float[Array, " decisions"]


class Result(NamedTuple):
    """By code and world; the order is that of CODES and WORLDS."""

    same: Float[np.ndarray, "codes worlds"]  # share of decisions with the very action
    agreed: Float[np.ndarray, "codes worlds"]  # or one between which the exact agent has a tie
    variation: Float[np.ndarray, "codes worlds"]  # of beliefs, mean
    reward: Float[np.ndarray, "codes worlds"]  # a decision
    exact_reward: Float[np.ndarray, " worlds"]
    decisions: Float[np.ndarray, " worlds"]
    spikes: float  # asked of all populations of states, or of policies, in a cycle


def firing(code: str, neurons: int, key: PRNGKeyArray) -> Firing:
    """Neurons of a code; the coupled ones may fire a quarter more than is ever asked at once."""
    members = Varied(key, MISMATCH, DEAD if code in DAMAGED else 0.0)
    most = int(1.25 * neurons * Timing().rate_hz * Timing().dt_s) + 8
    kinds = {
        "coupled": lambda: Coupled(members, most=most),
        "staggered": IntegrateAndFire,
        "alone": lambda: IntegrateAndFire(members),
        "Poisson": lambda: Poisson(key),
    }
    sound = kinds[code.split(",")[0]]()
    return Jittered(sound, JITTER_S / Timing().dt_s, key) if code in DAMAGED else sound


def random_world(config: Config, rng: np.random.Generator) -> World:
    """Every transition and outcome possible, some much more than others.

    Rewards are preferences for outcomes, from 0 for the worst to 1 for the best.
    """
    n = config.states
    draw = lambda *shape: np.moveaxis(rng.dirichlet(np.full(n, 0.5), shape), -1, 0) + 0.02
    columns = lambda p: p / p.sum(axis=0)
    wanted = 2 * rng.normal(size=n)
    A, B = columns(draw(n)), columns(draw(n, config.actions))
    pomdp = POMDP(A=(A,), B=(B,), C=(wanted,), D=(np.full(n, 1 / n),))
    return World(pomdp, rewards={0: tuple((wanted - wanted.min()) / np.ptp(wanted))})


def worlds(config: Config) -> dict[str, list[tuple[World, int]]]:
    """Worlds by kind, one a life, each with the depth of its plans."""
    rng = np.random.default_rng(config.seed)
    maze = t_maze(cue_reliability=0.95, reward_probability=0.8), 2
    grid = grid_world(horizon=40), 2
    at_random = [(random_world(config, rng), 1) for _ in range(config.lives)]
    among = [maze] * config.lives, [grid] * config.lives, at_random
    return dict(zip(WORLDS, among, strict=True))


def exact_agent(config: Config, world: World, depth: int) -> Agent:
    """The discrete agent, who knows its world."""
    p = world.pomdp
    model = Model(p.A, p.B, p.C, p.D)
    return Agent(model, Exhaustive(depth), selection=BestAction(), gamma=config.gamma)


def noisy(model: Model, noise: float, key: PRNGKeyArray) -> Model:
    """The model with every ln A and B off by a factor 1 + noise * normal; for synapses only."""
    of_a, of_b = jax.random.split(key)
    factor = lambda key, x: 1 + noise * jax.random.normal(key, x.shape)
    A = tuple(a ** factor(k, a) for a, k in _keyed(model.A, of_a))
    return model.replace(A=A, B=tuple(b * factor(k, b) for b, k in _keyed(model.B, of_b)))


def spiking_agent(config: Config, code: str, twin: Agent, key: PRNGKeyArray) -> SpikingAgent:
    """The spiking twin of an agent, with neurons and damage of its own.

    A membrane is shared by a population, so it averages the noise of its neurons' synapses; where
    the noise is common, all of them are off by the same.
    """
    neurons, weights = jax.random.split(key)
    populations = WinnerTakeAll(config.neurons, firing=firing(code, config.neurons, neurons))
    if code not in DAMAGED:
        return SpikingAgent(twin, populations)
    alive = 1 if "common" in code else config.neurons * (1 - DEAD)
    synapses = noisy(twin.model, WEIGHT_NOISE / alive**0.5, weights)
    return SpikingAgent(twin, populations, synapses)


@eqx.filter_jit
def live(agent, exact: Agent, world: World, keys: PRNGKeyArray) -> Life:
    """Let an agent, of either kind, act in a world, while the exact one filters what it sees."""
    observation, place = world.reset(keys[0])
    mind, watcher = agent.init(), exact.init()

    def turn(carry, key):
        mind, watcher, place, observation = carry
        after, decision = agent.step(mind, observation, key=key)
        seen, _ = exact.inference(exact.model, watcher.prior, observation)
        would = first_actions(exact.model, exact.policies(seen, watcher.time))
        did = jnp.argmax(first_actions(exact.model, decision.policies))
        watching = watcher._replace(prior=advance(exact.model, seen, did), time=watcher.time + 1)
        moved = world.step(place, decision.action, key=key)
        fresh = (agent.init(), exact.init(), *reversed(world.reset(jax.random.fold_in(key, 1))))
        over = jnp.logical_or(moved.terminated, moved.truncated)
        carry = (after, watching, moved.state, moved.observation)
        carry = jax.tree.map(lambda a, b: jnp.where(over, a, b), fresh, carry)
        gap = jnp.sum(jnp.abs(seen.tables[0] - decision.belief.tables[0])) / 2
        loss = jnp.log(jnp.max(would)) - jnp.log(would[did])
        return carry, Life(did == jnp.argmax(would), loss, gap, moved.reward)

    return jax.lax.scan(turn, (mind, watcher, place, observation), keys[1:])[1]


def run(config: Config) -> Result:
    """Every code in every world; all live by the same chances."""
    return study(config, CODES)


def study(config: Config, codes: tuple[str, ...]) -> Result:
    """Some codes in every world; the result then has rows of these alone, in this order."""
    root = jax.random.key(config.seed)
    rows = {code: [] for code in ("exact", *codes)}
    steps = -(-config.decisions // config.lives)
    for index, (_, among) in enumerate(worlds(config).items()):
        for code, row in rows.items():
            lives = []
            for number, (world, depth) in enumerate(among):
                key = jax.random.fold_in(jax.random.fold_in(root, index), number)
                chances, flesh = jax.random.split(key)
                exact = agent = exact_agent(config, world, depth)
                if code != "exact":
                    agent = spiking_agent(config, code, exact, flesh)
                lives.append(live(agent, exact, world, jax.random.split(chances, steps + 1)))
            row.append(jax.tree.map(lambda *parts: np.concatenate(parts), *lives))
    of = lambda reduce: np.array([[reduce(life) for life in rows[code]] for code in codes])
    return Result(
        of(lambda life: np.mean(life.same)),
        of(lambda life: np.mean(life.loss <= TIE)),
        of(lambda life: np.mean(life.variation)),
        of(lambda life: np.mean(life.reward)),
        np.array([np.mean(life.reward) for life in rows["exact"]]),
        np.array([life.same.size for life in rows["exact"]], float),
        float(config.neurons * Timing().rate_hz * Timing().cycle_s),
    )


def summary(config: Config, result: Result) -> list[Row]:
    """Agreement and return, code by code."""
    rows = []
    for c, code in enumerate(CODES):
        for w, world in enumerate(WORLDS):
            told = (
                f"{result.decisions[w]:.0f} decisions; the very action in {result.same[c, w]:.4f}"
            )
            rows.append(Row(f"{code}: {world}, same action", result.agreed[c, w], "", told))
    rows.append(
        Row("spikes of a cycle", result.spikes, "", "states as many as policies, two cycles a step")
    )
    return rows


def tables(config: Config, result: Result) -> dict[str, list[Row]]:
    """Beliefs and returns."""
    beliefs, returns = [], []
    for w, world in enumerate(WORLDS):
        returns.append(Row(f"{world}: exact", result.exact_reward[w], "a decision"))
        for c, code in enumerate(CODES):
            beliefs.append(Row(f"{world}: {code}", result.variation[c, w]))
            returns.append(Row(f"{world}: {code}", result.reward[c, w], "a decision"))
    return {"Total variation between beliefs, mean": beliefs, "Return": returns}


def figure(result: Result):
    """Spiking agents beside the exact one.

    a, Share of decisions in which the spiking agent takes an action that the exact one would, in
    its place; ties count. Damaged: half of each population dead, spikes jittered by 1 ms, every
    synapse off by 10 %, on its own or with all of its population. The dashed line is 99 %. b, Total
    variation between their beliefs, mean.
    """
    drawing, (a, b) = panels(1, 2, height_mm=62)
    for w, (world, colour) in enumerate(zip(WORLDS, (BLUE, ORANGE, VERMILION), strict=True)):
        heights = np.arange(len(CODES)) + 0.25 * (w - 1)
        a.plot(100 * result.agreed[:, w], heights, "o", color=colour, label=world)
        b.plot(100 * result.variation[:, w], heights, "o", color=colour)
    a.axvline(99, color=BLACK, linewidth=0.5, linestyle="--")
    a.set(xlabel="same action (%)")
    b.set(xlabel="total variation between beliefs (%)", xlim=(0, None))
    for ax in (a, b):
        ax.set(yticks=range(len(CODES)), yticklabels=CODES)
        ax.invert_yaxis()
    a.legend(loc="upper left")
    return drawing


def _keyed(arrays, key: PRNGKeyArray):
    return zip(arrays, jax.random.split(key, len(arrays)), strict=True)
