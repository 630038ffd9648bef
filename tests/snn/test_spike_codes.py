"""Spike codes, integrate-and-fire dynamics and event-driven sums against integer arithmetic."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.integrate_and_fire import RectifiedIF, RetractingIF, SignedIF
from snn.spike_codes import NonAdjacentForm, SignedBinary, TwosComplement, Unary, accumulate

BINARY = (SignedBinary, TwosComplement, NonAdjacentForm)
CODES = [Unary(1), Unary(7), *(kind(steps) for kind in BINARY for steps in (1, 10, 29))]
codes = pytest.mark.parametrize("code", CODES, ids=lambda c: f"{type(c).__name__}{c.steps}")
CASES = 10_000  # of each code: more than 100,000 in all, twice


def name(code):
    return f"{type(code).__name__}{code.steps}"


def draw(code, shape, seed=0):
    """Counts over the whole range of a code, its ends and zero among them."""
    low, high = code.limits
    counts = np.random.default_rng(seed).integers(low, high, shape, endpoint=True)
    counts.flat[:3] = low, 0, high
    return counts.astype(np.int32)


@codes
def test_counts_survive_the_code(code):
    counts = draw(code, CASES)
    planes = np.asarray(code.encode(jnp.asarray(counts)))
    assert planes.shape == (code.steps, CASES)
    assert set(np.unique(planes)) <= {-1, 0, 1}
    np.testing.assert_array_equal(code.decode(jnp.asarray(planes)), counts)


@codes
def test_planes_weighted_by_their_places_are_the_counts(code):
    counts = draw(code, CASES, seed=1)
    planes = np.asarray(code.encode(jnp.asarray(counts)), np.int64)
    places = code.radix ** np.arange(code.steps - 1, -1, -1)  # Python's own arithmetic, not ours
    np.testing.assert_array_equal(places @ planes, counts)


def test_small_counts_look_as_written_in_the_textbook():
    planes = lambda code, count: np.asarray(code.encode(jnp.array([count])))[:, 0].tolist()
    assert planes(Unary(4), -3) == [-1, -1, -1, 0]
    assert planes(SignedBinary(4), -6) == [0, -1, -1, 0]
    assert planes(TwosComplement(4), -6) == [-1, 0, 1, 0]  # 1010
    assert planes(NonAdjacentForm(4), 7) == [1, 0, 0, -1]  # 8 - 1


@pytest.mark.parametrize("steps", [2, 5, 12, 29])
def test_non_adjacent_form_has_no_neighbours_and_never_more_spikes_than_binary(steps):
    code = NonAdjacentForm(steps)
    counts = jnp.asarray(draw(code, CASES))
    planes = np.abs(np.asarray(code.encode(counts)))
    assert not (planes[1:] & planes[:-1]).any()
    binary = np.abs(np.asarray(SignedBinary(steps).encode(counts)))
    assert (planes.sum(axis=0) <= binary.sum(axis=0)).all()


@codes
def test_a_count_beyond_the_code_is_refused(code):
    low, high = code.limits
    for count in (low - 1, high + 1):
        with pytest.raises(eqx.EquinoxRuntimeError, match=f"holds {low} to {high}"):
            code.encode(jnp.array([count]))


@pytest.mark.parametrize("kind", BINARY)
@pytest.mark.parametrize("steps", [0, 30])
def test_a_window_that_no_int32_holds_is_refused(kind, steps):
    with pytest.raises(ValueError, match="steps of"):
        kind(steps)


@pytest.mark.parametrize("code", [Unary(5), *(kind(9) for kind in BINARY)], ids=name)
def test_event_driven_sums_are_the_integer_product(code):
    generator = np.random.default_rng(2)
    weights = generator.integers(-128, 127, (24, 50), endpoint=True).astype(np.int8)
    # sparse and dense inputs alike, and one that is silent throughout
    counts = draw(code, (600, 24)) * (generator.random((600, 24)) < generator.random((600, 1)))
    counts[0] = 0
    event = eqx.filter_jit(
        jax.vmap(lambda c: accumulate(jnp.asarray(weights), code.encode(c), code.radix))
    )
    sums = np.asarray(event(jnp.asarray(counts)))  # 30,000 sums, each its own case
    np.testing.assert_array_equal(sums, counts.astype(np.int64) @ weights.astype(np.int64))


def away_from_zero(numerator, denominator):
    """Rounded quotient in whole numbers, halves away from zero."""
    sign = np.sign(numerator)
    return sign * ((2 * np.abs(numerator) + denominator) // (2 * denominator))


@pytest.mark.parametrize("steps", [1, 3, 7, 15, 64, 206])
def test_signed_neuron_is_a_clipped_rounding_in_integers(steps):
    generator = np.random.default_rng(steps)
    threshold = generator.integers(1, 1000, CASES)
    x = generator.integers(-2 * steps, 2 * steps, CASES, endpoint=True) * threshold
    x += generator.integers(-1000, 1000, CASES)
    x[::5] = threshold[::5] * (2 * (x[::5] // (2 * threshold[::5])) + 1) // 2  # near the halves
    neuron = SignedIF(jnp.asarray(steps * threshold, jnp.int32))  # in units of 1/T
    current = jnp.asarray(x, jnp.int32)
    start = neuron.init((CASES,))
    state, _ = jax.lax.scan(lambda s, _: neuron.step(s, current), start, length=steps)
    expected = np.clip(away_from_zero(x, threshold), -steps, steps)
    np.testing.assert_array_equal(state.sent, expected)
    # what has not been sent stays in the potential, and within half a threshold unless clipped
    np.testing.assert_array_equal(state.v, steps * (x - threshold * expected))
    inside = np.abs(x) <= steps * threshold
    assert (2 * np.abs(np.asarray(state.v)) <= steps * threshold)[inside].all()


def test_signed_neuron_is_right_at_any_time():
    generator, steps = np.random.default_rng(0), 16
    threshold = generator.integers(1, 1000, CASES)
    x = generator.integers(-steps * threshold, steps * threshold, endpoint=True)
    neuron = SignedIF(jnp.asarray(steps * threshold, jnp.int32))
    step = lambda s, _: (lambda new: (new[0], new[0].sent))(neuron.step(s, jnp.asarray(x)))
    _, sent = jax.lax.scan(step, neuron.init((CASES,)), length=steps)
    for t, counts in enumerate(np.asarray(sent), 1):
        np.testing.assert_array_equal(counts, away_from_zero(t * x, steps * threshold))


@pytest.mark.parametrize("steps", [1, 4, 8, 32])
def test_rectified_neuron_is_clip_floor_shift(steps):
    # halves and eighths are exact in float32, so that equality means equality
    x = jnp.asarray(np.random.default_rng(steps).integers(-64, 64 * steps, CASES) / 8.0)
    neuron = RectifiedIF(threshold=4.0, start=2.0)
    start = neuron.init(x.shape)
    state, _ = jax.lax.scan(lambda s, _: neuron.step(s, x / steps), start, length=steps)
    np.testing.assert_array_equal(state.sent, jnp.clip(jnp.floor(x / 4.0 + 0.5), 0, steps))


def test_retracting_neuron_takes_back_what_it_sent_too_early():
    currents = jnp.array([3.0, 3.0, -4.0, -4.0, 0.0])[:, None]  # -2 in all

    def sent(kind):
        neuron = kind(threshold=1.0, start=0.5)
        step = lambda state, current: neuron.step(state, current)
        return jax.lax.scan(step, neuron.init((1,)), currents)[0].sent.item()

    assert sent(RectifiedIF) > 0
    assert sent(RetractingIF) == 0


def test_a_threshold_a_channel_acts_on_its_channel_alone():
    neuron = RectifiedIF(threshold=jnp.array([1.0, 2.0]), start=jnp.array([0.5, 1.0]))
    state, spikes = neuron.step(neuron.init((2, 3, 3)), jnp.full((2, 3, 3), 0.75))
    np.testing.assert_array_equal(
        spikes, jnp.array([1.0, 0.0])[:, None, None] * jnp.ones((2, 3, 3))
    )
    np.testing.assert_allclose(state.v[:, 0, 0], [0.25, 1.75])
