"""Operators refuse what cannot be, and programs refuse what does not meet, by name."""

import numpy as np
import pytest

import hw.operators as op
from hw.dense import Attention, MatMul
from hw.program import Program

ONE = np.ones(2)


def conv(**changes):
    made = {
        "weight": np.ones((4, 3, 3, 3)),
        "bias": np.zeros(4),
        "stride": (2, 2),
        "padding": (1, 1),
        "dilation": (1, 1),
    }
    return op.Conv2d(**{**made, **changes})


def lif(**changes):
    made = {"r": ONE, "tau": ONE, "v_leak": 0 * ONE, "v_threshold": ONE, "v_reset": 0 * ONE}
    return op.LIF(**{**made, **changes})


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: op.Linear(np.array([[np.nan]])), "Linear: weight must be finite"),
        (lambda: op.Linear(np.ones(3)), "weight must have 2 axes"),
        (lambda: op.Linear(np.array([["a"]])), "weight must be real numbers, got <U1"),
        (
            lambda: op.Affine(np.ones((2, 3)), np.ones(3)),
            r"bias must have shape \(2,\), got \(3,\)",
        ),
        (
            lambda: lif(tau=0 * ONE),
            r"LIF: tau must lie in \[1e-09, 1000000.0\] s, got \[0.0, 0.0\]",
        ),
        (lambda: lif(tau=np.ones(3)), "parameters must have one shape"),
        (lambda: lif(v_reset=ONE), "v_threshold must lie above v_reset"),
        (lambda: op.Delay(-ONE), r"delay must lie in \[0, 1000000.0\] s, got \[-1.0, -1.0\]"),
        (lambda: conv(stride=(0, 1)), r"stride must be 2 numbers from 1 on, got \(0, 1\)"),
        (lambda: conv(padding=(1,)), "padding must be 2 numbers from 0 on"),
        (lambda: conv(groups=3), "groups must divide 4 channels, got 3"),
        (lambda: conv(bias=np.zeros(3)), "a bias a channel"),
        (lambda: op.SumPool2d((0, 2), (1, 1), (0, 0)), "kernel size"),
        (lambda: conv().output_shape((2, 8, 8)), r"takes 3 channels and 2 axes, got \(2, 8, 8\)"),
        (lambda: conv().output_shape((3, 0, 0)), "does not fit"),
        (lambda: op.Flatten(1, 0).output_shape((2, 3)), "Flatten from 1 to 0"),
        (lambda: MatMul(np.ones((3, 2))).output_shape((5, 4)), r"takes input of shape \(5, 3\)"),
        (lambda: Attention(*[np.ones((4, 4))] * 4, heads=3), "heads must divide width 4, got 3"),
        (lambda: Attention(*[np.ones((4, 4))] * 3, np.ones((3, 3))), "square and alike"),
    ],
)
def test_an_operator_that_cannot_be_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()


@pytest.mark.parametrize(
    "operator, shape, output, macs",
    [
        (op.Linear(np.ones((5, 3))), (3,), (5,), 15),
        (op.Affine(np.ones((5, 3)), np.ones(5)), (3,), (5,), 15),
        (op.Scale(ONE), (2,), (2,), 2),
        (conv(), (3, 8, 8), (4, 4, 4), 4 * 4 * 4 * 27),
        (conv(weight=np.ones((4, 1, 3, 3)), groups=2), (2, 8, 8), (4, 4, 4), 4 * 4 * 4 * 9),
        (conv(dilation=(2, 2)), (3, 9, 9), (4, 4, 4), 4 * 4 * 4 * 27),
        (
            op.Conv1d(np.ones((2, 1, 4)), np.zeros(2), (1,), (0,), (1,)),
            (1, 10),
            (2, 7),
            2 * 7 * 4,
        ),
        (op.SumPool2d((2, 2), (2, 2), (0, 0)), (3, 7, 8), (3, 3, 4), 0),
        (op.Flatten(0, -1), (2, 3, 4), (24,), 0),
        (op.Flatten(1, 2), (2, 3, 4), (2, 12), 0),
        (MatMul(np.ones((3, 2))), (5, 3), (5, 2), 30),
        # four projections of 5 tokens, then 25 pairs twice over a width of 4
        (Attention(*[np.ones((4, 4))] * 4, heads=2), (5, 4), (5, 4), 4 * 5 * 16 + 2 * 25 * 4),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, op.Operator) else "",
)
def test_shapes_and_macs_are_counted_by_hand(operator, shape, output, macs):
    assert operator.output_shape(shape) == output
    assert operator.macs(shape) == macs


SPIKING = {"in": op.Input((2,)), "lif": lif(), "w": op.Linear(np.ones((2, 2)))}


@pytest.mark.parametrize(
    "nodes, edges, culprit",
    [
        (SPIKING, [("in", "x")], r"edge in->x: 'x' is not one of \['in', 'lif', 'w'\]"),
        (SPIKING, [("in", "lif")], "'w' hears nothing"),
        (SPIKING, [("in", "lif"), ("in", "lif"), ("in", "w")], "an edge is given twice"),
        ({"w": op.Scale(ONE)}, [("w", "w")], "a program needs an Input"),
        (
            {"in": op.Input((2,)), "a": op.Scale(ONE), "b": op.Scale(ONE)},
            [("in", "a"), ("a", "b"), ("b", "a")],
            r"nothing remembers in a cycle among \['a', 'b'\]",
        ),
        (
            {"in": op.Input((3,)), "lif": lif()},
            [("in", "lif")],
            r"'lif': LIF takes input of shape \(2,\), got \(3,\)",
        ),
        (
            {"in": op.Input((2,)), "w": op.Linear(np.ones((3, 2))), "out": op.Output((2,))},
            [("in", "w"), ("in", "out"), ("w", "out")],
            "'out' hears shapes that do not add up",
        ),
        (
            {"in": op.Input((2,)), "inner": Program({"a": op.Input((2,))}, ())},
            [("in", "inner")],
            "nested program 'inner' must have exactly one Output",
        ),
    ],
)
def test_a_program_that_does_not_meet_is_refused_by_name(nodes, edges, culprit):
    with pytest.raises(ValueError, match=culprit):
        Program(nodes, tuple(edges))


def test_nesting_joins_names_and_a_cycle_is_heard_late():
    inner = Program(
        {
            "in": op.Input((2,)),
            "lif": lif(),
            "w": op.Linear(np.ones((2, 2))),
            "out": op.Output((2,)),
        },
        (("in", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "out")),
    )
    outer = Program(
        {"in": op.Input((2,)), "part": inner, "out": op.Output((2,))},
        (("in", "part"), ("part", "out")),
    )
    assert set(outer.flat.nodes) == {"in", "part.in", "part.lif", "part.w", "part.out", "out"}
    assert ("part.out", "out") in outer.flat.edges
    assert outer.flat.late == {("part.lif", "part.w")}
    assert outer.macs == 4
