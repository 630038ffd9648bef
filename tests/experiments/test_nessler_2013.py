"""Hidden causes by STDP: the rule at rest, the circuit's choices, the rival, and the run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import hidden_causes
from experiments.figures import save
from experiments.hidden_causes import (
    DT,
    LEAST,
    RULE,
    WINDOW_S,
    Circuit,
    Logarithmic,
    hold,
    log_likelihood,
    maximise,
)
from experiments.papers import nessler_2013_hidden_causes as paper
from experiments.papers.nessler_2013_hidden_causes import Config, Result, figure, stimuli, summary


def test_weights_rest_where_they_are_log_probabilities():
    """A share p of +rate (e^-w - 1) and 1 - p of -rate cancel at w = ln p, and not elsewhere."""
    p, step = jnp.array([0.05, 0.3, 0.9]), Logarithmic(1e-3)
    drift = lambda w: p * (step(w, jnp.ones(3)) - w) + (1 - p) * (step(w, jnp.zeros(3)) - w)
    np.testing.assert_allclose(drift(jnp.log(p)), 0, atol=1e-6)  # float32 near 3
    assert (drift(jnp.log(p) - 0.05) > 1e-5).all()
    assert (drift(jnp.log(p) + 0.05) < -1e-5).all()


def test_an_input_is_remembered_for_the_window():
    traces = RULE.init(1, 1)
    traces = traces._replace(pre=RULE.marked(traces.pre, jnp.ones(1)))
    steps = round(WINDOW_S / DT)
    for k in range(steps + 1):
        assert float(RULE.at_post(traces.pre, ())[0]) == (k < steps)
        traces = RULE.decayed(traces, DT)


def test_spikes_draw_from_the_softmax_at_the_total_rate():
    b = jnp.log(jnp.array([0.6, 0.3, 0.1]))
    circuit = Circuit(jnp.zeros((4, 3)), b, jnp.zeros(3))
    seen, pairs = hold(circuit, jnp.ones((200, 2), bool), jax.random.key(0))
    counts = np.asarray(seen.counts)
    expected = 50 * -np.expm1(-0.2)  # at most one a step: 200 Hz x 1 ms each
    total = counts.sum()
    assert total / 200 == pytest.approx(expected, rel=4 / (200 * expected) ** 0.5)
    share = counts.sum(axis=0) / total
    np.testing.assert_allclose(share, [0.6, 0.3, 0.1], atol=4 * 0.5 / total**0.5)
    # a black pixel's neuron is active in 1 - exp(-0.4) of windows, fewer at first; white's never
    assert (np.asarray(pairs)[2:] == 0).all()
    black = np.asarray(pairs)[:2].sum() / 2 / total
    assert 0.25 < black < 1 - np.exp(-0.4) + 4 * 0.5 / (total / 2) ** 0.5


@pytest.mark.slow
def test_expectation_maximisation_never_lowers_its_likelihood():
    rng = np.random.default_rng(0)
    black = rng.random((60, 5)) < rng.random((2, 5))[rng.integers(2, size=60)]
    fired = rng.random((60, 5)) < 0.5
    active = jnp.asarray(np.concatenate([black & fired, ~black & fired], axis=1), float)
    weights = jnp.log(0.3) + 0.3 * jax.random.normal(jax.random.key(1), (10, 2))
    circuit, course = Circuit(weights, jnp.zeros(2), jnp.zeros(2)), []
    for _ in range(8):
        course.append(float(log_likelihood(circuit, active)))
        circuit = maximise(circuit, active)
    assert (np.diff(course) >= -1e-5).all()  # float32
    assert course[-1] > course[0] + 0.1


def test_stimuli_are_what_they_say():
    train, test = stimuli(Config(shown=40))
    assert train.black.shape == (40, train.shown.sum())
    assert test.black.shape == (paper.TESTED, train.shown.sum())
    # a bar of half width 2 fills a share of the circle, and a tenth of all pixels is flipped
    bar = 2 * paper.HALF_WIDTH * 2 * paper.RADIUS / train.shown.sum()
    expected = bar + paper.FLIPPED * (1 - 2 * bar)
    assert test.black.mean() == pytest.approx(expected, abs=0.03)  # the circle's edge cuts bars
    digits, _ = stimuli(Config(data="digits", shown=2_000))
    assert len(digits.black) == 2_000
    assert digits.black[:1437].mean(axis=0).min() > 0.04  # seldom black ones are left out


def test_it_is_told_and_drawn(tmp_path):
    rng = np.random.default_rng(0)
    shown = np.ones((4, 4), bool)
    weights = np.log(rng.uniform(0.05, 0.3, (32, 3)))
    counts, meaning = rng.integers(1, 20, (50, 3)).astype(float), rng.uniform(0, 3, 50)
    active = np.exp(weights) * counts.sum(axis=0)
    course = np.array([-5.0, -4.0]), np.array([-5.0, -3.9])
    result = Result(
        weights, np.log(np.full(3, 1 / 3)), active, counts, meaning, np.array([0, 9]), *course,
        None, shown,
    )  # fmt: skip
    rows = {row.label: row.value for row in summary(Config(), result)}
    assert rows["weights off the log probability of their input"] == pytest.approx(0, abs=1e-9)
    assert rows["gained of what that gains"] == pytest.approx(1 / 1.1)
    assert all(path.stat().st_size > 10_000 for path in save(figure(result), tmp_path / "figure"))


@pytest.mark.parametrize("name, value", [("data", "faces"), ("neurons", 1), ("shown", 3)])
def test_a_bad_setting_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        Config(**{name: value})


@pytest.mark.slow
def test_neurons_come_to_stand_for_orientations_as_theory_has_it():
    assert [check for check in paper.verify() if not check.passed] == []
    result = paper.run(Config())
    assert result.likelihood[-1] > result.likelihood[0] + 1
    assert result.weights.min() >= LEAST
    preferred, sharp = paper.tuning(result)
    assert sharp.min() > 0.5
    gaps = np.diff(np.sort(preferred), append=np.sort(preferred)[0] + np.pi)
    assert np.degrees(gaps.max()) < 2 * 180 / 10
    assert hidden_causes.SLOWEST < 1 / 20
