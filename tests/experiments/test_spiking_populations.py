"""The study of population sizes: its oracle, its bound, and, at full size, its slopes."""

import numpy as np
import pytest

from experiments.figures import save
from experiments.spiking_populations import (
    ALONE,
    CODES,
    COORDINATED,
    FITTED,
    Config,
    course,
    exact,
    figure,
    run,
    slack,
    slopes,
    study,
    summary,
)

SMALL = Config(worlds=1, steps=12, states=3, largest=32)


@pytest.fixture(scope="module")
def result():
    return run(SMALL)


def test_the_filter_is_the_posterior_of_whole_paths():
    """Summed over every path of states that ends where it does."""
    seen = course(Config(steps=4, states=3), np.random.default_rng(1))
    paths = np.array(np.meshgrid(*[range(3)] * 4, indexing="ij")).reshape(4, -1).T
    weights = np.full(len(paths), 1 / 3)
    for t, (outcome, action) in enumerate(zip(seen.outcomes, seen.actions, strict=True)):
        weights = weights * seen.likelihood[outcome, paths[:, t]]
        if t < 3:
            weights = weights * seen.transitions[paths[:, t + 1], paths[:, t], action]
    wanted = np.bincount(paths[:, -1], weights) / weights.sum()
    np.testing.assert_allclose(exact(seen)[-1], wanted, rtol=1e-12)


@pytest.mark.slow
def test_the_contraction_bound_holds_in_every_run_and_can_be_broken(result):
    assert result.slack.shape == (len(CODES),)
    assert result.slack.min() >= -1e-9  # rounding
    # the bound speaks of errors that a filter hands on: it fails for any that come from elsewhere
    seen = course(SMALL, np.random.default_rng(SMALL.seed))
    truth = exact(seen)
    wrong = seen._replace(outcomes=(seen.outcomes + 1) % 3)
    assert slack(wrong, truth, exact(wrong)) >= -1e-9
    assert slack(wrong, exact(wrong), truth) < 0


@pytest.mark.slow
def test_the_limit_is_exact_and_coordinated_neurons_are_nearer_than_neurons_alone(result):
    assert result.limit <= 1e-3
    errors = dict(zip(CODES, result.distance[:, -1], strict=True))
    assert max(errors[code] for code in COORDINATED) < min(errors[code] for code in ALONE)


@pytest.mark.slow
def test_coupled_residuals_stay_within_the_bound_of_their_mechanism(result):
    # 1 + S + mu/k with S < 1 + 6 x .1 (thresholds are cut off at three standard deviations)
    assert np.ptp(result.residual[1]) < 1 + 1.6 + 0.1
    assert result.raster.sum(axis=(1, 2)) == pytest.approx(
        48 * 0.05 * 100 - result.residual[:, -1], abs=1e-3
    )


@pytest.mark.slow
def test_it_is_told_and_drawn(result, tmp_path):
    rows = summary(SMALL, result)
    assert [f"slope in N: {code}" for code in CODES] == [row.label for row in rows[1:-2]]
    alone, coupled = (
        result.distance[CODES.index(f"{c}, mismatched"), -1] for c in ("alone", "coupled")
    )
    assert rows[-2].value == pytest.approx(32 * (alone / coupled) ** 2)
    assert all(path.stat().st_size > 10_000 for path in save(figure(result), tmp_path / "figure"))


@pytest.mark.parametrize("name, value", [("largest", 16), ("states", 1), ("worlds", 0)])
def test_a_bad_setting_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        Config(**{name: value})


@pytest.mark.slow
def test_a_code_does_the_same_whatever_else_is_studied(result):
    alone = study(SMALL, ("coupled, mismatched",), (32,))
    row = CODES.index("coupled, mismatched")
    assert alone.distance.shape == (1, 1)
    assert alone.distance[0, 0] == result.distance[row, 1]


@pytest.mark.slow
def test_slopes_of_the_full_worlds():
    """Of the sizes that slopes are fitted to, the ends and the middle."""
    codes = (*ALONE, *COORDINATED)
    full = study(Config(), codes, (16, 64, FITTED))
    found = dict(zip(codes, slopes(full), strict=True))
    assert full.limit <= 1e-3
    assert full.slack.min() >= -1e-9
    for code in ALONE:
        assert found[code] == pytest.approx(-0.5, abs=0.05)
    for code in COORDINATED:
        assert found[code] <= -0.85
