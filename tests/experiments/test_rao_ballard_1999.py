"""Fields, bars and textures of Rao & Ballard: what is drawn, how it is measured, what is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.gabor import fit_gabor, orientation_selectivity
from experiments.papers.rao_ballard_1999_endstopping import (
    CUTOFF,
    LENGTHS,
    ROW,
    Config,
    bars,
    endstopping,
    figure,
    network_of,
    run,
    sample,
    summary,
    suppression,
    textures,
    whitened,
    without_feedback,
)

FIELD = np.meshgrid(np.arange(12) - 5.5, np.arange(12) - 6.0, indexing="ij")


def gabor(angle, frequency, width):
    y, x = FIELD
    u = x * np.cos(angle) + y * np.sin(angle)
    return np.exp(-(x**2 + y**2) / (2 * width**2)) * np.cos(2 * np.pi * frequency * u + 0.4)


@pytest.mark.slow
def test_a_gabor_function_is_found_again_and_noise_is_not_one():
    noise = np.random.default_rng(0).standard_normal((12, 12))
    fields = jnp.asarray(np.stack([gabor(0.6, 0.17, 2.2), noise]), jnp.float32)
    found = jax.jit(jax.vmap(fit_gabor))(fields)
    assert float(found.explained[0]) > 0.999
    assert float(found.frequency[0]) == pytest.approx(0.17, abs=5e-3)
    assert float(found.orientation[0]) == pytest.approx(0.6 + np.pi / 2, abs=0.02)  # of its bars
    assert float(found.explained[1]) < 0.5


def test_selectivity_tells_gratings_from_blobs_and_plaids():
    y, x = FIELD
    blob = np.exp(-(x**2 + y**2) / 8)
    plaid = gabor(0.0, 0.2, 2.5) + gabor(np.pi / 2, 0.2, 2.5)
    measure = jax.jit(jax.vmap(orientation_selectivity))
    shown = np.stack([gabor(0.6, 0.2, 2.5), blob, plaid])
    grating, blob, plaid = measure(jnp.asarray(shown, jnp.float32))
    assert grating > 0.8
    assert blob < 0.05
    assert plaid < 0.1


def test_whitening_flattens_a_spectrum_that_falls_with_frequency():
    """Of a picture with amplitudes 1 / f the filter's low pass is left, up to a factor."""
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(64)] * 2, indexing="ij"))
    frequency[0, 0] = 1.0
    noise = np.fft.fft2(np.random.default_rng(0).standard_normal((64, 64)))
    picture = np.fft.ifft2(noise / np.abs(noise) / frequency).real
    passed = np.abs(np.fft.fft2(whitened(picture))) * np.exp((frequency / CUTOFF) ** 4)
    np.testing.assert_allclose(passed.ravel()[1:], passed[0, 1], rtol=1e-9)  # float64
    assert whitened(picture).std() == pytest.approx(1)


def test_bars_and_textures_are_as_described():
    drawn = bars(1.0)
    assert [round(-bar.sum() / 4) for bar in drawn] == list(LENGTHS)  # 2 deep, 2 wide
    none, same, orthogonal = textures(1.0)
    inside = (slice(3, 11), slice(3, 11))
    for other in (same, orthogonal):
        np.testing.assert_array_equal(none[..., *inside], other[..., *inside])
    assert none[..., :3, :].max() == 0
    np.testing.assert_allclose(same[4], np.swapaxes(same[0], -1, -2), atol=1e-12)  # a quarter turn


def test_each_module_sees_its_own_window():
    patch = jnp.zeros(ROW.area).at[8, 13].set(1.0)
    values = jax.jit(lambda p: sample(ROW, p))(patch)
    brightest = [float(view.max()) for view in values[:3]]
    assert len(values) == 6
    assert max(brightest) == brightest[1]  # windows are brightest in their middle


def test_cut_feedback_predicts_nothing_and_leaves_the_modules_be():
    network = network_of(Config(), ROW, key=jax.random.key(0))
    cut = without_feedback(network)
    for before, after in zip(network.edges, cut.edges, strict=True):
        if before.source == "top":
            assert not after.map.weight.any()
        else:
            assert jax.tree.all(jax.tree.map(jnp.array_equal, before, after))


def test_endstopping_is_the_fall_from_the_peak():
    rising, falling = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [-4.0], [1.0]])
    assert endstopping(rising) == 0
    assert endstopping(falling) == pytest.approx(0.75)


def test_each_unit_is_judged_at_the_grating_that_it_prefers():
    classical, fed = np.zeros((2, 3, 8, 4, 32))
    classical[0, 5, 2] = -2.0  # all prefer this orientation and phase
    fed[0], fed[:, 5, 2] = 9.0, np.array([4.0, 1.0, -3.0])[:, None]
    np.testing.assert_allclose(suppression(fed, classical), [1, 0.25, 0.75])


@pytest.mark.parametrize("name", ["patches", "updates", "contrast", "rate", "prior_variance"])
def test_settings_that_are_not_positive_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        Config(**{name: 0})
    with pytest.raises(ValueError, match="decay must not be negative"):
        Config(decay=-1.0)
    with pytest.raises(ValueError, match="batch must be at most patches"):
        Config(batch=200, patches=100)


@pytest.mark.slow
def test_without_feedback_no_bar_is_too_long_and_no_surround_matters():
    pytest.importorskip("PIL", reason="scikit-learn reads its photographs by Pillow")
    config = Config(updates=40, steps=20, patches=500)
    result = run(config)
    assert endstopping(result.cut) < 0.01
    cut = result.texture_cut
    np.testing.assert_allclose(suppression(cut, cut), 1, atol=1e-3)  # windows end with the centre
    assert np.abs(suppression(result.texture_fed, cut) - 1).max() > 0.01
    assert np.abs(result.fed - result.cut).max() > 0.01
    assert len(summary(config, result)) == 7
    assert len(figure(result).axes) == 4
