"""Solvers that settle a predictive-coding network by descending its energy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from fep.predictive_coding.coordinates import Chart, Coordinates, errors, states
from fep.predictive_coding.loops import Loop, Measured, Ran, as_loop, root_mean_square
from fep.predictive_coding.network import Clamped, PCNetwork, PCState, Value


class Settled(NamedTuple):
    """Where inference ended, and how it went."""

    state: PCState
    energies: Float[Array, " steps+1"]  # nats, before the first and after every step
    residual: Float[Array, ""]  # root-mean-square slope in the solver's coordinates at the end
    steps: Int[Array, ""]  # taken
    gap_bound: Float[Array, ""]  # nats above equilibrium at most, as `gap_bound` says


class Solver(eqx.Module):
    """Iterates over coordinates of the free values, and reports how it went.

    Attributes:
        steps: how often; a number is that many steps.
        coordinates: what moves, `states` or `errors`.
    """

    steps: eqx.AbstractVar[Loop]
    coordinates: eqx.AbstractVar[Coordinates]

    def __call__(self, network: PCNetwork, *values: Value) -> Settled:
        """Settle one sample, the values of its clamped nodes, from the feed-forward start.

        Raises:
            EquinoxRuntimeError: if inference diverges.
        """
        return self.settle(network.clamp(*values), None)

    def settle(self, clamped: Clamped, start: PCState | None) -> Settled:
        """Settle a clamped network from a start of one's own, such as an amortised guess.

        Args:
            clamped: the network on one sample.
            start: free values; None for the feed-forward start.
        """
        chart = self.coordinates(clamped, start)
        ran = self.run(clamped, chart)
        state = chart.decode(ran.point)
        if state.activities:
            bad = ~jnp.isfinite(sum(jnp.sum(z) for z in state.activities))
            state = eqx.error_if(state, bad, "inference diverged: lower `rate`")
        energies = ran.energies + clamped.normaliser(state)
        residual = root_mean_square(ran.measured.slope)
        return Settled(state, energies, residual, ran.steps, gap_bound(clamped, state))

    def run(self, clamped: Clamped, chart: Chart) -> Ran:
        """The loop over `measure` and `update`, and `finish` on its end."""
        if not jax.tree.leaves(chart.start):  # every node is clamped: there is nothing to infer
            energy = lambda point: Solver.measure(self, clamped, chart, point)
            return self.steps(energy, lambda point, memory, _: (point, memory), chart.start, ())
        measure = lambda point: self.measure(clamped, chart, point)
        update = lambda point, memory, measured: self.update(
            clamped, chart, point, memory, measured
        )
        return self.finish(self.steps(measure, update, chart.start, self.memory(chart)))

    def memory(self, chart: Chart) -> Any:
        """What the solver carries from step to step, before the first."""
        return ()

    def measure(self, clamped: Clamped, chart: Chart, point: PCState) -> Measured:
        """Energy and slope at a point."""
        return Measured(*jax.value_and_grad(chart.energy)(point))

    def update(
        self, clamped: Clamped, chart: Chart, point: PCState, memory: Any, measured: Measured
    ) -> tuple[PCState, Any]:
        """The next point and memory."""
        raise NotImplementedError

    def finish(self, ran: Ran) -> Ran:
        """What to return of a loop's end."""
        return ran


class GradientFlow(Solver):
    r"""Explicit Euler steps of $\dot z = -\partial F / \partial z$ on the free values.

    The local scheme that spikes and chips can run: each value node hears of its own error and of
    the errors it causes. Over `errors` it is error-based predictive coding, ePC.

    Attributes:
        rate: step size, in units of the inverse precision; stable below 2 / largest curvature.
        steps: steps, or how to run them.
        coordinates: what moves.

    Source: Whittington & Bogacz (2017), Neural Comput. 29, their dynamics of value nodes.
    """

    rate: float | Float[Array, ""]
    steps: Loop = eqx.field(converter=as_loop)
    coordinates: Coordinates = eqx.field(static=True, default=states)

    def __check_init__(self):
        if not isinstance(self.rate, jax.core.Tracer) and not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")

    def update(self, clamped, chart, point, memory, measured):
        """One Euler step."""
        return jax.tree.map(lambda z, g: z - self.rate * g, point, measured.slope), memory


class Descent(Solver):
    """Descent by any optax transformation of the slopes: momentum, Adam, schedules, clipping.

    Attributes:
        transform: the optax transformation.
        steps: steps, or how to run them.
        coordinates: what moves.
    """

    transform: optax.GradientTransformation = eqx.field(static=True)
    steps: Loop = eqx.field(converter=as_loop)
    coordinates: Coordinates = eqx.field(static=True, default=states)

    def memory(self, chart):
        """The transformation's state."""
        return self.transform.init(chart.start)

    def update(self, clamped, chart, point, memory, measured):
        """One update."""
        moves, memory = self.transform.update(measured.slope, memory, point)
        return optax.apply_updates(point, moves), memory


class GaussSeidel(Solver):
    """Euler steps of one node after another, effects first: each sees its neighbours' last moves.

    Attributes:
        rate: step size, as in `GradientFlow`.
        steps: sweeps over all free nodes, or how to run them.
    """

    rate: float
    steps: Loop = eqx.field(converter=as_loop)
    coordinates: Coordinates = eqx.field(static=True, default=states)

    def __check_init__(self):
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if self.coordinates is not states:
            raise ValueError("coordinates must be states: errors of single nodes are not local")

    def update(self, clamped, chart, point, memory, measured):
        """One sweep."""
        network = clamped.network
        place = {node.name: i for i, node in enumerate(network.free)}
        values = point.activities
        for node in reversed(network.order):
            if node.name in place:
                i = place[node.name]
                near = lambda z, i=i, rest=values: _neighbourhood(
                    clamped, PCState((*rest[:i], z, *rest[i + 1 :])), i
                )
                moved = values[i] - self.rate * jax.grad(near)(values[i])
                values = (*values[:i], moved, *values[i + 1 :])
        return PCState(values), memory


class AmortisedStart(eqx.Module):
    """Inference that starts from a guess learned elsewhere instead of from the prior.

    Attributes:
        guess: from the clamped values to the free ones, `guess(*values)`.
        solver: settles from there.

    Source: Tschantz et al. (2023), PLOS Comput. Biol. 19, "Hybrid predictive coding".
    """

    guess: Callable[..., PCState]
    solver: Solver

    def __call__(self, network: PCNetwork, *values: Value) -> Settled:
        """Settle one sample."""
        return self.solver.settle(network.clamp(*values), self.guess(*values))


def gap_bound(clamped: Clamped, state: PCState) -> Float[Array, ""]:
    r"""How far above equilibrium the energy can be, $\frac12 g^T \Pi^{-1} g$ in nats.

    g is the slope in error coordinates and $\Pi$ the errors' precision. The Hessian there is $\Pi$
    plus what the outputs add; where that is not negative, as on linear networks and near any
    output that fits, this bounds the gap. Infinite where there are no error coordinates.

    Source: Boyd & Vandenberghe (2004), Convex Optimization, eq. 9.9, in the norm of $\Pi$.
    """
    free = clamped.network.free
    if clamped.network.cyclic or not all(node.energy.is_location for node in free):
        return jnp.array(jnp.inf)
    chart = errors(clamped, state)
    slope, total = jax.grad(chart.energy)(chart.start), jnp.zeros(())
    for node, e, g in zip(free, chart.start.activities, slope.activities, strict=True):
        precision = node.energy.curvature(e, jnp.zeros_like(e), jnp.ones_like(e))
        total += 0.5 * jnp.sum(jnp.where(precision > 0, g**2 / precision, jnp.inf))
    return total


def _neighbourhood(clamped: Clamped, state: PCState, place: int) -> Float[Array, ""]:
    """The terms of the energy that know the free node at a place: its own and its effects'."""
    network, values = clamped.network, clamped.values_of(state)
    name = network.free[place].name
    effects = {edge.target for edge in network.edges if edge.source == name}
    priced = (node for node in network.nodes if node.name in {name, *effects})
    return sum(n.energy.cost(values[n.name], clamped.prediction(n, values)) for n in priced)
