"""Small runs of the predictive-coding papers: shapes, ranges, and what must hold at any size."""

import numpy as np
import pytest

from experiments import data
from experiments.papers import goemaere_2025_equilibrium as goemaere
from experiments.papers import pinchetti_2025_mlp as pinchetti


@pytest.fixture
def few(monkeypatch):
    """Noise in the place of FashionMNIST: 300 images of which labels are the brightest tenth."""
    generator = np.random.default_rng(0)
    images = generator.random((300, 784), dtype=np.float32)
    images[:, :100] *= generator.integers(0, 2, (300, 1))
    labels = (images[:, :100].sum(axis=1) > 0).astype(np.int32)
    samples = data.Samples(images, labels)
    for paper in (goemaere, pinchetti):
        monkeypatch.setattr(paper, "published", lambda which: data.Dataset(samples, samples))


def test_newton_steps_end_nearer_than_descent(few, monkeypatch):
    kept = "state descent, 20", "ePC as published, 5", "Gauss-Newton, 3"
    monkeypatch.setattr(goemaere, "SOLVERS", {name: goemaere.SOLVERS[name] for name in kept})
    # two networks of one shape, so that one program judges all six
    config = goemaere.Config(samples=256, batch=64, judged=8, shallow=12, deep=12, layers=2)
    result = goemaere.run(config)
    names = list(goemaere.SOLVERS)
    gap = result.gap
    assert gap.shape == (2, 3, len(names))
    newton = gap[..., names.index("Gauss-Newton, 3")]
    assert (newton <= gap[..., names.index("state descent, 20")]).all()
    assert newton.max() < 1e-4
    published = result.to_backprop[..., names.index("ePC as published, 5")]
    assert published.min() > 0.998  # a small rate's limit: Goemaere et al., theorem C.9
    assert len(goemaere.summary(config, result)) == len(names)


def test_all_rules_learn_what_a_pixel_tells(few, monkeypatch):
    monkeypatch.setattr(pinchetti, "WIDTHS", (784, 128, 10))
    config = pinchetti.Config(epochs=8, batch=16, samples=300)
    result = pinchetti.run(config)
    assert result.accuracy.shape == (3, 1, 8)
    assert (result.accuracy[:, 0, -1] > 90).all()
    assert result.gap[2, 0] == 1  # backprop does not settle at all
    labels = [row.label for row in pinchetti.summary(config, result)]
    assert "PC-SE, cosine to backprop, worst layer" in labels


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: goemaere.Config(judged=0), "judged"),
        (lambda: goemaere.Config(rate=0.0), "rate"),
        (lambda: goemaere.Config(samples=10), "batch"),
        (lambda: pinchetti.Config(seeds=0), "seeds"),
        (lambda: pinchetti.Config(samples=100), "samples"),
    ],
)
def test_bad_settings_are_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
