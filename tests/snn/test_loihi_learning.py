"""Sums of products: what is parsed, what it computes, and that pair STDP is one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn.loihi_learning import (
    Factor,
    Product,
    RoundedSumOfProducts,
    SumOfProducts,
    Synapses,
    Trace,
    parse,
)
from snn.plasticity import Additive, PairSTDP, learn

RANDOM = np.random.default_rng(0)
SPIKES = (RANDOM.random((30, 4)) < 0.3) * 1.0, (RANDOM.random((30, 3)) < 0.3) * 1.0
ZERO = jnp.zeros((4, 3))
STARTS = Synapses(ZERO + 0.5, ZERO + 2.0, ZERO)


def weights_over_time(rule, starts=STARTS):
    step = lambda state, spikes: rule.step(state, spikes, dt=1e-3)
    spikes = tuple(jnp.asarray(s, jnp.float32) for s in SPIKES)
    return jax.lax.scan(step, rule.init(starts), spikes)


def test_a_rule_is_parsed_into_its_products():
    assert parse("2^-4*x1*y0 - 3*(w - 1.5)*u3*sgn(t + 2)") == (
        Product(2**-4, "y0", 1, (Factor("x1"),)),
        Product(-3.0, "u", 8, (Factor("w", -1.5), Factor("t", 2.0, True))),
    )
    assert parse("-1/2*x0*y1") == (Product(-0.5, "x0", 1, (Factor("y1"),)),)
    assert parse(" ") == ()


def test_pair_stdp_is_a_sum_of_products():
    rule = SumOfProducts("0.01*x1*y0 - 0.012*y1*x0", pre=(Trace(20e-3),), post=(Trace(15e-3),))
    stdp = PairSTDP(Additive(9.0, -9.0), a_plus=0.01, a_minus=0.012, tau_minus=15e-3)

    def one(carry, spikes):
        traces, weights = learn(stdp, *carry, spikes, dt=1e-3)
        return (traces, weights), weights

    spikes = tuple(jnp.asarray(s, jnp.float32) for s in SPIKES)
    _, expected = jax.lax.scan(one, (stdp.init(4, 3), STARTS.w), spikes)
    _, found = weights_over_time(rule)
    np.testing.assert_allclose(found, expected, atol=1e-6)  # float32
    assert np.ptp(expected[-1]) > 0.01


def test_tags_delays_and_epochs_follow_their_equations():
    """A tag that leaks and is deposited every fourth step; delays that drift to 1."""
    rule = SumOfProducts(
        "0.5*t*u2", "-0.1*(d - 1)*y0", "x1*y0 - 2^-3*t*u0 + sgn(w)*x0", (Trace(20e-3, 2.0),)
    )
    state, found = weights_over_time(rule)
    w, d, t, x1 = np.full((4, 3), 0.5), np.full((4, 3), 2.0), np.zeros((4, 3)), np.zeros(4)
    for k, (before, after) in enumerate(zip(*SPIKES, strict=True)):
        x1 = x1 * np.exp(-1e-3 / 20e-3) + 2 * before
        dw = 0.5 * t * ((k + 1) % 4 == 0)
        dd = -0.1 * (d - 1) * after
        dt = x1[:, None] * after - t / 8 + np.sign(w) * before[:, None]
        w, d, t = w + dw, d + dd, t + dt
        np.testing.assert_allclose(found[k], w, rtol=1e-4)
    np.testing.assert_allclose(state.synapses.d, d, rtol=1e-5)
    np.testing.assert_allclose(state.synapses.t, t, rtol=1e-4)


def test_integers_of_a_rounded_rule_are_those_of_the_rule_in_the_mean():
    """5,000 presynaptic neurons with a small change each: a third of a unit is one in three."""
    rule = RoundedSumOfProducts("1/3*x1*y0 - 1/4*u0", pre=(Trace(20e-3, 1.0),))
    start = Synapses(jnp.full((5_000, 2), 10.0), jnp.zeros((5_000, 2)), jnp.zeros((5_000, 2)))
    spikes = jnp.ones(5_000), jnp.array([1.0, 0.0])
    step = jax.jit(lambda state, key: rule.step(state, spikes, dt=1e-3, key=key))
    first, second = jax.random.split(jax.random.key(0))
    state, weights = step(rule.init(start), first)
    np.testing.assert_array_equal(state.pre[0], 1)  # an impulse is a whole number
    assert set(np.unique(weights)) == {9.0, 10.0, 11.0}
    error = 0.5 / 5_000**0.5  # at most, of a mean
    np.testing.assert_allclose(weights.mean(axis=0), [10 + 1 / 12, 9.75], atol=5 * error)
    state, _ = step(state, second)
    traces = np.asarray(state.pre[0])
    assert set(np.unique(traces)) == {1.0, 2.0}
    assert traces.mean() == pytest.approx(1 + np.exp(-1 / 20), abs=5 * error)
    np.testing.assert_array_equal(state.synapses.d, 0)  # what does not change is not moved


def test_integers_stay_within_the_widths_of_the_chip():
    rule = RoundedSumOfProducts("300*x0", "-300*x0", "-300*x0", (Trace(20e-3, 200.0),))
    one = jnp.ones((1, 1))
    state, _ = rule.step(
        rule.init(Synapses(one, one, one)),
        (jnp.ones(1), jnp.zeros(1)),
        dt=1e-3,
        key=jax.random.key(0),
    )
    assert [float(x[0, 0]) for x in state.synapses] == [255, -128, -256]
    assert float(state.pre[0][0]) == 127


@pytest.mark.parametrize(
    "text, told",
    [
        ("x1*y1", "needs one of x0, y0 and u0"),
        ("x0*y0", r"got \['x0', 'y0'\]"),
        ("x0*z1", "got 'z1'"),
        ("x0*(x1 + y1)", "got 'x1 \\+ y1'"),
        ("x0*exp(w)", "got 'exp\\(w\\)'"),
        ("x0*", "invalid syntax"),
        ("x0*y2", r"rule reads \['y2'\]"),
    ],
)
def test_what_is_no_sum_of_products_is_refused_by_name(text, told):
    with pytest.raises(ValueError, match=told):
        SumOfProducts(text, post=(Trace(1.0),), pre=(Trace(1.0),))


def test_a_trace_needs_a_time_constant():
    with pytest.raises(ValueError, match="tau must be positive"):
        Trace(0.0)
