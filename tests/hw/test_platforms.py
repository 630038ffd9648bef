"""Every figure is the published one, and what cannot be true of figures is refused."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from hw.cost import price
from hw.datasheets import LOIHI1, LOIHI1_SANAFE, ODIN, PLATFORMS, TRUENORTH, TRUENORTH_AGGREGATE
from hw.platforms import KINDS, Constant, Mesh, Platform, Serial, Tick

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
    listed = [*platform.prices.items(), ("static", platform.static), *latencies, *tick, *limits]
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
        (row,) = [row for chip, row in chips.items() if name.startswith(chip) or len(chips) == 1]
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
        if where != "static" and c.unit in error:
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
    assert covered | ({"static"} if platform.absorbed_static else set()) == {*KINDS, "static"}


@pytest.mark.parametrize("platform", [LOIHI1, LOIHI1_SANAFE, TRUENORTH, ODIN], ids=lambda p: p.name)
def test_a_price_that_is_deleted_is_refused_by_name(platform):
    for kind in platform.prices:
        rest = {k: c for k, c in platform.prices.items() if k != kind}
        bill = price({kind: 3}, replace(platform, prices=rest), duration_s=1.0)
        assert (kind, platform.name) in [refusal[:2] for refusal in bill.refusals]
        assert any(note.startswith(f"excludes {kind}: ") for note in bill.notes)
        assert [item.term for item in bill.items] == ["static"]
    bill = price({}, replace(platform, static=None), duration_s=1.0)
    assert ("static", platform.name) in [refusal[:2] for refusal in bill.refusals]


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
        (lambda: Mesh(0, 1, 1), "width must be at least 1"),
    ],
)
def test_what_cannot_be_true_of_figures_is_refused(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
