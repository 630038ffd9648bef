"""Codes: information by closed forms, noise, and images of few spikes."""

import jax
import numpy as np
import pytest

from experiments import temporal_and_rate_codes as study


def test_information_is_entropy_less_what_noise_takes():
    random = np.random.default_rng(0)
    sent = random.integers(0, 8, 50_000)
    assert study.information(sent, sent * 0.5) == pytest.approx(3, abs=1e-3)
    assert study.information(sent, random.random(50_000).round(1)) == pytest.approx(0, abs=2e-3)
    flipped = np.where(random.random(50_000) < 0.1, 1 - sent % 2, sent % 2)
    noise = -0.1 * np.log2(0.1) - 0.9 * np.log2(0.9)
    assert study.information(sent, flipped * 1.0) == pytest.approx(1 - noise, abs=0.01)


def test_a_rate_told_by_two_spikes_at_most_is_what_a_table_says():
    values = study.levels().astype(float)
    likely = np.stack([(1 - values) ** 2, 2 * values * (1 - values), values**2], axis=1)
    mean = likely.mean(axis=0)
    entropy = lambda p: -np.sum(p * np.log2(np.maximum(p, 1e-300)), axis=-1)
    assert study.poisson_bits(2) == pytest.approx(entropy(mean) - entropy(likely).mean(), rel=1e-6)
    bits = study.exact_bits()
    assert bits["rate"][0] == pytest.approx(study.poisson_bits(2))
    assert all(np.all(np.diff(values) > 0) for values in bits.values())


def test_noise_moves_and_takes_spikes_and_makes_none():
    trains, disturb = np.zeros((16, 2_000), np.float32), jax.jit(study.disturb)
    trains[8] = 1
    still = disturb(trains, 0.0, 0.0, key=jax.random.key(0))
    np.testing.assert_array_equal(still, trains)
    noisy = np.asarray(disturb(trains, 2.0, 0.3, key=jax.random.key(1)))
    count = noisy.sum(axis=0)
    assert set(count) == {0.0, 1.0}
    assert count.mean() == pytest.approx(0.7, abs=0.05)
    at = np.nonzero(noisy.T)[1]
    assert at.mean() == pytest.approx(8, abs=0.2)
    assert at.std() == pytest.approx(2.0, abs=0.2)  # rounding adds a twelfth, ends take a little


def test_few_samples_are_refused():
    with pytest.raises(ValueError, match="samples must be at least 1000"):
        study.Config(samples=10)


@pytest.mark.slow
def test_codes_carry_what_their_closed_forms_say_and_temporal_ones_need_fewer_spikes():
    assert [check for check in study.verify() if not check.passed] == []
    result = study.run(study.Config())
    for name in ("latency", "rank", "phase"):
        assert study.needed(result, name, 0.9) < 40 < study.needed(result, "rate", 0.9)
    assert len(study.figure(result).axes) == 4
