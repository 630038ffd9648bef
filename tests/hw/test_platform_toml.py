"""A platform of one's own is read with its units, or refused by field."""

import pytest

from hw.cost import price
from hw.platform_toml import load_platform
from hw.platforms import Serial, Tick

ABOUT = 'quantity = "q", node = "28 nm", evidence = "measured", source = "my bench"'
TEXT = f"""
name = "Mine"
boundary = "one core"
learns = true
[prices]
synaptic_event = {{ value = 12, unit = "pJ", low = 10, high = 14, {ABOUT} }}
[absorbed]
spike = "in the synaptic event"
[static]
value = 3
unit = "mW"
{ABOUT.replace(", ", chr(10))}
[receive]
synaptic_event = {{ value = 4, unit = "ns", {ABOUT} }}
[barrier]
1 = {{ value = 0.5, unit = "us", {ABOUT} }}
[instant]
spike = "in the synaptic event"
[capacity]
neurons = {{ value = 256, unit = "count", {ABOUT} }}
[boundless]
fan_in = "one core"
[envelope]
clock_high = {{ value = 0.1, unit = "GHz", {ABOUT} }}
[mesh]
width = 2
height = 2
cores_per_tile = 1
source = "my layout"
"""


def test_units_are_scaled_to_si():
    mine = load_platform(TEXT)
    event = mine.prices["synaptic_event"]
    assert (event.value, event.unit) == (pytest.approx(12e-12), "J")
    assert (event.low, event.high) == (pytest.approx(10e-12), pytest.approx(14e-12))
    assert mine.static.value == pytest.approx(3e-3)
    assert isinstance(mine.clock, Serial)
    assert mine.clock.barrier[1].value == pytest.approx(0.5e-6)
    assert mine.envelope["clock_high"].value == pytest.approx(1e8)
    assert mine.capacity.neurons.value == 256
    assert mine.capacity.learns
    assert mine.mesh.cores == 4
    bill = price({"synaptic_event": 10, "spike": 3, "hop_east": 1}, mine, duration_s=2.0)
    assert bill.joules == pytest.approx(10 * 12e-12 + 2 * 3e-3)
    assert [r.term for r in bill.refusals] == ["hop_east"]


def test_a_tick_is_a_clock():
    text = f'name = "a"\nboundary = "b"\ntick = {{ value = 1, unit = "ms", {ABOUT} }}'
    clock = load_platform(text).clock
    assert isinstance(clock, Tick)
    assert clock.period.value == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "old, new, culprit",
    [
        ('unit = "pJ"', 'unit = "ns"', "'q' must be in J, got s"),
        ('unit = "mW"', 'unit = "pJ"', "'q' must be in W, got J"),
        ('unit = "ns"', 'unit = "pJ"', "'q' must be in s, got J"),
        ('unit = "pJ", ', "", "prices.synaptic_event.unit must be text, got None"),
        ("value = 12", 'value = "12"', "prices.synaptic_event.value must be a number, got '12'"),
        ("value = 12", "value = true", "prices.synaptic_event.value must be a number, got True"),
        ("value = 12", "value = nan", "prices.synaptic_event: .* low <= value <= high"),
        ("low = 10", "low = 13", "low <= value <= high"),
        ("low = 10", "lowest = 10", "prices.synaptic_event has 'lowest'"),
        ('evidence = "measured"', 'evidence = "hearsay"', "evidence must be one of"),
        ('source = "my bench"', 'source = ""', "source is missing"),
        ("[prices]", "[price]", "unknown field 'price'"),
        ("synaptic_event = { value = 12", "spark = { value = 12", "prices.spark must be one of"),
        ('name = "Mine"', "name = 7", "name must be text, got 7"),
        ('spike = "in the synaptic event"', "spike = 1", "absorbed.spike must be a reason, got 1"),
        ("1 = {", "soon = {", "barrier.soon must be a number of tiles"),
        ("width = 2", 'width = "2"', "mesh.width must be int, got '2'"),
        ("width = 2\n", "", "mesh must hold"),
        ("[mesh]", "[mesh", "expected TOML"),
        ('fan_in = "one core"', 'neurons = "one core"', "both given and called boundless"),
    ],
)
def test_what_is_wrong_is_refused_by_field(old, new, culprit):
    assert old in TEXT
    with pytest.raises(ValueError, match=f"^mine.toml: .*{culprit}"):
        load_platform(TEXT.replace(old, new, 1), where="mine.toml")
