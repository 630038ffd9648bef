"""An account maps, counts and prices recorded spikes, and says what it leaves out."""

import json

import numpy as np
import pytest

from hw.datasheets import CMOS45_FP32, LOIHI1, LOIHI1_SANAFE, LOIHI3, NORTHPOLE, ODIN, TRUENORTH
from hw.graph import Edge, Graph, Node
from hw.lower import lower, lower_raster
from hw.operators import Affine, Input
from hw.program import Program
from hw.report import account, account_dense, as_json, by_layer, compare
from snn.network import Circuit, Population, all_to_all, one_to_one


@pytest.fixture
def workload():
    """Values and errors as in predictive coding: signed, plastic both ways; three samples."""
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(4, 6))
    circuit = Circuit(
        (
            Population("value_0", 6, signed=True, external=True),
            Population("value_1", 4, signed=True),
            Population("error_1", 4, signed=True),
        ),
        (
            all_to_all("value_0", "error_1", weight, plastic=True),
            one_to_one("error_1", "value_1", -np.ones(4)),
        ),
    )
    rasters = [
        {p.name: rng.integers(-1, 2, (5, p.size)).astype(np.int8) for p in circuit.populations}
        for _ in range(3)
    ]
    return lower(circuit), [lower_raster(circuit, raster) for raster in rasters], rasters


def test_an_account_is_the_mean_of_what_happened(workload):
    graph, lowered, rasters = workload
    (entry,) = account(graph, lowered, [LOIHI1])
    spikes = {name: np.mean([np.abs(r[name]).sum() for r in rasters]) for name in rasters[0]}
    reached = 8 * spikes["value_0"] + 2 * spikes["error_1"]  # ON and OFF of 4 errors; of 1 value
    assert entry.counts["synaptic_event"] == pytest.approx(reached)
    assert entry.counts["spike"] == pytest.approx(spikes["value_1"] + spikes["error_1"])
    assert entry.counts["host_message"] == pytest.approx(spikes["value_0"])  # one core
    # a plastic synapse learns when its pre spikes and when its post spikes
    learnt = 8 * spikes["value_0"] + 12 * spikes["error_1"]
    assert entry.counts["learning_update"] == pytest.approx(learnt)
    assert entry.counts["soma_access"] == 16 * 5
    assert entry.use["neurons"].tolist() == [16]


def test_every_joule_shows_evidence_and_source_and_survives_json(workload):
    graph, lowered, _ = workload
    entries = account(graph, lowered, [LOIHI1, LOIHI1_SANAFE, TRUENORTH, LOIHI3])
    for row, entry in zip(json.loads(json.dumps(as_json(entries))), entries, strict=True):
        assert row["boundary"]
        if entry.bill.items:
            assert row["joules"] == pytest.approx(sum(item["joules"] for item in row["items"]))
        for item in row["items"]:
            constant = item["constant"]
            assert constant["evidence"]
            assert constant["source"]
            assert item["joules"] == pytest.approx(item["count"] * constant["value"])


def test_time_is_the_platforms_own_unless_given(workload):
    graph, lowered, _ = workload
    ticking, given = account(graph, lowered, [TRUENORTH]) + account(
        graph, lowered, [LOIHI1], step_s=2e-6
    )
    assert ticking.duration_s == pytest.approx(5 * 1e-3)
    assert given.duration_s == pytest.approx(5 * 2e-6)
    static = [item for item in given.bill.items if item.term == "static"]
    assert static[0].joules == pytest.approx(1e-5 * LOIHI1.static.value)


def test_what_does_not_fit_is_priced_only_where_places_do_not_matter(workload):
    graph, lowered, _ = workload  # plastic, which neither chip offers
    hypothetical, odin = account(graph, lowered, [TRUENORTH, ODIN])
    assert "synapses plastic by pair traces" in {v.limit for v in hypothetical.violations}
    assert [item.term for item in hypothetical.bill.items] == ["synaptic_event", "static"]
    assert "axon_out" not in hypothetical.counts
    assert odin.duration_s is None
    crowd = Graph(
        (Node("in", 4097, external=True), Node("a", 1)),
        (Edge("in", "a", np.arange(4097), np.zeros(4097, int), np.ones(4097)),),
    )
    silent = {"in": np.ones((1, 4097), int), "a": np.zeros((1, 1), int)}
    (refused,) = account(crowd, [silent], [LOIHI1])
    assert not refused.bill.items
    assert as_json([refused])[0]["joules"] is None
    assert "does not fit: " in refused.bill.refusals[0].reason
    assert "input_axons per core: at most 4096, needed 4097" in refused.bill.refusals[0].reason


def test_a_platform_without_a_source_is_listed_and_refused(workload):
    graph, lowered, _ = workload
    (entry,) = account(graph, lowered, [LOIHI3])
    assert not entry.bill.items
    assert {refusal.reason for refusal in entry.bill.refusals} == {"no primary source describes it"}


def test_an_account_of_nothing_is_refused(workload):
    with pytest.raises(ValueError, match="at least one sample"):
        account(workload[0], [], [LOIHI1])


def test_layers_add_up_to_the_account(workload):
    graph, lowered, rasters = workload
    layers = {layer.node: layer for layer in by_layer(graph, lowered)}
    (entry,) = account(graph, lowered, [LOIHI1])
    events = sum(layer.synaptic_events for layer in layers.values())
    assert events == pytest.approx(entry.counts["synaptic_event"])
    on = np.mean([(r["value_0"] == 1).sum() for r in rasters])
    assert layers["value_0_on"].spikes == pytest.approx(on)
    assert layers["value_0_on"].synapses == 0
    assert layers["error_1_on"].synapses == 2 * 24
    assert layers["value_1_on"].zero_weight_events == 0


def test_a_program_is_priced_by_its_products_on_dense_machines():
    affine = Affine(np.ones((3, 4)), np.zeros(3))
    program = Program({"in": Input((4,)), "w": affine}, (("in", "w"),))
    mac, pole = account_dense(program, [CMOS45_FP32, NORTHPOLE])
    assert mac.bill.joules == pytest.approx(12 * 4.6e-12)
    assert [r.term for r in pole.bill.refusals] == ["mac", "static"]
    assert pole.envelope["efficiency"].value == 571  # told beside the bill, and in no sum
    assert as_json([pole])[0]["envelope"]["efficiency"]["unit"] == "frame/J"


def test_a_ratio_carries_its_workload_batch_boundaries_bands_and_weakest_evidence(workload):
    graph, lowered, _ = workload
    loihi, fitted, north, none = account(graph, lowered, [LOIHI1, LOIHI1_SANAFE, TRUENORTH, LOIHI3])
    ratios = compare([loihi, north, none], fitted, workload="three samples", batch=1)
    assert [r.platform for r in ratios] == [LOIHI1.name, TRUENORTH.name]
    for ratio, entry in zip(ratios, (loihi, north), strict=True):
        assert ratio.ratio == pytest.approx(entry.bill.joules / fitted.bill.joules)
        assert ratio.boundaries == (entry.bill.boundary, LOIHI1_SANAFE.boundary)
        assert ratio.evidence == "derived"  # Frady's static power is a quotient
        assert (ratio.workload, ratio.batch) == ("three samples", 1)
    assert ratios[0].high is None  # a minimum without a published maximum
    assert not ratios[0].hypothetical
    assert ratios[1].low == pytest.approx(north.bill.low / fitted.bill.high)
    assert ratios[1].hypothetical
    with pytest.raises(ValueError, match="Loihi 3 prices nothing of three samples"):
        compare([loihi], none, workload="three samples", batch=1)
