"""Active inference among bandit algorithms, stationary and switching: Markovic et al. (2021).

Source: Markovic, Stojic, Schwoebel & Kiebel (2021), An empirical evaluation of active inference in
multi-armed bandits, Neural Networks 144, 229-246.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, betaln, digamma
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments.claims import Check, Row
from experiments.environments.bandits import WON, switching_bandit
from experiments.environments.world import World
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, VERMILION, panels
from fep.population import map_members

PAPER = "Markovic et al. (2021)"
PRECISION = 1e3  # of the choice among equals: G is minimised, ties are broken at random
QUANTILE_STEPS = 3  # of Newton's method a trial, from the quantile of the trial before


@dataclass(frozen=True)
class Config:
    """Agents pull arms of which one is best, for ever or until it switches.

    Attributes:
        seed: of all that is random.
        arms: number of arms, K.
        agents: runs of each algorithm.
        trials: pulls in the switching bandit.
        stationary_trials: pulls in the stationary one.
        switch_probability: that the best arm changes before a pull, rho.
        advantage: of the best arm over 1/2, epsilon.
        stationary_advantage: the same in the stationary bandit.
        preference: lambda of the agents whose course is drawn.
        width: agents computed together.
    """

    seed: int = 0
    arms: int = 10
    agents: int = 100
    trials: int = 2000
    stationary_trials: int = 4000
    switch_probability: float = 0.01
    advantage: float = 0.25
    stationary_advantage: float = 0.1
    preference: float = 0.5
    width: int = 50


class Result(NamedTuple):
    """Means over agents."""

    preferences: Float[Array, " lambdas"]  # the lambdas of the sweep
    exact: Float[Array, " lambdas"]  # regret a trial of G-AI, switching
    approximate: Float[Array, " lambdas"]  # of A-AI
    rivals: Float[Array, " 2"]  # of optimistic Thompson sampling and Bayes-UCB
    stationary: Float[Array, "algorithms trials"]  # regret so far of G-AI, A-AI, O-TS, B-UCB
    stuck: Float[Array, " algorithms"]  # share that at the end still pulls an inferior arm


class Beliefs(NamedTuple):
    """Beta beliefs over each arm's probability of winning."""

    won: Float[Array, " arms"]  # alpha
    lost: Float[Array, " arms"]  # beta


class BanditState(NamedTuple):
    """Of one agent."""

    beliefs: Beliefs
    quantile: Float[Array, " arms"]  # where Bayes-UCB's search stands
    time: Int[Array, ""]


def learn(
    beliefs: Beliefs, arm: Int[Array, ""], won: Float[Array, ""], rho: float | Float[Array, ""]
) -> Beliefs:
    r"""Bayes' rule, and forgetting by the probability that the arms have switched.

    $\omega = \frac{\rho / 2}{\rho / 2 + (1 - \rho) p(o)}$ is the posterior of a switch; counts go
    to $(1 - \omega) \alpha + \omega + o$ on the arm pulled, and without $o$ on the others.
    """
    mean = beliefs.won[arm] / (beliefs.won[arm] + beliefs.lost[arm])
    likelihood = won * mean + (1 - won) * (1 - mean)
    switched = 0.5 * rho / (0.5 * rho + (1 - rho) * likelihood)
    pulled = jax.nn.one_hot(arm, beliefs.won.shape[0])
    forget = lambda counts, seen: (1 - switched) * counts + switched + seen * pulled
    return Beliefs(forget(beliefs.won, won), forget(beliefs.lost, 1 - won))


def expected_free_energy(
    beliefs: Beliefs, preference: float | Float[Array, ""], rho: float | Float[Array, ""]
) -> Float[Array, " arms"]:
    r"""G of each arm: risk under preferences $\propto e^{\pm\lambda}$ plus ambiguity, in nats.

    $G = -\lambda (2 \tilde\mu - 1) - H[\tilde\mu] + (1 - \rho) E_\theta H[o \mid \theta]$ with
    $\tilde\mu = \mu + \rho (1/2 - \mu)$ and the expectation under the arm's Beta belief.
    """
    total = beliefs.won + beliefs.lost
    mean = beliefs.won / total
    tilted = mean + rho * (0.5 - mean)
    risk = -preference * (2 * tilted - 1) + tilted * jnp.log(tilted)
    risk = risk + (1 - tilted) * jnp.log(1 - tilted)
    known = mean * digamma(beliefs.won + 1) + (1 - mean) * digamma(beliefs.lost + 1)
    return risk + (1 - rho) * (digamma(total + 1) - known)


def approximate_free_energy(
    beliefs: Beliefs, preference: float | Float[Array, ""]
) -> Float[Array, " arms"]:
    r"""$G \approx -\lambda (2\mu - 1) - \frac{1}{2\nu}$, $\nu$ the number of pseudo-counts."""
    total = beliefs.won + beliefs.lost
    return -preference * (2 * beliefs.won / total - 1) - 1 / (2 * total)


Rule = Callable[[BanditState, PRNGKeyArray], tuple[Float[Array, " arms"], Float[Array, " arms"]]]


class FreeEnergy(eqx.Module):
    """Pulls the arm of least expected free energy: G-AI, or A-AI."""

    energy: Callable[[Beliefs], Float[Array, " arms"]]

    def __call__(self, state: BanditState, key: PRNGKeyArray):
        """Worth of each arm, and the search's state as it was."""
        noise = jax.random.gumbel(key, state.quantile.shape)
        return noise - PRECISION * self.energy(state.beliefs), state.quantile


class OptimisticThompson(eqx.Module):
    """Samples each arm's probability, never below its mean: O-TS of May et al. (2012)."""

    rho: float

    def __call__(self, state: BanditState, key: PRNGKeyArray):
        """Worth of each arm, and the search's state as it was."""
        switch, old, new = jax.random.split(key, 3)
        won, lost = state.beliefs
        drawn = jnp.where(
            jax.random.bernoulli(switch, self.rho, won.shape),
            jax.random.uniform(new, won.shape),
            jax.random.beta(old, won, lost),
        )
        mean = (1 - self.rho) * won / (won + lost) + self.rho / 2
        return jnp.maximum(drawn, mean), state.quantile


class BayesianUpperBound(eqx.Module):
    """The 1 - 1/t quantile of each arm's probability: Bayes-UCB of Kaufmann et al. (2012)."""

    rho: float

    def __call__(self, state: BanditState, key: PRNGKeyArray):
        """Worth of each arm, and its quantile, from which the next search starts."""
        won, lost = ((1 - self.rho) * counts + self.rho for counts in state.beliefs)
        level = 1 - 1 / (1.0 + state.time)
        quantile = beta_quantile(level, won, lost, state.quantile)
        noise = jax.random.gumbel(key, won.shape) / PRECISION
        return 2 * quantile + noise, quantile


def beta_quantile(
    level: Float[Array, ""],
    a: Float[Array, " arms"],
    b: Float[Array, " arms"],
    start: Float[Array, " arms"],
) -> Float[Array, " arms"]:
    """Where the Beta(a, b) distribution reaches a level, by Newton's steps on its logit."""
    normaliser = betaln(a, b)

    def newton(_, x):
        slope = jnp.exp(a * jnp.log(x) + b * jnp.log1p(-x) - normaliser)  # of F by the logit
        move = (betainc(a, b, x) - level) / jnp.maximum(slope, 1e-6)
        logit = jnp.log(x) - jnp.log1p(-x) - jnp.clip(move, -1.0, 1.0)
        return jax.nn.sigmoid(jnp.clip(logit, -12.0, 12.0))

    return jax.lax.fori_loop(0, QUANTILE_STEPS, newton, start)


def life(
    world: World, rule: Rule, rho: float, trials: int, key: PRNGKeyArray
) -> Float[Array, " trials"]:
    """Whether each pull of one agent missed the best arm."""
    first, rest = jax.random.split(key)
    _, place = world.reset(first)
    arms = world.pomdp.actions[1]
    ones = jnp.ones(arms)
    start = BanditState(Beliefs(ones, ones), ones / 2, jnp.zeros((), jnp.int32))

    def trial(carry, key):
        state, place = carry
        choosing, moving = jax.random.split(key)
        worth, quantile = rule(state, choosing)
        arm = jnp.argmax(worth).astype(jnp.int32)
        moved = world.step(place, jnp.stack([jnp.zeros((), jnp.int32), arm]), key=moving)
        won = (moved.observation[0] == WON).astype(float)
        beliefs = learn(state.beliefs, arm, won, rho)
        missed = (moved.state.factors[0] != arm).astype(float)
        return (BanditState(beliefs, quantile, state.time + 1), moved.state), missed

    return jax.lax.scan(trial, (start, place), jax.random.split(rest, trials))[1]


@eqx.filter_jit
def _missed(config: Config, world: World, rule: Rule, rho: float, trials: int, key: PRNGKeyArray):
    """Lives of all agents, (agents, trials)."""
    one = lambda key: life(world, rule, rho, trials, key)
    return map_members(one, jnp.arange(config.agents), key=key, width=config.width)


def run(config: Config) -> Result:
    """All algorithms in both bandits."""
    rho, arms = config.switch_probability, config.arms
    keys = jax.random.split(jax.random.key(config.seed), 4)
    switching = switching_bandit(arms, switch_probability=rho, advantage=config.advantage)
    still = switching_bandit(arms, switch_probability=0, advantage=config.stationary_advantage)
    preferences = jnp.array([0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0])

    missed = lambda world, rule, rho, trials, key: _missed(config, world, rule, rho, trials, key)

    def sweep(energy, key):
        """Regret a trial, for each preference."""
        rule = lambda preference: FreeEnergy(jax.tree_util.Partial(energy, preference=preference))
        rates = [missed(switching, rule(p), rho, config.trials, key).mean() for p in preferences]
        return config.advantage * np.stack(rates)

    exact = sweep(jax.tree_util.Partial(expected_free_energy, rho=rho), keys[0])
    approximate = sweep(approximate_free_energy, keys[1])
    rivals = [
        config.advantage * missed(switching, rule, rho, config.trials, key).mean()
        for rule, key in zip(
            (OptimisticThompson(rho), BayesianUpperBound(rho)), keys[2:], strict=True
        )
    ]
    chosen = dict(preference=config.preference)
    rules = (
        FreeEnergy(jax.tree_util.Partial(expected_free_energy, rho=0.0, **chosen)),
        FreeEnergy(jax.tree_util.Partial(approximate_free_energy, **chosen)),
        OptimisticThompson(0.0),
        BayesianUpperBound(0.0),
    )
    lives = [
        np.asarray(missed(still, rule, 0.0, config.stationary_trials, key))
        for rule, key in zip(rules, keys, strict=True)
    ]
    last = config.stationary_trials // 10
    return Result(
        np.asarray(preferences),
        exact,
        approximate,
        np.array(rivals),
        np.stack([config.stationary_advantage * m.mean(axis=0).cumsum() for m in lives]),
        np.array([(m[:, -last:].mean(axis=1) > 0.5).mean() for m in lives]),
    )


NAMES = "G-AI", "A-AI", "O-TS", "B-UCB"


def summary(config: Config, result: Result) -> list[Row]:
    """Regret a trial of each algorithm in the switching bandit; the best preference's of ours."""
    best = int(np.argmin(result.approximate))
    told = f"at preference {result.preferences[best]:g}"
    exact = Row("G-AI, regret a trial, switching", float(result.exact.min()))
    rows = [exact, Row(f"A-AI {told}", float(result.approximate[best]))]
    rows += [Row(n, float(v)) for n, v in zip(NAMES[2:], result.rivals, strict=True)]
    stuck = zip(NAMES, result.stuck, strict=True)
    return rows + [Row(f"{n}, stuck on an inferior arm, stationary", float(s)) for n, s in stuck]


def figure(result: Result):
    """Active inference and its rivals on bandits.

    a, Regret a trial in the switching bandit against the strength of preferences: exact and
    approximate active inference, optimistic Thompson sampling and Bayes-UCB (dashed). b, Regret so
    far in the stationary bandit: active inference locks in and its regret goes on growing.
    """
    drawing, (a, b) = panels(1, 2, height_mm=58, width_mm=140)
    colours = dict(zip(NAMES, (BLUE, VERMILION, GREEN, ORANGE), strict=True))
    for name, regret in zip(NAMES[:2], (result.exact, result.approximate), strict=True):
        a.plot(result.preferences, regret, marker="o", color=colours[name], label=name)
    for name, regret in zip(NAMES[2:], result.rivals, strict=True):
        a.axhline(regret, linestyle="--", color=colours[name], label=name)
    a.set(xlabel="preference $\\lambda$ (nats)", ylabel="regret a trial", ylim=(0, None))
    trials = 1 + np.arange(result.stationary.shape[1])
    for name, regret in zip(NAMES, result.stationary, strict=True):
        b.plot(trials, regret, color=colours[name], label=name)
    b.set(xlabel="trial", ylabel="regret so far", xscale="log")
    b.axhline(0, color=BLACK, linewidth=0.5)
    for ax in (a, b):
        ax.legend()
    return drawing


def verify() -> list[Check]:
    """The paper's two claims, in its abstract; its regrets are printed as curves alone."""
    result = run(Config())
    least = float(result.approximate.min())
    half = result.stationary.shape[1] // 2
    late = result.stationary[:, -1] - result.stationary[:, half]
    lower = "rivals whose regret is above A-AI's, switching; claimed of both"
    grows = "A-AI's regret outgrows that of optimistic Thompson sampling, stationary; claimed"
    return [
        Check(PAPER, lower, 2.0, float((result.rivals > least).sum()), 0.0),
        Check(PAPER, grows, 1.0, float(late[1] > late[2]), 0.0),
    ]
