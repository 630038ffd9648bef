"""Both accounts of the same spikes against what was published and against arithmetic by hand."""

import pytest

from experiments.spike_prices import Load, accounts, break_even, on_chips

WEIGHTS = 1_000_000
# SpikingBrain's mean of 1.13 spikes an input, in one layer of 1,000 by 1,000 weights
LOAD = Load(1000, 1000, WEIGHTS, 0.816 * WEIGHTS, 1130, 1.13 * WEIGHTS, 4, 0, 1)
PICO = 1e-12 * WEIGHTS


def joules(load=LOAD):
    return {account.name: account.joules for account in accounts(load)}


def test_operations_alone_are_spikingbrain_s_account():  # arXiv:2509.05276
    table = joules()
    spikes = table["spikes, operations alone"]
    assert spikes == pytest.approx(0.034 * PICO, rel=0.01)
    assert 1 - spikes / table["dense FP16, operations alone"] == pytest.approx(0.977, abs=5e-4)
    assert 1 - spikes / table["dense INT8, operations alone"] == pytest.approx(0.852, abs=1e-3)


def test_the_accumulator_s_width_alone_takes_most_of_the_saving_away():
    spikes, dense = (dict(accounts(LOAD)[i].terms) for i in (3, 6))
    saved = 1 - spikes["accumulate"] / (dense["multiply"] + dense["accumulate"])
    assert saved == pytest.approx(0.62, abs=0.005)  # 1.13 x 0.1 pJ against 0.3 pJ


def test_at_break_even_both_sides_cost_the_same():
    for name, spikes in break_even(LOAD).items():
        load = LOAD._replace(spikes=1000 * spikes, events=spikes * WEIGHTS)
        row = "spikes, operations alone" if "alone" in name else "spikes, a weight read an event"
        assert joules(load)[row] == pytest.approx(joules(load)[name], rel=1e-9)


def test_on_a_chip_too():
    for entry in on_chips(LOAD):
        for name, spikes in entry["break_even"].items():
            if spikes > 0 and "alone" not in name:
                load = LOAD._replace(spikes=1000 * spikes, events=spikes * WEIGHTS)
                again = {e["platform"]: e["joules"] for e in on_chips(load)}
                other = again.get(name, joules(load).get(name))
                # static energy of a serial clock grows with the events; elsewhere this is exact
                assert again[entry["platform"]] == pytest.approx(other, rel=0.05)


def test_a_chip_s_events_alone_break_even_where_its_synapse_costs_what_a_product_does():
    loihi = on_chips(LOAD)[0]
    messages = loihi["terms"]["axon_out"][0] + loihi["terms"]["synaptic_event"][0]
    an_event = messages / LOAD.events
    spikes = loihi["break_even"]["dense INT8, events alone"]
    assert spikes == pytest.approx(joules()["dense INT8"] / WEIGHTS / an_event, rel=1e-9)
    assert 0 < spikes < 0.2  # 23.6 pJ a synaptic event against 2.9 pJ a product with its weight


def test_bands_are_the_price_of_memory():
    for account in accounts(LOAD):
        low, high = account.band
        assert low <= account.joules <= high
        assert (low < high) == ("weights" in account.terms)


def test_every_platform_prices_or_says_why_not():
    for entry in on_chips(LOAD):
        assert entry["joules"] > 0
        assert entry["remarks"]
        for _, source in entry["terms"].values():
            assert source
    truenorth = next(e for e in on_chips(LOAD) if e["platform"].startswith("TrueNorth"))
    assert any("4 different weights" in told for told in truenorth["remarks"])
