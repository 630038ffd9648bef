r"""Exact spike times of current-based neurons, and exact gradients through them.

Neurons are `CubaLIF` with $\tau_{mem} = 2 \tau_{syn}$, whose threshold crossings are roots of a
quadratic. Between events the state flows in closed form; automatic differentiation of the closed
forms gives the implicit derivative of each spike time, and carried through the events it is the
gradient that EventProp's adjoint equations integrate backwards.

Source: Wunderlich & Pehle (2021), Sci. Rep. 11:12829; the closed form is Goeltz et al. (2021), Nat.
Mach. Intell. 3:823, eq. 8.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snn.parameters import Parameter, require_positive

NEVER = jnp.inf


class Event(NamedTuple):
    """State of neurons at their last events."""

    time: Float[Array, " n"]  # s
    v: Float[Array, " n"]
    i: Float[Array, " n"]
    heard: Float[Array, " n"]  # inputs so far, a whole number


class EventLIF(eqx.Module):
    r"""$\tau_{mem} \dot v = -v + i$, $\tau_{syn} \dot i = -i$, with $\tau_{mem} = 2 \tau_{syn}$.

    Attributes:
        tau_syn: s.
        v_threshold: spikes are at its upward crossing; v is then set to 0, i goes on.
        spikes: at most so many a neuron are followed.
    """

    tau_syn: Parameter
    v_threshold: Parameter = 1.0
    spikes: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        require_positive(tau_syn=self.tau_syn, v_threshold=self.v_threshold)
        if self.spikes < 1:
            raise ValueError(f"spikes must be at least 1, got {self.spikes}")

    def __call__(
        self, weight: Float[Array, "inputs n"], times: Float[Array, " inputs"]
    ) -> Float[Array, "spikes n"]:
        """Times at which each neuron fires, in order, infinite where it does not, s.

        Args:
            weight: what a spike of each input adds to i.
            times: of the inputs' spikes, one each; infinite for silence.
        """
        order = jnp.argsort(times)
        times, weight = times[order], weight[order]
        inputs, n = weight.shape
        ends = jnp.append(times, NEVER)

        def step(carry, _):
            at, fired = carry
            number = at.heard.astype(jnp.int32)
            arrival = ends[number]
            crossing = self._crossing(at)
            spikes = crossing < arrival
            until = jnp.where(spikes, crossing, arrival)
            moves = jnp.isfinite(until)
            v, i = self._flow(at, jnp.where(moves, until - at.time, 0.0))
            heard = moves & ~spikes
            own = weight[jnp.minimum(number, inputs - 1), jnp.arange(n)]
            after = Event(
                jnp.where(moves, until, at.time),
                jnp.where(spikes, 0.0, v),
                i + jnp.where(heard, own, 0.0),
                at.heard + heard,
            )
            return (after, fired + spikes), jnp.where(spikes, crossing, NEVER)

        zero = jnp.zeros(n)
        start = Event(zero, zero, zero, zero), zero
        _, found = jax.lax.scan(step, start, length=inputs + self.spikes)
        return jnp.sort(found, axis=0)[: self.spikes]

    def first(
        self, weight: Float[Array, "inputs n"], times: Float[Array, " inputs"]
    ) -> Float[Array, " n"]:
        """The first spike of each neuron by prefix sums: the same times, all inputs at once."""
        order = jnp.argsort(times)
        times, weight = times[order], weight[order]
        present = jnp.isfinite(times)
        when = jnp.where(present, times, 0.0)
        weight = jnp.where(present[:, None], weight, 0.0)
        # v = a x - b x^2 with x = exp(-t / tau_mem), from sums over the inputs that have come
        rise = jnp.exp(when / (2 * self.tau_syn))[:, None]
        a, b = jnp.cumsum(weight * rise, axis=0), jnp.cumsum(weight * rise**2, axis=0)
        x, crosses = _root(a, b, self.v_threshold)
        crossing = -2 * self.tau_syn * jnp.log(x)
        following = jnp.append(times[1:], NEVER)
        valid = crosses & (crossing >= when[:, None]) & (crossing <= following[:, None])
        valid = valid & present[:, None]
        return jnp.min(jnp.where(valid, crossing, NEVER), axis=0)

    def _flow(self, at: Event, dt: Float[Array, " n"]):
        x = jnp.exp(-dt / (2 * self.tau_syn))
        # the drive's particular solution is -i exp(-t / tau_syn)
        return (at.v + at.i) * x - at.i * x**2, at.i * x**2

    def _crossing(self, at: Event) -> Float[Array, " n"]:
        x, crosses = _root(at.v + at.i, at.i, self.v_threshold)
        later = crosses & (x < 1)  # x = 1 is now
        return jnp.where(later, at.time - 2 * self.tau_syn * jnp.log(x), NEVER)


def _root(a: Array, b: Array, threshold: Parameter) -> tuple[Array, Array]:
    """The larger x with a x - b x^2 = threshold, that is the earlier time, and whether it is."""
    inside = a**2 - 4 * b * threshold
    crosses = (inside > 0) & (a > 0) & (b > 0)
    root = jnp.sqrt(jnp.where(crosses, inside, 1.0))
    x = (a + root) / (2 * jnp.where(crosses, b, 1.0))
    # of the two the earlier in time is the larger x; on the way down v passes the smaller
    return jnp.where(crosses, x, 0.5), crosses
