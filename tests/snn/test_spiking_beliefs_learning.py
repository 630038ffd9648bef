"""Learning by coincident spikes against the conjugate Dirichlet update."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.spiking_beliefs_firing import Coupled, Poisson, Rates, Varied
from snn.spiking_beliefs_learning import LearningBelief

STATES, OUTCOMES, ACTIONS, STEPS = 4, 5, 2, 150
TOLERANCE = 0.02  # total variation of any column of learned A


def world():
    """A world to be learned: counts to begin with, near the truth; and what is seen and done."""
    rng = np.random.default_rng(4)
    truth = rng.dirichlet(np.full(OUTCOMES, 0.4), STATES).T + 0.02
    truth /= truth.sum(axis=0)
    moves = np.stack([rng.dirichlet(np.full(STATES, 0.4), STATES).T for _ in range(ACTIONS)], 2)
    moves = (moves + 0.02) / (moves + 0.02).sum(axis=0)
    actions = rng.integers(ACTIONS, size=STEPS)
    state, outcomes = 0, []
    for action in actions:
        state = rng.choice(STATES, p=moves[:, state, action])
        outcomes.append(rng.choice(OUTCOMES, p=truth[:, state]))
    a = 1 + 4 * truth + rng.uniform(0, 1, truth.shape)
    b = 1 + 4 * moves + rng.uniform(0, 1, moves.shape)
    return a, b, np.array(outcomes), actions


def conjugate(a, b, outcomes, actions):
    """The oracle: filter with the mean of the counts, then add the posterior to them."""
    a, b = a.copy(), b.copy()
    before = None
    for outcome, action in zip(outcomes, actions, strict=True):
        mean_a, mean_b = a / a.sum(axis=0), b / b.sum(axis=0)
        prior = np.full(STATES, 1 / STATES) if before is None else mean_b[:, :, action] @ before
        now = mean_a[outcome] * prior
        now /= now.sum()
        a[outcome] += now
        if before is not None:
            b[:, :, action] += np.outer(now, before)
        before = now
    return a, b


def spiking(neurons, firing):
    a, b, outcomes, actions = world()
    start = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    machine = LearningBelief(jnp.full(STATES, 1 / STATES), neurons, firing=firing)
    live = eqx.filter_jit(
        lambda m, a, b, o, u: jax.lax.scan(lambda s, i: m.step(s, i), m.init((a,), b), ((o,), u))[0]
    )
    state = live(machine, *start, jnp.asarray(outcomes), jnp.asarray(actions))
    return np.asarray(state.a[0], float), np.asarray(state.b, float)


def distance(counts, wanted):
    """Largest total variation between two columns of what counts expect."""
    columns = lambda x: x / x.sum(axis=0)
    return 0.5 * np.abs(columns(counts) - columns(wanted)).sum(axis=0).max()


@pytest.mark.slow
@pytest.mark.parametrize(
    "neurons, firing, tolerance",
    [
        (1, Rates(), 1e-3),  # the membrane settles to 2e-3 of a jump; counts average it
        (64, Coupled(Varied(jax.random.key(0), mismatch=0.1)), TOLERANCE),
        (1024, Poisson(jax.random.key(0)), TOLERANCE),
    ],
    ids=["rates", "coupled", "Poisson"],
)
def test_coincident_spikes_learn_what_the_dirichlet_update_learns(neurons, firing, tolerance):
    a, b, outcomes, actions = world()
    learned_a, learned_b = spiking(neurons, firing)
    exact_a, exact_b = conjugate(a, b, outcomes, actions)
    assert distance(exact_a, a) > 5 * TOLERANCE  # there was something to learn
    assert distance(exact_b, b) > 5 * TOLERANCE
    assert distance(learned_a, exact_a) <= tolerance
    assert distance(learned_b, exact_b) <= tolerance


def test_a_cycle_adds_one_count_a_modality_and_none_before_there_is_a_past():
    a, b, *_ = world()
    start = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    machine = LearningBelief(jnp.full(STATES, 1 / STATES), 1, firing=Rates())
    state, _ = machine.step(machine.init((start[0],), start[1]), ((jnp.array(2),), jnp.array(0)))
    assert float(jnp.sum(state.a[0]) - jnp.sum(start[0])) == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(state.a[0][:2], start[0][:2])  # outcome 2 alone was sensed
    np.testing.assert_array_equal(state.b, start[1])
