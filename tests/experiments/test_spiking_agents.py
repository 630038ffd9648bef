"""The comparison of spiking and exact agents: what it counts, and, at full size, what it finds."""

from math import comb

import jax
import numpy as np
import pytest

from experiments.figures import save
from experiments.spiking_agents import (
    CODES,
    WORLDS,
    Config,
    Result,
    exact_agent,
    figure,
    firing,
    live,
    noisy,
    spiking_agent,
    study,
    summary,
    tables,
    worlds,
)
from fep.active_inference.agent import Agent
from snn.spiking_beliefs_firing import Coupled, Jittered, Poisson

SMALL = Config(neurons=64, decisions=60, lives=2)


@pytest.fixture(scope="module")
def world():
    return worlds(SMALL)["random worlds"][0]


def keys(decisions):
    return jax.random.split(jax.random.key(3), decisions + 1)


@pytest.mark.slow
def test_the_exact_agent_agrees_with_itself(world):
    exact = exact_agent(SMALL, *world)
    life = live(exact, exact, world[0], keys(50))
    assert np.asarray(life.same).all()
    assert float(np.max(life.loss)) == 0
    assert float(np.max(life.variation)) <= 1e-6  # rounding of two compilations
    assert 0 <= float(np.min(life.reward)) < float(np.max(life.reward)) <= 1


@pytest.mark.slow
def test_coupled_neurons_decide_as_the_exact_agent_and_live_the_same_life(world):
    exact = exact_agent(SMALL, *world)
    spiking = spiking_agent(SMALL, "coupled, mismatched", exact, jax.random.key(0))
    ours, theirs = (live(agent, exact, world[0], keys(50)) for agent in (spiking, exact))
    assert np.asarray(ours.loss).max() <= 1e-3
    np.testing.assert_array_equal(ours.reward, theirs.reward)
    assert 0 < np.asarray(ours.variation).mean() < 0.05  # states / spikes = 8 / 160


@pytest.mark.slow
def test_an_agent_that_wants_the_opposite_is_found_out(world):
    """A control: the measure falls when the spiking agent's twin has other preferences."""
    exact = exact_agent(SMALL, *world)
    model = exact.model.replace(C=tuple(-c for c in exact.model.C))
    twin = Agent(model, exact.planner, selection=exact.selection)
    other = spiking_agent(SMALL, "coupled, mismatched", twin, jax.random.key(0))
    life = live(other, exact, world[0], keys(50))
    assert np.mean(life.same) < 0.9
    assert np.max(life.loss) > 0.1


@pytest.mark.slow
def test_damage_is_what_it_says():
    assert isinstance(firing("Poisson", 8, jax.random.key(0)), Poisson)
    damaged = firing("coupled, damaged", 8, jax.random.key(0))
    assert isinstance(damaged, Jittered)
    assert isinstance(damaged.firing, Coupled)
    assert (damaged.steps, damaged.firing.members.dead) == (1.0, 0.5)
    model = exact_agent(Config(), *worlds(Config())["random worlds"][0]).model
    bent = noisy(model, 0.1, jax.random.key(1))
    off = np.log(np.asarray(bent.A[0])) / np.log(np.asarray(model.A[0])) - 1
    assert off.std() == pytest.approx(0.1, rel=0.25)  # 64 synapses: standard error 9 %
    ratio = np.asarray(bent.B[0]) / np.asarray(model.B[0]) - 1
    assert ratio.std() == pytest.approx(0.1, rel=0.2)  # 256 synapses


@pytest.mark.slow
def test_it_is_told_and_drawn(tmp_path):
    shape = len(CODES), len(WORLDS)
    of = lambda value: np.full(shape, value)
    result = Result(of(0.9), of(0.95), of(0.01), of(0.5), np.ones(3), np.full(3, 60.0), 320.0)
    assert len(summary(SMALL, result)) == len(CODES) * len(WORLDS) + 1
    assert {len(rows) for rows in tables(SMALL, result).values()} == {21, 24}
    assert all(path.stat().st_size > 10_000 for path in save(figure(result), tmp_path / "figure"))


@pytest.mark.parametrize(
    "name, value", [("decisions", 5), ("states", 1), ("gamma", 0.0), ("neurons", 0)]
)
def test_a_bad_setting_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        Config(**{name: value})


def surely(share: float, agreed: int, decisions: int) -> bool:
    """Whether 95 % confidence puts the share of agreement above `share`: Clopper-Pearson."""
    missed = decisions - agreed
    terms = [
        comb(decisions, k) * (1 - share) ** k * share ** (decisions - k) for k in range(missed + 1)
    ]
    return sum(terms) <= 0.05


def test_nine_hundred_decisions_may_miss_three_for_99_percent():
    assert surely(0.99, 299, 299)  # the rule of three
    assert not surely(0.99, 298, 298)
    assert surely(0.99, 897, 900)
    assert not surely(0.99, 896, 900)


@pytest.mark.slow
def test_coordinated_neurons_act_as_the_exact_agent_in_all_worlds():
    """As many decisions as tell 99 % with 95 % confidence, all worlds together."""
    codes = "coupled, mismatched", "staggered, alike"
    found, steps = study(Config(decisions=300), codes), 300 // Config().lives
    for agreed, very, reward in zip(found.agreed, found.same, found.reward, strict=True):
        as_good = np.round(agreed * found.decisions)
        assert surely(0.99, int(as_good.sum()), int(found.decisions.sum()))
        # a life that parts from the exact agent's goes on by itself: two standard errors of its
        # rewards, which lie between 0 and 1 and so have a variance of at most a quarter
        parted = np.minimum(np.round((1 - very) * found.decisions), Config().lives)
        error = 2 * np.sqrt(2 * parted * steps / 4) / found.decisions
        gap = np.abs(reward - found.exact_reward)
        assert (gap <= 0.01 * np.abs(found.exact_reward) + error).all()
