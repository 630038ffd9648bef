"""The main job at a small size: every layer says what the one above it did."""

import jax
import numpy as np
import pytest

from experiments import full_stack
from experiments.__main__ import main
from experiments.data import digits
from experiments.run import read_result
from experiments.workloads import digits_account
from fep.predictive_coding.network import multilayer
from snn.coding import HalvingCode
from snn.spiking_pc import SpikingPC

SMALL = {"seeds": 1, "epochs": 2, "settle_steps": 4, "halvings": 6, "neurons": 64, "episodes": 20}
FLAGS = [word for k, v in SMALL.items() for word in (f"--{k.replace('_', '-')}", str(v))]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    out = tmp_path_factory.mktemp("main") / "job"
    assert main(["run", "full_stack", "--no-cache", "--out", str(out), *FLAGS]) == 0
    return out


@pytest.fixture(scope="module")
def result(directory):
    return read_result(directory, full_stack.Result)


def test_three_learners_learn_and_firing_falls(result):
    before, after = result.accuracy[0], result.accuracy[-1]
    assert (before < 0.5).all()
    assert (after > 0.85).all()
    spikes = result.spikes.sum(axis=1)
    assert (spikes[-1] < spikes[0]).all()


def test_inference_descends_and_learning_lowers_the_free_energy(result):
    settled = result.energies[:, -1]
    assert (settled < result.energies[:, 0]).all()
    assert (np.diff(settled) < 0).all()


def test_the_spiking_agent_does_as_the_exact_one(result):
    # at 64 neurons the prototype of the staggered code agreed in 98.9 % of 360 decisions
    assert result.decisions["decisions"] == 2 * 2 * SMALL["episodes"]
    assert result.decisions["same action, share"] >= 0.95
    np.testing.assert_allclose(result.beliefs["exact"][0], 0.5)


@pytest.mark.slow
def test_the_bill_counts_what_a_recount_of_the_spikes_finds():
    """Events of one digit from its raster, in plain NumPy: the totals agree exactly."""
    widths = full_stack.WIDTHS
    network = multilayer(widths, jax.nn.relu, key=jax.random.key(0))
    populations = SpikingPC(network, HalvingCode(1.0, 6), rate=0.2, steps=3)
    inputs, labels = (part[:1] for part in digits().test)
    targets = np.eye(10, dtype=np.float32)[labels]
    accounts, raster = digits_account(populations, inputs, targets)
    spikes = {name: int(np.abs(train).sum()) for name, train in raster.items()}
    reached = updated = 0
    for i, (below, above) in enumerate(zip(widths[:-1], widths[1:], strict=True), 1):
        # up W: a value spike reaches ON and OFF of each unit above; down W', not to the input
        up, down = 2 * above * spikes[f"value_{i - 1}"], 2 * below * spikes[f"error_{i}"]
        copies = 1 if i == 1 else 2
        reached += up + (down if copies == 2 else 0)
        updated += copies * (up + down)  # a synapse learns when either of its ends spikes
        if i < len(widths) - 1:
            reached += 2 * spikes[f"error_{i}"]  # onto its own value
    for entry in accounts["learning a digit"][:3]:
        assert entry["counts"]["synaptic_event"] == reached
        assert entry["counts"]["learning_update"] == updated
    sweep = [train[: 3 * 6].astype(bool).sum() for name, train in raster.items() if "value" in name]
    forward = sum(2 * above * n for above, n in zip(widths[1:], sweep, strict=True))
    for entry in accounts["recognising a digit"][:3]:
        assert entry["counts"]["synaptic_event"] == forward
        assert entry["counts"]["learning_update"] == 0


def test_each_joule_in_the_report_shows_its_evidence_and_source(directory, result):
    page = (directory / "report.html").read_text()
    for account in result.accounts.values():
        for entry in account:
            assert entry["boundary"]
            for item in entry["items"]:
                constant = item["constant"]
                assert item["joules"] == pytest.approx(item["count"] * constant["value"])
                if item["count"]:
                    assert constant["evidence"] in page
                    assert constant["source"].split(",")[0].split(" (")[0] in page
