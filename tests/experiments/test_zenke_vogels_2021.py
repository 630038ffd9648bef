"""Surrogates on random manifolds: the task, how results are read, and the full run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.papers import zenke_vogels_2021_surrogates as paper
from snn.surrogate import SuperSpike


def accuracies(values):
    """A result of which the accuracies alone are read; values by shape, steepness and peak."""
    accuracy = np.asarray(values, float)[..., None]
    return paper.Result(accuracy, np.ones((*accuracy.shape, 20)), accuracy)


@pytest.mark.slow
def test_every_unit_fires_once_in_the_first_half():
    times, labels = paper.points()
    assert times.shape == (paper.TRAIN + paper.TEST, paper.UNITS)
    assert 0 <= times.min() <= times.max() < paper.ACTIVE
    assert np.bincount(labels).tolist() == [250] * paper.CLASSES


def test_losses_and_differences_are_read_off_the_right_slopes():
    result = accuracies([[[50, 50], [90, 80], [80, 60]]] * 2 + [[[50, 50], [70, 80], [86, 60]]])
    np.testing.assert_allclose(paper.best_of_shapes(result), [90, 90, 86])
    assert paper.scale_loss(result) == pytest.approx((20 + 20 + 26) / 3)
    tables = paper.tables(paper.Config(), result)
    assert [row.value for row in next(iter(tables.values()))][:3] == [50, 90, 80]
    assert len(paper.figure(result).axes) == 3


def test_a_read_out_hears_a_hidden_spike_at_its_weight():
    """One input that surely fires every hidden neuron, none of which hears another."""
    weights = jnp.full((paper.UNITS, 4), 2.0), jnp.zeros((4, 4)), jnp.eye(4)
    times = jnp.full(paper.UNITS, 3)
    potentials, spikes = jax.jit(paper.respond)(weights, SuperSpike(), times)
    assert float(spikes) >= 1
    keep = np.exp(-paper.DT / paper.TAU_READ)
    first = (1 - keep) * paper.TAU_READ / paper.DT  # of one spike
    assert np.all(np.asarray(potentials) >= 0.99 * first)
    assert np.all(np.asarray(potentials) <= float(spikes) * first * 1.001)


@pytest.mark.parametrize("name", ["seeds", "updates"])
def test_a_run_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1"):
        paper.Config(**{name: 0})


@pytest.mark.slow
def test_the_shape_hardly_matters_and_the_scale_does():
    assert [check for check in paper.verify() if not check.passed] == []
