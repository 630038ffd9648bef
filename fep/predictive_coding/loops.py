"""How often a solver steps, and how XLA is to run it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fep.predictive_coding.network import PCState


class Measured(NamedTuple):
    """What a solver knows of a point."""

    energy: Float[Array, ""]  # nats
    slope: PCState  # of the energy, in the solver's coordinates, nats per unit


class Ran(NamedTuple):
    """Where a loop ended."""

    point: PCState
    memory: Any  # of the solver
    measured: Measured  # at the point
    energies: Float[Array, " steps+1"]  # nats, before the first and after every step
    steps: Int[Array, ""]  # taken


Measure = Callable[[PCState], Measured]
Update = Callable[[PCState, Any, Measured], tuple[PCState, Any]]


def root_mean_square(slope: PCState) -> Float[Array, ""]:
    """Of all elements of a slope: the residual of inference, nats per unit."""
    leaves = jax.tree.leaves(slope)
    squares = sum(jnp.sum(leaf**2) for leaf in leaves) if leaves else jnp.zeros(())
    return jnp.sqrt(squares / max(1, sum(leaf.size for leaf in leaves)))


def untouched(step: Callable) -> Callable:
    """The step itself: everything it computed is kept for a reverse pass."""
    return step


class Scan(eqx.Module):
    """A fixed number of steps.

    Attributes:
        steps: how many.
        unroll: steps in one body of the compiled loop. On CPU, XLA runs convolutions in a loop
            body without threads: unroll all of them there.
        keep: what a reverse pass through the loop may keep of a step; `jax.checkpoint` keeps its
            start alone and computes the rest again.
    """

    steps: int = eqx.field(static=True)
    unroll: int = eqx.field(static=True, default=1)
    keep: Callable[[Callable], Callable] = eqx.field(static=True, default=untouched)

    def __check_init__(self):
        for name in ("steps", "unroll"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def __call__(self, measure: Measure, update: Update, start: PCState, memory: Any) -> Ran:
        """Step from `start`; the last point is measured, too."""

        def body(carry, _):
            measured = measure(carry[0])
            return update(*carry, measured), measured.energy

        (point, memory), energies = jax.lax.scan(
            self.keep(body), (start, memory), length=self.steps, unroll=self.unroll
        )
        measured = measure(point)
        energies = jnp.append(energies, measured.energy)
        return Ran(point, memory, measured, energies, jnp.array(self.steps))


class Until(eqx.Module):
    """Steps until the residual is small; under `vmap` each sample stops for itself.

    Attributes:
        tolerance: root-mean-square slope at which to stop, nats per unit.
        limit: most steps; `energies` has room for as many, and repeats the last after the stop.
    """

    tolerance: float
    limit: int = eqx.field(static=True)

    def __check_init__(self):
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be positive, got {self.tolerance}")
        if self.limit < 1:
            raise ValueError(f"limit must be at least 1, got {self.limit}")

    def __call__(self, measure: Measure, update: Update, start: PCState, memory: Any) -> Ran:
        """Step from `start` until the slope measured is small enough."""
        measured = measure(start)
        energies = jnp.full(self.limit + 1, measured.energy)

        def going(ran):
            far = ~(root_mean_square(ran.measured.slope) <= self.tolerance)
            return far & (ran.steps < self.limit)

        def body(ran):
            point, memory = update(ran.point, ran.memory, ran.measured)
            measured = measure(point)
            taken = ran.steps + 1
            energies = jnp.where(jnp.arange(self.limit + 1) >= taken, measured.energy, ran.energies)
            return Ran(point, memory, measured, energies, taken)

        return jax.lax.while_loop(going, body, Ran(start, memory, measured, energies, jnp.array(0)))


Loop = Scan | Until


def as_loop(steps: int | Loop) -> Loop:
    """A number as that many steps."""
    return Scan(steps) if isinstance(steps, int) else steps
