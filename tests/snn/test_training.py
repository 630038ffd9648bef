"""Gradients: through time, checkpointed, forwards by e-prop, and through exact spike times."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from hw.lower import lower
from hw.quantise import symmetric
from snn.eventprop import EventLIF
from snn.network import Circuit, Population, all_to_all
from snn.neurons import LI, LIF, CubaLIF, soft_reset
from snn.quantised import on_grid, straight_through
from snn.surrogate import SuperSpike
from snn.training import (
    Events,
    Layer,
    SpikingNetwork,
    activity_penalty,
    dense_layer,
    e_prop,
    quantisation_aware,
    rollout,
    rollout_checkpointed,
)

KEYS = jax.random.split(jax.random.key(0), 6)
INPUTS = (jax.random.uniform(KEYS[0], (36, 8)) < 0.3).astype(float)
TARGETS = jax.random.normal(KEYS[1], (36, 2))


def network(recurrent):
    neuron = LIF(20e-3, spike=SuperSpike(5.0))
    hidden = dense_layer(8, neuron, 6, 40.0, key=KEYS[2])
    if recurrent:
        own = jax.random.normal(KEYS[3], (6, 6))
        hidden = Layer(hidden.weight, neuron, 8 * own)
    return SpikingNetwork((hidden, dense_layer(6, LI(30e-3), 2, 3.0, key=KEYS[4])), 1e-3)


def loss(net, inputs=INPUTS, run=rollout):
    return 0.5 * jnp.sum((run(net, inputs)[-1] - TARGETS) ** 2)


GRADIENT = eqx.filter_jit(eqx.filter_value_and_grad(loss))
E_PROP = eqx.filter_jit(lambda net, x, targets: e_prop(net, x, lambda y, t: y - t, targets))


def close(a, b, **how):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **how), a, b)


def test_checkpointing_changes_no_gradient():
    run = lambda net, x: rollout_checkpointed(net, x, 6)
    full, cut = GRADIENT(network(True)), GRADIENT(network(True), run=run)
    close(full, cut, rtol=1e-5, atol=1e-6)  # float32 sums in another order
    with pytest.raises(ValueError, match="divide the 36 steps, got 7"):
        rollout_checkpointed(network(True), INPUTS, 7)


def test_sparse_input_is_the_dense_input():
    order = jnp.argsort(-INPUTS, axis=1)
    who = jnp.where(jnp.take_along_axis(INPUTS, order, axis=1) > 0, order, 8)
    dense, sparse = GRADIENT(network(True)), GRADIENT(network(True), Events(who))
    close(dense, sparse, rtol=1e-4, atol=1e-5)
    assert float(rollout(network(True), INPUTS)[0].sum()) > 10


def bptt_without_recurrent_paths(net):
    """Gradient through time where recurrent spikes are constants."""
    spikes = jax.lax.stop_gradient(rollout(net, INPUTS)[0])
    before = jnp.concatenate([jnp.zeros((1, 6)), spikes[:-1]])

    def objective(net):
        hidden, readout = net.layers
        weight = jnp.concatenate([hidden.weight, hidden.recurrent])
        flat = SpikingNetwork((Layer(weight, hidden.neuron), readout), net.dt)
        return loss(flat, jnp.concatenate([INPUTS, before], axis=1))

    return eqx.filter_jit(eqx.filter_grad(objective))(net)


def test_e_prop_is_the_gradient_through_time_where_nothing_recurs(x64):
    net = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), network(False))
    online = E_PROP(net, jnp.asarray(INPUTS, jnp.float64), jnp.asarray(TARGETS, jnp.float64))
    _, full = GRADIENT(net, jnp.asarray(INPUTS, jnp.float64))
    for a, b in zip(online.layers, full.layers, strict=True):
        np.testing.assert_allclose(a.weight, b.weight, rtol=1e-9, atol=1e-12)
    assert float(jnp.abs(full.layers[0].weight).max()) > 0.1


def test_e_prop_is_the_gradient_through_time_where_recurrent_paths_are_cut():
    net = network(True)
    online = E_PROP(net, INPUTS, TARGETS)
    cut, (_, full) = bptt_without_recurrent_paths(net), GRADIENT(net)
    for a, b in zip(online.layers, cut.layers, strict=True):
        np.testing.assert_allclose(a.weight, b.weight, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        online.layers[0].recurrent, cut.layers[0].recurrent, rtol=1e-4, atol=1e-5
    )
    assert float(jnp.abs(full.layers[0].weight - cut.layers[0].weight).max()) > 1e-2


def test_other_feedback_changes_what_the_hidden_layer_learns_alone():
    net, error = network(True), lambda y, t: y - t
    back = -2 * net.layers[1].weight
    other = eqx.filter_jit(e_prop)(net, INPUTS, error, TARGETS, back)
    own = E_PROP(net, INPUTS, TARGETS)
    np.testing.assert_array_equal(other.layers[1].weight, own.layers[1].weight)
    np.testing.assert_allclose(other.layers[0].weight, -2 * own.layers[0].weight, rtol=1e-5)


def test_e_prop_refuses_other_neurons():
    hidden = Layer(jnp.ones((8, 6)), CubaLIF(20e-3))
    net = SpikingNetwork((hidden, network(False).layers[1]), 1e-3)
    with pytest.raises(ValueError, match="CubaLIF"):
        e_prop(net, INPUTS, lambda y, t: y - t, TARGETS)


def test_activity_is_penalised_outside_its_band_alone():
    spikes = jnp.zeros((10, 3)).at[:1, 0].set(1.0).at[:4, 1].set(1.0).at[:9, 2].set(1.0)
    assert float(activity_penalty(spikes, (2.0, 6.0))) == pytest.approx((1 + 0 + 9) / 3)


def test_soft_reset_learns_too():
    hidden = dense_layer(8, LIF(20e-3, reset=soft_reset), 6, 40.0, key=KEYS[2])
    net = SpikingNetwork((hidden, network(False).layers[1]), 1e-3)
    assert float(jnp.abs(GRADIENT(net)[1].layers[0].weight).max()) > 0


def trained(net, bits):
    """The network after 30 steps of learning with weights of so many bits, and losses of each."""
    descent = optax.adam(0.3)
    weights, rest = eqx.partition(net, eqx.is_array)
    objective = lambda weights: loss(quantisation_aware(eqx.combine(weights, rest), bits))

    def step(carry, _):
        weights, memory = carry
        value, slope = jax.value_and_grad(objective)(weights)
        updates, memory = descent.update(slope, memory)
        return (optax.apply_updates(weights, updates), memory), value

    (weights, _), losses = jax.lax.scan(step, (weights, descent.init(weights)), None, length=30)
    return eqx.combine(weights, rest), losses


@pytest.mark.slow
def test_a_network_trained_on_its_grid_lowers_with_the_very_same_integers():
    net, losses = eqx.filter_jit(trained)(network(True), 3)
    assert float(losses[-5:].max()) < 0.8 * float(losses[0])
    deployed = quantisation_aware(net, 3)
    hidden, readout = deployed.layers
    circuit = Circuit(
        (Population("in", 8, external=True), Population("hidden", 6), Population("out", 2)),
        (
            all_to_all("in", "hidden", hidden.weight.T),
            all_to_all("hidden", "hidden", hidden.recurrent.T),
            all_to_all("hidden", "out", readout.weight.T),
        ),
    )
    learned = net.layers[0].weight, net.layers[0].recurrent, net.layers[1].weight
    for edge, weight in zip(lower(circuit).edges, learned, strict=True):
        codes, step = on_grid(weight, 3)
        assert set(np.unique(codes)) <= set(range(-3, 4))
        lowered = symmetric(edge.weight, 3)
        np.testing.assert_array_equal(lowered.values, np.asarray(codes).T.ravel())
        assert lowered.step == pytest.approx(float(step))


def test_gradients_pass_the_grid_as_if_nothing_were_rounded():
    weight = jnp.array([0.1, -0.7, 0.34, 0.0])
    slope = jax.grad(lambda w: jnp.sum(straight_through(w, 2) ** 2))(weight)
    np.testing.assert_allclose(slope, 2 * np.array([0.0, -0.7, 0.0, 0.0]), rtol=1e-6)
    np.testing.assert_array_equal(on_grid(jnp.zeros(3), 8).codes, 0)
    with pytest.raises(ValueError, match="bits must be at least 2, the sign and one more, got 1"):
        on_grid(weight, 1)


TIMES = jnp.array([1e-3, 4e-3, 2e-3, 9e-3, jnp.inf])
WEIGHT = jnp.array([[3.0, 4.0], [2.0, -1.0], [2.5, 3.0], [4.0, 5.0], [9.0, 9.0]])


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [2, 4])
def test_exact_times_are_those_of_fine_steps(ratio, x64):
    layer = EventLIF(5e-3, ratio=ratio, spikes=4)
    weight, arrive = jnp.asarray(ratio * WEIGHT / 2, float), jnp.asarray(TIMES, float)
    times = np.asarray(layer(weight, arrive))
    dt, neuron = 2e-6, CubaLIF(ratio * 5e-3, tau_syn=5e-3)
    arrivals = jnp.rint(arrive[:4] / dt).astype(int)
    step = lambda s, t: neuron.step(s, (arrivals == t) @ weight[:4], dt=dt)
    _, spikes = jax.lax.scan(step, neuron.init(2), jnp.arange(10_000))
    for n in range(2):
        found = np.nonzero(np.asarray(spikes[:, n]))[0] * dt
        exact = times[np.isfinite(times[:, n]), n]
        assert len(found) == len(exact) >= 2
        np.testing.assert_allclose(exact, found, atol=3 * dt)  # steps delay every reset


def test_gradients_of_spike_times_are_finite_differences(x64):
    first, second = EventLIF(5e-3, ratio=4, spikes=3), EventLIF(5e-3, ratio=4)
    key = jax.random.key(2)
    w1 = jax.random.uniform(key, (4, 6), minval=3.0, maxval=8.0)
    w2 = jax.random.uniform(key, (6, 2), minval=0.5, maxval=2.0)
    times = jnp.array([1.0, 4.0, 2.0, 9.0]) * 1e-3

    delays = jax.random.uniform(key, (4, 6), maxval=3e-3)

    def objective(w1, w2, times, delays):
        hidden = first(w1, times, delays)
        (out,) = second(jnp.tile(w2, (3, 1)), hidden.ravel())
        return jnp.sum(out * jnp.array([1.0, -2.0])) * 1e3, hidden  # ms

    given = w1, w2, times, delays
    exact, hidden = jax.jit(jax.grad(objective, (0, 1, 2, 3), has_aux=True))(*given)
    assert int(jnp.isfinite(hidden).sum()) >= 9
    flat, unravel = ravel_pytree(given)
    sizes = zip(given, (1e-6, 1e-6, 1e-9, 1e-9), strict=True)
    size = ravel_pytree([jnp.full(a.shape, each) for a, each in sizes])[0]
    at = jax.jit(jax.vmap(lambda nudge: objective(*unravel(flat + nudge))[0]))
    slopes = (at(jnp.diag(size)) - at(-jnp.diag(size))) / (2 * size)
    assert np.count_nonzero(slopes) > 30  # the last input comes too late for some
    np.testing.assert_allclose(ravel_pytree(exact)[0], slopes, rtol=1e-4, atol=1e-6)


def test_a_neuron_follows_no_more_spikes_than_it_is_told_to():
    fire = jax.jit(lambda spikes: EventLIF(5e-3, spikes=spikes)(WEIGHT, TIMES), static_argnums=0)
    many = fire(4)
    np.testing.assert_array_equal(fire(2), many[:2])
    assert np.isfinite(many[2]).any()


def test_delays_are_inputs_that_come_later(x64):
    weight, times = jnp.asarray(WEIGHT, float), jnp.asarray(TIMES, float)
    delays = jnp.tile(jnp.array([0.0, 5e-3, 1e-3, 2e-3, 0.0])[:, None], (1, 2))
    fire = jax.jit(EventLIF(5e-3, spikes=3).__call__)
    shared = fire(weight, times + delays[:, 0])
    np.testing.assert_allclose(fire(weight, times, delays), shared, rtol=1e-12)
    own = delays.at[:, 1].add(4e-3)  # of the second neuron, all alike: its spikes follow
    moved = fire(weight, times, own)
    np.testing.assert_allclose(moved[:, 0], shared[:, 0], rtol=1e-12)
    np.testing.assert_allclose(moved[:, 1], shared[:, 1] + 4e-3, rtol=1e-9)


@pytest.mark.parametrize("shift", [0.5, -2e-3])
def test_inputs_outside_the_range_of_the_sums_are_refused(shift):
    with pytest.raises(RuntimeError, match="before 80 tau_syn"):
        EventLIF(5e-3)(WEIGHT, TIMES + shift)


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: EventLIF(0.0), "tau_syn"),
        (lambda: EventLIF(1.0, spikes=0), "spikes must be a whole number from 1, got 0"),
        (lambda: EventLIF(1.0, ratio=1), "ratio must be a whole number from 2, got 1"),
    ],
)
def test_a_bad_event_neuron_is_refused(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
