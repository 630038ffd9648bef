"""Solvers that use curvature: safeguarded Barzilai-Borwein, Gauss-Newton, Newton-CG."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fep.predictive_coding.coordinates import Coordinates, errors, states
from fep.predictive_coding.energies import Flat
from fep.predictive_coding.inference import Solver
from fep.predictive_coding.loops import Loop, Measured, as_loop
from fep.predictive_coding.network import Clamped, PCState

Scalar = Float[Array, ""]
HALVINGS = 8  # of a step before it is given up; 2^-8 of a step that does not descend is no step


class Best(NamedTuple):
    """What Barzilai-Borwein steps remember."""

    point: PCState
    measured: Measured  # there
    rate: Scalar


class BarzilaiBorwein(Solver):
    r"""Gradient steps of the length that the last step's change of slope suggests, safeguarded.

    $\eta = \Delta\varepsilon \cdot \Delta g / \Delta g \cdot \Delta g$ for each sample: no rate to
    tune. A sample whose energy rose returns to its best point with a quarter of the step: plain
    Barzilai-Borwein steps diverge on deep networks that predictive coding itself has trained.

    Attributes:
        steps: steps, or how to run them.
        rate: of the first step.
        least: smallest rate that a change of slope may suggest.
        most: largest one; the curvature of errors with unit precision is seldom under 1.
        coordinates: what moves.

    Source: Barzilai & Borwein (1988), IMA J. Numer. Anal. 8, eq. 5.
    """

    steps: Loop = eqx.field(converter=as_loop)
    rate: float = 0.1
    least: float = 1e-3
    most: float = 1.0
    coordinates: Coordinates = eqx.field(static=True, default=errors)

    def __check_init__(self):
        if not 0 < self.least <= self.rate <= self.most:
            rates = self.least, self.rate, self.most
            raise ValueError(f"rates must be 0 < least <= rate <= most, got {rates}")

    def memory(self, chart):
        """Anything is better than the infinite energy before the first step."""
        nowhere = jax.tree.map(jnp.zeros_like, chart.start)
        dtype = jnp.result_type(*jax.tree.leaves(chart.start), jnp.float32)
        return Best(
            chart.start, Measured(jnp.array(jnp.inf, dtype), nowhere), jnp.array(self.rate, dtype)
        )

    def update(self, clamped, chart, point, memory, measured):
        """From the better of the last two points, by the rate that their slopes suggest."""
        moved = jax.tree.map(jnp.subtract, point, memory.point)
        turned = jax.tree.map(jnp.subtract, measured.slope, memory.measured.slope)
        along, square = dot(moved, turned), dot(turned, turned)
        secant = along / jnp.where(square > 0, square, 1.0)
        rate = jnp.where(secant > 0, jnp.clip(secant, self.least, self.most), memory.rate)
        fell = measured.energy <= memory.measured.energy
        rate = jnp.where(fell, rate, 0.25 * memory.rate)
        best = Best(*_where(fell, (point, measured), memory[:2]), rate)
        ahead = lambda z, g: z - rate * g
        return jax.tree.map(ahead, best.point, best.measured.slope), best

    def finish(self, ran):
        """The best point met, and the energies of the best so far."""
        best = ran.memory
        fell = ran.measured.energy <= best.measured.energy
        point, measured = _where(fell, (ran.point, ran.measured), best[:2])
        return ran._replace(point=point, measured=measured, energies=jax.lax.cummin(ran.energies))


class Linearised(NamedTuple):
    """A point in error coordinates, and the outputs' slope there."""

    energy: Scalar
    slope: PCState
    own: PCState  # the part of the slope that the errors' own energies make
    outputs: Float[Array, " m"]
    residual: Float[Array, " m"]  # slope of the outputs' energies
    jacobian: PCState  # of the outputs, with a leading axis (m,)


class GaussNewton(Solver):
    r"""Gauss-Newton steps in error coordinates, solved directly in the space of the outputs.

    With errors' precisions $\Pi$, outputs' slope J and curvature $\Lambda$ the step solves
    $(\Pi + J^T \Lambda J) \Delta = -g$ by way of the m x m matrix $I + \Lambda J \Pi^{-1} J^T$:
    exact in one step on linear Gaussian networks. A step that would raise the energy is halved.
    J costs one pull-back an output: for few outputs. Chords use it again, with a fresh slope.

    Attributes:
        steps: how many, or how to run them.
        chords: further steps with the same matrix, each at the price of one slope.

    Source: Innocenti et al. (2024), arXiv:2408.11979, theorem 1, for the linear case; Nocedal &
    Wright (2006), Numerical Optimization, sec. 10.3; Kelley (1995), Iterative Methods for Linear
    and Nonlinear Equations, sec. 5.4.3, for chords, Shamanskii's method.
    """

    steps: Loop = eqx.field(converter=as_loop)
    chords: int = eqx.field(static=True, default=1)
    coordinates: Coordinates = eqx.field(static=True, default=errors)

    def __check_init__(self):
        _only_errors(self.coordinates)
        if self.chords < 0:
            raise ValueError(f"chords must not be negative, got {self.chords}")

    def settle(self, clamped, start):
        """Settle from a start; every free node must have a precision."""
        for node in clamped.network.free:
            if isinstance(node.energy, Flat):
                raise ValueError(f"free node {node.name!r} has a flat prior: use GaussNewtonCG")
        return super().settle(clamped, start)

    def measure(self, clamped, chart, point):
        """Energy, slope and linearised outputs at a point."""
        outputs, pull = jax.vjp(lambda e: _flat(clamped.outputs(e)), point)
        jacobian = jax.vmap(lambda row: pull(row)[0])(jnp.eye(outputs.size, dtype=outputs.dtype))
        cost, own = jax.value_and_grad(_own_cost(clamped))(point)
        surprise, residual = jax.value_and_grad(_surprise(clamped))(outputs)
        slope = jax.tree.map(lambda g, j: g + jnp.tensordot(residual, j, axes=1), own, jacobian)
        return Linearised(cost + surprise, slope, own, outputs, residual, jacobian)

    def update(self, clamped, chart, point, memory, measured):
        """One Gauss-Newton step and its chords; the best of them, or the step halved."""
        precision = _precision(clamped, point)
        over = jax.tree.map(lambda j, pi: j / pi[None], measured.jacobian, precision)
        spread = sum(_rows(a) @ _rows(j).T for a, j in _pairs(over, measured.jacobian))
        curve = lambda tangent: _curvature(clamped, measured.outputs, tangent)
        matrix = jnp.eye(len(spread)) + jax.vmap(curve, in_axes=1, out_axes=1)(spread)
        inverse = jnp.linalg.inv(matrix)

        def direction(slope, residual):
            """Down the slope that is the one given plus $J^T$ times the residual."""
            seen = sum(_rows(a) @ g.ravel() for a, g in _pairs(over, slope)) + spread @ residual
            back = inverse @ curve(seen) - residual
            follow = lambda a, g, pi: jnp.tensordot(back, a, axes=1) - g / pi
            return jax.tree.map(follow, over, slope, precision)

        # the slope of the outputs' energies enters as their residual: J is read less often
        first = direction(measured.own, measured.residual)
        ahead, tried = jax.tree.map(jnp.add, point, first), []
        nothing = jnp.zeros_like(measured.residual)  # the whole slope is in the other
        for _ in range(self.chords):
            energy, slope = jax.value_and_grad(chart.energy)(ahead)
            tried.append((ahead, energy))
            ahead = jax.tree.map(jnp.add, ahead, direction(slope, nothing))
        kept, least = ahead, chart.energy(ahead)
        for other, energy in tried:
            kept, least = _where(least <= energy, (kept, least), (other, energy))
        return descend(chart.energy, point, first, measured.energy, (kept, least)), memory


class GaussNewtonCG(Solver):
    r"""Gauss-Newton steps in error coordinates by conjugate gradients: for many outputs.

    Each iteration pushes a direction forward and pulls it back, as much work as a gradient. The
    matrix $\Pi + J^T \Lambda J$ has at most one eigenvalue away from $\Pi$ for each output.

    Attributes:
        steps: Gauss-Newton steps, or how to run them.
        inner: conjugate-gradient iterations a step, at most.
        tolerance: relative residual at which they stop.

    Source: Nocedal & Wright (2006), Numerical Optimization, sec. 7.1 and 10.3.
    """

    steps: Loop = eqx.field(converter=as_loop)
    inner: int = eqx.field(static=True, default=5)
    tolerance: float = eqx.field(static=True, default=1e-6)
    coordinates: Coordinates = eqx.field(static=True, default=errors)

    def __check_init__(self):
        _only_errors(self.coordinates)
        _at_least_one(self.inner)

    def update(self, clamped, chart, point, memory, measured):
        """One inexact Gauss-Newton step, halved until it descends."""
        outputs, push = jax.linearize(lambda e: _flat(clamped.outputs(e)), point)
        pull = jax.linear_transpose(push, point)
        precision = _precision(clamped, point)

        def matrix(v):
            curved = pull(_curvature(clamped, outputs, push(v)))[0]
            return jax.tree.map(lambda pi, a, b: pi * a + b, precision, v, curved)

        scale = lambda v: jax.tree.map(lambda pi, a: a / jnp.where(pi > 0, pi, 1), precision, v)
        step, _ = jax.scipy.sparse.linalg.cg(
            matrix, measured.slope, tol=self.tolerance, maxiter=self.inner, M=scale
        )
        direction = jax.tree.map(jnp.negative, step)
        return descend(chart.energy, point, direction, measured.energy), memory


class NewtonCG(Solver):
    """Newton steps by conjugate gradients on the exact Hessian, damped, halved until they descend.

    Attributes:
        steps: Newton steps, or how to run them.
        inner: conjugate-gradient iterations a step, at most.
        damping: added to every curvature.
        coordinates: what moves.

    Source: Nocedal & Wright (2006), Numerical Optimization, sec. 7.1.
    """

    steps: Loop = eqx.field(converter=as_loop)
    inner: int = eqx.field(static=True, default=10)
    damping: float = 1e-3
    coordinates: Coordinates = eqx.field(static=True, default=states)

    def __check_init__(self):
        _at_least_one(self.inner)

    def update(self, clamped, chart, point, memory, measured):
        """One step; down the slope alone where the Hessian's direction would climb."""
        slope = jax.grad(chart.energy)

        def matrix(v):
            curved = jax.jvp(slope, (point,), (v,))[1]
            return jax.tree.map(lambda a, b: a + self.damping * b, curved, v)

        step, _ = jax.scipy.sparse.linalg.cg(matrix, measured.slope, tol=1e-8, maxiter=self.inner)
        # not >, so that a direction that is no number is refused as well
        climbs = ~(dot(step, measured.slope) > 0)
        direction = jax.tree.map(lambda d, g: -jnp.where(climbs, g, d), step, measured.slope)
        return descend(chart.energy, point, direction, measured.energy), memory


def descend(
    energy: Callable[[PCState], Scalar],
    point: PCState,
    direction: PCState,
    before: Scalar,
    beyond: tuple[PCState, Scalar] | None = None,
) -> PCState:
    """The point a whole step ahead, or a half, a quarter, ...: the first that does not climb.

    Args:
        energy: of a point, nats.
        point: where to start.
        direction: the whole step.
        before: energy at the start.
        beyond: what to take for the whole step where it does not climb, and its energy.
    """
    ahead = lambda length: jax.tree.map(lambda z, d: z + length * d, point, direction)
    # rounding of the energy itself is no rise
    bound = before + 4 * jnp.finfo(before.dtype).eps * jnp.abs(before)
    one = jnp.ones((), before.dtype)
    whole, reached = beyond or (ahead(one), energy(ahead(one)))

    def climbing(carry):
        length, reached = carry
        return ~(reached <= bound) & (length > 0.5**HALVINGS)

    def halve(carry):
        length = 0.5 * carry[0]
        return length, energy(ahead(length))

    length, reached = jax.lax.while_loop(climbing, halve, (one, reached))
    return _where(length == one, whole, ahead(jnp.where(reached <= bound, length, 0.0)))


def dot(a: PCState, b: PCState) -> Scalar:
    """Inner product over all nodes."""
    return sum(jnp.vdot(x, y) for x, y in _pairs(a, b))


def _pairs(a: PCState, b: PCState) -> zip:
    return zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)


def _where(condition, a, b):
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def _rows(jacobian: Array) -> Array:
    return jacobian.reshape(jacobian.shape[0], -1)


def _flat(outputs: tuple[Array, ...]) -> Float[Array, " m"]:
    return jnp.concatenate([mu.ravel() for mu in outputs])


def _unflat(clamped: Clamped, vector: Float[Array, " m"]) -> tuple[Array, ...]:
    parts, start = (), 0
    for node in clamped.effects:
        value = clamped.given[node.name]
        parts += (vector[start : start + value.size].reshape(value.shape),)
        start += value.size
    return parts


def _surprise(clamped: Clamped) -> Callable[[Array], Scalar]:
    return lambda outputs: clamped.surprise(_unflat(clamped, outputs))


def _own_cost(clamped: Clamped) -> Callable[[PCState], Scalar]:
    def own(point):
        pairs = zip(clamped.network.free, point.activities, strict=True)
        return sum(node.energy.cost(e, jnp.zeros_like(e)) for node, e in pairs)

    return own


def _precision(clamped: Clamped, point: PCState) -> PCState:
    """Curvature of each free node's own energy, one number a unit."""
    pairs = zip(clamped.network.free, point.activities, strict=True)
    return PCState(
        tuple(n.energy.curvature(e, jnp.zeros_like(e), jnp.ones_like(e)) for n, e in pairs)
    )


def _curvature(clamped: Clamped, outputs: Array, tangent: Array) -> Float[Array, " m"]:
    """Curvature of the clamped effects' energies, times a change of the outputs."""
    parts = zip(clamped.effects, _unflat(clamped, outputs), _unflat(clamped, tangent), strict=True)
    return _flat(tuple(n.energy.curvature(clamped.given[n.name], mu, v) for n, mu, v in parts))


def _only_errors(coordinates: Coordinates) -> None:
    if coordinates is not errors:
        raise ValueError("coordinates must be errors: Gauss-Newton is stated in them")


def _at_least_one(inner: int) -> None:
    if inner < 1:
        raise ValueError(f"inner must be at least 1, got {inner}")
