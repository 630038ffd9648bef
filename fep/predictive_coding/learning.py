"""Learning rules for one network: predictive coding and its backprop twin, driven by optax."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from fep.predictive_coding.network import PCNetwork, PCState, Value

Batch = tuple[Float[Array, "b ..."], ...]  # values of the clamped nodes, with a leading batch axis
Gradient = tuple[Float[Array, ""], PCNetwork]  # mean energy in nats, and its slope


class PredictiveCoding(eqx.Module):
    r"""Slope of the settled energy: $\partial_\theta \frac1b \sum_i F(z_i^*, x_i, y_i; \theta)$.

    Inference first, then learning: the values are settled with the weights held, and the weights
    then descend the same energy with the values held. By $\partial F / \partial W_l =
    -\varepsilon_l f(z_{l-1})^T$ each weight reads only its own two ends. Precisions that are
    parameters descend it as well.

    Attributes:
        solver: settles one sample, `solver(network, x, y)`.

    Source: Whittington & Bogacz (2017), Neural Comput. 29, their weight update.
    """

    solver: Callable

    def __call__(self, network: PCNetwork, batch: Batch) -> Gradient:
        """Mean settled energy of a batch (nats) and its gradient, in the network's shape."""
        settled = settle_batch(self.solver, network, batch)
        return slope_at(network, settled.state, batch)


class Nudged(eqx.Module):
    r"""Predictive coding towards targets a little way from the prediction, on either side.

    A clamped effect is held at $\mu + \beta (y - \mu)$, with $\mu$ its feed-forward mean; the
    slope is divided by $\beta$ and averaged over the strengths. One positive strength is positive
    nudging, one negative strength negative nudging, a pair of both centred nudging.

    Attributes:
        solver: settles one sample.
        strengths: each $\beta$, not 0; shape (n,).

    Source: Pinchetti et al. (2025), ICLR, "Benchmarking predictive coding networks - made simple",
    sec. 3, after Scellier et al. (2023), NeurIPS 36.
    """

    solver: Callable
    strengths: Float[Array, " n"] = eqx.field(converter=jnp.asarray)

    def __check_init__(self):
        known = not isinstance(self.strengths, jax.core.Tracer)
        if known and not (self.strengths.size and jnp.all(self.strengths != 0)):
            raise ValueError(f"strengths must be some numbers other than 0, got {self.strengths}")

    def __call__(self, network: PCNetwork, batch: Batch) -> Gradient:
        """Mean settled energy of a batch (nats) and the nudged gradient."""
        means = jax.vmap(lambda *values: _feedforward_means(network, values))(*batch)

        def nudged(strength):
            targets = tuple(
                value if mean is None else mean + strength * (value - mean)
                for value, mean in zip(batch, means, strict=True)
            )
            energy, slope = PredictiveCoding(self.solver)(network, targets)
            return energy, jax.tree.map(lambda g: g / strength, slope)

        mean = lambda a: jnp.mean(a, axis=0)
        return jax.tree.map(mean, jax.vmap(nudged)(self.strengths))


class FixedPrediction(eqx.Module):
    r"""Predictive coding whose predictions and slopes stay those of the feed-forward pass.

    Errors relax by $\dot\varepsilon_l = J_{l+1}^T \varepsilon_{l+1} - \varepsilon_l$; with a rate
    of 1 and as many steps as the longest path has edges the slope is backprop's, on any DAG.
    Parameters of node energies get none.

    Attributes:
        rate: Euler step of the errors.
        steps: number of steps.

    Source: Millidge, Tschantz & Buckley (2022), Neural Comput. 34, "Predictive coding approximates
    backprop along arbitrary computation graphs", algorithm 1.
    """

    rate: float = 1.0
    steps: int = eqx.field(static=True, default=20)

    def __check_init__(self):
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    def __call__(self, network: PCNetwork, batch: Batch) -> Gradient:
        """Mean feed-forward surprise of a batch (nats) and the slope of the relaxed errors."""
        one = lambda *values: self._sample(network, values)
        energies, slopes = jax.vmap(one)(*batch)
        mean = lambda a: jnp.mean(a, axis=0)
        return mean(energies), jax.tree.map(mean, slopes)

    def _sample(self, network: PCNetwork, values: tuple[Value, ...]) -> Gradient:
        clamped = network.clamp(*values)
        start = clamped.init()
        predictions, pull = jax.vjp(clamped.predictions, start)
        outputs = predictions[len(network.free) :]
        surprise, slopes = jax.value_and_grad(clamped.surprise)(outputs)
        told = tuple(-g for g in slopes)  # what the clamped effects' errors say, for good

        def step(errors, _):
            (heard,) = pull((*errors.activities, *told))
            move = lambda e, h: e + self.rate * (h - e)
            return jax.tree.map(move, errors, heard), None

        silent = jax.tree.map(jnp.zeros_like, start)
        errors, _ = jax.lax.scan(step, silent, length=self.steps)
        held = lambda network: network.clamp(*values).predictions(start)
        _, pull_weights = eqx.filter_vjp(held, network)
        (slope,) = pull_weights(tuple(-e for e in (*errors.activities, *told)))
        return surprise + _normaliser(clamped), slope


def zero_divergence(network: PCNetwork, batch: Batch) -> Gradient:
    r"""Z-IL: predictive coding whose every weight learns when the error wave arrives; backprop.

    From the feed-forward start, with state steps of exactly 1, the t-th step (from 0) is when the
    errors above layer L - t first show; that layer's slope is taken then and there.

    Args:
        network: a chain with unit variances.
        batch: of samples.

    Returns:
        Mean feed-forward surprise of the batch (nats), and the slope.

    Raises:
        ValueError: if the network is no chain.

    Source: Song et al. (2020), NeurIPS 33, "Can the brain do backpropagation?", algorithm 1.
    """
    depth = len(network.layers)

    def sample(network, values):
        """Each layer's terms at its own time; the others held apart from the gradient."""
        clamped = jax.lax.stop_gradient(network).clamp(*values)
        state, total = clamped.init(), 0.0
        for layer in reversed(range(depth)):
            one = replace(
                jax.lax.stop_gradient(network),
                edges=tuple(
                    edge if i == layer else jax.lax.stop_gradient(edge)
                    for i, edge in enumerate(network.edges)
                ),
            )
            total += one.clamp(*values).cost(jax.lax.stop_gradient(state))
            slope = jax.grad(clamped.cost)(state)
            state = jax.tree.map(lambda z, g: z - g, state, slope)
        return total

    def mean(network):
        return jnp.mean(jax.vmap(lambda *values: sample(network, values))(*batch))

    return backprop(network, batch)[0], eqx.filter_grad(mean)(network)


def backprop(network: PCNetwork, batch: Batch) -> Gradient:
    """The twin: same network, same output energy, gradients through the feed-forward pass."""

    def energy(network):
        def surprise(*values):
            clamped = network.clamp(*values)
            return clamped.surprise(clamped.outputs(None)) + _normaliser(clamped)

        return jnp.mean(jax.vmap(surprise)(*batch))

    return eqx.filter_value_and_grad(energy)(network)


def settle_batch(solver: Callable, network: PCNetwork, batch: Batch):
    """What `solver` returns for each sample of a batch, along a leading axis."""
    return jax.vmap(lambda *values: solver(network, *values))(*batch)


def slope_at(network: PCNetwork, states: PCState, batch: Batch) -> Gradient:
    """Mean energy of a batch at given values (nats), and its slope in the parameters."""

    def energy(network):
        one = lambda state, *values: network.energy(state, *values)
        return jnp.mean(jax.vmap(one)(states, *batch))

    return eqx.filter_value_and_grad(energy)(network)


class LearnerState(NamedTuple):
    """What training carries."""

    network: PCNetwork
    optimiser: optax.OptState


class Learner(eqx.Module):
    """A gradient rule joined to an optax optimiser, as one init/step.

    Attributes:
        gradient: `(network, batch) -> (energy, gradient)`, such as `PredictiveCoding` or
            `backprop`.
        optimiser: any optax transformation.
    """

    gradient: Callable
    optimiser: optax.GradientTransformation = eqx.field(static=True)

    def init(self, network: PCNetwork) -> LearnerState:
        """Training state of a fresh network."""
        return LearnerState(network, self.optimiser.init(eqx.filter(network, eqx.is_array)))

    def step(self, state: LearnerState, batch: Batch) -> tuple[LearnerState, Float[Array, ""]]:
        """One update on one batch: the new state, and the batch's mean energy in nats."""
        energy, gradient = self.gradient(state.network, batch)
        return _apply(self.optimiser, state, gradient), energy


class IncrementalLearner(eqx.Module):
    """Incremental predictive coding, iPC: weights move with the values, at every step.

    Attributes:
        inference: optax transformation of the values' slopes, such as `optax.sgd(0.5)`.
        optimiser: optax transformation of the parameters' slopes.
        steps: of both, a batch.

    Source: Salvatori et al. (2024), ICLR, "A stable, fast, and fully automatic learning algorithm
    for predictive coding networks", algorithm 2.
    """

    inference: optax.GradientTransformation = eqx.field(static=True)
    optimiser: optax.GradientTransformation = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    def __check_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    def init(self, network: PCNetwork) -> LearnerState:
        """Training state of a fresh network."""
        return LearnerState(network, self.optimiser.init(eqx.filter(network, eqx.is_array)))

    def step(self, state: LearnerState, batch: Batch) -> tuple[LearnerState, Float[Array, ""]]:
        """All steps on one batch: the new state, and its mean energy in nats before the last."""
        samples = batch[0].shape[0]

        def total(moving):
            network, values = moving
            return jnp.sum(jax.vmap(lambda z, *given: network.energy(z, *given))(values, *batch))

        def both(carry, _):
            state, values, memory = carry
            energy, (slope, slopes) = eqx.filter_value_and_grad(total)((state.network, values))
            moves, memory = self.inference.update(slopes, memory, values)
            values = optax.apply_updates(values, moves)
            mean = jax.tree.map(lambda g: g / samples, slope)
            return (_apply(self.optimiser, state, mean), values, memory), energy / samples

        values = jax.vmap(state.network.init)(*batch)
        start = state, values, self.inference.init(values)
        (state, _, _), energies = jax.lax.scan(both, start, length=self.steps)
        return state, energies[-1]


def _apply(optimiser, state: LearnerState, gradient: PCNetwork) -> LearnerState:
    weights = eqx.filter(state.network, eqx.is_array)
    updates, memory = optimiser.update(gradient, state.optimiser, weights)
    return LearnerState(eqx.apply_updates(state.network, updates), memory)


def _feedforward_means(network: PCNetwork, values: tuple[Value, ...]) -> tuple[Value | None, ...]:
    """Expected value of each clamped effect; None for a clamped cause."""
    clamped = network.clamp(*values)
    outputs = zip(clamped.effects, clamped.outputs(None), strict=True)
    means = {node.name: node.energy.mean(mu) for node, mu in outputs}
    return tuple(means.get(name) for name in network.clamped)


def _normaliser(clamped) -> Float[Array, ""]:
    return sum(n.energy.normaliser(clamped.given[n.name]) for n in clamped.effects)
