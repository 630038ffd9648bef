"""Prospective configuration: the toy by hand, alignment in closed form, small runs of the rest."""

import jax
import numpy as np
import pytest

from experiments import data
from experiments.papers import song_2024_prospective as paper
from fep.predictive_coding.learning import backprop
from fep.predictive_coding.network import identity


@pytest.mark.slow
def test_first_step_of_the_toy_is_the_one_by_hand():
    start, backprop_s, prospective = (paper.toy()[i, j] for i, j in ((0, 0), (0, 1), (1, 1)))
    np.testing.assert_allclose(start, 1.0)
    np.testing.assert_allclose(backprop_s, [0.64, 0.8], rtol=1e-6)  # float32
    hidden, errors = 2 / 3, np.array([-2 / 3, 1 / 3])  # where the hidden unit settles
    above = 1 + 0.2 * errors * hidden
    below = 1 + 0.2 * (hidden - 1)
    np.testing.assert_allclose(prospective, above * below, rtol=1e-6)


def by_numpy(weights, x, y, rate, prospective):
    """Target alignment of one update of a linear chain, from its normal equations."""
    ahead = [x]
    for w in weights:
        ahead.append(w @ ahead[-1])
    back = [np.eye(len(y))]  # from each layer to the output, output first
    for w in reversed(weights[1:]):
        back.append(back[-1] @ w)
    back = back[::-1]
    spread = sum(m @ m.T for m in back) if prospective else np.eye(len(y))
    error = np.linalg.solve(spread, y - ahead[-1])
    errors = [m.T @ error for m in back]
    values = [x]
    for w, e in zip(weights, errors, strict=True):
        values.append(w @ values[-1] + e)
    read = values if prospective else ahead
    moved = [w + rate * np.outer(e, z) for w, e, z in zip(weights, errors, read[:-1], strict=True)]
    after = x
    for w in moved:
        after = w @ after
    change, wanted = after - ahead[-1], y - ahead[-1]
    return change @ wanted / np.sqrt((change @ change) * (wanted @ wanted))


@pytest.mark.parametrize(
    "rule, prospective",
    [(backprop, False), pytest.param(paper.EQUILIBRIUM, True, marks=pytest.mark.slow)],
)
def test_alignment_of_linear_networks_is_the_closed_form(x64, rule, prospective):
    network = paper.glorot((6, 5, 7, 5, 4), identity, 1.0, key=jax.random.key(0))
    x, y = (jax.random.normal(jax.random.key(n), (n,)) for n in (6, 4))
    weights = [np.asarray(layer.weight) for layer in network.layers]
    golden = by_numpy(weights, np.asarray(x), np.asarray(y), 1e-3, prospective)
    found = jax.jit(lambda x, y: paper.target_alignment(rule, network, 1e-3, x, y))(x, y)
    assert float(found) == pytest.approx(golden, rel=1e-9)
    assert golden < 1 - 1e-4


def test_ends_of_turns_tell_the_task_just_learnt_from_the_other():
    errors = np.zeros((1, 1, 1, 16, 2))
    errors[0, 0, 0, 11] = 0.1, 0.7  # first task learnt last
    errors[0, 0, 0, 15] = 0.5, 0.3  # second
    result = paper.Result(None, None, None, errors)
    np.testing.assert_allclose(paper.at_the_ends(result)[0, 0, 0], [0.2, 0.6])


@pytest.fixture
def stripes(monkeypatch):
    """In the place of FashionMNIST, images of which a stripe tells the class, in noise."""
    generator = np.random.default_rng(0)

    def part(count):
        labels = generator.permutation(np.repeat(np.arange(10), count)).astype(np.int32)
        images = 0.3 * generator.random((10 * count, 784), dtype=np.float32)
        images[np.arange(len(labels))[:, None], 78 * labels[:, None] + np.arange(78)] += 0.7
        return data.Samples(images, labels)

    monkeypatch.setattr(paper, "published", lambda which: data.Dataset(part(200), part(200)))


@pytest.mark.slow
def test_both_losses_learn_stripes(stripes, monkeypatch):
    monkeypatch.setattr(paper, "DEPTHS", (2,))
    kept = "pred. coding, squared error", "pred. coding, cross-entropy"
    monkeypatch.setattr(paper, "ARMS", {name: paper.ARMS[name] for name in kept})
    monkeypatch.setattr(paper, "COLOURS", paper.COLOURS[:2])
    monkeypatch.setattr(paper, "FEW_RATES", (2e-3, 1e-2))
    monkeypatch.setattr(paper, "TURN_RATES", (5e-4, 1e-3))
    theirs = {f: tuple(part[:1] for part in both) for f, both in paper.THEIR_ALIGNMENT.items()}
    monkeypatch.setattr(paper, "THEIR_ALIGNMENT", theirs)
    config = paper.Config(seeds=1, nets=2, images=30, epochs=30, turns=2, turn_images=100)
    result = paper.run(config)
    assert result.alignment.shape == (2, 2, 1, 2)
    assert result.few.shape == (2, 2, 1)
    assert result.turns.shape == (2, 2, 1, 16, 2)
    smallest = result.few.min(axis=(1, 2))
    assert smallest[0] < 0.8  # chance is 0.9; the logistic units are slow under squared error
    assert smallest[1] < 0.2
    assert ((result.turns >= 0) & (result.turns <= 1)).all()
    assert len(paper.summary(config, result)) == 14
    assert len(paper.figure(result).axes) == 4


@pytest.mark.parametrize(
    "wrong", [{"seeds": 0}, {"images": 1001}, {"turns": 0}, {"turn_images": 50}]
)
def test_bad_settings_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        paper.Config(**wrong)
