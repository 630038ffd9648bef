"""The conversion of a convolutional network, on stripes that take no time to learn."""

import jax
import numpy as np
import pytest

from experiments.data import Dataset, Samples
from experiments.papers import bu_2022_clip_floor_shift as paper
from experiments.papers.bu_2022_clip_floor_shift import Config

SETTINGS = Config(epochs=3, batch=32, steps=4, levels=4, calibration=64)


def stripes(n, seed):
    """Images of one bright stripe at one of ten heights, with noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 10, n).astype(np.int32)
    images = 0.1 * generator.random((n, 28, 28))
    for image, label in zip(images, labels, strict=True):
        image[2 + 2 * label : 5 + 2 * label] += 0.8
    return Samples(images.reshape(n, -1).astype(np.float32), labels)


@pytest.fixture(scope="module")
def trained():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "published", lambda _: Dataset(stripes(640, 0), stripes(100, 1)))
        state, losses = paper.init(SETTINGS), []
        for chunk in range(SETTINGS.epochs):
            state, metrics = paper.step(SETTINGS, state, chunk)
            losses.append(metrics)
        yield losses, paper.result(SETTINGS, state)


@pytest.mark.slow
def test_both_networks_learn(trained):
    losses, result = trained
    for name in losses[0]:
        assert losses[-1][name] < 0.5 * losses[0][name]
    assert (result.rate_accuracy > 0.9).all()


@pytest.mark.slow
def test_every_conversion_is_simulated_at_every_step(trained):
    _, result = trained
    assert len(result.accuracy) == 7
    for name, course in result.accuracy.items():
        assert course.shape == result.spikes[name].shape == (4,)
        assert (np.diff(result.spikes[name]) >= 0).all()
    # at as many steps as levels the trained activation loses next to nothing
    best = result.accuracy["clip-floor-shift (Bu 2022)"][-1]
    assert best >= result.rate_accuracy[1] - 0.03


@pytest.mark.slow
def test_the_summary_counts_points_from_the_right_twin(trained):
    _, result = trained
    rows = {row.label: row.value for row in paper.summary(SETTINGS, result)}
    for name, course in result.accuracy.items():
        twin = 0 if name in list(result.accuracy)[:4] else 1
        lost = 100 * (result.rate_accuracy[twin] - course[3])
        assert rows[f"lost within 8 steps, {name}"] == pytest.approx(lost)


@pytest.mark.slow
def test_training_repeats_bit_for_bit(trained):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "published", lambda _: Dataset(stripes(64, 0), stripes(10, 1)))
        twice = [paper.step(SETTINGS, paper.init(SETTINGS), 0)[0] for _ in range(2)]
    jax.tree.map(np.testing.assert_array_equal, *twice)


@pytest.mark.parametrize("name", ["epochs", "batch", "levels", "steps", "calibration", "rate"])
def test_settings_that_mean_nothing_are_refused(name):
    with pytest.raises(ValueError, match=name):
        Config(**{name: type(getattr(Config(), name))(0)})
