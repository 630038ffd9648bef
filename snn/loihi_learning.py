r"""Loihi's learning rules: sums of products, written as text, parsed once into array code.

A rule is text such as `2^-4*x1*y0 - 2^-4*y1*x0`. Each product has one spike or epoch that lets it
act, x0, y0 or u0, u1, ... (every 2^k steps), and any factors: traces x1, x2 of presynaptic and y1,
y2, y3 of postsynaptic spikes, the synapse's weight w, delay d and tag t, numbers, `(w - 3)` or
`(w + 3)`, and `sgn(t)`. Numbers of `SumOfProducts` are real; those of `RoundedSumOfProducts` are
the chip's integers, rounded stochastically.

Source: Davies et al. (2018), IEEE Micro 38(1):82, "Learning engine"; grammar of Intel's Lava 0.10.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from snn.parameters import Parameter, require_positive

PRE, POST, SYNAPSE = ("x1", "x2"), ("y1", "y2", "y3"), ("w", "d", "t")
Matrix = Float[Array, "pre post"]
# smallest and largest integer: traces of 7 bits; weights, delays and tags of 9, 8 and 9 with a sign
RANGES = dict.fromkeys((*PRE, *POST), (0, 127)) | {"w": (-256, 255), "d": (-128, 127)}
RANGES["t"] = RANGES["w"]


@dataclass(frozen=True)
class Factor:
    """A variable plus a number, or the sign of that."""

    name: str
    offset: float = 0.0
    sign: bool = False


@dataclass(frozen=True)
class Product:
    """What one term of a rule multiplies.

    Attributes:
        scale: its number.
        gate: "x0", "y0" or "u".
        every: steps between two epochs; 1 where spikes are the gate.
        factors: the rest.
    """

    scale: float
    gate: str
    every: int
    factors: tuple[Factor, ...]


def parse(text: str) -> tuple[Product, ...]:
    """The products of a rule; none of an empty text.

    Raises:
        ValueError: naming what in the text is no sum of products, or has no gate.
    """
    if not text.strip():
        return ()
    try:
        tree = ast.parse(text.replace("^", "**"), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"rule {text!r}: expected a sum of products, got {error.msg}") from None
    return tuple(_product(term, scale, text) for scale, term in _terms(tree, 1.0))


def _terms(node: ast.expr, scale: float):
    """Terms of a sum, with their signs."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield from _terms(node.left, scale)
        yield from _terms(node.right, -scale if isinstance(node.op, ast.Sub) else scale)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield from _terms(node.operand, -scale)
    else:
        yield scale, node


def _product(node: ast.expr, scale: float, text: str) -> Product:
    gates, factors = [], []
    for part in _parts(node):
        number = _number(part)
        if number is not None:
            scale *= number
        elif isinstance(part, ast.Name) and (part.id in ("x0", "y0") or _epoch(part.id)):
            gates.append(part.id)
        else:
            factors.append(_factor(part, text))
    if len(gates) != 1:
        raise ValueError(
            f"rule {text!r}: each product needs one of x0, y0 and u0, u1, ..., "
            f"got {gates or 'none'} in {ast.unparse(node)!r}"
        )
    gate, every = gates[0], _epoch(gates[0]) or 1
    return Product(scale, "u" if _epoch(gate) else gate, every, tuple(factors))


def _parts(node: ast.expr):
    """Parts of a product, in order."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        yield from _parts(node.left)
        yield from _parts(node.right)
    else:
        yield node


def _epoch(name: str) -> int:
    """2^k for uk, else 0."""
    return 2 ** int(name[1:]) if name[0] == "u" and name[1:].isdigit() else 0


def _number(node: ast.expr) -> float | None:
    """A number, also negative or as a power, or None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.Div):
        left, right = _number(node.left), _number(node.right)
        if left is not None and right is not None:
            return left**right if isinstance(node.op, ast.Pow) else left / right
    return None


def _factor(node: ast.expr, text: str) -> Factor:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "sgn" and len(node.args) == 1:
        inner = _factor(node.args[0], text)
        if not inner.sign:
            return Factor(inner.name, inner.offset, True)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        number = _number(node.right)
        if number is not None and isinstance(node.left, ast.Name):
            offset = -number if isinstance(node.op, ast.Sub) else number
            return Factor(_factor(node.left, text).name, offset)
    if isinstance(node, ast.Name) and node.id in (*PRE, *POST, *SYNAPSE):
        return Factor(node.id)
    raise ValueError(
        f"rule {text!r}: expected one of {', '.join((*PRE, *POST, *SYNAPSE))}, such a variable "
        f"plus a number, or its sgn, got {ast.unparse(node)!r}"
    )


class Trace(eqx.Module):
    """What spikes of one side leave: an impulse that decays.

    Attributes:
        tau: s.
        impulse: added by a spike.
    """

    tau: Parameter
    impulse: Parameter = 1.0

    def __check_init__(self):
        require_positive(tau=self.tau)


class Synapses(NamedTuple):
    """What a rule may change, and read."""

    w: Matrix  # weight
    d: Matrix  # delay
    t: Matrix  # tag


class LearningState(NamedTuple):
    """Carried by `SumOfProducts`."""

    synapses: Synapses
    pre: tuple[Float[Array, " pre"], ...]
    post: tuple[Float[Array, " post"], ...]
    time: Int[Array, ""]  # steps done


class SumOfProducts(eqx.Module):
    """A rule for weights, delays and tags of all synapses between two groups.

    In a step, traces decay; products with x0 read postsynaptic traces of earlier steps; presynaptic
    spikes leave their marks; products with y0 and uk read them; then postsynaptic spikes leave
    theirs. Changes of all three variables are of the values before the step.

    Attributes:
        dw, dd, dt: texts, or products as `parse` gives them; empty for none.
        pre: traces x1, x2.
        post: traces y1, y2, y3.
    """

    dw: tuple[Product, ...] = eqx.field(static=True, converter=lambda r: _parsed(r))
    dd: tuple[Product, ...] = eqx.field(static=True, converter=lambda r: _parsed(r), default="")
    dt: tuple[Product, ...] = eqx.field(static=True, converter=lambda r: _parsed(r), default="")
    pre: tuple[Trace, ...] = ()
    post: tuple[Trace, ...] = ()

    def __check_init__(self):
        there = {*PRE[: len(self.pre)], *POST[: len(self.post)], *SYNAPSE}
        used = {f.name for rule in (self.dw, self.dd, self.dt) for p in rule for f in p.factors}
        if used - there:
            raise ValueError(f"rule reads {sorted(used - there)}, but traces are {sorted(there)}")

    def init(self, synapses: Synapses) -> LearningState:
        """No spike has been."""
        pre, post = synapses.w.shape
        zeros = lambda traces, n: tuple(jnp.zeros(n) for _ in traces)
        return LearningState(synapses, zeros(self.pre, pre), zeros(self.post, post), jnp.int32(0))

    def step(
        self,
        state: LearningState,
        spikes: tuple[Float[Array, " pre"], Float[Array, " post"]],
        *,
        dt: float,
    ) -> tuple[LearningState, Matrix]:
        """One step under the spikes of both sides, 0 or 1: the new state, and the weights."""
        return self._stored(state, spikes, dt, lambda name, value: value)

    def _stored(
        self, state: LearningState, spikes: tuple, dt: float, store: Callable[[str, Array], Array]
    ) -> tuple[LearningState, Matrix]:
        """A step; every variable goes through `store`, by name, whenever it changes."""
        before, after = spikes
        shrink = lambda trace: jnp.exp(-dt / jnp.asarray(trace.tau))
        each = lambda names, sides, traces: zip(names, sides, traces, strict=False)
        fade = lambda *those: tuple(store(n, x * shrink(trace)) for n, x, trace in each(*those))
        mark = lambda sent, *those: tuple(
            store(n, x + trace.impulse * sent) for n, x, trace in each(*those)
        )
        early, late = fade(PRE, state.pre, self.pre), fade(POST, state.post, self.post)
        marked = mark(before, PRE, early, self.pre)
        rows = lambda sides: {n: x[:, None] for n, x in zip(PRE, sides, strict=False)}
        columns = lambda sides: {n: y[None, :] for n, y in zip(POST, sides, strict=False)}
        own = state.synapses._asdict()
        time = state.time + 1
        values = {
            "x0": (before[:, None], {**own, **rows(early), **columns(late)}),
            "y0": (after[None, :], {**own, **rows(marked), **columns(late)}),
        }
        change = lambda name, rule, old: store(
            name, old + sum((self._value(p, values, time) for p in rule), jnp.zeros_like(old))
        )
        rules = self.dw, self.dd, self.dt
        synapses = Synapses(*map(change, SYNAPSE, rules, state.synapses))
        new = LearningState(synapses, marked, mark(after, POST, late, self.post), time)
        return new, synapses.w

    def _value(self, product: Product, values: Mapping, time: Int[Array, ""]) -> Array:
        """What a product adds now."""
        gate, read = values["x0" if product.gate == "x0" else "y0"]
        if product.gate == "u":
            gate = jnp.where(time % product.every == 0, 1.0, 0.0)
        total = product.scale * gate
        for factor in product.factors:
            value = read[factor.name] + factor.offset
            total = total * (jnp.sign(value) if factor.sign else value)
        return total


class RoundedSumOfProducts(SumOfProducts):
    r"""The same rule in integers of the chip's widths.

    Whenever a trace, weight, delay or tag changes to x, it becomes $\lfloor x \rfloor$, or the next
    integer with probability $x - \lfloor x \rfloor$: right in the mean, however small the change.
    What leaves the range of its width is clipped to it.

    Source: widths of Intel's Lava, `lava.magma.core.learning.constants`, which calls the delay
    tag_2; stochastic rounding after Davies et al. (2018).
    """

    def step(
        self,
        state: LearningState,
        spikes: tuple[Float[Array, " pre"], Float[Array, " post"]],
        *,
        dt: float,
        key: PRNGKeyArray,
    ) -> tuple[LearningState, Matrix]:
        """One step under the spikes of both sides, 0 or 1: the new state, and the weights."""
        keys = iter(jax.random.split(key, 2 * len(self.pre) + 2 * len(self.post) + len(SYNAPSE)))

        def store(name: str, value: Array) -> Array:
            low, high = RANGES[name]
            whole = jnp.floor(value)
            up = jax.random.uniform(next(keys), value.shape) < value - whole
            return jnp.clip(whole + up, low, high)

        return self._stored(state, spikes, dt, store)


def _parsed(rule: str | tuple[Product, ...]) -> tuple[Product, ...]:
    return parse(rule) if isinstance(rule, str) else rule
