"""Temporal predictive coding on the authors' own tracks, against exact errors of both filters."""

import numpy as np
import pytest

from experiments.papers.millidge_2024_temporal import (
    DYNAMICS,
    Config,
    authors_normals,
    figure,
    matrix,
    run,
    stationary,
    summary,
    track,
    verify,
)


def test_the_authors_random_numbers_are_drawn_again():
    """What PyTorch prints after torch.manual_seed(0), for fewer than 16 numbers at a time."""
    printed = 1.5410, -0.2934, -2.1788, 0.5684, -1.0845, -1.3986, 0.4033, 0.8380
    np.testing.assert_allclose(authors_normals(0, 8), printed, atol=5e-5)  # four digits
    np.testing.assert_array_equal(authors_normals(0, 5), authors_normals(0, 8)[:5])


def test_a_track_obeys_its_equations():
    emission, data = matrix(10), track(3, 50, matrix(10))
    kicks = data.hidden[1:] - data.hidden[:-1] @ DYNAMICS.T
    kicks[:, 2] -= data.controls[1:, 0]
    noise = authors_normals(3, 300).reshape(50, 2, 3)
    np.testing.assert_allclose(kicks, noise[1:, 0], atol=1e-12)  # float64
    np.testing.assert_allclose(data.seen - data.hidden @ emission.T, noise[:, 1], atol=1e-12)


def test_the_stationary_error_is_where_its_recursion_ends():
    emission = matrix(10)
    gain = emission.T @ np.linalg.inv(emission @ emission.T + np.eye(3))
    rest, spread = np.eye(3) - gain @ emission, np.zeros((3, 3))
    for _ in range(2000):
        ahead = DYNAMICS @ spread @ DYNAMICS.T + np.eye(3)
        spread = rest @ ahead @ rest.T + gain @ gain.T
    assert stationary(gain, emission) == pytest.approx(np.trace(spread) / 3, rel=1e-9)


@pytest.mark.parametrize("name", ["track", "grid", "seeds", "rate", "learning_rate"])
def test_settings_that_are_not_positive_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        Config(**{name: 0})


@pytest.mark.slow
def test_small_tracks_give_whole_figures():
    config = Config(track=200, grid=100, seeds=2)
    result = run(config)
    assert result.errors[0] < result.errors[3] < result.errors[2] < result.errors[1]
    worse = np.diff(result.grid.mean(axis=2), axis=0)  # more steps are better, at every size
    assert (worse < 1e-3).all()
    assert len(summary(config, result)) == 15
    assert len(figure(result).axes) == 4


@pytest.mark.slow
def test_every_exact_number_is_met():
    checks = verify()
    assert len(checks) == 3
    assert [check for check in checks if not check.passed] == []
