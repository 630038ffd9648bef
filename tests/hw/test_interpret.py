"""Programs do what NIR's equations say, under every choice that the text leaves open."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hw.operators as op
from hw.dense import Attention, MatMul
from hw.interpret import (
    Interpreter,
    Semantics,
    as_current,
    as_impulse,
    by_subtraction,
    choices,
    exponential,
    forward_euler,
    to_reset,
)
from hw.program import Program

ONE = np.ones(1)


def alone(node, shape=(1,)):
    """A program of one operator."""
    out = op.Output(node.output_shape(shape))
    nodes = {"in": op.Input(shape), "x": node, "out": out}
    return Program(nodes, (("in", "x"), ("x", "out")))


def run(program, semantics, inputs):
    """Outputs of all operators, shape (steps, ...)."""
    machine = Interpreter(program, semantics)
    course = lambda x: jax.lax.scan(machine.step, machine.init(), {"in": x})[1]
    return eqx.filter_jit(course)(jnp.asarray(inputs, jnp.float32))


def lif(v_threshold=1e9):
    return op.LIF(
        r=2 * ONE, tau=20e-3 * ONE, v_leak=ONE, v_threshold=v_threshold * ONE, v_reset=-ONE
    )


@pytest.mark.parametrize("dt", [1e-3, 1e-4])
def test_a_leak_is_exact_by_exponential_and_of_first_order_by_euler(dt):
    steps = round(50e-3 / dt)
    out = lambda scheme: run(alone(lif()), Semantics(dt, scheme), np.full((steps, 1), 3.0))
    node = op.LI(r=2 * ONE, tau=20e-3 * ONE, v_leak=ONE)
    v = lambda scheme: run(alone(node), Semantics(dt, scheme), np.full((steps, 1), 3.0))["out"]
    exact = 7 - 6 * np.exp(-(dt * np.arange(1, steps + 1)) / 20e-3)  # from 1 towards 1 + 2 x 3
    np.testing.assert_allclose(v(exponential)[:, 0], exact, rtol=1e-5)  # float32
    error = np.abs(v(forward_euler)[:, 0] - exact).max()
    assert 0 < error < 6 * dt / 20e-3  # local error, once summed
    assert not out(exponential)["x"].any()


def test_potentials_return_to_reset_or_keep_what_exceeded_the_threshold():
    node = op.IF(r=ONE, v_threshold=ONE, v_reset=0 * ONE)
    spikes = {}
    for reset in (to_reset, by_subtraction):
        out = run(alone(node), Semantics(1.0, reset=reset), np.full((12, 1), 0.75))
        spikes[reset] = np.flatnonzero(out["x"]).tolist()
    # 0.75, 1.5 > 1 and so on; by subtraction 0.5 is kept, so three spikes in four steps
    assert spikes[to_reset] == [1, 3, 5, 7, 9, 11]
    assert spikes[by_subtraction] == [1, 2, 4, 5, 6, 8, 9, 10]


def test_an_impulse_has_the_area_that_a_current_spreads_over_time():
    node = op.I(r=ONE)
    pulse = np.eye(1, 4)[0][:, None]
    for kind, area in ((as_current, 1e-3), (as_impulse, 1.0)):
        out = run(alone(node), Semantics(1e-3, input_kind=kind), pulse)
        np.testing.assert_allclose(out["x"][:, 0], area, rtol=1e-6)


def test_current_comes_first_and_then_the_potential():
    node = op.CubaLI(r=ONE, tau_mem=4 * ONE, tau_syn=2 * ONE, v_leak=0 * ONE, w_in=3 * ONE)
    out = run(alone(node), Semantics(1.0), [[1.0], [0.0]])
    # i: 1.5, 0.75; v: 1.5 / 4, then 0.375 + (0.75 - 0.375) / 4
    np.testing.assert_array_equal(out["x"][:, 0], [0.375, 0.46875])


def test_delays_differ_by_element_and_are_rounded_aloud():
    program = alone(op.Delay(np.array([0.0, 1e-3, 2.4e-3])), (3,))
    out = run(program, Semantics(1e-3), np.arange(1, 5)[:, None] * np.ones(3))
    np.testing.assert_array_equal(out["x"], [[1, 0, 0], [2, 1, 0], [3, 2, 1], [4, 3, 2]])
    assert "x: delays rounded to whole steps, by up to 0.0004 s" in choices(
        program, Semantics(1e-3)
    )


def test_linear_operators_equal_numpy():
    rng = np.random.default_rng(0)
    w, b, x = rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=(1, 5))
    close = lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-6)  # float32
    close(run(alone(op.Linear(w), (5,)), Semantics(1.0), x)["x"], x @ w.T)
    close(run(alone(op.Affine(w, b), (5,)), Semantics(1.0), x)["x"], x @ w.T + b)
    close(run(alone(op.Scale(x[0]), (5,)), Semantics(1.0), x)["x"], x * x)
    close(run(alone(op.Threshold(x[0] - 0.1), (5,)), Semantics(1.0), x)["x"], 1)
    image = rng.normal(size=(1, 2, 5, 6))
    kernel, bias = rng.normal(size=(4, 1, 3, 2)), rng.normal(size=4)
    node = op.Conv2d(kernel, bias, (2, 1), (1, 0), (1, 2), groups=2)
    padded = np.pad(image[0], ((0, 0), (1, 1), (0, 0)))
    expected = np.zeros(node.output_shape((2, 5, 6)))
    for c, y, i in np.ndindex(expected.shape):
        window = padded[c // 2, 2 * y : 2 * y + 3, i : i + 3 : 2]
        expected[c, y, i] = np.sum(window * kernel[c, 0]) + bias[c]
    close(run(alone(node, (2, 5, 6)), Semantics(1.0), image)["x"][0], expected)
    for kind, area in ((op.SumPool2d, 1), (op.AvgPool2d, 4)):
        pooled = run(alone(kind((2, 2), (2, 2), (0, 0)), (2, 5, 6)), Semantics(1.0), image)["x"][0]
        blocks = image[0, :, :4].reshape(2, 2, 2, 3, 2).sum((2, 4)) / area
        close(pooled, blocks)


def test_dense_operators_equal_numpy():
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(1, 3, 4)), rng.normal(size=(4, 4, 4)) / 2
    product = run(alone(MatMul(w[0][:, :2]), (3, 4)), Semantics(1.0), x)["x"][0]
    np.testing.assert_allclose(product, x[0] @ w[0][:, :2], rtol=1e-5, atol=1e-6)
    out = run(alone(Attention(*w, heads=2), (3, 4)), Semantics(1.0), x)["x"][0]
    heads = []
    for h in (np.s_[:, :2], np.s_[:, 2:]):
        q, k, v = ((x[0] @ m)[h] for m in w[:3])
        score = np.exp(q @ k.T / np.sqrt(2))
        heads.append(score / score.sum(1, keepdims=True) @ v)
    np.testing.assert_allclose(out, np.concatenate(heads, 1) @ w[3], rtol=1e-4, atol=1e-5)


def test_in_a_cycle_a_spike_is_heard_one_step_late():
    node = op.IF(r=ONE, v_threshold=ONE, v_reset=0 * ONE)
    nodes = {"in": op.Input((1,)), "x": node, "w": op.Linear(np.array([[2.0]]))}
    program = Program(nodes, (("in", "x"), ("x", "w"), ("w", "x")))
    out = run(program, Semantics(1.0), np.eye(1, 5)[0][:, None] * 1.5)
    np.testing.assert_array_equal(out["x"][:, 0], [1, 1, 1, 1, 1])  # it keeps itself going
    assert "heard one step late, in a cycle: x by w" in choices(program, Semantics(1.0))


def test_a_step_without_duration_is_refused():
    with pytest.raises(ValueError, match="dt must be positive seconds, got 0"):
        Semantics(0.0)
