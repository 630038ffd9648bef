"""What an arriving spike does: kinetics of currents and conductances, and short-term plasticity.

A kinetic's `step` adds what arrives at the start of a step and gives the amplitude over it; its
`drive` turns the amplitude into what a membrane feels.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from snn.neurons import Drive, Vector
from snn.parameters import Parameter, require_below, require_nonnegative, require_positive


class Synapse(eqx.Module):
    """What all kinetics share: the amplitude is a current."""

    def drive(self, amplitude: Vector, v: Vector) -> Vector | Drive:
        """What the membrane feels at potential v."""
        return amplitude


class Delta(Synapse):
    r"""A spike of weight w moves the membrane by w at once: $v \leftarrow v + w$.

    It is a current that fills the step and lifts an exactly integrated membrane of time constant
    tau_mem and resistance 1 by just that: $w / (1 - e^{-\Delta / \tau})$.

    Attributes:
        tau_mem: that of the neuron, s.
    """

    tau_mem: Parameter

    def __check_init__(self):
        require_positive(tau_mem=self.tau_mem)

    def init(self, n: int) -> tuple[()]:
        """Nothing is carried."""
        return ()

    def step(self, state: tuple[()], arriving: Vector, *, dt: float) -> tuple[tuple[()], Vector]:
        """See the class."""
        return state, arriving / -jnp.expm1(-dt / jnp.asarray(self.tau_mem))


class Impulse(Synapse):
    """What arrives is handed on as it is, for neurons with kinetics of their own: `CubaLIF`."""

    def init(self, n: int) -> tuple[()]:
        """Nothing is carried."""
        return ()

    def step(self, state: tuple[()], arriving: Vector, *, dt: float) -> tuple[tuple[()], Vector]:
        """See the class."""
        return state, arriving


class ExponentialState(NamedTuple):
    """Carried by `Exponential`."""

    g: Vector


class Exponential(Synapse):
    r"""$\tau \dot g = -g$, $g \leftarrow g + w$ at a spike."""

    tau_syn: Parameter

    def __check_init__(self):
        require_positive(tau_syn=self.tau_syn)

    def init(self, n: int) -> ExponentialState:
        """Silent."""
        return ExponentialState(jnp.zeros(n))

    def step(
        self, state: ExponentialState, arriving: Vector, *, dt: float
    ) -> tuple[ExponentialState, Vector]:
        """The amplitude at the start of the step, with what arrives; the state has decayed."""
        g = state.g + arriving
        return ExponentialState(g * jnp.exp(-dt / jnp.asarray(self.tau_syn))), g


class TwoStageState(NamedTuple):
    """Carried by `Alpha` and `DoubleExponential`."""

    rise: Vector
    g: Vector


class Alpha(Synapse):
    r"""$g(t) = w \frac{t}{\tau} e^{1 - t/\tau}$ after a spike: its peak is w, at $\tau$. Exact."""

    tau_syn: Parameter

    def __check_init__(self):
        require_positive(tau_syn=self.tau_syn)

    def init(self, n: int) -> TwoStageState:
        """Silent."""
        return TwoStageState(jnp.zeros(n), jnp.zeros(n))

    def step(
        self, state: TwoStageState, arriving: Vector, *, dt: float
    ) -> tuple[TwoStageState, Vector]:
        """The amplitude at the start of the step; the state has moved to its end."""
        rise = state.rise + arriving * jnp.e
        decay = jnp.exp(-dt / jnp.asarray(self.tau_syn))
        grown = (state.g + rise * (dt / self.tau_syn)) * decay
        return TwoStageState(rise * decay, grown), state.g


class DoubleExponential(Synapse):
    r"""$g(t) = w c (e^{-t/\tau_d} - e^{-t/\tau_r})$ after a spike, with c for a peak of w. Exact.

    Attributes:
        tau_rise, tau_decay: s, the first the smaller.
    """

    tau_rise: Parameter
    tau_decay: Parameter

    def __check_init__(self):
        require_positive(tau_rise=self.tau_rise)
        require_below("tau_rise", self.tau_rise, "tau_decay", self.tau_decay)

    def init(self, n: int) -> TwoStageState:
        """Silent; g holds the slow term and rise the fast one."""
        return TwoStageState(jnp.zeros(n), jnp.zeros(n))

    def step(
        self, state: TwoStageState, arriving: Vector, *, dt: float
    ) -> tuple[TwoStageState, Vector]:
        """The amplitude at the start of the step, with what arrives; the state has decayed."""
        rise, decay = jnp.asarray(self.tau_rise), jnp.asarray(self.tau_decay)
        peak = rise * decay / (decay - rise) * jnp.log(decay / rise)
        scaled = arriving / (jnp.exp(-peak / decay) - jnp.exp(-peak / rise))
        fast, slow = state.rise + scaled, state.g + scaled
        after = TwoStageState(fast * jnp.exp(-dt / rise), slow * jnp.exp(-dt / decay))
        return after, slow - fast


class Conductance(Synapse):
    """Any kinetics, as a conductance relative to the leak that pulls towards a reversal potential.

    Attributes:
        kinetics: of the conductance.
        reversal: V.
    """

    kinetics: Synapse
    reversal: Parameter

    def init(self, n: int) -> Any:
        """Silent."""
        return self.kinetics.init(n)

    def step(self, state: Any, arriving: Vector, *, dt: float) -> tuple[Any, Vector]:
        """As the kinetics do."""
        return self.kinetics.step(state, arriving, dt=dt)

    def drive(self, amplitude: Vector, v: Vector) -> Drive:
        """See `snn.neurons.ConductanceLIF`."""
        return Drive(amplitude * self.reversal, amplitude)


class NMDA(Conductance):
    r"""A conductance that magnesium blocks: $g / (1 + \frac{[Mg]}{3.57} e^{-62 v})$, v in V.

    The block is that of the potential at the start of the step.

    Attributes:
        magnesium_mm: $[Mg^{2+}]$ outside, mmol/l.

    Source: Jahr & Stevens (1990), J. Neurosci. 10:3178, eq. 4a, with v in mV there.
    """

    magnesium_mm: Parameter = 1.0

    def __check_init__(self):
        require_nonnegative(magnesium_mm=self.magnesium_mm)

    def drive(self, amplitude: Vector, v: Vector) -> Drive:
        """See the class."""
        open_ = amplitude / (1 + self.magnesium_mm / 3.57 * jnp.exp(-62 * v))
        return Drive(open_ * self.reversal, open_)


def combine(drives: list[Vector | Drive]) -> Vector | Drive:
    """The sum of what several synapses do: a current, or a current and a conductance."""
    currents, conductances = [], []
    for drive in drives:
        if isinstance(drive, Drive):
            currents.append(drive.current)
            conductances.append(drive.conductance)
        else:
            currents.append(drive)
    return Drive(sum(currents), sum(conductances)) if conductances else sum(currents)


class ReleaseState(NamedTuple):
    """Carried by `ShortTermPlasticity`."""

    u: Vector  # utilisation
    x: Vector  # resources left


class ShortTermPlasticity(eqx.Module):
    r"""Synapses that tire and facilitate: $\dot u = -u/\tau_f$, $\dot x = (1 - x)/\tau_d$.

    At a presynaptic spike $u \leftarrow u + U (1 - u)$, the weight counts $u x$, then
    $x \leftarrow x - u x$. Exact between spikes.

    Attributes:
        utilisation: U. tau_facilitation, tau_depression: s.

    Source: Tsodyks, Pawelzik & Markram (1998), Neural Comput. 10:821; Scholarpedia 8(10):3153.
    """

    utilisation: Parameter
    tau_facilitation: Parameter
    tau_depression: Parameter

    def __check_init__(self):
        require_positive(
            utilisation=self.utilisation,
            tau_facilitation=self.tau_facilitation,
            tau_depression=self.tau_depression,
        )

    def init(self, n: int) -> ReleaseState:
        """Rested."""
        return ReleaseState(jnp.zeros(n), jnp.ones(n))

    def step(
        self, state: ReleaseState, spikes: Shaped[Array, " n"], *, dt: float
    ) -> tuple[ReleaseState, Vector]:
        """The new state; what each neuron's weights count at this step's spike, else 0."""
        u = state.u * jnp.exp(-dt / jnp.asarray(self.tau_facilitation))
        x = 1 - (1 - state.x) * jnp.exp(-dt / jnp.asarray(self.tau_depression))
        risen = u + self.utilisation * (1 - u)
        released = jnp.where(spikes > 0, risen * x, 0.0)
        return ReleaseState(jnp.where(spikes > 0, risen, u), x - released), released


def gap_current(conductance: Float[Array, "n n"], v: Float[Array, " n"]) -> Float[Array, " n"]:
    """Current through gap junctions, sum_j g_ij (v_j - v_i); g symmetric, relative to the leak."""
    return conductance @ v - jnp.sum(conductance, axis=1) * v
