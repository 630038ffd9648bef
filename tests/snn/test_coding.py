"""The halving code: what a cycle guarantees, and that silence means nothing changed."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.coding import (
    HalvingCode,
    NonAdjacentCode,
    PopulationCode,
    burst_code,
    delta_code,
    delta_decode,
    first_spike,
    latency_code,
    latency_decode,
    phase_code,
    phase_decode,
    poisson_code,
    rank_order_code,
    rate_decode,
)

CYCLE = eqx.filter_jit(lambda code, *given: code.cycle(*given))
MOVE = eqx.filter_jit(lambda code, value, trace: code.move(value, trace))


@pytest.mark.parametrize("largest, halvings", [(1.0, 1), (1.0, 6), (0.3, 9)])
def test_a_cycle_leaves_at_most_the_smallest_spike_of_the_gap(largest, halvings):
    code = HalvingCode(largest, halvings)
    random = np.random.default_rng(halvings)
    trace = random.normal(size=1000).astype(np.float32)
    value = (trace + 2 * largest * random.uniform(-1, 1, 1000)).astype(np.float32)
    after, spikes = CYCLE(code, value, trace)
    smallest = largest * 0.5 ** (halvings - 1)
    assert np.abs(value - after).max() <= smallest * (1 + 1e-5)  # float32
    assert set(np.unique(spikes)) <= {-1.0, 0.0, 1.0}
    told = np.asarray(code.sizes) @ np.asarray(spikes)
    np.testing.assert_allclose(trace + told, after, atol=1e-6)


def test_what_is_already_known_costs_no_spike():
    code = HalvingCode(1.0, 8)
    value = jnp.linspace(-1.9, 1.9, 50)
    trace, first = CYCLE(code, value, jnp.zeros(50))
    _, second = CYCLE(code, value, trace)
    assert float(jnp.abs(first).sum()) > 0
    assert float(jnp.abs(second).sum()) == 0


def greedy(gap, size, fires):
    """A cycle as the neuron runs it: substep by substep, by its threshold alone."""
    spikes = []
    for threshold in fires:
        spikes.append(np.sign(gap) * (np.abs(gap) > threshold))
        gap, size = gap - size * spikes[-1], size / 2
    return np.array(spikes)


@pytest.mark.parametrize("kind, reach", [(HalvingCode, 0.95), (NonAdjacentCode, 0.65)])
@pytest.mark.parametrize("blur", [0, 2])
def test_the_spikes_are_those_of_a_neuron_with_a_threshold_in_each_substep(kind, reach, blur):
    n = 7
    code, after = kind(0.5, n), np.arange(n - blur)[::-1]  # substeps still to come
    sizes = 0.5 * 0.5 ** np.arange(n - blur)
    thresholds = sizes
    if kind is NonAdjacentCode:  # half a finest spike more than later substeps can say
        thresholds = np.array([2 ** (k + 1) // 3 + 0.5 for k in after]) * sizes[-1]
    gap = np.linspace(-reach, reach, 2001)
    _, spikes = CYCLE(code, jnp.asarray(gap), jnp.zeros(len(gap)), blur)
    spikes = np.asarray(spikes)
    np.testing.assert_array_equal(spikes[: n - blur], greedy(gap, sizes[0], thresholds))
    assert not spikes[n - blur :].any()


def test_non_adjacent_spikes_round_to_the_nearest_with_a_third_of_the_substeps():
    code, n = NonAdjacentCode(1.0, 12), 12
    gap = np.random.default_rng(0).uniform(-1.3, 1.3, 4000).astype(np.float32)
    nothing = np.zeros(4000, np.float32)
    trace, spikes = CYCLE(code, gap, nothing)
    assert np.abs(gap - trace).max() <= 0.5 * 2.0 ** (1 - n) * (1 + 1e-3)  # float32
    spikes = np.asarray(spikes)
    assert not (spikes[1:] * spikes[:-1]).any()  # never two in a row
    moved, whole = MOVE(code, gap, nothing)
    np.testing.assert_array_equal(moved, trace)
    np.testing.assert_array_equal(code.count(whole), np.abs(spikes).sum(axis=0))
    halving = HalvingCode(1.0, n)
    plain = halving.count(MOVE(halving, gap, nothing)[1])
    assert (
        np.abs(spikes).sum() / plain.sum() < 0.8
    )  # 1/3 against 1/2 of the substeps, and their ends


@pytest.mark.parametrize("settings, culprit", [((0.0, 4), "largest"), ((1.0, 0), "halvings")])
def test_a_bad_setting_is_refused_by_name(settings, culprit):
    with pytest.raises(ValueError, match=culprit):
        HalvingCode(*settings)


VALUES = jax.random.uniform(jax.random.key(7), (200,))


def test_rates_come_back_in_the_mean():
    trains = poisson_code(VALUES, 2000, key=jax.random.key(0))
    error = np.abs(np.asarray(rate_decode(trains) - VALUES))
    assert error.max() < 5 * 0.5 / 2000**0.5


@pytest.mark.parametrize("steps", [2, 50])
def test_a_latency_tells_its_value_to_half_a_step_by_one_spike(steps):
    trains = latency_code(VALUES, steps)
    assert (np.asarray(trains.sum(axis=0)) == 1).all()
    gap = jnp.abs(latency_decode(trains) - VALUES)
    assert float(gap.max()) <= 0.5 / (steps - 1) + 1e-6
    assert int(first_spike(jnp.zeros((steps, 1)))[0]) == steps


def test_rank_order_keeps_the_order_alone():
    trains = rank_order_code(VALUES)
    np.testing.assert_array_equal(jnp.argsort(first_spike(trains)), jnp.argsort(-VALUES))
    np.testing.assert_array_equal(trains, rank_order_code(VALUES**3))


@pytest.mark.parametrize("bits", [1, 4, 12])
def test_phases_are_binary_digits(bits):
    gap = VALUES - phase_decode(phase_code(VALUES, bits))
    assert 0 <= float(gap.min())
    assert float(gap.max()) < 2.0**-bits
    np.testing.assert_array_equal(phase_code(jnp.array([0.625]), 4)[:, 0], [1, 0, 1, 0])


def test_a_burst_has_as_many_spikes_as_its_value_says():
    trains = burst_code(VALUES, 5, 20)
    np.testing.assert_array_equal(trains.sum(axis=0), jnp.ceil(5 * VALUES))
    assert float(burst_code(jnp.zeros(1), 5, 20).sum()) == 0


def test_changes_are_followed_within_the_threshold():
    time = jnp.linspace(0, 6, 400)[:, None]
    signal = jnp.concatenate([jnp.sin(time), jnp.zeros_like(time)], axis=1)
    trains = delta_code(signal, 0.05)
    assert float(jnp.abs(delta_decode(trains, 0.05) - signal).max()) <= 0.05 + 1e-6
    assert set(np.unique(trains)) == {-1.0, 0.0, 1.0}
    assert float(jnp.abs(trains[:, 1]).sum()) == 0


def test_a_population_vector_finds_the_value():
    code = PopulationCode(jnp.linspace(-2, 3, 26), 0.3)
    for value in (0.0, 0.33, 1.0):
        assert float(code.decode(code.encode(jnp.array(value)))) == pytest.approx(value, abs=1e-3)
    with pytest.raises(ValueError, match="width"):
        PopulationCode(jnp.zeros(2), 0.0)
