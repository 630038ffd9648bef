"""Integrate-and-fire neurons whose subthreshold motion is linear, integrated exactly.

A neuron flows (`flow`: no spike can happen) and then fires (`fire`: threshold and reset); its
`step` does both. Quantities are in SI units, or all potentials in units of the threshold.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snn.parameters import Parameter, require_below, require_nonnegative, require_positive
from snn.surrogate import SuperSpike, Surrogate

Vector = Float[Array, " n"]
Reset = Callable[[Vector, Vector, Parameter, Parameter], Vector]


def hard_reset(v: Vector, spikes: Vector, v_threshold: Parameter, v_reset: Parameter) -> Vector:
    """To v_reset where there is a spike; gradients see no reset (Zenke & Vogels 2021)."""
    return jnp.where(jax.lax.stop_gradient(spikes) > 0, v_reset, v)


def soft_reset(v: Vector, spikes: Vector, v_threshold: Parameter, v_reset: Parameter) -> Vector:
    """Down by the distance from threshold to reset, so that what exceeds it is kept."""
    return v - (v_threshold - v_reset) * jax.lax.stop_gradient(spikes)


class Neuron(eqx.Module):
    """What all neurons share: a step is `flow`, then `fire`. States have a field `v`."""

    def flow(self, state: Any, current: Any, *, dt: float) -> Any:
        """Advance dt seconds as if nothing could fire."""
        raise NotImplementedError

    def fire(self, state: Any) -> tuple[Any, Vector]:
        """Spikes (n,), 0 or 1, and the state after their resets."""
        raise NotImplementedError

    def step(self, state: Any, current: Any, *, dt: float) -> tuple[Any, Vector]:
        """Advance dt seconds: the new state, and spikes (n,)."""
        return self.fire(self.flow(state, current, dt=dt))


class LIState(NamedTuple):
    """Carried by `LI`."""

    v: Vector  # membrane potential


class LI(Neuron):
    r"""Leaky integrator, a read-out: $\tau \dot v = v_{leak} - v + R I$. It never fires.

    Its output is its potential. Exact for a current that is constant over a step.
    """

    tau_mem: Parameter
    v_leak: Parameter = 0.0
    r: Parameter = 1.0

    def __check_init__(self):
        require_positive(tau_mem=self.tau_mem)

    def init(self, n: int) -> LIState:
        """At rest."""
        return LIState(jnp.full(n, self.v_leak, float))

    def flow(self, state: LIState, current: Vector, *, dt: float) -> LIState:
        """See the class."""
        return LIState(_relax(state.v, self.v_leak + self.r * current, dt, self.tau_mem))

    def fire(self, state: LIState) -> tuple[LIState, Vector]:
        """The potential itself."""
        return state, state.v


class LIFState(NamedTuple):
    """Carried by `LIF`."""

    v: Vector  # membrane potential


class LIF(Neuron):
    r"""Leaky integrate-and-fire: $\tau \dot v = v_{leak} - v + R I$, reset at v_threshold.

    Exact for a current that is constant over a step; a spike is stamped with the end of the step
    in which v exceeds v_threshold.

    Attributes:
        tau_mem: membrane time constant, s.
        v_threshold, v_reset, v_leak: V, or in units of the threshold.
        r: membrane resistance, ohm; 1 where currents are given in the units of v.
        reset: `hard_reset` or `soft_reset`.
        spike: the step, with its surrogate slope; x is v - v_threshold.

    Source: NIR's primitive LIF; Lapicque (1907).
    """

    tau_mem: Parameter
    v_threshold: Parameter = 1.0
    v_reset: Parameter = 0.0
    v_leak: Parameter = 0.0
    r: Parameter = 1.0
    reset: Reset = eqx.field(static=True, default=hard_reset)
    spike: Surrogate = SuperSpike()

    def __check_init__(self):
        require_positive(tau_mem=self.tau_mem)
        require_below("v_reset", self.v_reset, "v_threshold", self.v_threshold)

    def init(self, n: int) -> LIFState:
        """At rest."""
        return LIFState(jnp.full(n, self.v_leak, float))

    def flow(self, state: LIFState, current: Vector, *, dt: float) -> LIFState:
        """See the class."""
        return LIFState(_relax(state.v, self.v_leak + self.r * current, dt, self.tau_mem))

    def fire(self, state: LIFState) -> tuple[LIFState, Vector]:
        """See `Neuron`."""
        spikes = self.spike(state.v - self.v_threshold)
        return LIFState(self.reset(state.v, spikes, self.v_threshold, self.v_reset)), spikes


class CubaLIFState(NamedTuple):
    """Carried by `CubaLIF`."""

    v: Vector  # membrane potential
    i: Vector  # synaptic current


class CubaLIF(LIF):
    r"""LIF behind an exponential synapse of its own: $\tau_s \dot i = -i$, stepped by input.

    Input arrives at the start of a step and is added to i; v is driven by i as it decays. The
    propagator of the pair is exact:
    $v \leftarrow v_l + (v - v_l) e^{-\Delta/\tau} + R i\, \frac{\Delta}{\tau} e^{-\Delta/\tau}
    \frac{e^x - 1}{x}$ with $x = \Delta/\tau - \Delta/\tau_s$, smooth also where both are equal.

    Source: Rotter & Diesmann (1999), Biol. Cybern. 81:381; NIR's primitive CubaLIF.
    """

    tau_syn: Parameter = 5e-3

    def __check_init__(self):
        require_positive(tau_syn=self.tau_syn)

    def init(self, n: int) -> CubaLIFState:
        """At rest."""
        return CubaLIFState(jnp.full(n, self.v_leak, float), jnp.zeros(n))

    def flow(self, state: CubaLIFState, current: Vector, *, dt: float) -> CubaLIFState:
        """See the class; `current` is what arriving spikes add to i."""
        i = state.i + current
        x = dt / jnp.asarray(self.tau_mem) - dt / jnp.asarray(self.tau_syn)
        decay = jnp.exp(-dt / jnp.asarray(self.tau_mem))
        gain = dt / self.tau_mem * decay * relative_growth(x)
        v = self.v_leak + (state.v - self.v_leak) * decay + self.r * i * gain
        return CubaLIFState(v, i * jnp.exp(-dt / jnp.asarray(self.tau_syn)))

    def fire(self, state: CubaLIFState) -> tuple[CubaLIFState, Vector]:
        """See `Neuron`."""
        spikes = self.spike(state.v - self.v_threshold)
        return state._replace(v=self.reset(state.v, spikes, self.v_threshold, self.v_reset)), spikes


class ALIFState(NamedTuple):
    """Carried by `ALIF`."""

    v: Vector  # membrane potential
    a: Vector  # adaptation of the threshold


class ALIF(LIF):
    r"""LIF whose threshold rises with each spike: $A = v_{th} + \beta a$, $\tau_a \dot a = -a$.

    A spike adds 1 to a after the step.

    Attributes:
        tau_adapt: time constant of the adaptation, s.
        beta: rise of the threshold a spike, in the unit of v.

    Source: Bellec et al. (2018), NeurIPS, LSNN; (2020), Nat. Commun. 11:3625, eqs. 6 and 11.
    """

    tau_adapt: Parameter = 0.2
    beta: Parameter = 0.1

    def __check_init__(self):
        require_positive(tau_adapt=self.tau_adapt)
        require_nonnegative(beta=self.beta)

    def init(self, n: int) -> ALIFState:
        """At rest, not adapted."""
        return ALIFState(jnp.full(n, self.v_leak, float), jnp.zeros(n))

    def flow(self, state: ALIFState, current: Vector, *, dt: float) -> ALIFState:
        """See the class."""
        v = _relax(state.v, self.v_leak + self.r * current, dt, self.tau_mem)
        return ALIFState(v, state.a * jnp.exp(-dt / jnp.asarray(self.tau_adapt)))

    def fire(self, state: ALIFState) -> tuple[ALIFState, Vector]:
        """See `Neuron`."""
        threshold = self.v_threshold + self.beta * state.a
        spikes = self.spike(state.v - threshold)
        v = self.reset(state.v, spikes, threshold, self.v_reset)
        return ALIFState(v, state.a + spikes), spikes


class Drive(NamedTuple):
    """What synapses do to a membrane, whatever their number: a current and a conductance."""

    current: Vector  # sum of currents and of g E over the synapses
    conductance: Vector  # sum of g


class ConductanceLIF(LIF):
    r"""LIF driven through conductances: $\tau \dot v = v_{leak} - v + \sum_k g_k (E_k - v) + R I$.

    Conductances are relative to the leak. The step is exact where they are constant over it.
    Source: Vogels & Abbott (2005), J. Neurosci. 25:10786, eq. 1.
    """

    def flow(self, state: LIFState, current: Drive, *, dt: float) -> LIFState:
        """See the class."""
        total = 1 + current.conductance
        target = (self.v_leak + self.r * current.current) / total
        return LIFState(target + (state.v - target) * jnp.exp(-dt / self.tau_mem * total))


class ResonatorState(NamedTuple):
    """Carried by `ResonateAndFire`."""

    u: Vector  # current-like variable
    v: Vector  # voltage-like variable


class ResonateAndFire(Neuron):
    r"""A damped oscillator that fires: $\dot z = (b + i\omega) z + I$, z = u + i v.

    It fires when v exceeds v_threshold, and z is set to i. Exact for a constant current.

    Attributes:
        frequency_hz: $\omega / 2\pi$.
        damping: b, 1/s, negative.

    Source: Izhikevich (2001), Neural Networks 14:883, eqs. 1 and 2.
    """

    frequency_hz: Parameter = 10.0
    damping: Parameter = -1.0
    v_threshold: Parameter = 1.0
    spike: Surrogate = SuperSpike()

    def __check_init__(self):
        require_positive(frequency_hz=self.frequency_hz)
        require_below("damping", self.damping, "0", 0.0)

    def init(self, n: int) -> ResonatorState:
        """At rest."""
        return ResonatorState(jnp.zeros(n), jnp.zeros(n))

    def flow(self, state: ResonatorState, current: Vector, *, dt: float) -> ResonatorState:
        """See the class."""
        omega = 2 * jnp.pi * jnp.asarray(self.frequency_hz)
        norm = self.damping**2 + omega**2  # fixed point of z: -I / (b + i omega)
        u0, v0 = -self.damping * current / norm, omega * current / norm
        shrink = jnp.exp(self.damping * jnp.asarray(dt))
        c, s = shrink * jnp.cos(omega * dt), shrink * jnp.sin(omega * dt)
        u, v = state.u - u0, state.v - v0
        return ResonatorState(u0 + c * u - s * v, v0 + s * u + c * v)

    def fire(self, state: ResonatorState) -> tuple[ResonatorState, Vector]:
        """See `Neuron`."""
        spikes = self.spike(state.v - self.v_threshold)
        fired = jax.lax.stop_gradient(spikes) > 0
        return ResonatorState(jnp.where(fired, 0, state.u), jnp.where(fired, 1, state.v)), spikes


class SigmaDeltaState(NamedTuple):
    """Carried by `SigmaDelta`."""

    v: Vector  # sum of what has come
    sent: Vector  # sum of what has gone


class SigmaDelta(Neuron):
    r"""Graded spikes of change: sums its input, applies f, and sends the difference when large.

    It sends $f(\sum x) - \sum sent$ where that exceeds the threshold in size, else nothing: so
    what a receiver has summed stays within the threshold of the activation.

    Attributes:
        v_threshold: in units of the activation.
        activation: f.

    Source: O'Connor & Welling (2016), arXiv:1611.02024; Lava's SigmaDelta process.
    """

    v_threshold: Parameter
    activation: Callable[[Vector], Vector] = eqx.field(static=True, default=jax.nn.relu)

    def __check_init__(self):
        require_nonnegative(v_threshold=self.v_threshold)

    def init(self, n: int) -> SigmaDeltaState:
        """Nothing has come and nothing has gone."""
        return SigmaDeltaState(jnp.zeros(n), jnp.zeros(n))

    def flow(self, state: SigmaDeltaState, current: Vector, *, dt: float) -> SigmaDeltaState:
        """Add what has come; dt does not matter."""
        return state._replace(v=state.v + current)

    def fire(self, state: SigmaDeltaState) -> tuple[SigmaDeltaState, Vector]:
        """Graded spikes."""
        change = self.activation(state.v) - state.sent
        spikes = jnp.where(jnp.abs(change) > self.v_threshold, change, 0)
        return state._replace(sent=state.sent + spikes), spikes


def _relax(v: Vector, target: Any, dt: float, tau: Parameter) -> Vector:
    """Where exponential relaxation towards a constant target leads in dt."""
    return target + (v - target) * jnp.exp(-dt / jnp.asarray(tau))


def relative_growth(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """(exp(x) - 1) / x, and 1 at 0; its gradient is safe there too."""
    safe = jnp.where(x == 0, 1.0, x)
    return jnp.where(x == 0, 1.0, jnp.expm1(safe) / safe)
