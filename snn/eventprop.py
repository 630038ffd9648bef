r"""Exact spike times of current-based neurons, and exact gradients through them.

Neurons are `CubaLIF` with $\tau_{mem} = k \tau_{syn}$, k whole. Since the last input the potential
is a polynomial, $v = a x - b x^k - \vartheta$ in $x = e^{-t / \tau_{mem}}$, whose larger root below
the present x is the next spike. A Newton step at the root carries the implicit derivative of its
time; carried through all spikes it is the gradient that EventProp's adjoint equations integrate
backwards.

Source: Wunderlich & Pehle (2021), Sci. Rep. 11:12829; closed forms for k = 1 and 2 are in Goeltz et
al. (2021), Nat. Mach. Intell. 3:823; delays: Goeltz et al. (2025), Nat. Commun. 16,
doi:10.1038/s41467-025-63120-y.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from snn.parameters import Parameter, require_positive

NEVER = jnp.inf
NEWTON_STEPS = 12  # from the convex side: quadratic but for a threshold that is only just reached
LONGEST = 80.0  # tau_syn: exp of it is still a float32


class Stretches(NamedTuple):
    """What holds from each input to the next, in order of time; x = exp(-t / tau_mem)."""

    began: Float[Array, " inputs"]  # s
    first: Float[Array, " inputs"]  # x at the start
    last: Float[Array, " inputs"]  # x at the end
    a: Float[Array, " inputs"]
    b: Float[Array, " inputs"]


class EventLIF(eqx.Module):
    r"""$\tau_{mem} \dot v = -v + i$, $\tau_{syn} \dot i = -i$, with $\tau_{mem} = k \tau_{syn}$.

    Attributes:
        tau_syn: s.
        v_threshold: spikes are at its upward crossing; v is then set to 0, i goes on.
        ratio: k, at least 2.
        spikes: at most so many a neuron are followed.
    """

    tau_syn: Parameter
    v_threshold: Parameter = 1.0
    ratio: int = eqx.field(static=True, default=2)
    spikes: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        require_positive(tau_syn=self.tau_syn, v_threshold=self.v_threshold)
        for name, least in (("ratio", 2), ("spikes", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number from {least}, got {value}")

    def __call__(
        self,
        weight: Float[Array, "inputs n"],
        times: Float[Array, " inputs"],
        delays: Float[Array, "inputs n"] | None = None,
    ) -> Float[Array, "spikes n"]:
        """Times at which each neuron fires, in order, infinite where it does not, s.

        Args:
            weight: what a spike of each input adds to i.
            times: of the inputs' spikes, one each, from 0 on; infinite for silence.
            delays: from each input to each neuron, s; None for none. They have exact gradients as
                well, and so can be learned.

        Raises:
            RuntimeError: if an input arrives before 0 or later than 80 tau_syn.
        """
        present = jnp.isfinite(times)
        weight = jnp.where(present[:, None], weight, 0.0)
        if delays is None:
            arrivals, order = times, jnp.argsort(times)
            one = lambda own: self._spikes_of(own, times, order)
            found = jax.vmap(one, in_axes=1, out_axes=1)(weight)
        else:
            arrivals = times[:, None] + delays
            one = lambda own, arrivals: self._spikes_of(own, arrivals, jnp.argsort(arrivals))
            found = jax.vmap(one, in_axes=1, out_axes=1)(weight, arrivals)
        early = jnp.min(arrivals) < 0
        late = jnp.max(jnp.where(jnp.isfinite(arrivals), arrivals, 0.0)) > LONGEST * self.tau_syn
        told = "inputs of EventLIF must arrive from 0 on and before 80 tau_syn"
        return eqx.error_if(found, early | late, told)

    def _spikes_of(
        self,
        weight: Float[Array, " inputs"],
        times: Float[Array, " inputs"],
        order: Int[Array, " inputs"],
    ) -> Float[Array, " spikes"]:
        """What `__call__` says, of one neuron."""
        when = jnp.where(jnp.isfinite(times), times, 0.0)
        a, b = self._coefficients(weight, when)
        x = jnp.exp(-times[order] / (self.ratio * self.tau_syn))  # 0 for silence
        a_so_far, b_so_far = jnp.cumsum(a[order]), jnp.cumsum(b[order])
        stretches = Stretches(times[order], x, jnp.append(x[1:], 0.0), a_so_far, b_so_far)
        stretches = jax.lax.stop_gradient(stretches)

        def step(carry, _):
            reset, _ = carry  # what own spikes took from a, and x at the last of them
            began, x, fires = self._next(stretches, *jax.lax.stop_gradient(carry))
            # the root again, as a function of all that has come before it
            heard = fires & (times <= began)
            a_now = jnp.sum(jnp.where(heard, a, 0.0)) - reset
            b_now = jnp.sum(jnp.where(heard, b, 0.0))
            slope = jax.lax.stop_gradient(self._slope(a_now, b_now, x))
            x = x - self._above(a_now, b_now, x) / jnp.where(fires, slope, 1.0)
            x = jnp.where(fires, x, 1.0)
            reset = reset + jnp.where(fires, self.v_threshold / x, 0.0)
            spike = jnp.where(fires, -self.ratio * self.tau_syn * jnp.log(x), NEVER)
            return (reset, jnp.where(fires, x, 0.0)), spike

        start = jnp.zeros(()), jnp.ones(())
        return jax.lax.scan(step, start, length=self.spikes)[1]

    def _coefficients(self, weight: Float[Array, " inputs"], when: Float[Array, " inputs"]):
        """What each input adds to a and to b."""
        rise = jnp.exp(when / (self.ratio * self.tau_syn))
        share = weight / (self.ratio - 1)
        return share * rise, share * rise**self.ratio

    def _next(self, stretches: Stretches, reset: Float[Array, ""], since: Float[Array, ""]):
        """Next spike: when its stretch began, x at the spike, and whether there is one."""
        a, b = stretches.a - reset, stretches.b
        first = jnp.minimum(stretches.first, since)
        # concave where a, b > 0: the threshold is passed if it is at the stretch's highest point
        bends = (a > 0) & (b > 0) & (first > stretches.last)
        peak = jnp.where(bends, a, 1.0) / jnp.where(bends, self.ratio * b, 1.0)
        peak = jnp.clip(jnp.exp(jnp.log(peak) / (self.ratio - 1)), stretches.last, first)
        passes = bends & (self._above(a, b, peak) > 0)
        k, fires = jnp.argmax(passes), jnp.any(passes)
        x, a, b = first[k], a[k], b[k]

        # a concave function lies below its tangents: from the start, no step passes the root
        def newton(_, x):
            slope = self._slope(a, b, x)
            return x - self._above(a, b, x) / jnp.where(fires & (slope < 0), slope, -NEVER)

        return stretches.began[k], jax.lax.fori_loop(0, NEWTON_STEPS, newton, x), fires

    def _above(self, a: Array, b: Array, x: Array) -> Array:
        return a * x - b * x**self.ratio - self.v_threshold

    def _slope(self, a: Array, b: Array, x: Array) -> Array:
        """Of v by x, below 0 on the way up."""
        return a - self.ratio * b * x ** (self.ratio - 1)
