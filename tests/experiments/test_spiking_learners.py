"""Spiking predictive coding trained beside rates: small runs, and the claims at full size."""

import json
import re

import numpy as np
import pytest

from experiments import spiking_generation, spiking_learners, spiking_pc_networks
from experiments.__main__ import main, parse
from experiments.benchmarks import spiking_pc_epoch
from experiments.data import Dataset, Samples, digits
from experiments.figures import save
from experiments.papers import karlsson_2026_difference_coding as paper
from experiments.spiking_learners import RULES, Config

SMALL = Config(hidden="24", seeds=1, epochs=2, rate=1e-2, settle_steps=3)


def train(config):
    state = spiking_learners.init(config)
    for chunk in range(spiking_learners.chunks(config)):
        state, metrics = spiking_learners.step(config, state, chunk)
    return spiking_learners.result(config, state), metrics


@pytest.fixture(scope="module")
def small():
    return train(SMALL)


@pytest.mark.slow
def test_a_small_network_learns_by_traces_along_the_rate_gradient(small):
    result, metrics = small
    assert result.accuracy[-1].min() > 0.4  # a tenth is chance
    assert metrics["worst cosine to the rate gradient"] == result.cosine[-1, 0].min()
    assert result.cosine[:, 0].min() >= 0.99
    assert (result.magnitude[-1] < result.magnitude[0]).all()


@pytest.mark.slow
def test_the_summary_and_the_figure_show_the_run(small, tmp_path):
    result, _ = small
    rows = {row.label: row for row in spiking_learners.summary(SMALL, result)}
    assert rows["spikes of a unit and sample"].value == pytest.approx(
        result.spikes[1:].sum(axis=1).mean()
    )
    least = rows[f"least cosine throughout, {RULES[1]}"]
    assert least.value == pytest.approx(result.cosine[:, 1].min())
    right, wrong = np.moveaxis(result.surprise, 1, 0)
    assert (wrong > right).all()
    surprise = [r for label, r in rows.items() if label.startswith("error spikes, wrong")]
    np.testing.assert_allclose([r.value for r in surprise], (wrong / right)[:, 0])
    drawing = spiking_learners.figure(result)
    assert [len(ax.lines) for ax in drawing.axes] == [2, len(RULES), 2, 3]
    save(drawing, tmp_path / "figure")


@pytest.mark.slow
def test_the_benchmark_times_an_epoch_of_each_in_turns(monkeypatch, capsys):
    monkeypatch.setattr(spiking_pc_epoch, "CONFIG", SMALL)
    monkeypatch.setattr(spiking_pc_epoch, "PAIRS", 1)
    assert main(["bench", "spiking_pc_epoch", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["ratio"] == pytest.approx(row["ours"] / row["peer"])


@pytest.mark.parametrize(
    "change, culprit",
    [
        ({"data": "cifar"}, "data"),
        ({"energy": "laplace"}, "energy"),
        ({"hidden": "12-"}, "hidden"),
        ({"seeds": 0}, "seeds"),
        ({"rate": 1.0}, "rate"),
        ({"shift": -1}, "shift"),
    ],
)
def test_a_bad_setting_is_refused_by_name(change, culprit):
    with pytest.raises(ValueError, match=culprit):
        Config(**change)


def test_the_flags_of_each_network_are_written_down():
    told = re.split(r"(784-[\d-]+ on \w+): ", spiking_pc_networks.__doc__.split("\n\n")[2])[1:]
    flags = dict(zip(told[::2], (part.split() for part in told[1::2]), strict=True))
    parsed = {name: parse(Config, given, "run") for name, given in flags.items()}
    assert parsed == spiking_pc_networks.NETWORKS


def test_samples_held_out_stand_in_for_the_test():
    whole, split = digits(), spiking_learners.samples(Config(held_out=200))
    np.testing.assert_array_equal(split.test.inputs, whole.train.inputs[-200:])
    np.testing.assert_array_equal(split.train.labels, whole.train.labels[:-200])
    with pytest.raises(ValueError, match="held_out must leave 256"):
        spiking_learners.samples(Config(held_out=1400))


@pytest.mark.slow
def test_what_is_not_seen_is_filled_in_as_gradient_flow_does():
    config = spiking_generation.Config(epochs=10)
    result = spiking_generation.run(config)
    rows = {row.label: row.value for row in spiking_generation.summary(config, result)}
    assert rows["reconstruction"] < 0.2
    assert rows["lower half from the upper"] < 0.9
    assert rows["apart from gradient flow, root mean square"] < 0.05
    assert len(spiking_generation.figure(result).axes) == 5 * spiking_generation.SHOWN


@pytest.mark.slow
def test_the_claims_on_digits():
    """Two seeds; `run spiking_learners` has five."""
    result, _ = train(Config(seeds=2))
    assert result.accuracy[-1, 1].mean() >= 0.984
    assert result.cosine[:, 0].min() >= 0.99
    right, wrong = np.moveaxis(result.surprise[1:], 1, 0)  # deaf to errors of the expected size
    assert (wrong / right).min() >= 3
    assert (np.diff([result.cosine[-1, i].mean() for i in (0, 3, 4, 5)]) < 0).all()  # leaking


@pytest.mark.slow
def test_a_run_on_larger_images_is_held_beside_the_published_numbers(monkeypatch):
    """Digits enlarged to 28 x 28 stand in for both data sets."""
    large = lambda part: Samples(
        np.pad(part.inputs.reshape(-1, 8, 8).repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2)))
        .reshape(-1, 784)
        .astype(np.float32),
        part.labels,
    )
    stand_in = Dataset(*map(large, digits()))
    for name in ("mnist", "fashion-mnist"):
        monkeypatch.setitem(spiking_learners.DATA, name, lambda: stand_in)
    result = paper.run(paper.Config(epochs=4))
    assert result.accuracy[:, -1].min() > 0.8
    values = {row.label: row.value for row in paper.summary(paper.Config(), result)}
    assert values["mnist, test accuracy"] == pytest.approx(100 * result.accuracy[0, -1, 1])
    monkeypatch.setattr(paper, "run", lambda _: result)
    assert [check.published for check in paper.verify()] == [98.3, 98.1, 89.2, 89.6]
    assert len(paper.figure(result).axes) == 2
