"""Gradient flow as an ordinary differential equation, by diffrax (extra `ode`)."""

import equinox as eqx
import jax
import jax.numpy as jnp

from fep.predictive_coding.coordinates import Coordinates, states
from fep.predictive_coding.inference import Settled, gap_bound
from fep.predictive_coding.loops import root_mean_square
from fep.predictive_coding.network import Clamped, PCNetwork, PCState, Value


class OdeFlow(eqx.Module):
    r"""$\dot z = -\partial F / \partial z$ in adaptive steps until the slope is small.

    Heun's method under a PID controller of step sizes. The end is judged by the slope, not by the
    size of the state.

    Attributes:
        tolerance: root-mean-square slope at which to stop; steps are accurate to a tenth of it.
        horizon: longest time, in units of the inverse precision.
        limit: most steps.
        coordinates: what moves.

    Source: Kidger (2021), "On neural differential equations", and its library diffrax.
    """

    tolerance: float = 1e-3
    horizon: float = 1e3
    limit: int = eqx.field(static=True, default=4096)
    coordinates: Coordinates = eqx.field(static=True, default=states)

    def __check_init__(self):
        for name in ("tolerance", "horizon", "limit"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def __call__(self, network: PCNetwork, *values: Value) -> Settled:
        """Settle one sample from the feed-forward start."""
        return self.settle(network.clamp(*values), None)

    def settle(self, clamped: Clamped, start: PCState | None) -> Settled:
        """Settle a clamped network from a start of one's own."""
        import diffrax

        chart = self.coordinates(clamped, start)
        slope = jax.grad(chart.energy)
        accuracy = 0.1 * self.tolerance  # steps as rough as the end would shake it
        still = lambda t, z, args, **_: root_mean_square(slope(z)) < self.tolerance
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, z, args: jax.tree.map(jnp.negative, slope(z))),
            diffrax.Heun(),
            0.0,
            self.horizon,
            None,
            chart.start,
            stepsize_controller=diffrax.PIDController(rtol=accuracy, atol=accuracy),
            event=diffrax.Event(still),
            max_steps=self.limit,
        )
        point = jax.tree.map(lambda a: a[-1], solution.ys)
        state = chart.decode(point)
        ends = jnp.stack([chart.energy(chart.start), chart.energy(point)])
        energies = ends + clamped.normaliser(state)
        residual = root_mean_square(slope(point))
        steps = jnp.asarray(solution.stats["num_steps"])
        return Settled(state, energies, residual, steps, gap_bound(clamped, state))
