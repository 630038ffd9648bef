"""E-prop on a pattern: the task, the gradient's identity, and the full run."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.papers import bellec_2020_e_prop as paper


def test_a_pattern_is_four_sines_from_nought():
    found = paper.pattern(np.random.default_rng(4))
    assert found[0] == 0
    assert np.abs(found).max() == pytest.approx(1)
    spectrum = np.abs(np.fft.rfft(found[:-1])) / len(found)  # the last step closes the circle
    loud = np.nonzero(spectrum > 0.02)[0]
    assert set(loud) - {0} == {1, 2, 3, 5}  # periods of 1000, 500, 333 and 200 steps


def test_no_neuron_hears_itself_and_neither_method_makes_it():
    own = paper.task(0)
    assert float(jnp.abs(jnp.diag(own.network.layers[0].recurrent)).max()) == 0
    assert own.inputs.mean() == pytest.approx(paper.INPUT_HZ * paper.DT, rel=0.05)


def test_the_error_after_learning_is_a_median_of_the_last_updates():
    error = np.tile(np.arange(20.0), (2, 3, 1))
    error[..., -1] = 1e9  # one burst does not count
    filler = np.zeros(paper.STEPS)
    raster = np.zeros((paper.STEPS, paper.HIDDEN), bool)
    result = paper.Result(error, np.zeros((2, 3)), filler, np.tile(filler, (3, 1)), raster)
    assert paper.last_error(result)[0, 0] == pytest.approx((18 + 1e9) / 2)
    error[..., -1] = 19
    assert paper.last_error(result)[0, 0] == pytest.approx(18.5)
    result = result._replace(error=1 + error)
    assert len(paper.figure(result).axes) == 3


@pytest.mark.parametrize("name", ["seeds", "updates"])
def test_a_run_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1"):
        paper.Config(**{name: 0})


@pytest.mark.slow
def test_e_prop_is_the_cut_gradient_and_learns_nearly_as_well():
    cut, whole = paper.disagreement(1)
    assert cut < 1e-4 < whole  # float32 over a thousand steps
    assert [check for check in paper.verify() if not check.passed] == []
