"""How much arithmetic a step of an algorithm is: counts that hardware can be priced by."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

TRANSCENDENTAL = {
    "exp",
    "log",
    "log1p",
    "expm1",
    "tanh",
    "logistic",
    "erf_inv",
    "lgamma",
    "digamma",
}
TRANSCENDENTAL |= {"sqrt", "rsqrt", "pow", "sin", "cos"}
ELEMENTWISE = {"add", "sub", "mul", "div", "neg", "max", "min", "abs", "select_n", "integer_pow"}
ELEMENTWISE |= {"add_any", "sign", "square", "eq", "ne", "lt", "le", "gt", "ge"}
REDUCTIONS = {
    "reduce_sum",
    "reduce_max",
    "reduce_min",
    "argmax",
    "argmin",
    "cumsum",
    "cumlogsumexp",
}


class Operations(NamedTuple):
    """Arithmetic of one call."""

    multiply_adds: int  # of contractions: beliefs through A and B
    elementwise: int  # additions, products, comparisons, element by element, and in sums
    transcendental: int  # logarithms, exponentials and their kin
    messages: int  # numbers that contractions send on: entries of their results

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, n: int) -> "Operations":
        """The same, n times over."""
        return Operations(*(n * a for a in self))


NONE = Operations(0, 0, 0, 0)


def count_operations(function: Callable, *arguments: Any, **named: Any) -> Operations:
    """Operations of one call, read from its traced program: loops times their length, nothing run.

    Of a `cond` the dearer branch counts. Not counted: what the result does not need, which a
    compiler drops; random numbers; the moving of data.

    Args:
        function: anything that JAX can trace, such as `agent.step`.
        arguments: what it is called with; only shapes matter.
        named: keyword arguments.

    Raises:
        ValueError: at a loop whose length the data decides.
    """
    traced = jax.make_jaxpr(lambda *a: function(*a, **named))(*arguments)
    needed, _ = dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))
    return _count(needed)


def _count(jaxpr):
    total = NONE
    for equation in jaxpr.eqns:
        total = total + _of(equation)
    return total


def _of(equation):
    name, given = equation.primitive.name, equation.params
    size = sum(int(np.prod(v.aval.shape)) for v in equation.outvars if hasattr(v.aval, "shape"))
    if name == "dot_general":
        (contract, _), _ = given["dimension_numbers"]
        depth = int(np.prod([equation.invars[0].aval.shape[i] for i in contract]))
        return Operations(size * depth, 0, 0, size)
    if name == "scan":
        return _count(given["jaxpr"].jaxpr).times(given["length"])
    if name == "while":
        raise ValueError("count_operations: expected loops of known length, got a while loop")
    if name == "cond":
        return max((_count(branch.jaxpr) for branch in given["branches"]), key=sum)
    if name.startswith(("random", "threefry")):
        return NONE
    inner = [v for v in given.values() if hasattr(v, "jaxpr") or hasattr(v, "eqns")]
    if inner:
        bodies = (getattr(v, "jaxpr", v) for v in inner)
        return sum((_count(body) for body in bodies), NONE)
    if name in TRANSCENDENTAL:
        return Operations(0, 0, size, 0)
    if name in ELEMENTWISE:
        return Operations(0, size, 0, 0)
    if name in REDUCTIONS:
        return Operations(0, int(np.prod(equation.invars[0].aval.shape)), 0, 0)
    return NONE
