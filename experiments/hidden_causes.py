"""Competing spiking neurons whose STDP is expectation maximisation, and what they approximate.

Inputs come in pairs, one for black and one for white of each pixel, and fire at random; so do the
outputs, at a constant total rate, and which of them fires is drawn from the softmax of their
potentials.

Source: Nessler, Pfeiffer, Buesing & Maass (2013), PLoS Comput. Biol. 9(4), e1003037. The total
rate of 200 Hz and the window of 10 ms are known from secondary sources; the other numbers are ours.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from snn.parameters import Parameter
from snn.plasticity import Change, SpikeTimingRule, Traces
from snn.stochastic_neurons import PoissonSource

DT = 1e-3
WINDOW_S, TOTAL_HZ, SHOWN_S = 10e-3, 200.0, 50e-3
ACTIVE_HZ = 40.0  # of the neuron of a pair that is meant; the other is silent
SLOWEST = 2e-3  # rate of weights, which starts at 1/20 and falls with the neuron's spikes
PRIOR = 2e-4  # of excitability: a stimulus is ten spikes of one neuron, whatever its cause
LEAST = -6.0  # nats; no weight falls lower


class Circuit(NamedTuple):
    """What plasticity changes."""

    weights: Float[Array, "inputs neurons"]  # nats
    excitability: Float[Array, " neurons"]  # nats
    spikes: Float[Array, " neurons"]  # so far


class Logarithmic(eqx.Module):
    """A step of a moving mean, in its logarithm.

    Attributes:
        rate: of the mean.
    """

    rate: Parameter

    def __call__(self, weight: Change, active: Change) -> Change:
        """The new weight."""
        return jnp.clip(weight + self.rate * (jnp.exp(-weight) * active - 1), LEAST, 0.0)


class CausalWindow(SpikeTimingRule):
    r"""What was active just before a spike grows likelier for it, all else less likely.

    $\Delta w = \eta\,(e^{-w} x - 1)$ at a postsynaptic spike, with x = 1 if the input fired within
    the window before it, else 0; at rest $e^w$ is the probability that it did. The bound has the
    weight's part of it. A trace is the time for which a spike is still remembered.

    Attributes:
        window: s.
    """

    window: float = WINDOW_S

    @property
    def taus(self):
        """One trace before, none behind."""
        return (self.window,), ()

    def decayed(self, traces: Traces, dt: float) -> Traces:
        """The time that is left."""
        return traces._replace(pre=tuple(jnp.maximum(t - dt, 0.0) for t in traces.pre))

    def marked(self, traces: tuple[Change, ...], spikes: Change) -> tuple[Change, ...]:
        """The whole window after a spike."""
        return tuple(jnp.where(spikes > 0, self.window, trace) for trace in traces)

    def at_post(self, pre: tuple[Change, ...], post: tuple[Change, ...]) -> Change:
        """What is remembered; half a step: what rounding has left is nothing."""
        return (pre[0] > DT / 2).astype(pre[0].dtype)


RULE = CausalWindow(Logarithmic(SLOWEST))


class Seen(NamedTuple):
    """What came of a stimulus."""

    counts: Float[Array, " neurons"]  # spikes
    pairs: Float[Array, "inputs neurons"]  # of them, those that found each input active
    last: Float[Array, " inputs"]  # what was active at the end


def show(
    circuit: Circuit, black: Bool[Array, " pixels"], key: Array, *, learning: bool
) -> tuple[Circuit, Seen]:
    """One stimulus, from silence: the circuit after it, and what came of it."""
    inputs, neurons = circuit.weights.shape
    senses = PoissonSource(ACTIVE_HZ * jnp.concatenate([black, ~black]))

    def spike(circuit, seen, key):
        active = seen.last
        who = jax.random.categorical(key, circuit.excitability + active @ circuit.weights)
        winner = (jnp.arange(neurons) == who).astype(active.dtype)
        if learning:
            return _learnt(circuit, active, who, winner), seen._replace(counts=seen.counts + winner)
        pairs = seen.pairs.at[:, who].add(active)
        return circuit, Seen(seen.counts + winner, pairs, active)

    def step(carry, key):
        circuit, seen, traces = carry
        heard, fires, who = jax.random.split(key, 3)
        traces = RULE.decayed(traces, DT)
        spikes = senses.sample(inputs, dt=DT, key=heard)
        traces = traces._replace(pre=RULE.marked(traces.pre, spikes))
        seen = seen._replace(last=RULE.at_post(traces.pre, ()))
        fired = PoissonSource(TOTAL_HZ).sample(1, dt=DT, key=fires)[0] > 0
        silence = lambda circuit, seen, _: (circuit, seen)
        return (*jax.lax.cond(fired, spike, silence, circuit, seen, who), traces), None

    pairs = jnp.zeros((0 if learning else inputs, neurons))
    start = Seen(jnp.zeros(neurons), pairs, jnp.zeros(inputs))
    keys = jax.random.split(key, round(SHOWN_S / DT))
    carry, _ = jax.lax.scan(step, (circuit, start, RULE.init(inputs, neurons)), keys)
    return carry[:2]


def _learnt(circuit: Circuit, active: Array, who: Array, winner: Array) -> Circuit:
    """The circuit after a spike of neuron `who`."""
    w, b, spikes = circuit
    rule = CausalWindow(Logarithmic(jnp.maximum(1 / (20 + spikes[who]), SLOWEST)))
    w = w.at[:, who].set(rule.bound(w[:, who], active))
    b = jnp.maximum(b + PRIOR * (jnp.exp(-b) * winner - 1), LEAST)
    return Circuit(w, b, spikes + winner)


def mixture(circuit: Circuit, active: Float[Array, "n inputs"]) -> Float[Array, "n neurons"]:
    """Log probability of each window with each cause, under the mixture that the circuit holds.

    It is one of the colours of those pixels that fired: each pixel's pair is made to sum to one.
    """
    black, white = jnp.split(circuit.weights, 2)
    weights = circuit.weights - jnp.tile(jnp.logaddexp(black, white), (2, 1))
    return active @ weights + jax.nn.log_softmax(circuit.excitability)[None]


def log_likelihood(circuit: Circuit, active: Float[Array, "n inputs"]) -> Float[Array, ""]:
    """Of a window under that mixture, nats, mean."""
    return jnp.mean(jax.nn.logsumexp(mixture(circuit, active), axis=1))


def maximise(circuit: Circuit, active: Float[Array, "n inputs"]) -> Circuit:
    """One sweep of expectation maximisation over all windows."""
    share = jax.nn.softmax(mixture(circuit, active), axis=1)
    total = jnp.sum(share, axis=0)
    weights = jnp.log(jnp.maximum(active.T @ share / total[None], jnp.exp(LEAST)))
    return circuit._replace(weights=weights, excitability=jnp.log(total / len(active)))


@jax.jit
def learn(circuit: Circuit, black: Bool[Array, "n pixels"], key: Array) -> Circuit:
    """Stimuli one after another."""
    keys = jax.random.split(key, len(black))
    one = lambda circuit, now: (show(circuit, *now, learning=True)[0], None)
    return jax.lax.scan(one, circuit, (black, keys))[0]


@jax.jit
def hold(
    circuit: Circuit, black: Bool[Array, "n pixels"], key: Array
) -> tuple[Seen, Float[Array, "inputs neurons"]]:
    """Stimuli under a circuit that does not learn: what came of each, and the sum of the pairs."""

    def one(total, now):
        _, seen = show(circuit, *now, learning=False)
        return total + seen.pairs, seen._replace(pairs=seen.pairs[:0])

    keys = jax.random.split(key, len(black))
    total, seen = jax.lax.scan(one, jnp.zeros_like(circuit.weights), (black, keys))
    return seen, total
