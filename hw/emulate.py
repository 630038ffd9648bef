"""A graph run on emulated cores: the neuron of Loihi as SANA-FE models it."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from hw.events import Activity
from hw.graph import Graph

GRID = 64  # membrane potentials are kept in steps of 1/64


class CoreState(NamedTuple):
    """What cores carry from step to step."""

    v: Float[Array, " n"]  # membrane potential
    u: Float[Array, " n"]  # synaptic current
    arriving: Float[Array, " n"]  # sum of the weights that last step's spikes reached
    touched: Bool[Array, " n"]  # whether any did


class LoihiCores(eqx.Module):
    r"""Leaky integrate-and-fire neurons on Loihi's cores, all synapses one step long.

    In every step $u \leftarrow d_u u + I$ and $v \leftarrow \mathrm{trunc}_{1/64}(d_v v) + b + u$;
    a neuron with v > v_threshold spikes and is set to v_reset. I sums the weights that the
    spikes of the step before reached.

    Attributes:
        pre, post, weight: synapses, shape (m,).
        bias: b, added each step, shape (n,).
        external: which neurons are driven from outside, shape (n,).
        v_threshold, v_reset: in units of the weights.
        leak_decay, input_decay: d_v and d_u.

    Source: Boyle et al. (2025), IEEE TCAD 44(8):3165-3178, Loihi's soma model. Weights, biases
    and decays that are short binary fractions make float32 exact.
    """

    pre: Int[Array, " m"]
    post: Int[Array, " m"]
    weight: Float[Array, " m"]
    bias: Float[Array, " n"]
    external: Bool[Array, " n"]
    v_threshold: float
    v_reset: float
    leak_decay: float
    input_decay: float

    def __init__(
        self,
        graph: Graph,
        bias: Float[np.ndarray, " n"],
        *,
        v_threshold: float = 1.0,
        v_reset: float = 0.0,
        leak_decay: float = 1.0,
        input_decay: float = 0.0,
    ):
        synapses = graph.synapses
        if bias.shape != (graph.size,):
            raise ValueError(f"bias must have shape ({graph.size},), got {bias.shape}")
        if (synapses.delay != 1).any():
            raise ValueError(f"delays must all be 1 step, got up to {synapses.delay.max()}")
        for name, decay in (("leak_decay", leak_decay), ("input_decay", input_decay)):
            if not 0 <= decay <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {decay}")
        self.pre, self.post = jnp.asarray(synapses.pre), jnp.asarray(synapses.post)
        self.weight, self.bias = jnp.asarray(synapses.weight), jnp.asarray(bias)
        self.external = jnp.asarray(graph.external)
        self.v_threshold, self.v_reset = v_threshold, v_reset
        self.leak_decay, self.input_decay = leak_decay, input_decay

    def init(self) -> CoreState:
        """At rest."""
        zero = jnp.zeros_like(self.bias)
        return CoreState(zero, zero, zero, zero > 0)

    def step(self, state: CoreState, driven: Bool[Array, " n"]) -> tuple[CoreState, Activity]:
        """One step, in which the external ones among `driven` spike.

        Returns: the new state; who spiked, and who had something to integrate.
        """
        active = (state.v != 0) | state.touched | (self.bias != 0)
        u = self.input_decay * state.u + state.arriving
        v = jnp.trunc(self.leak_decay * state.v * GRID) / GRID + self.bias + u
        spikes = jnp.where(self.external, driven, v > self.v_threshold)
        v = jnp.where(spikes, self.v_reset, v)
        sent = spikes[self.pre]
        collect = lambda values: jax.ops.segment_sum(values, self.post, self.bias.size)
        arriving = collect(jnp.where(sent, self.weight, 0))
        state = CoreState(v, u, arriving, collect(sent.astype(jnp.int32)) > 0)
        return state, Activity(spikes, active | spikes)
