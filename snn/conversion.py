"""Trained rate networks as integrate-and-fire neurons, with a read-out at any time."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fep.predictive_coding.network import PCNetwork
from snn.integrate_and_fire import IFState, RectifiedIF, along

Units = Float[Array, "*units"]
Values = Float[Array, "..."]  # of any shape, one input's
Samples = Float[Array, "samples ..."]


class ClipFloorShift(eqx.Module):
    r"""What L steps of a `RectifiedIF` with $V = \lambda$ and $v_0 = V/2$ make of their input.

    $f(x) = \frac{\lambda}{L} \mathrm{clip}(\lfloor x L / \lambda + 1/2 \rfloor, 0, L)$, with the
    gradient of a clipped identity in x, and its own in $\lambda$.

    Attributes:
        threshold: lambda, trained with the weights.
        levels: L.

    Source: Bu et al. (2022), Optimal ANN-SNN conversion, ICLR.
    """

    threshold: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    levels: int = eqx.field(static=True)

    def __check_init__(self):
        if self.levels < 1:
            raise ValueError(f"levels must be at least 1, got {self.levels}")

    def __call__(self, x: Units) -> Units:
        """Quantised activations."""
        share = jnp.clip(x / self.threshold, 0.0, 1.0)
        stepped = jnp.clip(jnp.floor(x / self.threshold * self.levels + 0.5), 0, self.levels)
        return self.threshold * (share + jax.lax.stop_gradient(stepped / self.levels - share))


class Chain(eqx.Module):
    """Linear layers that follow one another without an activation between them."""

    layers: tuple[Callable, ...]

    def __call__(self, x: Values) -> Values:
        """What the last of them says."""
        for layer in self.layers:
            x = layer(x)
        return x


class Affine(eqx.Module):
    """W x + b."""

    weight: Float[Array, "outputs inputs"]
    bias: Float[Array, " outputs"]

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        """The outputs for one input."""
        return self.weight @ x + self.bias


class RateNetwork(eqx.Module):
    """Alternately chains of linear layers and activations; the last chain reads out.

    Attributes:
        chains: of linear layers: dense, convolution, average pooling, reshaping.
        activations: after each chain but the last: `jax.nn.relu` or `ClipFloorShift`.
    """

    chains: tuple[Chain, ...]
    activations: tuple[Callable, ...]

    def __check_init__(self):
        if len(self.activations) != len(self.chains) - 1:
            found = f"{len(self.activations)} for {len(self.chains)} chains"
            raise ValueError(f"every chain but the last needs an activation, got {found}")
        for activation in self.activations:
            if activation is not jax.nn.relu and not isinstance(activation, ClipFloorShift):
                raise ValueError(f"activations must be relu or ClipFloorShift, got {activation}")
        for layer in (layer for chain in self.chains for layer in chain.layers):
            if isinstance(layer, eqx.nn.MaxPool1d | eqx.nn.MaxPool2d | eqx.nn.MaxPool3d):
                raise ValueError("a chain must be linear, got max pooling; train average pooling")

    @classmethod
    def of(cls, network: eqx.nn.MLP | eqx.nn.Sequential | PCNetwork) -> "RateNetwork":
        """A network of equinox, or a predictive-coding network's feed-forward sweep, split up.

        Raises: ValueError if an activation is not one that spikes can carry.
        """
        if isinstance(network, eqx.nn.MLP):
            hidden = len(network.layers) - 1
            relu = network.activation is jax.nn.relu
            activations = (jax.nn.relu if relu else network.activation,) * hidden
            return cls(tuple(Chain((layer,)) for layer in network.layers), activations)
        if isinstance(network, PCNetwork):
            return cls(*_of_predictive_coding(network))
        chains, activations, chain = (), (), ()
        for layer in network.layers:
            function = layer.fn if isinstance(layer, eqx.nn.Lambda) else layer
            if function is jax.nn.relu or isinstance(function, ClipFloorShift):
                chains, activations, chain = (*chains, Chain(chain)), (*activations, function), ()
            else:
                chain += (layer,)
        return cls((*chains, Chain(chain)), activations)

    def __call__(self, x: Values) -> Values:
        """The read-out for one input."""
        return self.chains[-1](self.activities(x)[-1] if self.activations else x)

    def activities(self, x: Values) -> tuple[Values, ...]:
        """The activities behind each activation."""
        found = ()
        for chain, activation in zip(self.chains, self.activations, strict=False):
            x = activation(chain(x))
            found += (x,)
        return found


def _of_predictive_coding(network: PCNetwork):
    """A layer of `fep` says W f(z) + b: the first f acts on the input and must change nothing."""
    first, *rest = (layer.activation for layer in network.layers)
    probe = jnp.linspace(-1.0, 1.0, 5)
    if not bool(jnp.all(first(probe) == probe)):
        raise ValueError("the first layer's activation must be the identity: inputs do not spike")
    chains = tuple(Chain((Affine(layer.weight, layer.bias),)) for layer in network.layers)
    return chains, tuple(rest)


class SpikingState(NamedTuple):
    """A network under way."""

    neurons: tuple[IFState, ...]
    total: Float[Array, " outputs"]  # read-outs so far
    time: Float[Array, ""]  # steps so far


class SpikingNetwork(eqx.Module):
    """The rate network with every activation replaced by neurons; inputs are constant currents.

    Within a step, spikes run through all layers. A layer's rate after t steps is V times its net
    spikes over t.

    Attributes:
        network: whose chains carry the spikes, each of the size of its neuron's threshold.
        neurons: one for each activation.
        shifts: added to the current of each neuron, one a channel.
    """

    network: RateNetwork
    neurons: tuple[RectifiedIF, ...]
    shifts: tuple[Float[Array, "..."], ...]

    def init(self, x: Values) -> SpikingState:
        """Before the first step for an input like x."""
        shapes = [a.shape for a in jax.eval_shape(self.network.activities, x)]
        states = tuple(n.init(shape) for n, shape in zip(self.neurons, shapes, strict=True))
        outputs = jax.eval_shape(self.network, x)
        return SpikingState(states, jnp.zeros(outputs.shape), jnp.zeros(()))

    def step(self, state: SpikingState, x: Values) -> tuple[SpikingState, Float[Array, " outputs"]]:
        """One step of all layers: the new state; the mean read-out so far, right at any time."""
        new = ()
        parts = zip(self.network.chains, self.neurons, self.shifts, state.neurons, strict=False)
        for chain, neuron, shift, before in parts:
            current = chain(x)
            after, spikes = neuron.step(before, current + along(shift, current.ndim))
            new += (after,)
            x = along(neuron.threshold, spikes.ndim) * spikes
        time, total = state.time + 1, state.total + self.network.chains[-1](x)
        return SpikingState(new, total, time), total / time

    def run(self, x: Values, steps: int) -> tuple[SpikingState, Float[Array, "steps outputs"]]:
        """So many steps of one input: the last state, and the read-out at each step."""
        return jax.lax.scan(lambda s, _: self.step(s, x), self.init(x), length=steps)

    def rates(self, state: SpikingState) -> tuple[Values, ...]:
        """What each layer's spikes say: the twin of `RateNetwork.activities`."""
        return tuple(
            along(neuron.threshold, after.sent.ndim) * after.sent / state.time
            for neuron, after in zip(self.neurons, state.neurons, strict=True)
        )


def largest_activities(network: RateNetwork, samples: Samples) -> tuple[Float[Array, ""], ...]:
    """A threshold for each activation: the largest activity on the samples.

    Source: Diehl et al. (2015), Fast-classifying, high-accuracy spiking networks, IJCNN.
    """
    return percentiles(network, samples, 100.0)


def percentiles(
    network: RateNetwork, samples: Samples, percent: float
) -> tuple[Float[Array, ""], ...]:
    """A threshold for each activation: a high percentile of the activities on the samples.

    Source: Rueckauer et al. (2017), Conversion of continuous-valued deep networks to efficient
        event-driven networks, Front. Neurosci. 11:682: 99.9 %.
    """
    if not 0 < percent <= 100:
        raise ValueError(f"percent must lie in (0, 100], got {percent}")
    activities = jax.vmap(network.activities)(samples)
    return tuple(jnp.percentile(a, percent) for a in activities)


def trained_thresholds(network: RateNetwork) -> tuple[Float[Array, ""], ...]:
    """The thresholds that clip-floor-shift training found.

    Raises: ValueError if an activation is not `ClipFloorShift`.
    """
    for activation in network.activations:
        if not isinstance(activation, ClipFloorShift):
            raise ValueError(f"activations must be ClipFloorShift, got {activation}")
    return tuple(activation.threshold for activation in network.activations)


def convert(
    network: RateNetwork,
    thresholds: tuple[Float[Array, "..."], ...],
    *,
    start: float = 0.5,
    neuron: type[RectifiedIF] = RectifiedIF,
) -> SpikingNetwork:
    """The spiking twin of a rate network.

    Args:
        network: trained.
        thresholds: one for each activation, a scalar or one a channel.
        start: initial potential, as a share of the threshold; 1/2 makes the expected error zero.
        neuron: `RectifiedIF`, or `RetractingIF`, which can take spikes back.

    Source: reset by subtraction, Rueckauer et al. (2017); start, Bu et al. (2022).
    """
    if not 0 <= start < 1:
        raise ValueError(f"start must lie in [0, 1) of a threshold, got {start}")
    neurons = tuple(neuron(v, start * v) for v in thresholds)
    return SpikingNetwork(network, neurons, (jnp.zeros(()),) * len(neurons))


def calibrate(spikes: SpikingNetwork, samples: Samples, *, steps: int) -> SpikingNetwork:
    """Shift each channel's current by the mean of what its rates lack, layer by layer.

    Source: Li et al. (2021), A free lunch from ANN: towards efficient, accurate spiking neural
        networks calibration, ICML: bias correction.
    """
    wanted = jax.vmap(spikes.network.activities)(samples)
    for i, activity in enumerate(wanted):
        states, _ = jax.vmap(lambda x, net=spikes: net.run(x, steps))(samples)
        rates = jax.vmap(spikes.rates)(states)[i]
        lack = jnp.mean(activity - rates, axis=(0, *range(2, rates.ndim)))
        shifts = (*spikes.shifts[:i], spikes.shifts[i] + lack, *spikes.shifts[i + 1 :])
        spikes = eqx.tree_at(lambda n: n.shifts, spikes, shifts)
    return spikes


def without_offset_spikes(spikes: SpikingNetwork, x: Values, *, probe: int) -> SpikingNetwork:
    """The network for one input, with start potentials that correct the spikes of a first run.

    After `probe` steps a neuron whose potential is at least V has sent a spike too few, and one
    whose potential is negative a spike too many: it starts V higher, or V lower. Layer by layer.

    Source: Hao et al. (2023), Bridging the gap between ANNs and SNNs by calibrating offset spikes,
        ICLR.
    """
    for i, neuron in enumerate(spikes.neurons):
        after = spikes.run(x, probe)[0].neurons[i]
        threshold = along(neuron.threshold, after.v.ndim)
        offset = threshold * ((after.v >= threshold) * 1.0 - ((after.v < 0) & (after.sent > 0)))
        start = along(neuron.start, after.v.ndim) + offset
        spikes = eqx.tree_at(lambda n, i=i: n.neurons[i].start, spikes, start)
    return spikes
