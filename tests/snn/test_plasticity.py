"""Learning rules against their closed windows, by matrix and by event."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.events import pack
from snn.plasticity import (
    BCM,
    Additive,
    InhibitorySTDP,
    Multiplicative,
    PairSTDP,
    RewardModulated,
    SymmetricSTDP,
    TripletSTDP,
    learn,
    learn_events,
    nearest,
    oja,
    scale_synapses,
)

DT = 1e-3
WIDE = Additive(10.0, -10.0)


def change(rule, pre_steps, post_steps, steps=200):
    """Weight change of one synapse by spikes at the given steps."""
    train = lambda at: jnp.zeros((steps, 1)).at[jnp.array(at, int)].set(1.0)

    def step(carry, spikes):
        return learn(rule, *carry, spikes, dt=DT), None

    start = rule.init(1, 1), jnp.zeros((1, 1))
    (_, weights), _ = jax.lax.scan(step, start, (train(pre_steps), train(post_steps)))
    return float(weights[0, 0])


@pytest.mark.parametrize("interval", [1, 10, 40])
def test_pair_window_is_exponential_on_both_sides(interval, x64):
    rule = PairSTDP(WIDE, a_plus=0.005, a_minus=0.00525, tau_plus=20e-3, tau_minus=25e-3)
    after = change(rule, [50], [50 + interval])
    before = change(rule, [50 + interval], [50])
    assert after == pytest.approx(0.005 * np.exp(-interval / 20), rel=1e-12)
    assert before == pytest.approx(-0.00525 * np.exp(-interval / 25), rel=1e-12)


def test_coincidence_potentiates_and_depresses_nothing(x64):
    assert change(PairSTDP(WIDE, a_plus=0.005), [50], [50]) == pytest.approx(0.005, rel=1e-12)


@pytest.mark.parametrize("delay, sign", [(0, 1), (15, -1)])
def test_an_axonal_delay_shifts_the_window(delay, sign, x64):
    """Pre at 50 arrives at 50 + delay; post at 60: 10 ms after it, or 5 ms before."""
    rule = PairSTDP(WIDE, a_plus=1.0, a_minus=1.0)
    expected = np.exp(-10 / 20) if sign > 0 else -np.exp(-5 / 20)
    assert change(rule, [50 + delay], [60]) == pytest.approx(expected, rel=1e-12)


def test_all_pairs_sum_and_nearest_neighbours_do_not(x64):
    pre, post = [20, 30], [40]
    both = np.exp(-10 / 20) + np.exp(-20 / 20)
    assert change(PairSTDP(WIDE, a_plus=1.0), pre, post) == pytest.approx(both, rel=1e-12)
    near = PairSTDP(WIDE, nearest, a_plus=1.0)
    assert change(near, pre, post) == pytest.approx(np.exp(-10 / 20), rel=1e-12)


def test_symmetric_window_potentiates_either_way(x64):
    rule = SymmetricSTDP(WIDE, a_plus=0.01, a_minus=0.02)
    assert change(rule, [50], [60]) == pytest.approx(0.01 * np.exp(-0.5), rel=1e-12)
    assert change(rule, [60], [50]) == pytest.approx(0.02 * np.exp(-0.5), rel=1e-12)


def test_triplets_are_those_of_pfister_and_gerstner(x64):
    rule = TripletSTDP(WIDE, a2_plus=5e-3, a3_plus=6.2e-3, a2_minus=7e-3, a3_minus=2.3e-4)
    fall = lambda steps, tau_ms: np.exp(-steps / tau_ms)
    # post-pre-post at 40, 50, 55: one pair each way, one triplet
    expected = -7e-3 * fall(10, 33.7) + fall(5, 16.8) * (5e-3 + 6.2e-3 * fall(15, 114))
    assert change(rule, [50], [40, 55]) == pytest.approx(expected, rel=1e-12)
    # pre-post-pre at 40, 50, 55
    expected = 5e-3 * fall(10, 16.8) - fall(5, 33.7) * (7e-3 + 2.3e-4 * fall(15, 101))
    assert change(rule, [40, 55], [50]) == pytest.approx(expected, rel=1e-12)


def test_minimal_triplet_model_potentiates_only_at_high_frequency(x64):
    """60 pairs, post 10 ms after pre: the closed sums of eqs. 3 and 4 at 10 and 50 Hz."""
    rule = TripletSTDP(WIDE)

    def closed(period, pairs=60):
        total = 0.0
        posts = np.arange(pairs) * period + 10
        for t in posts:
            r1 = np.exp(-(t - (posts - 10)[posts - 10 <= t]) / 16.8).sum()
            o2 = np.exp(-(t - posts[posts < t]) / 114).sum()
            total += 6.5e-3 * r1 * o2
        for t in posts - 10:
            total -= 7.1e-3 * np.exp(-(t - posts[posts < t]) / 33.7).sum()
        return total

    for hz, period in ((10, 100), (50, 20)):
        pre = np.arange(60) * period
        found = change(rule, pre, pre + 10, steps=60 * period + 20)
        assert found == pytest.approx(closed(period), rel=1e-9)
        assert (found > 0.3) == (hz == 50)


def test_inhibition_learns_to_hold_its_target(x64):
    rule = InhibitorySTDP(WIDE, rate=1e-2, tau=20e-3, target_hz=5.0)
    lone = change(rule, [50], [])
    assert lone == pytest.approx(-1e-2 * 2 * 5 * 20e-3, rel=1e-12)
    assert change(rule, [50], [60]) == pytest.approx(lone + 1e-2 * np.exp(-0.5), rel=1e-12)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_multiplicative_changes_fade_towards_the_bounds(exponent):
    bound = Multiplicative(2.0, exponent)
    weight = jnp.array([0.0, 0.5, 2.0])
    up, down = bound(weight, jnp.full(3, 0.1)), bound(weight, jnp.full(3, -0.1))
    room = 1 - np.array([0, 0.25, 1])
    expected = np.clip(np.asarray(weight) + 0.1 * room**exponent, 0, 2)
    np.testing.assert_allclose(up, expected, atol=1e-6)
    expected = np.clip(np.asarray(weight) - 0.1 * (1 - room) ** exponent, 0, 2)
    np.testing.assert_allclose(down, expected, atol=1e-6)


RULES = {
    "pair": PairSTDP(Additive(1.0), a_plus=0.05, a_minus=0.06),
    "nearest": PairSTDP(Multiplicative(1.0), nearest, a_plus=0.05, a_minus=0.06),
    "triplet": TripletSTDP(Additive(1.0), a2_plus=0.01, a3_minus=0.01),
    "inhibitory": InhibitorySTDP(Additive(1.0), rate=0.05),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_learning_by_events_is_learning_by_matrix(rule):
    ka, kb, kw = jax.random.split(jax.random.key(0), 3)
    pre = (jax.random.uniform(ka, (80, 40)) < 0.1).astype(float)
    post = (jax.random.uniform(kb, (80, 33)) < 0.1).astype(float)
    start = rule.init(40, 33), jax.random.uniform(kw, (40, 33))

    def both(carry, spikes):
        matrix, events = carry
        matrix = learn(rule, *matrix, spikes, dt=DT)
        events = learn_events(rule, *events, tuple(map(pack, spikes)), dt=DT)
        return (matrix, events), None

    (matrix, events), _ = jax.jit(partial(jax.lax.scan, both))((start, start), (pre, post))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), matrix, events)
    assert float(jnp.abs(matrix[1] - start[1]).max()) > 0.05


def test_reward_cashes_what_was_eligible(x64):
    machine = RewardModulated(PairSTDP(WIDE, a_plus=1.0), tau_eligibility=0.5)
    state, weights = machine.init(1, 1), jnp.zeros((1, 1))
    for t in range(101):
        spikes = jnp.full(1, float(t == 0)), jnp.full(1, float(t == 10))
        reward = jnp.asarray(float(t == 100) / DT)
        state, weights = machine.learn(state, weights, spikes, reward, dt=DT)
    expected = np.exp(-10 / 20) * np.exp(-90 / 500)
    assert float(weights[0, 0]) == pytest.approx(expected, rel=1e-12)


def test_oja_finds_the_first_principal_axis():
    axis = jnp.array([3.0, 4.0]) / 5
    key = jax.random.key(0)
    data = jax.random.normal(key, (3000, 1)) * axis[None] + 0.1 * jax.random.normal(key, (3000, 2))
    step = lambda w, x: (oja(w, x, 0.01), None)
    weights, _ = jax.lax.scan(step, jnp.array([[1.0], [0.0]]), data)
    assert float(jnp.abs(weights[:, 0] @ axis)) == pytest.approx(1, abs=0.02)


def test_bcm_becomes_selective_and_settles_where_the_rate_is_its_threshold():
    """Two orthogonal inputs in turn: the fixed point answers 2 to one and 0 to the other."""
    machine = BCM(rate=2.0, tau=0.1)
    inputs = jnp.tile(jnp.eye(2), (20_000, 1))
    state = machine.init(jnp.array([[0.6], [0.5]]))
    state, rates = jax.lax.scan(partial(machine.step, dt=DT), state, inputs)
    np.testing.assert_allclose(rates[-2:, 0], [2.0, 0.0], atol=0.05)  # threshold ripples by dt/tau
    assert float(state.threshold[0]) == pytest.approx(2.0, rel=0.02)


def test_scaling_sets_the_sum_of_each_neuron_and_keeps_proportions():
    weights = jax.random.uniform(jax.random.key(0), (5, 3))
    scaled = scale_synapses(weights, 7.0)
    np.testing.assert_allclose(scaled.sum(axis=0), 7.0, rtol=1e-6)
    np.testing.assert_allclose(scaled[0] / scaled[1], weights[0] / weights[1], rtol=1e-5)


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: PairSTDP(WIDE, tau_plus=0.0), "tau_plus"),
        (lambda: TripletSTDP(WIDE, tau_y=-1.0), "tau_y"),
        (lambda: InhibitorySTDP(WIDE, target_hz=-1.0), "target_hz"),
        (lambda: RewardModulated(PairSTDP(WIDE), 0.0), "tau_eligibility"),
        (lambda: BCM(1.0, 0.0), "tau"),
    ],
)
def test_a_bad_rule_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
