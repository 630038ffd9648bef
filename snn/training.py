"""Spiking layers that learn by gradients: through time with surrogates, or forwards by e-prop."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int, PRNGKeyArray

from snn.neurons import LI, LIF, Neuron
from snn.quantised import straight_through

Inputs = Float[Array, " inputs"] | Int[Array, " events"]

# what the way back needs and could not find again cheaply: products with weights. What neurons do
# with them is computed twice, which costs less than to write every intermediate and read it again
KEPT = jax.checkpoint_policies.save_only_these_names("current")


class Layer(eqx.Module):
    """Weights onto neurons, with weights among them where there are some.

    Attributes:
        weight: shape (inputs, n).
        neuron: of the layer.
        recurrent: shape (n, n), from the spikes of the step before, or None.
    """

    weight: Float[Array, "inputs n"]
    neuron: Neuron
    recurrent: Float[Array, "n n"] | None = None


class Events(NamedTuple):
    """Sparse input: who spikes in each step, each once; the number of inputs stands for nobody."""

    who: Int[Array, "*steps events"]


class NetworkState(NamedTuple):
    """What layers carry."""

    neurons: tuple  # states
    spikes: tuple[Float[Array, " _"], ...]  # of the step before


class SpikingNetwork(eqx.Module):
    """Layers one behind the other, all within a step.

    Attributes:
        layers: from the input to the read-out.
        dt: s.
    """

    layers: tuple[Layer, ...]
    dt: float = eqx.field(static=True)

    def init(self) -> NetworkState:
        """At rest."""
        sizes = [layer.weight.shape[1] for layer in self.layers]
        neurons = tuple(layer.neuron.init(n) for layer, n in zip(self.layers, sizes, strict=True))
        return NetworkState(neurons, tuple(jnp.zeros(n) for n in sizes))

    def step(
        self, state: NetworkState, x: Float[Array, " inputs"] | Events
    ) -> tuple[NetworkState, tuple[Float[Array, " _"], ...]]:
        """One step: the new state, and what every layer sent (the last is the read-out)."""
        neurons, sent = (), ()
        for layer, before, own in zip(self.layers, state.neurons, state.spikes, strict=True):
            current = _arrive(layer.weight, x)
            if layer.recurrent is not None:
                current = current + own @ layer.recurrent
            current = checkpoint_name(current, "current")
            after, x = layer.neuron.step(before, current, dt=self.dt)
            neurons, sent = (*neurons, after), (*sent, x)
        return NetworkState(neurons, sent), sent


def _arrive(weight: Float[Array, "inputs n"], x: Float[Array, " inputs"] | Events):
    """Current of a step; of sparse input, rows alone are read, and alone get a gradient."""
    if isinstance(x, Events):
        return jnp.sum(weight.at[x.who].get(mode="fill", fill_value=0), axis=0)
    return x @ weight


def rollout(network: SpikingNetwork, inputs: Any) -> tuple[Float[Array, "steps _"], ...]:
    """What every layer sends over time, from rest; inputs have a leading axis (steps,)."""
    return _scanned(network, network.init(), inputs)[1]


def _scanned(network: SpikingNetwork, state: NetworkState, inputs: Any):
    """All steps; for the way back, states and currents alone are kept of each."""
    step = lambda state, x: network.step(state, x)
    return jax.lax.scan(jax.checkpoint(step, policy=KEPT, prevent_cse=False), state, inputs)


def rollout_checkpointed(
    network: SpikingNetwork, inputs: Any, stretches: int
) -> tuple[Float[Array, "steps _"], ...]:
    r"""The same values and gradients with memory for $\sqrt T$ states: stretches run twice.

    Args:
        network: what to run.
        inputs: with a leading axis (steps,), a multiple of `stretches`.
        stretches: best near the root of the number of steps.

    Source: Chen et al. (2016), arXiv:1604.06174.
    """
    steps = jax.tree.leaves(inputs)[0].shape[0]
    if stretches < 1 or steps % stretches:
        raise ValueError(f"stretches must divide the {steps} steps, got {stretches}")
    cut = lambda a: a.reshape(stretches, steps // stretches, *a.shape[1:])
    stretch = jax.checkpoint(lambda state, xs: _scanned(network, state, xs))
    _, sent = jax.lax.scan(stretch, network.init(), jax.tree.map(cut, inputs))
    return jax.tree.map(lambda a: a.reshape(steps, *a.shape[2:]), sent)


def dense_layer(inputs: int, neuron: Neuron, n: int, scale: float, *, key: PRNGKeyArray) -> Layer:
    """Normal weights of deviation scale / sqrt(inputs)."""
    weight = jax.random.normal(key, (inputs, n)) * (scale / inputs**0.5)
    return Layer(weight, neuron)


def quantisation_aware(network: SpikingNetwork, bits: int) -> SpikingNetwork:
    """The network that a chip will run, to be trained: every weight on its integer grid.

    A loss of `quantisation_aware(network, bits)` sends its gradient to the weights of `network`,
    which stay real; what is deployed at the end is the same function of them.
    """
    matrices = lambda net: [
        matrix
        for layer in net.layers
        for matrix in (layer.weight, layer.recurrent)
        if matrix is not None
    ]
    rounded = [straight_through(matrix, bits) for matrix in matrices(network)]
    return eqx.tree_at(matrices, network, rounded)


def activity_penalty(
    spikes: Float[Array, "steps n"], band: tuple[float, float]
) -> Float[Array, ""]:
    """Mean squared distance of each neuron's number of spikes from a band, 0 within it.

    Source: Zenke & Vogels (2021), Neural Comput. 33:899, lower and upper bounds on activity.
    """
    count = jnp.sum(spikes, axis=0)
    low, high = band
    return jnp.mean(jax.nn.relu(low - count) ** 2 + jax.nn.relu(count - high) ** 2)


class Online(NamedTuple):
    """What e-prop carries beside the network: no history."""

    state: NetworkState
    eligible: Float[Array, "sources n"]  # d v / d w along the neuron itself
    filtered: Float[Array, "sources n"]  # eligibilities as the read-out's membranes see them
    spikes_seen: Float[Array, " n"]  # spikes as the read-out's membranes see them
    gradient: SpikingNetwork


def e_prop(
    network: SpikingNetwork,
    inputs: Float[Array, "steps inputs"],
    error: Callable[[Float[Array, " outputs"], Any], Float[Array, " outputs"]],
    targets: Any,
    feedback: Float[Array, "n outputs"] | None = None,
) -> SpikingNetwork:
    r"""Gradient of a loss on the read-out, forwards in time: eligibility times learning signal.

    For a hidden layer of `LIF` (hard reset) below a read-out of `LI`, with
    $\epsilon^t = \alpha (1 - z^{t-1}) \epsilon^{t-1} + (1 - \alpha) x^t$, $e = \psi \epsilon$ and
    $\bar e$ filtered as the read-out does: $dW = \sum_t (B\,\delta^t)\, \bar e^t$ with B the
    read-out's weights. It is the full gradient but for paths through the hidden layer's own
    recurrent spikes.

    Args:
        network: two layers; weights from inputs and from the layer itself learn alike.
        inputs: over time.
        error: derivative of the loss of one step by the read-out.
        targets: of each step, with a leading axis (steps,).
        feedback: B, where it is not the read-out's weights (random e-prop: an approximation).

    Source: Bellec et al. (2020), Nat. Commun. 11:3625, eqs. 1, 4, 5 and 22 to 24.
    """
    hidden, readout = network.layers
    if type(hidden.neuron) is not LIF or not isinstance(readout.neuron, LI):
        raise ValueError(
            "e_prop needs a layer of LIF below a read-out of LI, got "
            f"{type(hidden.neuron).__name__} and {type(readout.neuron).__name__}"
        )
    lif, dt = hidden.neuron, network.dt
    keep = jnp.exp(-dt / jnp.asarray(lif.tau_mem))
    leak = jnp.exp(-dt / jnp.asarray(readout.neuron.tau_mem))
    gain, out_gain = lif.r * (1 - keep), readout.neuron.r * (1 - leak)
    n, sources = hidden.weight.shape[1], hidden.weight.shape[0]
    recurrent = hidden.recurrent is not None
    back = readout.weight if feedback is None else feedback

    def step(online: Online, now):
        x, target = now
        before = online.state
        heard = jnp.concatenate([x, before.spikes[0]]) if recurrent else x
        # the membrane before its reset tells the surrogate's slope
        current = x @ hidden.weight + (before.spikes[0] @ hidden.recurrent if recurrent else 0.0)
        v = lif.flow(before.neurons[0], current, dt=dt).v
        state, (_, y) = network.step(before, x)
        silent = 1 - before.spikes[0]
        eligible = keep * silent[None, :] * online.eligible + gain * heard[:, None]
        slope = lif.spike.slope(v - lif.v_threshold)
        filtered = leak * online.filtered + out_gain * slope[None, :] * eligible
        seen = leak * online.spikes_seen + out_gain * state.spikes[0]
        delta = error(y, target)
        signal = back @ delta
        change = filtered * signal[None, :]
        total = online.gradient.layers
        layers = (
            eqx.tree_at(
                lambda layer: (layer.weight, layer.recurrent),
                total[0],
                (
                    total[0].weight + change[:sources],
                    total[0].recurrent + change[sources:] if recurrent else None,
                ),
                is_leaf=lambda leaf: leaf is None,
            ),
            eqx.tree_at(
                lambda layer: layer.weight, total[1], total[1].weight + jnp.outer(seen, delta)
            ),
        )
        gradient = eqx.tree_at(lambda g: g.layers, online.gradient, layers)
        return Online(state, eligible, filtered, seen, gradient), None

    nothing = jax.tree.map(jnp.zeros_like, eqx.filter(network, eqx.is_array))
    zero = jnp.zeros((sources + n * recurrent, n))
    start = Online(network.init(), zero, zero, jnp.zeros(n), nothing)
    return jax.lax.scan(step, start, (inputs, targets))[0].gradient
