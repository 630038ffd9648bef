"""What is claimed of MiniLM's spikes, and how it is measured."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.papers import spikingbrain_2025_minilm as paper
from experiments.papers.spikingbrain_2025_minilm import Config, Texts
from experiments.texts import FIRST, SECOND, calibration
from snn import pretrained
from snn.projections import Sent
from snn.transformer import LayerSent


def test_first_sentences_are_those_of_the_golden_file():
    golden = np.load(Path(__file__).parents[1] / "golden" / "minilm" / "minilm_golden.npz")
    assert tuple(str(s) for s in golden["sentences"]) == FIRST
    assert len(set(FIRST) | set(SECOND)) == 80


def test_sentences_to_calibrate_on_repeat_with_their_seed_alone():
    assert calibration(20, 1) == calibration(20, 1) != calibration(20, 2)
    assert not set(calibration(500, 0)) & {*FIRST, *SECOND}


def test_fidelity_is_cosine_and_order_of_similarities():
    embeddings = np.random.default_rng(0).normal(size=(10, 5))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    texts = Texts(np.zeros((10, 1)), np.ones((10, 1), bool), embeddings)
    same = paper._compare(embeddings, texts, slice(None))
    np.testing.assert_allclose(same, 1.0, atol=1e-6)
    turned = embeddings @ np.linalg.qr(np.arange(25.0).reshape(5, 5) ** 0.5)[0]
    mean, _, order = paper._compare(turned, texts, slice(None))
    assert mean < 0.9
    assert order == pytest.approx(1.0, abs=0.02)  # similarities survive a rotation; ties may swap


def test_spikes_are_counted_over_tokens_once_a_projection():
    counts = lambda *values: Sent(jnp.array([[values, (99, 99)]]), jnp.ones((1, 2)))
    sent = (LayerSent(counts(0, 5), counts(0, 7), counts(0, 0), counts(-8, 1)),)
    mask = np.array([[True, False]])  # the second token is padding
    counts = paper._counts(sent, mask, slice(None))
    np.testing.assert_array_equal(np.sort(counts), [0, 0, 0, 0, 0, 0, 1, 5, 5, 5, 7, 8])
    silent, unary, binary, adjacent, small, largest = paper._statistics(counts)
    assert (silent, unary, small, largest) == (6 / 12, 31 / 12, 11 / 12, 8)
    assert binary == 11 / 12  # 101 three times, 111, 1, 1000
    assert adjacent == 10 / 12  # 7 is 8 - 1


@pytest.mark.parametrize("settings", [{"rotations": 0}, {"sentences": 0}, {"ridge": 0.0}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Config(**settings)


@pytest.mark.slow
def test_every_claim_holds_on_both_sets_of_sentences():
    """Two rotations of the run's five, and of its schemes those of the paper's sweep."""
    try:
        pretrained.minilm()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    sweep = ("mean / 2", "mean / 2.5", "mean / 3", "mean / 3.5", "mean / 4")
    result = paper.study(Config(rotations=2), sweep)
    assert set(result.first) == set(sweep)
    assert [check for check in paper.checks(result) if not check.passed] == []
    for name, cosine, order in (
        ("four steps, ours, INT8", 0.993, 0.989),
        ("five steps, ours, INT8", 0.998, 0.996),
    ):
        mean = result.claimed[name].mean(axis=0)  # over rotations; rows are sets
        assert (mean[:, 0] >= cosine).all()
        assert (mean[:, 1] >= order).all()
    for table in (result.first, result.second):
        cosine, _, order, *_ = table["mean / 3"]
        assert cosine >= 0.993
        assert order >= 0.985
