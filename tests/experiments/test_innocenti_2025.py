"""mu-PC: what of it must hold at any size, on noise in the place of MNIST."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import data
from experiments.papers import innocenti_2025_mupc as paper
from fep.predictive_coding.scaling import Scaled, mu_pc, standard


@pytest.mark.parametrize(
    "losses, lost",
    [
        ([[3.0, 1.0, 2.0], [4.0, 2.0, 3.0]], 0.0),  # both are best at the second rate
        ([[3.0, 1.0, 2.0], [4.0, 3.0, 2.0]], 0.5),
        ([[3.0, 1.0, 2.0], [4.0, np.nan, 2.0]], np.inf),
    ],
)
def test_loss_by_another_net_s_rate(losses, lost):
    assert paper.transfer_loss(np.array(losses)) == pytest.approx(lost)


def test_values_keep_their_scale_through_128_layers_under_mu_pc_alone():
    width, depth = 16, 128
    start = jax.random.normal(jax.random.key(0), (width,))
    draws = jax.random.normal(jax.random.key(1), (depth - 2, width, width))

    @partial(jax.jit, static_argnums=0)
    def growth(scaling):
        gains, deviations = scaling(784, width, depth)
        layer = lambda x, w: (Scaled(deviations[1] * w, gains[1], 1.0, jax.nn.relu)(x), None)
        return jnp.linalg.norm(jax.lax.scan(layer, start, draws)[0]) / jnp.linalg.norm(start)

    assert 0.5 < growth(mu_pc) < 3
    assert growth(standard) > 1e6


@pytest.mark.slow
def test_all_runs_learn_which_pixels_are_bright(monkeypatch):
    generator = np.random.default_rng(0)
    images = generator.random((2000, 784), dtype=np.float32)
    labels = generator.integers(0, 10, 2000).astype(np.int32)
    images[np.arange(2000)[:, None], 70 * labels[:, None] + np.arange(70)] += 1.0
    samples = data.Samples(images, labels)
    monkeypatch.setattr(paper, "published", lambda which: data.Dataset(samples, samples))
    monkeypatch.setattr(paper, "BATCH", 16)
    monkeypatch.setattr(paper, "DEPTHS", (4, 8))
    monkeypatch.setattr(paper, "WIDTHS", (16, 32))
    monkeypatch.setattr(paper, "NOTEBOOK_WIDTH", 16)
    monkeypatch.setattr(paper, "NOTEBOOK_DEPTH", 5)
    result = paper.run(paper.Config(updates=60, notebook=100))
    assert result.by_depth.shape == (2, 2, 4)
    assert result.by_width.shape == (2, 2, 4)
    assert (result.depth_accuracy[0].max(axis=1) > 30).all()  # chance is 10
    assert result.notebook[0] > 30
    assert len(paper.summary(paper.Config(updates=60), result)) == 9
    assert len(paper.figure(result).axes) == 4


@pytest.mark.parametrize("wrong", [{"deepest": 7}, {"updates": 0}, {"notebook": 150}])
def test_bad_settings_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        paper.Config(**wrong)
