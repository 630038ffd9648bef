"""Graphs run on emulated cores: any chip's neurons, and those of Loihi as SANA-FE has them."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num

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
    v_threshold: float | Float[Array, " n"]
    v_reset: float
    leak_decay: float
    input_decay: float

    def __init__(
        self,
        graph: Graph,
        bias: Float[np.ndarray, " n"],
        *,
        v_threshold: float | Float[np.ndarray, " n"] = 1.0,
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
        whole = isinstance(v_threshold, np.ndarray)
        self.v_threshold = jnp.asarray(v_threshold) if whole else v_threshold
        self.v_reset = v_reset
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


class LineState(NamedTuple):
    """Neurons, and what is on its way to them."""

    neurons: Any
    line: Num[Array, "delays n"]  # sums of weights that will arrive after 1, 2, ... steps


class Cores(eqx.Module):
    """Neurons of a chip with its weights, delays included, as the mapped graph joins them.

    Attributes:
        neuron: the chip's; steps its whole population.
        pre, post, weight, delay: synapses, shape (m,); weights in the chip's own unit, integers
            where it has integers.
        external: which neurons are driven from outside, shape (n,).
        longest: the longest delay, in steps.
    """

    neuron: eqx.Module
    pre: Int[Array, " m"]
    post: Int[Array, " m"]
    weight: Num[Array, " m"]
    delay: Int[Array, " m"]
    external: Bool[Array, " n"]
    longest: int = eqx.field(static=True)

    def __init__(self, graph: Graph, neuron: eqx.Module, weight: Num[np.ndarray, " m"]):
        synapses = graph.synapses
        if weight.shape != synapses.weight.shape:
            expected, got = synapses.weight.shape, weight.shape
            raise ValueError(f"weight must have shape {expected}, got {got}")
        self.neuron = neuron
        self.pre, self.post = jnp.asarray(synapses.pre), jnp.asarray(synapses.post)
        whole = np.issubdtype(weight.dtype, np.integer)
        self.weight = jnp.asarray(weight, jnp.int32 if whole else jnp.float32)
        self.delay, self.external = jnp.asarray(synapses.delay), jnp.asarray(graph.external)
        self.longest = int(synapses.delay.max(initial=1))

    def init(self) -> LineState:
        """At rest, with nothing on its way."""
        n = self.external.size
        return LineState(self.neuron.init(n), jnp.zeros((self.longest, n), self.weight.dtype))

    def step(self, state: LineState, driven: Num[Array, " n"]) -> tuple[LineState, Activity]:
        """One step, in which the external neurons send `driven` spikes.

        Returns: the new state; how many spikes each sent, and who had something to integrate.
        """
        arriving, rest = state.line[0], jnp.roll(state.line, -1, axis=0).at[-1].set(0)
        neurons, fired = self.neuron.step(state.neurons, arriving)
        spikes = jnp.where(self.external, driven.astype(jnp.int32), fired.spikes)
        sent = self.weight * spikes[self.pre]
        line = rest.at[self.delay - 1, self.post].add(sent)
        return LineState(neurons, line), Activity(spikes, fired.active | (spikes > 0))
