"""Neurons that make their own spikes: quadratic, exponential, Izhikevich, Hodgkin-Huxley."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snn.neurons import Neuron, Vector, relative_growth
from snn.parameters import Parameter, require_below, require_nonnegative, require_positive
from snn.surrogate import SuperSpike, Surrogate


class MembraneState(NamedTuple):
    """Carried by `QIF` and `EIF`."""

    v: Vector  # membrane potential


class QIF(Neuron):
    r"""Quadratic integrate-and-fire: $\tau \dot v = v^2 + I$, dimensionless, exact.

    The solution of the Riccati equation over a step with constant I is a Moebius map,
    $v \leftarrow (v C + I S) / (C - v S)$ with $C = \cos(\sqrt I \Delta/\tau)$ and
    $S = \sin(\sqrt I \Delta/\tau)/\sqrt I$ (hyperbolic for I < 0): passing infinity turns the sign
    of the denominator, which is a spike however long the step.

    Attributes:
        tau_mem: s.
        v_peak, v_reset: where a spike ends and starts again; infinite ones give $\pi/\sqrt I$.

    Source: Latham et al. (2000), J. Neurophysiol. 83:808; Ermentrout & Kopell (1986).
    """

    tau_mem: Parameter
    v_peak: Parameter = 100.0
    v_reset: Parameter = -100.0
    spike: Surrogate = SuperSpike()

    def __check_init__(self):
        require_positive(tau_mem=self.tau_mem)
        require_below("v_reset", self.v_reset, "v_peak", self.v_peak)

    def init(self, n: int) -> MembraneState:
        """At zero."""
        return MembraneState(jnp.zeros(n))

    def flow(self, state: MembraneState, current: Vector, *, dt: float) -> MembraneState:
        """See the class."""
        h = dt / self.tau_mem
        root = jnp.sqrt(jnp.maximum(jnp.abs(current), 1e-12))  # sin(x)/x is 1 to rounding there
        positive = current > 0
        cosine = jnp.where(positive, jnp.cos(root * h), jnp.cosh(root * h))
        sine = jnp.where(positive, jnp.sin(root * h), jnp.sinh(root * h)) / root
        denominator = cosine - state.v * sine
        passed = denominator <= 0  # through infinity
        v = (state.v * cosine + current * sine) / jnp.where(passed, 1.0, denominator)
        return MembraneState(jnp.where(passed, jnp.maximum(v, self.v_peak + 1), v))

    def fire(self, state: MembraneState) -> tuple[MembraneState, Vector]:
        """See `Neuron`."""
        spikes = self.spike(state.v - self.v_peak)
        fired = jax.lax.stop_gradient(spikes) > 0
        return MembraneState(jnp.where(fired, self.v_reset, state.v)), spikes


class EIF(Neuron):
    r"""Exponential integrate-and-fire: a leaky membrane that makes its own upstroke.

    $C \dot v = -g_L (v - E_L) + g_L \Delta_T e^{(v - V_T)/\Delta_T} + I$, by exponential Euler:
    over a step v relaxes along the slope it has at the start of it.

    Attributes:
        capacitance: C, F.
        conductance: of the leak, $g_L$, S.
        v_leak, v_reset, v_peak: $E_L$, where a spike starts again and where it ends, V.
        v_threshold: $V_T$, V, where the upstroke begins.
        sharpness: $\Delta_T$, V.

    Source: Fourcaud-Trocme et al. (2003), J. Neurosci. 23:11628; defaults from Brette & Gerstner
    (2005), J. Neurophysiol. 94:3637, table 1.
    """

    capacitance: Parameter = 281e-12
    conductance: Parameter = 30e-9
    v_leak: Parameter = -70.6e-3
    v_threshold: Parameter = -50.4e-3
    sharpness: Parameter = 2e-3
    v_reset: Parameter = -70.6e-3
    v_peak: Parameter = 20e-3
    spike: Surrogate = SuperSpike()

    def __check_init__(self):
        require_positive(
            capacitance=self.capacitance, conductance=self.conductance, sharpness=self.sharpness
        )
        require_below("v_reset", self.v_reset, "v_peak", self.v_peak)

    def init(self, n: int) -> MembraneState:
        """At rest."""
        return MembraneState(jnp.full(n, self.v_leak, float))

    def flow(self, state: MembraneState, current: Vector, *, dt: float) -> MembraneState:
        """See the class; current in A."""
        return MembraneState(self._membrane(state.v, current, dt))

    def fire(self, state: MembraneState) -> tuple[MembraneState, Vector]:
        """See `Neuron`."""
        spikes = self.spike(state.v - self.v_peak)
        fired = jax.lax.stop_gradient(spikes) > 0
        return MembraneState(jnp.where(fired, self.v_reset, state.v)), spikes

    def _membrane(self, v: Vector, current: Vector, dt: float) -> Vector:
        # beyond the peak the spike is over: the exponential must not overflow
        upstroke = jnp.exp((jnp.minimum(v, self.v_peak) - self.v_threshold) / self.sharpness)
        force = (
            self.conductance * (self.v_leak - v + self.sharpness * upstroke) + current
        ) / self.capacitance
        slope = self.conductance / self.capacitance * (upstroke - 1)
        # at the peak the slope may be large: v need only pass it
        return v + dt * force * relative_growth(jnp.minimum(slope * dt, 10.0))


class AdExState(NamedTuple):
    """Carried by `AdEx`."""

    v: Vector  # V
    w: Vector  # adaptation current, A


class AdEx(EIF):
    r"""Adaptive exponential: an `EIF` less a current w that follows v and jumps with each spike.

    $\tau_w \dot w = a (v - E_L) - w$, and $w \leftarrow w + b$ at a spike.

    Attributes:
        tau_adapt: $\tau_w$, s.
        coupling: a, S.
        increment: b, A a spike.

    Source: Brette & Gerstner (2005), J. Neurophysiol. 94:3637, eqs. 1 to 3, table 1.
    """

    tau_adapt: Parameter = 144e-3
    coupling: Parameter = 4e-9
    increment: Parameter = 80.5e-12

    def __check_init__(self):
        require_positive(tau_adapt=self.tau_adapt)

    def init(self, n: int) -> AdExState:
        """At rest."""
        return AdExState(jnp.full(n, self.v_leak, float), jnp.zeros(n))

    def flow(self, state: AdExState, current: Vector, *, dt: float) -> AdExState:
        """See the class; current in A."""
        v = self._membrane(state.v, current - state.w, dt)
        middle = jnp.minimum(0.5 * (state.v + v), self.v_peak)
        target = self.coupling * (middle - self.v_leak)
        w = target + (state.w - target) * jnp.exp(-dt / jnp.asarray(self.tau_adapt))
        return AdExState(v, w)

    def fire(self, state: AdExState) -> tuple[AdExState, Vector]:
        """See `Neuron`."""
        spikes = self.spike(state.v - self.v_peak)
        fired = jax.lax.stop_gradient(spikes) > 0
        v = jnp.where(fired, self.v_reset, state.v)
        return AdExState(v, state.w + self.increment * spikes), spikes


class IzhikevichState(NamedTuple):
    """Carried by `Izhikevich`."""

    v: Vector  # mV
    u: Vector  # recovery, mV/ms


class Izhikevich(Neuron):
    r"""$\dot v = 0.04 v^2 + 5 v + 140 - u + I$, $\dot u = a (b v - u)$; at 30: v = c, u += d.

    In the published units, mV and ms, whatever dt is in seconds; integrated as published: a
    millisecond is two half steps of v and one step of u, and the spike that is seen at the end of
    a step resets at the start of the next.

    Attributes:
        a, b, c, d: the four numbers of the paper; defaults are regular spiking.

    Source: Izhikevich (2003), IEEE Trans. Neural Netw. 14:1569, eqs. 1 to 3 and its program.
    """

    a: Parameter = 0.02
    b: Parameter = 0.2
    c: Parameter = -65.0
    d: Parameter = 8.0

    def init(self, n: int) -> IzhikevichState:
        """V = -65 and u = b v, as in the paper's program."""
        v = jnp.full(n, -65.0, float)
        return IzhikevichState(v, self.b * v)

    def step(
        self, state: IzhikevichState, current: Vector, *, dt: float
    ) -> tuple[IzhikevichState, Vector]:
        """Advance dt seconds; current in the paper's unit. Spikes are of the state that came."""
        spikes = (state.v >= 30).astype(state.v.dtype)
        v = jnp.where(spikes > 0, self.c, state.v)
        u = jnp.where(spikes > 0, state.u + self.d, state.u)
        half = 500 * dt  # ms
        for _ in range(2):
            v = v + half * (0.04 * v * v + 5 * v + 140 - u + current)
        return IzhikevichState(v, u + 2 * half * self.a * (self.b * v - u)), spikes


class HodgkinHuxleyState(NamedTuple):
    """Carried by `HodgkinHuxley`."""

    v: Vector  # V
    m: Vector  # sodium activation
    h: Vector  # sodium inactivation
    n: Vector  # potassium activation
    above: Vector  # 1 while v is above v_threshold: a spike is counted as it gets there


class HodgkinHuxley(Neuron):
    r"""The squid axon.

    $C \dot v = I - \bar g_{Na} m^3 h (v - E_{Na}) - \bar g_K n^4 (v - E_K) - g_L (v - E_L)$.
    Gates relax exactly at fixed v, then v relaxes exactly at fixed gates (exponential Euler). A
    spike is the upward crossing of v_threshold.

    Attributes:
        capacitance: F/m^2.
        sodium, potassium, leak: peak conductances, S/m^2.
        e_sodium, e_potassium, e_leak, v_threshold: V.

    Source: Hodgkin & Huxley (1952), J. Physiol. 117:500, with rest at -65 mV as in Gerstner et al.
    (2014), Neuronal Dynamics, section 2.2.
    """

    capacitance: Parameter = 1e-2
    sodium: Parameter = 1200.0
    potassium: Parameter = 360.0
    leak: Parameter = 3.0
    e_sodium: Parameter = 50e-3
    e_potassium: Parameter = -77e-3
    e_leak: Parameter = -54.387e-3
    v_threshold: Parameter = 0.0

    def __check_init__(self):
        require_positive(capacitance=self.capacitance, leak=self.leak)
        require_nonnegative(sodium=self.sodium, potassium=self.potassium)

    def init(self, n: int) -> HodgkinHuxleyState:
        """At rest, -65 mV, with the gates settled there."""
        v = jnp.full(n, -65e-3, float)
        m, h, gate_n = (alpha / (alpha + beta) for alpha, beta in rates(v))
        return HodgkinHuxleyState(v, m, h, gate_n, jnp.zeros(n))

    def flow(self, state: HodgkinHuxleyState, current: Vector, *, dt: float) -> HodgkinHuxleyState:
        """See the class; current in A/m^2."""
        gates = []
        for gate, (alpha, beta) in zip(state[1:4], rates(state.v), strict=True):
            target = alpha / (alpha + beta)
            gates.append(target + (gate - target) * jnp.exp(-dt * (alpha + beta)))
        m, h, n = gates
        sodium, potassium = self.sodium * m**3 * h, self.potassium * n**4
        total = sodium + potassium + self.leak
        pull = sodium * self.e_sodium + potassium * self.e_potassium + self.leak * self.e_leak
        target = (pull + current) / total
        v = target + (state.v - target) * jnp.exp(-dt * total / self.capacitance)
        return HodgkinHuxleyState(v, m, h, n, state.above)

    def fire(self, state: HodgkinHuxleyState) -> tuple[HodgkinHuxleyState, Vector]:
        """See `Neuron`; nothing is reset."""
        above = (state.v > self.v_threshold).astype(state.v.dtype)
        return state._replace(above=above), above * (1 - state.above)


def rates(v: Float[Array, " n"]) -> tuple[tuple[Vector, Vector], ...]:
    """Opening and closing rates (1/s) of the gates m, h and n at v (V)."""
    mv = v * 1e3 + 65  # above rest
    bell = lambda x: 1 / relative_growth(x)  # x / (exp(x) - 1), 1 at 0
    return (
        (1e3 * bell((25 - mv) / 10), 4e3 * jnp.exp(-mv / 18)),
        (70 * jnp.exp(-mv / 20), 1e3 / (1 + jnp.exp((30 - mv) / 10))),
        (100 * bell((10 - mv) / 10), 125 * jnp.exp(-mv / 80)),
    )
