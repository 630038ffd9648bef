"""Papers come out as printed, spikes lose where they should, and a budget is kept on the chip."""

import numpy as np
import pytest

from experiments import (
    core_map,
    energy_frontier,
    joule_budget,
    number_formats,
    von_neumann_share,
)
from experiments.benchmarks import event_ledger
from experiments.papers import (
    akopyan_2015_truenorth_power,
    blouw_2019_keyword_spotting,
    frady_2020_nearest_neighbours,
    frenkel_2019_odin,
)
from experiments.store import Refusal

PAPERS = (
    akopyan_2015_truenorth_power,
    blouw_2019_keyword_spotting,
    frady_2020_nearest_neighbours,
    frenkel_2019_odin,
)


@pytest.mark.parametrize("paper", PAPERS, ids=lambda m: m.__name__.split(".")[-1])
def test_every_printed_number_is_met(paper):
    checks = paper.verify()
    assert checks
    for check in checks:
        assert check.passed, check
    assert paper.summary(paper.Config(), paper.run(paper.Config()))


@pytest.mark.slow
def test_spikes_win_when_sparse_and_alone_and_lose_to_large_batches():
    config = energy_frontier.Config(points=12)
    result = energy_frontier.run(config)
    ratio = result.gpu_j[:, None, None] / result.chip_j  # batch, account, activity
    assert (np.diff(ratio, axis=2) < 0).all()  # more spikes cost more
    assert (np.diff(ratio, axis=1) < 0).all()  # so does every term that is added
    assert (np.diff(ratio, axis=0) <= 0).all()
    assert (ratio[0, :, 0] > 10).all()
    assert (ratio[-1] < 1).all()
    assert ratio.max() < 1000
    rows = energy_frontier.summary(config, result)
    assert all(row.source for row in rows if "ratio" in row.label)


def test_moving_dominates_and_a_batch_lessens_it_by_the_weights_alone():
    result = von_neumann_share.run(von_neumann_share.Config())
    assert (result.share > 0.5).all()
    assert (np.diff(result.share_of_batch) < 0).all()
    assert (result.share_high >= result.share_of_batch).all()
    # at batch 1: 674,816 weights of 32 bits at 1.3 nJ a 64-bit word, and 4.6 pJ a product
    macs = 784 * 512 + 512 * 512 + 512 * 10
    assert result.weights_j[0] == pytest.approx(macs * 0.65e-9)
    assert result.compute_j[0] == pytest.approx(macs * 4.6e-12)


@pytest.mark.slow
def test_a_budget_is_kept_on_the_emulated_chip_and_costs_accuracy_at_last():
    config = joule_budget.Config(budgets=2, lowest=90.0, highest=90.0, steps=6, epochs=6)
    result = joule_budget.run(config)
    # the loss counts every visited neuron as updated, and so a little more than the chip
    np.testing.assert_allclose(result.joules, result.expected_j, rtol=0.1)
    assert result.joules[1] <= result.budget_j[1]
    assert (np.diff(result.joules) < 0).all()
    assert result.chip_accuracy[0] > 0.85
    np.testing.assert_allclose(result.chip_accuracy, result.float_accuracy, atol=0.03)
    np.testing.assert_allclose(result.terms_j.sum(axis=1), result.joules, rtol=0.01)
    assert joule_budget.summary(config, result)


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: joule_budget.Config(lowest=9.0, highest=1.0), "lowest must not exceed highest"),
        (lambda: joule_budget.Config(rate=0.0), "rate must be positive, got 0"),
        (lambda: energy_frontier.Config(lowest=2.0), r"lowest must lie in \(0, 1\), got 2"),
        (lambda: von_neumann_share.Config(activity=0.0), r"activity must lie in \(0, 1\]"),
        (lambda: frenkel_2019_odin.Config(slowest=0.0), "0 < slowest < fastest"),
        (lambda: blouw_2019_keyword_spotting.Config(smallest=26112), "leave two networks"),
    ],
)
def test_settings_that_cannot_be_are_refused(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()


def test_placement_saves_messages_and_leaves_all_other_work_as_it_was():
    config = core_map.Config(neurons=1024, modules=4, steps=4)
    result = core_map.run(config)
    groups = list(core_map.GROUPS)
    for name in ("neurons", "synapses"):
        i = groups.index(name)
        assert result.joules[0, i] == pytest.approx(result.joules[1, i], rel=1e-12)
    carried = [groups.index(name) for name in ("messages", "hops")]
    np.testing.assert_allclose(result.joules[:, carried].sum(axis=1), result.message_j, rtol=1e-9)
    assert result.message_j[1] <= result.message_j[0]
    assert (result.axons <= 1).all()
    assert core_map.summary(config, result)
    with pytest.raises(ValueError, match="modules must divide 10 neurons, got 3"):
        core_map.Config(neurons=10, modules=3)


@pytest.mark.slow
def test_wide_formats_keep_the_accuracy_and_narrow_ones_lose_it():
    config = number_formats.Config(updates=150, trials=2)
    result = number_formats.run(config)
    accuracy = dict(
        zip(map(number_formats._name, number_formats.FORMATS), result.accuracy, strict=True)
    )
    floats = accuracy["CMOS 45 nm: weights float, activations float"]
    assert floats > 0.93
    for name in ("Loihi 1: weights 9 bit, activations float",
                 "NorthPole: weights 8 bit, activations 8 bit"):  # fmt: skip
        assert accuracy[name] == pytest.approx(floats, abs=0.02)  # 7 of 360 digits
    assert accuracy["NorthPole: weights 2 bit, activations 2 bit"] < floats
    priced = np.isfinite(result.joules)
    chips = {f.chip.name for f, p in zip(number_formats.FORMATS, priced, strict=True) if p}
    assert chips == {"CMOS 45 nm (fp32 MAC)", "H100 SXM5", "CMOS 45 nm (int8 MAC)"}
    assert result.joules[0] == pytest.approx((64 * 64 + 64 * 10) * 4.6e-12)
    assert number_formats.summary(config, result)


def test_the_ledger_is_timed_only_where_its_counts_are_those_of_sanafe():
    network, stored = event_ledger.random_network(256), event_ledger.STORED[256]
    timing = event_ledger._timing("256 neurons", network, stored)
    assert timing.ratio == timing.ours / stored.cpu_s
    for other in (stored._replace(spikes=1), stored._replace(joules=1.0)):
        with pytest.raises(Refusal, match="256 neurons: "):
            event_ledger._timing("256 neurons", network, other)


def test_the_gesture_network_is_read_layer_by_layer(tmp_path):
    rng, channels = np.random.default_rng(0), (1, 2, 2, 2, 1)
    pairs = zip(channels, channels[1:], strict=False)
    kernels = {f"conv{i}": rng.normal(size=(3, 3, a, b)) for i, (a, b) in enumerate(pairs, 1)}
    given = {"dense1": rng.normal(size=(81, 11)), "inputs": np.ones(1024), "thresholds": range(6)}
    np.savez(tmp_path / "dvs.npz", **kernels, **given)
    network = event_ledger.dvs_network(tmp_path / "dvs.npz")
    sizes = [node.size for node in network.graph.nodes]
    assert sizes == [1024, 2 * 15**2, 2 * 13**2, 2 * 11**2, 81, 11]
    assert network.placement.cores == sum(event_ledger.DVS_CORES)
    np.testing.assert_array_equal(network.v_threshold, np.repeat(np.arange(6.0), sizes))
    synapses = 2 * 15**2 * 9 + 2 * 13**2 * 18 + 2 * 11**2 * 18 + 81 * 18 + 81 * 11
    assert network.graph.synapses.pre.size == synapses
