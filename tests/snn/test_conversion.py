"""Converted networks against what their rate twins compute."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.predictive_coding.network import Dense, chain
from snn.conversion import (
    Chain,
    ClipFloorShift,
    RateNetwork,
    calibrate,
    convert,
    largest_activities,
    percentiles,
    trained_thresholds,
    without_offset_spikes,
)
from snn.integrate_and_fire import RectifiedIF, RetractingIF

X = jax.random.uniform(jax.random.key(9), (64, 6))
run = eqx.filter_jit(lambda net, x, steps: jax.vmap(lambda one: net.run(one, steps))(x))


def mlp(activation=jax.nn.relu, key=0):
    return eqx.nn.MLP(6, 3, 12, 2, activation, key=jax.random.key(key))


def cnn(levels=4):
    a, b, c = jax.random.split(jax.random.key(1), 3)
    quantise = lambda v: ClipFloorShift(v, levels)
    layers = (
        eqx.nn.Conv2d(1, 4, 3, key=a),
        quantise(0.5),
        eqx.nn.AvgPool2d(2, 2),
        eqx.nn.Conv2d(4, 5, 2, key=b),
        quantise(0.25),
        eqx.nn.Lambda(jnp.ravel),
        eqx.nn.Linear(20, 3, key=c),
    )
    layers = [strong(a) if isinstance(a, eqx.nn.Conv2d) else a for a in layers]
    return RateNetwork.of(eqx.nn.Sequential(layers))


def strong(layer):
    """Weights that make about half of the units active, as trained ones do."""
    return eqx.tree_at(lambda n: (n.weight, n.bias), layer, (3 * layer.weight, 0 * layer.bias))


def images(n=32):
    return jax.random.uniform(jax.random.key(2), (n, 1, 8, 8))


def errors(spikes, x, steps):
    """Mean absolute error of the read-out after each number of steps."""
    exact = jax.vmap(spikes.network)(x)
    return jnp.mean(jnp.abs(run(spikes, x, steps)[1] - exact[:, None]), axis=(0, 2))


@pytest.mark.parametrize(
    "levels", [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(8, marks=pytest.mark.slow)]
)
def test_one_layer_is_its_clip_floor_shift_twin_exactly(levels):
    a, b = jax.random.split(jax.random.key(0))
    first, last = eqx.nn.Linear(6, 12, key=a), eqx.nn.Linear(12, 3, key=b)
    net = RateNetwork((Chain((first,)), Chain((last,))), (ClipFloorShift(0.8, levels),))
    state, outputs = run(convert(net, trained_thresholds(net)), X, levels)
    # sums of float32 currents may fall on the other side of a threshold, in at most a few units
    rates = jax.vmap(convert(net, trained_thresholds(net)).rates)(state)[0]
    wanted = jax.vmap(net.activities)(X)[0]
    assert jnp.mean(jnp.abs(rates - wanted) > 1e-5) < 2e-3
    assert jnp.mean(jnp.abs(outputs[:, -1] - jax.vmap(net)(X))) < 1e-3


def test_activation_has_the_slope_of_a_clipped_identity():
    quantise = ClipFloorShift(2.0, 4)
    x = jnp.array([-1.0, 0.3, 1.7, 3.0])
    np.testing.assert_allclose(quantise(x), [0.0, 0.5, 1.5, 2.0])
    np.testing.assert_array_equal(jax.vmap(jax.grad(quantise))(x), [0.0, 1.0, 1.0, 0.0])
    slope = jax.vmap(lambda x: jax.grad(lambda v: ClipFloorShift(v, 4)(x))(2.0))(x)
    # what was rounded, less what the clipped identity owes to x: 0.25 - 0.15, 0.75 - 0.85
    np.testing.assert_allclose(slope, [0.0, 0.1, -0.1, 1.0], atol=1e-6)


def test_splitting_a_network_changes_nothing():
    whole = mlp()
    split = RateNetwork.of(whole)
    np.testing.assert_allclose(jax.vmap(split)(X), jax.vmap(whole)(X), atol=1e-6)
    dense = [
        Dense(layer.weight, layer.bias, (lambda z: z) if i == 0 else jax.nn.relu)
        for i, layer in enumerate(whole.layers)
    ]
    sweep = RateNetwork.of(chain(tuple(dense)))
    np.testing.assert_allclose(jax.vmap(sweep)(X), jax.vmap(whole)(X), atol=1e-6)


def test_what_cannot_be_converted_is_refused_by_name():
    with pytest.raises(ValueError, match="relu or ClipFloorShift, got .*tanh"):
        RateNetwork.of(mlp(jnp.tanh))
    pooled = eqx.nn.Sequential((eqx.nn.MaxPool2d(2), eqx.nn.Lambda(jax.nn.relu)))
    with pytest.raises(ValueError, match="max pooling"):
        RateNetwork.of(pooled)
    layer = mlp().layers[0]
    with pytest.raises(ValueError, match="must be the identity"):
        RateNetwork.of(chain((Dense(layer.weight, layer.bias, jax.nn.relu),)))
    with pytest.raises(ValueError, match="ClipFloorShift, got"):
        trained_thresholds(RateNetwork.of(mlp()))
    with pytest.raises(ValueError, match="percent must"):
        percentiles(RateNetwork.of(mlp()), X, 0.0)
    with pytest.raises(ValueError, match="start must"):
        convert(cnn(), trained_thresholds(cnn()), start=1.0)
    with pytest.raises(ValueError, match="levels must"):
        ClipFloorShift(1.0, 0)


def test_read_out_converges_and_is_there_at_any_time():
    net = RateNetwork.of(mlp())
    spikes = convert(net, largest_activities(net, X))
    error = errors(spikes, X, 256)
    # Rueckauer et al. (2017): what reset by subtraction leaves behind falls as 1/T
    for t in (16, 64, 256):
        assert error[t - 1] * t < 4 * error[0]
    state, whole = run(spikes, X, 8)
    np.testing.assert_allclose(whole[:, :3], run(spikes, X, 3)[1], atol=1e-6)
    np.testing.assert_allclose(state.total / 8, whole[:, -1], atol=1e-6)


def test_half_a_threshold_is_the_better_start():
    net = RateNetwork.of(mlp())
    thresholds = largest_activities(net, X)
    rest, half = (errors(convert(net, thresholds, start=s), X, 8)[-1] for s in (0.0, 0.5))
    assert half < 0.7 * rest


def test_a_percentile_clips_the_rarest_activities():
    net = RateNetwork.of(mlp())
    largest, most = largest_activities(net, X), percentiles(net, X, 90.0)
    for activity, peak, share in zip(jax.vmap(net.activities)(X), largest, most, strict=True):
        assert peak == pytest.approx(float(jnp.max(activity)), rel=1e-4)  # it interpolates
        assert jnp.mean(activity > share) == pytest.approx(0.1, abs=0.01)


@pytest.mark.slow
def test_corrections_lower_the_error_of_a_convolutional_network():
    net, x = cnn(), images()
    thresholds, steps = trained_thresholds(net), 4
    plain = convert(net, thresholds)
    base = errors(plain, x, steps)[-1]
    retracting = convert(net, thresholds, neuron=RetractingIF)
    calibrated = eqx.filter_jit(lambda s, x: calibrate(s, x, steps=steps))(plain, x)
    assert errors(retracting, x, steps)[-1] < base
    assert errors(calibrated, x, steps)[-1] < base

    def corrected(one):
        return without_offset_spikes(plain, one, probe=steps).run(one, steps)[1][-1]

    outputs = eqx.filter_jit(jax.vmap(corrected))(x)
    assert jnp.mean(jnp.abs(outputs - jax.vmap(net)(x))) < base


@pytest.mark.slow
def test_calibration_makes_mean_rates_those_of_the_twin():
    net, x = cnn(), images()
    spikes = convert(net, trained_thresholds(net), start=0.0)
    lack = lambda s: jnp.mean(
        jax.vmap(net.activities)(x)[0] - jax.vmap(s.rates)(run(s, x, 16)[0])[0], axis=(0, 2, 3)
    )
    calibrated = eqx.filter_jit(lambda s, x: calibrate(s, x, steps=16))(spikes, x)
    assert jnp.max(jnp.abs(lack(calibrated))) < 0.7 * jnp.max(jnp.abs(lack(spikes)))


def test_spikes_and_time_are_counted():
    spikes = convert(cnn(), trained_thresholds(cnn()))
    state, _ = run(spikes, images(), 5)
    assert (state.time == 5).all()
    for neurons in state.neurons:
        assert (neurons.sent == jnp.round(neurons.sent)).all()
        assert jnp.max(neurons.sent) <= 5
        assert jnp.min(neurons.sent) >= 0
    assert isinstance(spikes.neurons[0], RectifiedIF)
