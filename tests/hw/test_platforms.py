"""Every figure is the published one, and what cannot be true of figures is refused."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from hw.cost import price
from hw.datasheets import (
    HALA_POINT,
    LOIHI1,
    LOIHI1_SANAFE,
    PLATFORMS,
    TRUENORTH,
    TRUENORTH_AGGREGATE,
)
from hw.graph import Edge, Graph, Node
from hw.ledger import Ledger
from hw.platforms import KINDS, Capacity, Constant, Mesh, Platform, Serial, Tick, gaps
from hw.report import account

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/hw_reference.json").read_text())
PUBLISHED = {}
for row in GOLDEN["entries"]:
    PUBLISHED.setdefault(row["quantity"], {})[row["platform"]] = row
P = {(chip, q): row["value"] for q, chips in PUBLISHED.items() for chip, row in chips.items()}
LOIHI = "energy per neuron update, {}", "time per neuron update, {}"
# what is computed from published figures, recomputed here
DERIVED = {
    "energy per neuron update, active less inactive": P["Loihi 1", LOIHI[0].format("active")]
    - P["Loihi 1", LOIHI[0].format("inactive")],
    "time per neuron update, active less inactive": P["Loihi 1", LOIHI[1].format("active")]
    - P["Loihi 1", LOIHI[1].format("inactive")],
    "leakage power and idle power per MHz": P["ODIN", "leakage power"]
    + 75 * P["ODIN", "idle power per MHz"],
    "time per SOP": 1 / 37.5e6,  # the operating point "at 75 MHz, 37.5 MSOP/s"
    "int mult 8b and int add 32b": P["CMOS 45 nm", "int mult 8b"] + P["CMOS 45 nm", "int add 32b"],
    "twice the energy per fp16 FLOP at peak and TDP": 2
    * P["V100 SXM2", "TDP"]
    / P["V100 SXM2", "peak fp16 tensor"],
    "signed 9-bit weights per neuron, one an axon type": 4,  # note to "crossbar weight bits"
    "rows of the synapse array": P["BrainScaleS-2", "synapses (256 rows x 512 columns)"]
    / P["BrainScaleS-2", "AdEx neurons"],
    "x86 cores switched on after the first run": 70e-3,  # case "loihi1_kws", field "usable"
    "widest operands": 8,  # of "8-bit ops per core and cycle"
}
BF16 = "twice the energy per bf16 FLOP at peak and TDP"


def constants(platform):
    """All constants of a platform, with where they stand."""
    latencies = (
        [
            *platform.clock.send.items(),
            *platform.clock.receive.items(),
            *platform.clock.barrier.items(),
        ]
        if isinstance(platform.clock, Serial)
        else []
    )
    tick = [("tick", platform.clock.period)] if isinstance(platform.clock, Tick) else []
    limits = [(f.name, getattr(platform.capacity, f.name)) for f in fields(platform.capacity)]
    envelope = platform.envelope.items()
    power = ("static", platform.static), ("management", platform.management)
    listed = [*platform.prices.items(), *power, *latencies, *tick, *limits, *envelope]
    return [(str(where), c) for where, c in listed if isinstance(c, Constant)]


ALL = [(p.name, where, c) for p in PLATFORMS.values() for where, c in constants(p)]


@pytest.mark.parametrize(
    "name, where, constant", ALL, ids=lambda v: v if isinstance(v, str) else ""
)
def test_each_figure_is_the_published_one(name, where, constant):
    if constant.quantity == BF16:
        expected = 2 * P[name, "TDP"] / P[name, "peak bf16 dense"]
    elif constant.quantity in DERIVED:
        expected = DERIVED[constant.quantity]
    else:
        chips = PUBLISHED[constant.quantity]
        told = constant.source + name  # a figure of another chip names it in its source
        (row,) = [row for chip, row in chips.items() if chip in told or len(chips) == 1]
        if row["how"] == "recalled" and name not in ("CMOS 45 nm (fp32 MAC)",):
            assert "recalled" in constant.source or "as cited" in constant.source
        expected = row["value"]
        assert constant.unit == row["unit"]
    # the stored fit of TrueNorth's sweep is rounded to four digits
    assert constant.value == pytest.approx(
        expected, rel=2e-4 if "fit" in constant.quantity else 1e-12
    )


def test_the_meshes_hold_the_published_number_of_cores():
    assert LOIHI1.mesh.cores == P["Loihi 1", "neuromorphic cores per chip"]
    assert TRUENORTH.mesh.cores == P["TrueNorth", "cores"]


def test_bands_are_those_of_the_source():
    error = {
        unit: P["Loihi 1 (SANA-FE calibration)", f"model error on three applications, {what}"]
        for unit, what in (("J", "energy"), ("s", "latency"))
    }
    for where, c in constants(LOIHI1_SANAFE):
        if where not in ("static", "state_reset") and c.unit in error:
            assert c.low == pytest.approx((1 - error[c.unit]) * c.value)
            assert c.high == pytest.approx((1 + error[c.unit]) * c.value)
    # published as a minimum, so that nothing bounds it from above
    assert LOIHI1.prices["synaptic_event"].low == LOIHI1.prices["synaptic_event"].value
    assert LOIHI1.prices["synaptic_event"].high is None
    assert LOIHI1.prices["learning_update"].low is None


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda p: p.name)
def test_each_event_is_priced_absorbed_or_refused_by_name(platform):
    bill = price(dict.fromkeys(KINDS, 1), platform, duration_s=1.0)
    charged = {item.term for item in bill.items}
    refused = {refusal.term for refusal in bill.refusals}
    assert not charged & refused
    covered = charged | refused | set(platform.absorbed)
    covered |= {"static"} if platform.absorbed_static else set()
    assert covered - {"management"} == {*KINDS, "static"}


def without(mapping, key):
    return {k: c for k, c in mapping.items() if k != key}


def deletions(platform):
    """The platform without each of its constants, and the name of the term that is then missing."""
    for kind in platform.prices:
        yield kind, replace(platform, prices=without(platform.prices, kind))
    if platform.static is not None:
        yield "static", replace(platform, static=None)
    if platform.management is not None:
        yield "management", replace(platform, management=None)
    if isinstance(platform.clock, Tick):
        yield "time", replace(platform, clock=None)
    if isinstance(platform.clock, Serial):
        clock = platform.clock
        for side in ("send", "receive"):
            for kind in getattr(clock, side):
                less = replace(clock, **{side: without(getattr(clock, side), kind)})
                yield f"time of {kind}", replace(platform, clock=less)
        for key in clock.barrier:
            less = replace(clock, barrier=without(clock.barrier, key))
            yield f"time of barrier from {key} tiles", replace(platform, clock=less)
    for f in fields(platform.capacity):
        if isinstance(getattr(platform.capacity, f.name), Constant):
            less = replace(platform.capacity, **{f.name: None})
            yield f"limit of {f.name}", replace(platform, capacity=less)
    for name in platform.envelope:
        yield name, replace(platform, envelope=without(platform.envelope, name))


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda p: p.name)
def test_any_constant_that_is_deleted_is_refused_by_name(platform):
    made, before = list(deletions(platform)), set(gaps(platform))
    assert len(made) == len(constants(platform))
    for term, less in made:
        assert [name for name, _ in set(gaps(less)) - before] == [term]


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda p: p.name)
def test_the_report_refuses_what_the_platform_does_not_state(platform):
    edge = Edge("in", "a", np.array([0]), np.array([0]), np.array([1.0]))
    graph = Graph((Node("in", 1, external=True), Node("a", 1)), (edge,))
    (entry,) = account(graph, [{"in": np.ones((2, 1), int), "a": np.ones((2, 1), int)}], [platform])
    assert tuple((g.term, g.reason) for g in entry.gaps) == gaps(platform)
    assert {r.term for r in entry.bill.refusals} <= {g.term for g in entry.gaps}
    assert bool(entry.bill.items) == bool(set(platform.prices) - {"mac"} or platform.static)


def test_a_price_or_a_barrier_that_is_deleted_is_missing_from_the_bill_by_name():
    less = replace(LOIHI1, prices=without(LOIHI1.prices, "spike"), static=None)
    bill = price({"spike": 3}, less, duration_s=1.0)
    assert [r.term for r in bill.refusals] == ["spike", "static"]
    clock = LOIHI1_SANAFE.clock
    less = replace(clock, barrier=without(clock.barrier, 4))
    assert less.known(3)
    assert not less.known(4)
    assert less.known(29)
    with pytest.raises(ValueError, match="no published barrier for 5 tiles, from 4 on"):
        less.seconds(Ledger(*np.zeros((len(Ledger._fields), 1, 1), int)), 5)


def test_hala_point_has_122_usable_cores_a_chip():
    assert HALA_POINT.mesh.cores == P["Hala Point", "neuromorphic cores"] == 140_544
    assert HALA_POINT.mesh.height == P["Hala Point", "usable cores per chip"] == 122


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda p: p.name)
def test_the_shape_of_a_mesh_says_what_is_published_of_it(platform):
    assert platform.mesh is None or platform.mesh.source
    if memory := platform.capacity.synapse_format:
        assert memory.source


ANY = LOIHI1.prices["synaptic_event"]


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: replace(TRUENORTH_AGGREGATE, static=TRUENORTH.static), "must be the only price"),
        (
            lambda: replace(
                TRUENORTH,
                absorbed={},
                prices={**TRUENORTH_AGGREGATE.prices, "hop_east": LOIHI1.prices["hop_east"]},
            ),
            "must be the only price",
        ),
        (lambda: replace(ANY, evidence="hearsay"), "evidence must be one of .*, got 'hearsay'"),
        (lambda: replace(ANY, source=""), "source is missing"),
        (lambda: replace(ANY, low=1.0), "low <= value <= high"),
        (lambda: replace(ANY, value=float("nan"), low=None), "low <= value <= high"),
        (
            lambda: Platform("x", "b", prices={"spark": ANY}),
            "price of 'spark', kind must be one of",
        ),
        (lambda: Platform("x", "b", static=ANY), "must be in W, got J"),
        (lambda: Platform("x", "b", prices={"spike": TRUENORTH.static}), "must be in J, got W"),
        (lambda: Platform("x", "b", prices={"spike": ANY}, absorbed={"spike": "?"}), "both priced"),
        (lambda: Tick(ANY), "must be in s, got J"),
        (lambda: Serial({"spark": ANY}, {}), "latency of 'spark'"),
        (lambda: Platform("x", "b", envelope={"hearsay": ANY}), "envelope .'hearsay'."),
        (lambda: Capacity(boundless={"luck": "?"}), "boundless 'luck'"),
        (lambda: replace(LOIHI1.capacity, boundless={"neurons": "?"}), "both given and called"),
        (lambda: Mesh(0, 1, 1), "width must be at least 1"),
    ],
)
def test_what_cannot_be_true_of_figures_is_refused(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
