"""Synapses of a spiking belief that learn by coincidence: pairs of spikes are Dirichlet counts."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from snn.spiking_beliefs import BeliefState, SpikingBelief
from snn.spiking_beliefs_firing import Firing, IntegrateAndFire
from snn.spiking_beliefs_rivals import Cycle, Timing

Outcomes = tuple[Int[Array, ""], ...]


class SynapseState(NamedTuple):
    """A belief that learns."""

    belief: BeliefState
    told: Float[Array, " states"]  # the last belief read out
    shares: Float[Array, " states"]  # of each population in the last window; zero before
    a: tuple[Float[Array, "_ states"], ...]  # counts of A, one matrix a modality
    b: Float[Array, "states states actions"]  # counts of B


class LearningBelief(eqx.Module):
    r"""A spiking belief whose synapses hold Dirichlet counts and learn from their own two ends.

    In the window of a cycle that outcome o drove, under action a, population i fires $n_i$ times;
    it fired $n'_j$ times in the window before. With M and M' the spikes of all,

    $\Delta a_{o i} = n_i / M, \qquad \Delta b_{i j a} = n_i n'_j / (M M')$:

    a spike of a state's neuron that meets the trace of a sense, or of a spike of the cycle before,
    deposits one share. Without a pseudo-count this is unbiased for the conjugate update
    $\Delta a_{o i} = s_i$, $\Delta b_{i j a} = s_i s'_j$ by filtered beliefs, s and s'. A synapse
    conducts its count over the sum of counts at its own end: A over the senses that reach a
    neuron, B over the targets of a neuron.

    Attributes:
        prior: D, shape (states,).
        neurons: N, neurons a state.
        timing: the clock.
        firing: what turns rates into spikes.

    Source: the conjugate update by filtered beliefs of Da Costa et al. (2020), J. Math. Psychol.
        99, 102447; as coincidence, the rule of Isomura & Friston (2020), Neural Comput. 32.
    """

    prior: Float[Array, " states"]
    neurons: int = eqx.field(static=True)
    timing: Timing = eqx.field(static=True, default=Timing())
    firing: Firing = IntegrateAndFire()

    def beliefs(
        self, a: tuple[Float[Array, "_ states"], ...], b: Float[Array, "states states actions"]
    ) -> SpikingBelief:
        """The populations with the synapses that counts expect."""
        mean = lambda counts: counts / jnp.sum(counts, axis=0, keepdims=True)
        likelihoods = tuple(mean(counts) for counts in a)
        return SpikingBelief(
            likelihoods, mean(b), self.prior, self.neurons, self.timing, self.firing
        )

    def init(
        self, a: tuple[Float[Array, "_ states"], ...], b: Float[Array, "states states actions"]
    ) -> SynapseState:
        """Before any observation, with counts that stand for what is known already."""
        start = self.beliefs(a, b).init()
        return SynapseState(start, self.prior, jnp.zeros_like(self.prior), a, b)

    def step(
        self, state: SynapseState, seen: tuple[Outcomes, Int[Array, ""]]
    ) -> tuple[SynapseState, Cycle]:
        """One cycle: the outcomes now, and the action before them; the first one's is not used."""
        observation, action = seen
        beliefs = self.beliefs(state.a, state.b)
        started = jnp.any(state.shares > 0)
        moved = beliefs.expect(state.belief, state.told, action)
        belief = jax.tree.map(lambda x, y: jnp.where(started, x, y), moved, state.belief)
        belief, cycle = beliefs.step(belief, observation)
        counted = cycle.raster[-self.timing.counted :]
        heard = jnp.sum(counted, axis=(0, 2))
        fired = heard / jnp.sum(heard)
        a = tuple(c.at[o].add(fired) for c, o in zip(state.a, observation, strict=True))
        b = state.b.at[:, :, action].add(fired[:, None] * state.shares[None, :])
        return SynapseState(belief, cycle.belief, fired, a, b), cycle
