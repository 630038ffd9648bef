"""How far the counts of populations may be from what was asked of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.spiking_beliefs_firing import (
    Alike,
    Coupled,
    IntegrateAndFire,
    Jittered,
    LateCoupled,
    Poisson,
    Rates,
    Varied,
)

STATES, NEURONS, STEPS = 3, 32, 400
SHARES = jnp.array([0.05, 0.25, 0.7])
DRIVE = 0.2 * SHARES[None] * (1 + 0.5 * jnp.sin(jnp.arange(STEPS) / 9))[:, None]  # a neuron
RANDOM = Varied(jax.random.key(0), mismatch=0.1)
DAMAGED = Varied(jax.random.key(1), mismatch=0.3, dead=0.5)


@eqx.filter_jit
def fire(firing):
    return jax.lax.scan(lambda s, d: firing.step(s, d), firing.init(STATES, NEURONS), DRIVE)


def miscount(trains):
    """Spikes of each population so far, beyond what was asked of it."""
    return np.cumsum(trains.sum(axis=2) - NEURONS * np.asarray(DRIVE), axis=0)


def test_staggered_counts_are_off_by_less_than_one_spike():
    assert np.abs(miscount(np.asarray(fire(IntegrateAndFire())[1]))).max() < 1


@pytest.mark.parametrize("members", [Alike(), RANDOM, DAMAGED], ids=["alike", "random", "damaged"])
@pytest.mark.parametrize("mu", [0.1, 0.5])
def test_coupled_counts_are_off_by_no_more_than_the_bound(members, mu):
    """In every window, whatever the number, mismatch and death of neurons."""
    _, thresholds, _ = members.draw(STATES, NEURONS)
    alive = np.isfinite(np.asarray(thresholds))
    k = alive.sum(axis=1)
    start = np.asarray(members.draw(STATES, NEURONS).v - thresholds)
    spread = np.array([np.ptp(row[ok]) for row, ok in zip(start, alive, strict=True)])
    trains = np.asarray(fire(Coupled(members, mu))[1])
    excess = np.cumsum((1 + mu / k) * trains.sum(axis=2) - NEURONS * np.asarray(DRIVE), axis=0)
    windows = np.ptp(np.concatenate([np.zeros((1, STATES)), excess]), axis=0)  # the worst of all
    assert (windows < 1 + np.maximum(mu, spread) + mu / k).all()
    assert (trains[:, ~alive] == 0).all()


def test_coupled_neurons_take_turns():
    """With everything mismatched, no neuron has fired much more than another of its population."""
    totals = np.asarray(fire(Coupled(RANDOM))[1]).sum(axis=0)
    # v - theta spreads over at most S = 1.6 at the start, and mu = .1 evens it out
    assert np.ptp(totals, axis=1).max() <= 1.6 / 0.1 + 1
    assert np.ptp(totals[2]) < 0.5 * totals[2].mean()


def test_one_neuron_fires_per_crossing():
    """Just above threshold together, only the most urgent fires: its spike silences the others."""
    coupled = Coupled(Alike())
    members = coupled.init(1, 4)._replace(v=jnp.array([[0.9, 0.7, 0.8, 0.6]]))
    state, fired = coupled.step(members, jnp.array([0.1]))  # everyone gains 4 x 0.1
    np.testing.assert_array_equal(fired, [[1, 0, 0, 0]])
    np.testing.assert_allclose(state.v, [[0.2, 0.1, 0.2, 0.0]], atol=1e-6)


@pytest.mark.slow
def test_spikes_that_do_not_fit_in_a_time_step_come_in_the_next():
    """With room for the drive and a few more, the same neurons fire as without a limit."""
    free, tight = (np.asarray(fire(Coupled(RANDOM, most=most))[1]) for most in (None, 12))
    assert tight.sum(axis=2).max() <= 12 < free.sum(axis=2).max() + 8
    assert np.abs(tight.sum(axis=2).cumsum(axis=0) - free.sum(axis=2).cumsum(axis=0)).max() <= 3


def test_uncoordinated_counts_wander_beyond_the_coupled_bound():
    """The control: the same neurons without inhibition miss the bound, so it says something."""
    trains = np.asarray(fire(IntegrateAndFire(RANDOM))[1])
    assert np.ptp(miscount(trains), axis=0).max() > 1 + 1.6 + 0.1


def test_unlike_inhibitory_synapses_set_the_gain_of_a_population():
    """What is counted is D over the mean inhibition of a spike: no coupling can make it good."""
    members = Varied(jax.random.key(4), synapses=0.3)
    weights = np.asarray(members.draw(STATES, NEURONS).inhibition)
    trains = np.asarray(fire(Coupled(members))[1])
    asked = NEURONS * np.asarray(DRIVE).sum(axis=0)
    sent = (trains * weights[None]).sum(axis=(0, 2))
    # potentials stay within 1 + S + mu/k of where they were, with S < 1 and a spike of up to 1.9
    assert np.abs(sent + 0.1 * trains.sum(axis=(0, 2)) / NEURONS - asked).max() < 3.9
    assert np.abs(trains.sum(axis=(0, 2)) - asked).max() > 3.9  # counts themselves drift away


def test_late_inhibition_keeps_the_residual_but_not_within_a_spike():
    """Mismatched neurons alone drift by their gain; told of it late, the drift is made good."""
    alone, late = (
        np.abs(miscount(np.asarray(fire(kind(RANDOM))[1])))
        for kind in (IntegrateAndFire, LateCoupled)
    )
    assert late[-100:].max() < 0.5 * alone[-100:].max()
    # sqrt(N d / 2 kappa) = 2.1 spikes at the largest drive, .21 a neuron and step; four of these
    assert late.max() < 4 * 2.1 + 1


def test_poisson_counts_have_the_variance_of_chance():
    """Over 400 steps and 32 neurons: z-scores of the three totals within 4."""
    trains = np.asarray(fire(Poisson(jax.random.key(2)))[1])
    p = np.asarray(DRIVE)
    spread = np.sqrt(NEURONS * (p * (1 - p)).sum(axis=0))
    assert (np.abs(miscount(trains)[-1]) < 4 * spread).all()
    assert set(np.unique(trains)) == {0.0, 1.0}
    # neurons are independent: a population's count varies as much as its neurons' together
    counts = trains.sum(axis=2)
    ratio = ((counts - NEURONS * p) ** 2).sum(axis=0) / (NEURONS * p * (1 - p)).sum(axis=0)
    np.testing.assert_allclose(ratio, 1, atol=0.3)  # 400 steps: standard error .07


def test_rates_are_what_was_asked():
    trains = np.asarray(fire(Rates(100.0))[1])
    np.testing.assert_allclose(trains, np.broadcast_to(100 * DRIVE[:, :, None], trains.shape))


def test_jitter_moves_spikes_and_loses_none():
    """Sent and heard agree up to those under way; the delays have the spread they are told."""
    sent = np.asarray(fire(IntegrateAndFire(RANDOM))[1])
    state, heard = fire(Jittered(IntegrateAndFire(RANDOM), 2.0, jax.random.key(3)))
    total = np.asarray(heard).sum(axis=0) + np.asarray(state.arriving).sum(axis=0)
    np.testing.assert_array_equal(total, sent.sum(axis=0))
    times = np.arange(STEPS)[:, None, None]
    first = lambda trains: np.min(np.where(trains > 0, times, STEPS), axis=0)
    delays = (first(np.asarray(heard)) - first(sent))[
        1:
    ]  # that fire rarely enough to be told apart
    assert delays.mean() == pytest.approx(6, abs=0.8)  # three standard deviations; 64 neurons
    assert delays.std() == pytest.approx(2, rel=0.3)


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Varied(jax.random.key(0), mismatch=0.4), "mismatch"),
        (lambda: Varied(jax.random.key(0), dead=1.0), "dead"),
        (lambda: Coupled(self_inhibition=0.0), "self_inhibition"),
        (lambda: Coupled(most=0), "most"),
        (lambda: LateCoupled(gain=2.0), "gain"),
        (lambda: Varied(jax.random.key(0), synapses=0.4), "synapses"),
        (lambda: Jittered(Poisson(jax.random.key(0)), 0.0, jax.random.key(0)), "steps"),
    ],
)
def test_a_bad_setting_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
