"""Non-leaky integrate-and-fire neurons with reset by subtraction: quantisers spread over time."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

Units = Num[Array, "*units"]


class IFState(NamedTuple):
    """Membrane potential, and the net spikes sent so far."""

    v: Units  # in the unit of the threshold
    sent: Units


class SignedIF(eqx.Module):
    r"""Fires +1 at $v \ge V/2$ and -1 at $v \le -V/2$, and then loses that spike's V.

    Under a constant input $x/T$ it has sent $\mathrm{round}(t x / (T V))$ spikes after t steps,
    halves away from zero, as long as $|x| \le T V$, and
    $\mathrm{clip}(\mathrm{round}(x/V), -T, T)$ after T in any case: an anytime code.

    Attributes:
        threshold: V, one or one a unit; integers stay integers.
    """

    threshold: Num[Array, "..."] = eqx.field(converter=jnp.asarray)

    def init(self, shape: tuple[int, ...]) -> IFState:
        """At rest, units of this shape."""
        zero = jnp.zeros(shape, self.threshold.dtype)
        return IFState(zero, zero)

    def step(self, state: IFState, current: Units) -> tuple[IFState, Units]:
        """Integrate `current` (unit of V), then fire: the new state, and spikes in {-1, 0, 1}."""
        v = state.v + current
        spikes = jnp.sign(v) * (2 * jnp.abs(v) >= self.threshold)
        return IFState(v - self.threshold * spikes, state.sent + spikes), spikes


class RectifiedIF(eqx.Module):
    r"""Fires +1 at $v \ge V$, never negative, and loses V: a rectified unit in time.

    From a start $v_0 = V/2$ and under a constant input x/T it has sent
    $\mathrm{clip}(\lfloor x/V + 1/2 \rfloor, 0, T)$ spikes after T steps, the activation that
    clip-floor-shift training gives a network (Bu et al., 2022, ICLR) at T = L.

    Attributes:
        threshold: V, one or one a channel (its leading axis).
        start: potential before the first step, likewise.
    """

    threshold: Float[Array, "..."] = eqx.field(converter=jnp.asarray)
    start: Float[Array, "..."] = eqx.field(converter=jnp.asarray)

    def init(self, shape: tuple[int, ...]) -> IFState:
        """At the start potential, units of this shape."""
        zero = jnp.zeros(shape, self.threshold.dtype)
        return IFState(zero + along(self.start, len(shape)), zero)

    def step(self, state: IFState, current: Units) -> tuple[IFState, Units]:
        """Integrate `current` (unit of V), then fire: the new state, and spikes in {0, 1}."""
        threshold = along(self.threshold, current.ndim)
        v = state.v + current
        spikes = (v >= threshold).astype(v.dtype)
        return IFState(v - threshold * spikes, state.sent + spikes), spikes


class RetractingIF(RectifiedIF):
    """A `RectifiedIF` that may take back with a negative spike what it has sent too early.

    It fires -1 at v < 0 if it has sent more than it took back, so that its net count is never
    negative and ends where the whole input puts it, in whatever order the input came.

    Source: the signed neuron with memory of Wang et al. (2022), Signed neuron with memory, IJCAI.
    """

    def step(self, state: IFState, current: Units) -> tuple[IFState, Units]:
        """Integrate `current` (unit of V), then fire: the new state, and spikes in {-1, 0, 1}."""
        threshold = along(self.threshold, current.ndim)
        v = state.v + current
        spikes = (v >= threshold).astype(v.dtype) - ((v < 0) & (state.sent > 0))
        return IFState(v - threshold * spikes, state.sent + spikes), spikes


def along(value: Float[Array, "..."], ndim: int) -> Float[Array, "..."]:
    """A value a channel, shaped to meet `ndim` axes of which the first is the channel's."""
    return value.reshape(value.shape + (1,) * (ndim - value.ndim)) if value.ndim else value
