"""First-spike times: the neuron, its local slope, its silence, and what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.figures import save
from experiments.papers import lan_2022_first_spikes as paper
from experiments.papers.lan_2022_first_spikes import (
    LATEST,
    LEARNERS,
    THRESHOLD,
    Config,
    FirstSpike,
    Result,
    deposit,
    figure,
    network,
    summary,
    targets_of,
    times_of,
)


@pytest.fixture(scope="module")
def layer():
    weight = 0.3 + 0.8 * jax.random.normal(jax.random.key(0), (24, 12))
    return FirstSpike(weight), jax.random.uniform(jax.random.key(1), (12,))


def potential(weight, times, when):
    return np.asarray(weight) @ np.maximum(when - np.asarray(times), 0)


@pytest.mark.slow
def test_a_neuron_fires_when_its_potential_first_reaches_the_threshold(layer):
    """Beside the potential on a fine grid, which no spike may be late for."""
    neurons, times = layer
    found = np.asarray(neurons(times))
    grid = np.linspace(0, LATEST, 3001)
    above = np.array([potential(neurons.weight, times, t) >= THRESHOLD for t in grid])
    wanted = np.where(above.any(axis=0), grid[above.argmax(axis=0)], LATEST)
    fires = wanted < LATEST
    assert fires.sum() > 5
    np.testing.assert_allclose(found, wanted, atol=1.1e-3)  # a step of the grid


@pytest.mark.slow
def test_the_slope_of_a_weight_is_the_product_of_its_own_error_and_times(layer):
    neurons, times = layer
    found = np.asarray(neurons(times))
    _, fires = neurons.causal(times)
    target = jnp.linspace(0.5, 2.0, 24)

    def energy(weight):
        return 0.5 * jnp.sum(jnp.where(fires, target - FirstSpike(weight)(times), 0.0) ** 2)

    slope = -np.asarray(jax.grad(energy)(neurons.weight))
    own = deposit(neurons, np.asarray(times), found, np.asarray(target))
    keep = np.asarray(fires)
    np.testing.assert_allclose(own[keep], slope[keep], rtol=2e-4, atol=1e-5)  # float32
    late = np.asarray(times)[None] > found[:, None]
    assert (own[keep][late[keep]] == 0).all()  # what comes after a spike has no part in it
    earlier = (np.asarray(target) < found) & keep
    assert (own[earlier] >= 0).all()  # strengthened, all of what came before


@pytest.mark.slow
def test_a_silent_neuron_learns_to_rise(layer):
    neurons, times = layer
    quiet = FirstSpike(jnp.full((1, 12), 1e-3))
    assert float(quiet(times)[0]) == LATEST
    slope = jax.grad(lambda w: FirstSpike(w)(times)[0])(quiet.weight)
    np.testing.assert_allclose(slope[0], -(LATEST - np.asarray(times)), rtol=1e-5)
    assert float(FirstSpike(jnp.zeros((1, 2)))(jnp.full(2, LATEST))[0]) == LATEST


def test_codes():
    np.testing.assert_allclose(times_of(np.array([[0.0, 0.25, 1.0]])), [[LATEST, 0.75, 0.0]])
    assert targets_of(np.array([2])).argmin() == 2


@pytest.mark.slow
def test_most_neurons_fire_before_learning():
    net = network((64, 32, 10), key=jax.random.key(0))
    times = times_of(np.random.default_rng(0).random((1, 64)))[0]
    assert np.mean(np.asarray(net.predict(times)) < LATEST) > 0.5


def test_it_is_told_and_drawn(tmp_path):
    rng = np.random.default_rng(0)
    times = {name: rng.uniform(0, 3, 10) for name in ("input", "hidden", "output")}
    outputs, labels = rng.uniform(1, 3, (20, 10)), rng.integers(10, size=20)
    change = rng.normal(size=(30, 2))
    result = Result(rng.random((3, 2, 2)), outputs, labels, times, change, 40.0)
    rows = {row.label: row.value for row in summary(Config(), result)}
    assert rows["accuracy, Lan et al. (2022)"] == 0.981
    assert rows["spikes until the decision"] == 40.0
    assert all(path.stat().st_size > 10_000 for path in save(figure(result), tmp_path / "figure"))


@pytest.mark.parametrize("name, value", [("seeds", 0), ("hidden", 0), ("rate", 1.0)])
def test_a_bad_setting_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        Config(**{name: value})


@pytest.mark.slow
def test_predictive_coding_of_spike_times_learns_digits_as_backpropagation_does():
    """One seed of the run's three."""
    result = paper.run(Config(seeds=1))
    last = dict(zip(LEARNERS, result.accuracy[-1].mean(axis=1), strict=True))
    assert last["predictive coding"] > 0.9
    # two standard errors of the difference of two shares of 360 samples
    assert last["predictive coding"] > last["backprop"] - 0.035
    assert (result.outputs.min(axis=1) < LATEST).all()
