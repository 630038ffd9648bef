"""Neurons in the number formats of chips: integers that wrap nowhere, and one analog membrane.

Each has `init(n)` and `step(state, current)`, with currents in the chip's own unit, and says which
of its neurons spiked and which had something to integrate. Mechanisms are deterministic; noise of
the analog chip is drawn once, in `hw.quantise`, and lies in its parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

DECAY_BITS = 12  # Loihi's decays are in 1/4096
STATE_MAX = 2**23 - 1  # of Loihi's signed 24-bit registers: 23 bits and a sign
THRESHOLD_SHIFT = 6  # Loihi's threshold mantissa and weights are in 64ths


class Fired(NamedTuple):
    """What neurons did in a step."""

    spikes: Int[Array, " n"]  # how many each sent
    active: Bool[Array, " n"]  # had something to integrate


def decay(x: Int[Array, " n"], rate: Int[Array, "..."]) -> Int[Array, " n"]:
    """sign(x) ((|x| (4096 - rate)) >> 12), without ever leaving 32 bits.

    |x| is split into its upper and lower 12 bits, so that no product exceeds 2^24.
    """
    keep, size = 2**DECAY_BITS - rate, jnp.abs(x)
    upper, lower = size >> DECAY_BITS, size & (2**DECAY_BITS - 1)
    return jnp.sign(x) * (upper * keep + ((lower * keep) >> DECAY_BITS))


class CubaState(NamedTuple):
    """Registers of Loihi's compartments."""

    u: Int[Array, " n"]  # current
    v: Int[Array, " n"]  # potential


class LoihiCuba(eqx.Module):
    r"""Loihi's current-based integrate-and-fire compartment, bit by bit.

    $u \leftarrow \mathrm{decay}(u, d_u) + 64 \sum w$ and
    $v \leftarrow \mathrm{decay}(v, d_v) + u + b$,
    held within 23 bits and a sign; a neuron with v >= 64 v_mantissa spikes and v becomes 0.

    Attributes:
        current_decay, voltage_decay: d_u and d_v, in 1/4096, from 0 to 4096; one or one a neuron.
        v_mantissa: threshold in units of 64, at most 131,071.
        bias: b.
        fires: compares v with the threshold: `greater_equal` as in Lava, `greater` as on silicon by
            Brian2Loihi.

    Source: Michaelis et al. (2022), Front. Neuroinform. 16:1015624; Lava's fixed-point CUBA model.
    """

    current_decay: Int[Array, "..."] = eqx.field(converter=jnp.asarray)
    voltage_decay: Int[Array, "..."] = eqx.field(converter=jnp.asarray)
    v_mantissa: Int[Array, "..."] = eqx.field(converter=jnp.asarray)
    bias: Int[Array, "..."] = eqx.field(converter=jnp.asarray, default=0)
    fires: Callable = eqx.field(static=True, default=jnp.greater_equal)

    def __check_init__(self):
        for name in ("current_decay", "voltage_decay"):
            rate = getattr(self, name)
            if not isinstance(rate, jax.core.Tracer) and ((rate < 0) | (rate > 4096)).any():
                raise ValueError(f"{name} must lie in [0, 4096], got {rate}")

    def init(self, n: int) -> CubaState:
        """At rest."""
        return CubaState(jnp.zeros(n, jnp.int32), jnp.zeros(n, jnp.int32))

    def step(self, state: CubaState, current: Int[Array, " n"]) -> tuple[CubaState, Fired]:
        """One step; `current` is the sum of weights reached, in units of 2^-6."""
        held = lambda x: jnp.clip(x, -STATE_MAX, STATE_MAX)
        u = held(decay(state.u, self.current_decay) + (current << THRESHOLD_SHIFT))
        active = (state.v != 0) | (u != 0) | (self.bias != 0)
        v = held(decay(state.v, self.voltage_decay) + u + self.bias)
        spikes = self.fires(v, self.v_mantissa << THRESHOLD_SHIFT).astype(jnp.int32)
        return CubaState(u, jnp.where(spikes > 0, 0, v)), Fired(spikes, active | (spikes > 0))


def _to_reset(v, threshold, v_reset):
    return jnp.full_like(v, v_reset)


class TrueNorthNeuron(eqx.Module):
    r"""TrueNorth's neuron in its deterministic modes, on a signed 20-bit membrane.

    $V \leftarrow V + \sum w + \lambda$; where $V \ge \alpha$ it spikes and resets to R, or loses
    alpha; below $-\beta$ it is held at $-\beta$.

    Attributes:
        leak: lambda, signed.
        threshold: alpha.
        floor: beta.
        v_reset: R.
        reset: (V, alpha, R) to the potential after a spike; R, unless another is given.

    Source: Cassidy et al. (2013), IJCNN, Cognitive computing building block; without its stochastic
    synapses, leaks and thresholds.
    """

    leak: int
    threshold: int
    floor: int = 2**19 - 1
    v_reset: int = 0
    reset: Callable = eqx.field(static=True, default=_to_reset)

    def init(self, n: int) -> Int[Array, " n"]:
        """At zero."""
        return jnp.zeros(n, jnp.int32)

    def step(
        self, state: Int[Array, " n"], current: Int[Array, " n"]
    ) -> tuple[Int[Array, " n"], Fired]:
        """One tick."""
        active = (current != 0) | (state != 0) | (self.leak != 0)
        v = jnp.clip(state + current + self.leak, -(2**19), 2**19 - 1)
        spikes = v >= self.threshold
        v = jnp.where(spikes, self.reset(v, self.threshold, self.v_reset), v)
        v = jnp.maximum(v, -self.floor)
        return v, Fired(spikes.astype(jnp.int32), active | spikes)


class XyloState(NamedTuple):
    """Registers of Xylo's neurons, 16 bits each."""

    i: Int[Array, " n"]
    v: Int[Array, " n"]


class XyloNeuron(eqx.Module):
    r"""Xylo's integrate-and-fire neuron: decay by bit shifts, several spikes a step.

    $i \leftarrow i - (i \gg d_i) + \sum w$, $v \leftarrow v - (v \gg d_v) + i + b$ on 16 bits; then
    as many spikes as thresholds fit into v, at most 31, each taking one off. Where a shift takes
    nothing off, one is taken, so that every trace ends.

    Attributes:
        current_shift, voltage_shift: d_i and d_v, about log2 of the time constant in steps.
        threshold: positive.
        bias: b.
        most: spikes of a neuron and step.

    Source: Rockpool's description of Xylo (xylo-overview), as remembered; not run against XyloSim.
    """

    current_shift: int
    voltage_shift: int
    threshold: int
    bias: int = 0
    most: int = 31

    def __check_init__(self):
        if self.threshold < 1:
            raise ValueError(f"threshold must be at least 1, got {self.threshold}")

    def init(self, n: int) -> XyloState:
        """At rest."""
        return XyloState(jnp.zeros(n, jnp.int32), jnp.zeros(n, jnp.int32))

    def step(self, state: XyloState, current: Int[Array, " n"]) -> tuple[XyloState, Fired]:
        """One step."""
        held = lambda x: jnp.clip(x, -(2**15), 2**15 - 1)
        i = held(shifted(state.i, self.current_shift) + current)
        active = (state.v != 0) | (i != 0) | (self.bias != 0)
        v = held(shifted(state.v, self.voltage_shift) + i + self.bias)
        spikes = jnp.clip(v // self.threshold, 0, self.most)
        return XyloState(i, v - spikes * self.threshold), Fired(spikes, active | (spikes > 0))


def shifted(x: Int[Array, " n"], shift: int) -> Int[Array, " n"]:
    """X less its size shifted right, and at least one nearer to zero."""
    lost = jnp.maximum(jnp.abs(x) >> shift, jnp.minimum(jnp.abs(x), 1))
    return x - jnp.sign(x) * lost


class AdExState(NamedTuple):
    """An analog neuron, in biological units."""

    v: Float[Array, " n"]  # V
    w: Float[Array, " n"]  # A, adaptation
    i: Float[Array, " n"]  # A, synaptic current


class AdEx(eqx.Module):
    r"""The adaptive exponential neuron of BrainScaleS-2, one Euler step at a time.

    $C \dot V = -g (V - E) + g \Delta e^{(V - V_T) / \Delta} - w + i$ and
    $\tau_w \dot w = a (V - E) - w$; above `v_spike` V returns to `v_reset` and w gains b.
    Parameters are in biological time: the chip runs a thousand times faster, so that a step of dt
    takes dt / 1000 there. They may hold one number a neuron: fixed-pattern noise.

    Attributes:
        capacitance, conductance: C in F and g in S.
        v_rest, v_threshold, v_spike, v_reset: E, V_T, the peak and the reset, in V.
        slope: Delta, in V; 0 leaves the leaky integrator, which spikes at V_T.
        tau_syn, tau_w: in s.
        coupling, jump: a in S and b in A.
        amplitude: current of one unit of weight, in A.
        dt: of a step, in s of biological time.

    Source: Brette & Gerstner (2005), J. Neurophysiol. 94:3637; for the acceleration Pehle et al.
    (2022), Front. Neurosci. 16:795876.
    """

    capacitance: Float[Array, "..."] = eqx.field(converter=jnp.asarray, default=200e-12)
    conductance: Float[Array, "..."] = eqx.field(converter=jnp.asarray, default=10e-9)
    v_rest: Float[Array, "..."] = eqx.field(converter=jnp.asarray, default=-70e-3)
    v_threshold: Float[Array, "..."] = eqx.field(converter=jnp.asarray, default=-50e-3)
    v_spike: float = 0.0
    v_reset: float = -70e-3
    slope: float = 2e-3
    tau_syn: float = 5e-3
    tau_w: float = 100e-3
    coupling: float = 0.0
    jump: float = 0.0
    amplitude: Float[Array, "..."] = eqx.field(converter=jnp.asarray, default=10e-12)
    dt: float = 1e-4

    def init(self, n: int) -> AdExState:
        """At rest."""
        return AdExState(jnp.zeros(n) + self.v_rest, jnp.zeros(n), jnp.zeros(n))

    def step(self, state: AdExState, current: Float[Array, " n"]) -> tuple[AdExState, Fired]:
        """One Euler step."""
        v, w, i = state
        i = i * (1 - self.dt / self.tau_syn) + self.amplitude * current
        rise = -self.conductance * (v - self.v_rest)
        if self.slope:
            over = jnp.minimum((v - self.v_threshold) / self.slope, 20.0)  # the exponential's rail
            rise += self.conductance * self.slope * jnp.exp(over)
        v = v + self.dt / self.capacitance * (rise - w + i)
        w = w + self.dt / self.tau_w * (self.coupling * (state.v - self.v_rest) - w)
        spikes = v > (self.v_spike if self.slope else self.v_threshold)
        w = w + jnp.where(spikes, self.jump, 0.0)
        fired = Fired(spikes.astype(jnp.int32), jnp.ones(v.shape, bool))
        return AdExState(jnp.where(spikes, self.v_reset, v), w, i), fired
