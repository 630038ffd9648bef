"""Synapses between neurons carry what the operators between them compute."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hw.operators as op
from hw.interpret import Interpreter, Semantics
from hw.program import Program
from hw.unroll import unroll

rng = np.random.default_rng(0)


def whole(*shape):
    """Small integers: sums of products are exact in float32."""
    return rng.integers(-3, 4, shape).astype(float)


def between(*nodes, shape):
    """Input -> nodes -> neurons that never spike."""
    named = {"in": op.Input(shape), **{f"n{i}": node for i, node in enumerate(nodes)}}
    size = shape
    for node in nodes:
        size = node.output_shape(size)
    rest = np.zeros(size)
    named["lif"] = op.IF(r=rest + 1, v_threshold=rest + 1e9, v_reset=rest)
    return Program(named, tuple(zip(list(named), list(named)[1:], strict=False)))


CONV = op.Conv2d(whole(4, 1, 3, 3), whole(4), (2, 1), (1, 0), (1, 2), groups=2)


@pytest.mark.parametrize(
    "program",
    [
        between(op.Affine(whole(5, 4), whole(5)), shape=(4,)),
        between(op.Linear(whole(5, 4)), op.Scale(whole(5)), shape=(4,)),
        between(CONV, shape=(2, 5, 6)),
        between(
            op.SumPool2d((2, 2), (1, 2), (1, 0)), CONV, op.AvgPool2d((2, 1), (2, 1), (0, 0)),
            op.Flatten(0, -1), op.Affine(whole(3, 4 * 1 * 2), whole(3)), shape=(2, 5, 12),
        ),
        between(op.Conv1d(whole(2, 3, 3), whole(2), (2,), (2,), (1,)), shape=(3, 7)),
    ],
)  # fmt: skip
def test_synapses_carry_what_the_operators_compute(program):
    made = unroll(program, dt=1.0)
    x = rng.integers(0, 2, program.nodes["in"].shape).astype(float)
    arrived = made.bias["lif"].copy()
    for edge in made.graph.edges:
        assert (edge.source, edge.target, edge.delay) == ("in", "lif", 1)
        assert len(set(zip(edge.pre, edge.post, strict=True))) == edge.pre.size
        np.add.at(arrived, edge.post, edge.weight * x.ravel()[edge.pre])
    machine = Interpreter(program, Semantics(1.0))
    last = list(program.nodes)[-2]
    _, out = eqx.filter_jit(machine.step)(machine.init(), {"in": jnp.asarray(x)})
    np.testing.assert_allclose(arrived, np.ravel(out[last]), rtol=1e-6)


def test_delays_and_cycles_become_delays_of_synapses():
    rest = np.zeros(2)
    neurons = op.IF(r=rest + 1, v_threshold=rest + 1, v_reset=rest)
    nodes = {
        "in": op.Input((2,)),
        "a": neurons,
        "w": op.Linear(np.eye(2) * 3),
        "delay": op.Delay(np.array([1e-3, 4e-3])),
    }
    made = unroll(
        Program(nodes, (("in", "a"), ("a", "w"), ("w", "delay"), ("delay", "a"))), dt=1e-3
    )
    found = {
        (e.source, e.delay, int(i), int(j), float(w))
        for e in made.graph.edges
        for i, j, w in zip(e.pre, e.post, e.weight, strict=True)
        if w
    }
    inputs = {("in", 1, 0, 0, 1.0), ("in", 1, 1, 1, 1.0)}
    assert found == {*inputs, ("a", 2, 0, 0, 3.0), ("a", 5, 1, 1, 3.0)}
    assert made.neurons == {"a": neurons}
    np.testing.assert_array_equal(made.graph.external, [True, True, False, False])


def test_what_cannot_become_a_synapse_is_refused_by_name():
    one = np.ones(1)
    potential = op.I(r=one)
    nodes = {"in": op.Input((1,)), "v": potential, "w": op.Linear(np.ones((1, 1))), "u": potential}
    with pytest.raises(ValueError, match="'u' hears 'v', a I, which sends no spikes"):
        unroll(Program(nodes, (("in", "v"), ("v", "w"), ("w", "u"))), dt=1.0)
    nodes = {"in": op.Input((1,)), "z": op.Threshold(one), "u": potential}
    with pytest.raises(ValueError, match="Threshold is neither a neuron nor linear"):
        unroll(Program(nodes, (("in", "z"), ("z", "u"))), dt=1.0)


def test_a_lowered_network_spikes_as_its_program_one_step_later_a_layer():
    rest = np.zeros(6)
    layer = lambda: op.IF(r=rest + 1, v_threshold=rest + 2, v_reset=rest)
    nodes = {
        "in": op.Input((4,)), "w": op.Affine(whole(6, 4), whole(6) / 2), "a": layer(),
        "r": op.Linear(whole(6, 6)),
    }  # fmt: skip
    program = Program(nodes, (("in", "w"), ("w", "a"), ("a", "r"), ("r", "a")))
    made, steps = unroll(program, dt=1.0), 12
    inputs = rng.integers(0, 2, (steps, 4)).astype(float)
    machine = Interpreter(program, Semantics(1.0))
    course = lambda x: jax.lax.scan(machine.step, machine.init(), {"in": x})[1]
    expected = np.asarray(eqx.filter_jit(course)(jnp.asarray(inputs))["a"])
    # by hand: an input takes one step to arrive, a recurrent spike too
    n, spikes, v = made.graph.synapses, np.zeros((steps + 1, 10)), np.zeros(10)
    spikes[:steps, :4] = inputs
    for t in range(1, steps + 1):
        current = np.bincount(n.post, n.weight * spikes[t - 1, n.pre], 10)
        v[4:] += current[4:] + made.bias["a"]
        spikes[t, 4:] = v[4:] > 2
        v[4:][spikes[t, 4:] > 0] = 0
    np.testing.assert_array_equal(spikes[1:, 4:], expected)
