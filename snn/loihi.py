"""The integer neuron of Loihi, bit for bit: 24-bit state, 12-bit decays, wrap and clip."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

LIMIT = 2**23  # state is 24 bits with the sign
FINE = 6  # weights and thresholds count in steps of 2^6 of the state

Integers = Int[Array, " n"]


class LoihiState(NamedTuple):
    """Carried by `LoihiCuba`."""

    u: Integers  # synaptic current
    v: Integers  # membrane potential


class LoihiCuba(eqx.Module):
    r"""Current-based leaky integrate-and-fire in the integers of Loihi.

    With $D(x, d) = \mathrm{sign}(x) \lfloor |x| (4096 - d) / 4096 \rfloor$, in every step
    $u \leftarrow D(u, d_u) + 2^6 a$, wrapped at $\pm 2^{23}$, and
    $v \leftarrow D(v, d_v) + u + b\,2^e$, clipped to $\pm (2^{23} - 1)$, where a sums the weights
    of arriving spikes. A neuron with $v > 2^6 v_{th} - \delta$ spikes and is set to 0.

    Attributes:
        current_decay: $d_u$, 0 to 4096. Lava writes du = current_decay - 1.
        voltage_decay: $d_v$, 0 to 4096; Lava's dv.
        threshold_mantissa: $v_{th}$, 17 bits.
        bias_mantissa, bias_exponent: b, 13 bits with the sign, and e, 0 to 7.
        at_threshold: $\delta$; 1 spikes at the threshold too, as lava-dl's networks do.

    Source: Davies et al. (2018), IEEE Micro 38(1):82; Intel's Lava 0.10, the bit-accurate model of
    its LIF process.
    """

    current_decay: int
    voltage_decay: int
    threshold_mantissa: int
    bias_mantissa: int = 0
    bias_exponent: int = 0
    at_threshold: int = 0

    def __check_init__(self):
        bounds = {
            "current_decay": (0, 4096),
            "voltage_decay": (0, 4096),
            "threshold_mantissa": (0, 2**17 - 1),
            "bias_mantissa": (-(2**12), 2**12 - 1),
            "bias_exponent": (0, 7),
            "at_threshold": (0, 1),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie in [{low}, {high}], got {getattr(self, name)}")

    def init(self, n: int) -> LoihiState:
        """At zero."""
        return LoihiState(jnp.zeros(n, jnp.int32), jnp.zeros(n, jnp.int32))

    def step(self, state: LoihiState, arriving: Integers) -> tuple[LoihiState, Integers]:
        """One time step: the new state, and spikes (n,), 0 or 1.

        Args:
            state: before the step.
            arriving: sum of the weights that spikes of the step before reached, below 2^17.
        """
        u = wrap(decay(state.u, self.current_decay) + (arriving << FINE))
        bias = self.bias_mantissa << self.bias_exponent
        v = jnp.clip(decay(state.v, self.voltage_decay) + u + bias, 1 - LIMIT, LIMIT - 1)
        spikes = (v > (self.threshold_mantissa << FINE) - self.at_threshold).astype(jnp.int32)
        return LoihiState(u, jnp.where(spikes > 0, 0, v)), spikes


def decay(x: Integers, amount: int) -> Integers:
    """D(x, d) of `LoihiCuba`; the 36-bit product is split so that 32 bits hold its parts."""
    size, keep = jnp.abs(x), 4096 - amount
    return jnp.sign(x) * ((size >> 12) * keep + (((size & 4095) * keep) >> 12))


def wrap(x: Integers) -> Integers:
    """What is left of a current that overflows: its size modulo 2^23, with its sign."""
    wrapped = jnp.sign(x) * (jnp.abs(x) % LIMIT)
    return jnp.where((x > LIMIT) | (x <= -LIMIT), wrapped, x)
