"""Learning by traces whose spikes follow the errors, and by traces that leak."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import PredictiveCoding
from fep.predictive_coding.network import multilayer
from snn.coding import HalvingCode, NonAdjacentCode
from snn.spiking_pc import Deposit, PopulationCodes, sharpening
from snn.spiking_pc_learning import (
    ErrorScale,
    ErrorScaledCodes,
    LeakyTracePlasticity,
    SpikingLearner,
    TracePlasticity,
    leak,
)

WIDTHS = (6, 9, 7, 3)
CODES = ErrorScaledCodes(NonAdjacentCode(2.0, 20), values=2, errors=3, memory=4.0)
NETWORK = multilayer(WIDTHS, jnp.tanh, key=jax.random.key(0))
X = jax.random.uniform(jax.random.key(1), (8, 6))


def worst_cosine(a, b):
    pairs = [(p.weight, q.weight) for p, q in zip(a.layers, b.layers, strict=True)]
    return min(float(jnp.vdot(p, q) / jnp.sqrt(jnp.vdot(p, p) * jnp.vdot(q, q))) for p, q in pairs)


@pytest.mark.usefixtures("x64")
def test_the_product_of_the_ends_is_the_sum_over_all_pairs_of_spikes_and_traces():
    codes = CODES.codes(ErrorScale(jnp.array([0.03, 0.1, 0.2]), jnp.array(9)))
    batch = X[:3].astype(jnp.float64), jnp.eye(3)
    settings = codes, 0.2, 6, sharpening(6, 2, 1)
    network = jax.tree.map(lambda a: a.astype(jnp.float64), NETWORK)
    ends = eqx.filter_jit(TracePlasticity(*settings))(network, batch)
    pairs = eqx.filter_jit(LeakyTracePlasticity(*settings, decay=1.0))(network, batch)
    assert worst_cosine(ends[1], pairs[1]) > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), ends, pairs)  # float64


def test_leaking_traces_are_exponential_windows():
    pre, post = np.random.default_rng(0).normal(size=(2, 5, 3))
    leaking = leak(Deposit(jnp.asarray(pre), None, jnp.asarray(post), None), 0.7)
    for t in range(5):
        ages = t - np.arange(t + 1.0)[:, None]
        np.testing.assert_allclose(
            leaking.pre_traces[t], (0.7**ages * pre[: t + 1]).sum(axis=0), rtol=1e-5
        )
        before = (0.7 ** ages[:t] * post[:t]).sum(axis=0)
        np.testing.assert_allclose(leaking.post_traces[t], before, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_small_errors_are_told_as_well_as_large_ones():
    """Targets a share of the way from the prediction: fixed thresholds hardly hear them."""
    share = 2.0**-5
    ahead = jax.vmap(NETWORK.predict)(X)
    batch = X, ahead + share * (jax.nn.one_hot(jnp.arange(8) % 3, 3) - ahead)
    rate = eqx.filter_jit(PredictiveCoding(GradientFlow(0.1, 12)))(NETWORK, batch)[1]

    @eqx.filter_jit
    def scaled(batch):
        scale = CODES.init(3)
        for _ in range(2):  # the first batch tells how large errors are
            rule = TracePlasticity(CODES.codes(scale), 0.1, 12)
            _, slope, settled = rule.learn(NETWORK, batch)
            scale, _ = CODES.step(scale._replace(batches=jnp.array(0)), settled.state.error_traces)
        return slope

    assert worst_cosine(scaled(batch), rate) >= 0.995
    fixed = eqx.filter_jit(TracePlasticity(HalvingCode(1.0, 8), 0.1, 12))(NETWORK, batch)[1]
    assert worst_cosine(fixed, rate) < 0.8


def test_thresholds_follow_the_running_mean_of_each_layer_by_powers_of_two():
    heard = lambda *sizes: tuple(jnp.full((4, 5), size) for size in sizes)
    state, _ = CODES.step(CODES.init(3), heard(0.1, 0.5, 0.0))
    codes = CODES.codes(state)
    first = [0.1, 0.5, CODES.least]  # counts fully; means of float32
    np.testing.assert_allclose(state.magnitudes, first, rtol=1e-6)
    assert [float(c.finest) for c in codes.errors] == [2.0**-6, 2.0**-4, CODES.least / 8]
    # an input of its own; then a value beside each error, one octave coarser here
    finest = [float(c.finest) for c in codes.values]
    assert finest == [2.0**-18, 2.0**-5, 2.0**-3]
    fine = replace(CODES, coarsest=0.1).codes(state)  # no coarser than the power of two below
    assert [float(c.finest) for c in fine.values] == [2.0**-18, 2.0**-5, 2.0**-4]
    assert [float(c.finest) for c in fine.errors] == [float(c.finest) for c in codes.errors]
    for _ in range(30):
        state, _ = CODES.step(state, heard(0.4, 0.5, 0.0))
    np.testing.assert_allclose(state.magnitudes[0], 0.4, rtol=1e-3)  # (3/4)^30 of the way is left
    assert float(CODES.codes(state).errors[0].finest) == 2.0**-4


def test_a_lesson_moves_the_weights_down_the_energy_and_counts_spikes():
    learner = SpikingLearner(CODES, 0.1, 6, (), optax.sgd(0.05))
    step = eqx.filter_jit(learner.step)
    state, energies = learner.init(NETWORK), []
    for _ in range(12):
        state, lesson = step(state, (X[:3], jnp.eye(3)))
        energies.append(float(lesson.energy))
    assert energies[-1] < energies[0]
    assert float(lesson.error_spikes.min()) > 0
    assert int(state.scale.batches) == 12


@pytest.mark.parametrize(
    "make, culprit",
    [
        (lambda: ErrorScaledCodes(HalvingCode(1.0, 6), memory=0.5), "memory"),
        (lambda: ErrorScaledCodes(HalvingCode(1.0, 6), least=0.0), "least"),
        (lambda: ErrorScaledCodes(HalvingCode(1.0, 6), coarsest=0.0), "coarsest"),
        (lambda: LeakyTracePlasticity(HalvingCode(1.0, 6), 0.1, 3, decay=1.5), "decay"),
        (lambda: PopulationCodes((HalvingCode(1.0, 6),), (HalvingCode(1.0, 7),)), "halvings"),
    ],
)
def test_a_bad_setting_is_refused_by_name(make, culprit):
    with pytest.raises(ValueError, match=culprit):
        make()
