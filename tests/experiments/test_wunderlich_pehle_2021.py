"""Yin-yang by exact and by surrogate gradients: the loss, a first epoch, and the full runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.papers import wunderlich_pehle_2021_yin_yang as paper

LOSS = jax.jit(paper.first_spike_loss)


def scores(*first):
    zero = jnp.zeros(())
    return paper.Scores(jnp.array(first), jnp.array([1.0, 2.0, 3.0]), jnp.int32(0), zero, zero)


def test_the_loss_is_the_papers_with_silent_outputs_left_out():
    first = np.array([12e-3, 11.5e-3, 13e-3])
    powers = np.exp(-first / 0.5e-3)
    late = 3e-3 * (np.exp(first / 6.4e-3) - 1)
    for label in range(3):
        expected = -np.log(powers[label] / powers.sum()) + late[label]
        assert float(LOSS(scores(*first), label)) == pytest.approx(expected, rel=1e-4)
    expected = -np.log(powers[0] / (powers[0] + powers[2])) + late[0]
    silent = scores(first[0], np.inf, first[2])
    assert float(LOSS(silent, 0)) == pytest.approx(expected, rel=1e-4)
    assert float(LOSS(silent, 1)) == pytest.approx(-0.05 * 2.0)  # more charge would wake it
    slope = jax.jit(jax.grad(lambda t, label: paper.first_spike_loss(scores(*t), label)))
    assert np.isfinite(slope(jnp.array([12e-3, jnp.inf, 13e-3]), 1)).all()


@pytest.mark.slow
def test_an_epoch_by_exact_gradients_teaches_most_of_the_figure():
    course = paper.learn(paper.EXACT, 0, 1, paper.VALIDATION)
    assert course.accuracy[-1] > 70  # chance is 33; 78 to 90 were seen
    fired = np.isfinite(course.outputs)
    assert fired.mean() > 0.9
    assert course.fullest == 0  # no spike is lost to the limit
    config = paper.Config(seeds=1, epochs=1, surrogate_epochs=1)
    state = paper.init(config)._replace(exact=course.accuracy[None], first=course.outputs)
    state = state._replace(surrogate=np.full((1, 1), 50.0))
    result = paper.result(config, state)
    drawing = paper.figure(result)
    assert len(drawing.axes) == 6  # five panels and a colour bar


@pytest.mark.parametrize("name", ["seeds", "epochs", "surrogate_epochs"])
def test_a_run_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1"):
        paper.Config(**{name: 0})


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_both_gradients_reach_the_papers_accuracy():
    checks = paper.verify()
    assert [check for check in checks if not check.passed] == []
    assert min(check.ours for check in checks) >= 97.9
