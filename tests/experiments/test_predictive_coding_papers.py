"""Small runs of the predictive-coding papers: shapes, ranges, and what must hold at any size."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import data
from experiments import deep_predictive_coding as deep
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
    for paper in (goemaere, pinchetti, deep):
        monkeypatch.setattr(paper, "published", lambda which: data.Dataset(samples, samples))


@pytest.mark.slow
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


@pytest.mark.slow
def test_all_rules_learn_what_a_pixel_tells(few, monkeypatch):
    monkeypatch.setattr(pinchetti, "WIDTHS", (784, 32, 10))
    cells = {data.FASHION_MNIST: pinchetti.SETTINGS[data.FASHION_MNIST]}
    monkeypatch.setattr(pinchetti, "SETTINGS", cells)
    config = pinchetti.Config(seeds=1, epochs=12, batch=12, samples=300)
    state = pinchetti.init(config)
    for chunk in range(pinchetti.chunks(config)):
        state, _ = pinchetti.step(config, state, chunk)
    result = pinchetti.result(config, state)
    assert result.accuracy.shape == (1, len(pinchetti.RULES), 1, 12)
    assert (result.accuracy[..., -1] > 90).all()
    for part in result[1:]:
        assert np.isfinite(part).all()
    gap = dict(zip(pinchetti.RULES, result.gap[0, :, 0], strict=True))
    assert gap["BP-SE"] == gap["BP-CE"] == 1  # backprop does not settle at all
    assert 0 < gap["PC-SE"] < 1
    incremental = result.to_backprop[0, pinchetti.RULES.index("iPC"), 0]
    assert incremental > 0.5  # what it descends: its slopes at single steps swing to and fro
    labels = [row.label for row in pinchetti.summary(config, result)]
    assert "FashionMNIST PC-SE, cosine to backprop" in labels


def test_an_incremental_rule_s_schedule_counts_every_step_of_inference():
    """As the authors' scripts do: their weights, too, move at each step."""
    setting = pinchetti.SETTINGS[data.FASHION_MNIST][pinchetti.RULES.index("iPC")]
    learner = setting.learner(setting, 10)
    moved = learner.optimiser.init(jnp.ones(1))
    sizes = []
    for _ in range(10 * setting.steps):
        update, moved = learner.optimiser.update(jnp.ones(1), moved, jnp.zeros(1))
        sizes.append(-float(update[0]))
    assert np.argmax(sizes) == setting.steps  # a tenth of them all is warm-up
    assert sizes[-1] == pytest.approx(0.1 * setting.weight_rate, rel=0.01)


@pytest.mark.slow
def test_a_large_output_variance_learns_as_backprop_does(few, monkeypatch):
    monkeypatch.setattr(deep, "WIDTHS", (784, 16, 16, 10))
    monkeypatch.setattr(deep, "VARIANCES", (1.0, 100.0))
    monkeypatch.setattr(deep, "HELD_OUT", 100)
    config = deep.Config(seeds=1, epochs=6, batch=10, rate=1e-2, held_out=True)
    state = deep.init(config)
    for chunk in range(deep.chunks(config)):
        state, _ = deep.step(config, state, chunk)
    result = deep.result(config, state)
    assert result.accuracy.shape == (3, 1, 6)
    assert (result.accuracy[..., -1] > 90).all()
    assert (result.gap < 1e-3).all()
    near, far = result.to_backprop[1, 0].min(), result.to_backprop[0, 0].min()
    assert near > max(far, 0.99)
    labels = [row.label for row in deep.summary(config, result)]
    assert labels[0] == "output variance 1, seed 0"


def test_a_run_that_ends_far_below_its_best_epoch_has_collapsed():
    courses = np.array([[80, 84, 85.0], [84, 85, 18.0], [10, 85, 75.5]])
    assert list(deep.collapsed(courses)) == [False, True, False]


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: goemaere.Config(judged=0), "judged"),
        (lambda: goemaere.Config(rate=0.0), "rate"),
        (lambda: goemaere.Config(samples=10), "batch"),
        (lambda: pinchetti.Config(seeds=0), "seeds"),
        (lambda: deep.Config(epochs=0), "epochs"),
        (lambda: deep.Config(rate=-1.0), "rate"),
        (lambda: pinchetti.Config(samples=100), "samples"),
    ],
)
def test_bad_settings_are_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
