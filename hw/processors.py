"""Machines without spikes: arithmetic, CPUs and GPUs by the multiply-accumulate, and the brain.

A floor, a figure from one operating point and an order of magnitude: each says which it is.
"""

from functools import partial

from hw.platforms import EVENTS, Capacity, Constant, Platform

_horowitz = partial(
    Constant,
    node="45 nm, 0.9 V",
    evidence="estimated",
    source="Horowitz (2014), ISSCC, Computing's energy problem; as cited in later work",
)
NVIDIA = "NVIDIA datasheets; recalled, not re-read"
_CMOS_BOUNDARY = "arithmetic alone; without memory, control, leakage and host"
CMOS45_FP32 = Platform(
    name="CMOS 45 nm (fp32 MAC)",
    boundary=_CMOS_BOUNDARY,
    prices={"mac": _horowitz(4.6e-12, "J", "fp32 MAC")},
)
CMOS45_INT8 = Platform(
    name="CMOS 45 nm (int8 MAC)",
    boundary=_CMOS_BOUNDARY,
    prices={
        "mac": _horowitz(
            0.3e-12,
            "J",
            "int mult 8b and int add 32b",
            evidence="derived",
            source="Horowitz (2014), ISSCC; as cited: 0.2 pJ int8 multiply + 0.1 pJ int32 add",
        )
    },
)


CACHE_8K = _horowitz(1e-11, "J", "cache read 64b, 8 KB")
CACHE_1M = _horowitz(1e-10, "J", "cache read 64b, 1 MB")
DRAM = _horowitz(1.3e-9, "J", "DRAM read 64b, low", low=1.3e-9, high=2.6e-9)


def _gpu(name: str, node: str, power_w: float, flops: float, kind: str, peak: str) -> Platform:
    floor = 2 * power_w / flops
    sheet = partial(Constant, node=node, evidence="datasheet", source=NVIDIA)
    return Platform(
        name=name,
        boundary="one GPU at peak throughput and TDP, a floor that no network reaches; "
        "without host",
        prices={
            "mac": Constant(
                floor,
                "J",
                f"twice the energy per {kind} FLOP at peak and TDP",
                node=node,
                evidence="derived",
                source=f"NVIDIA datasheet: 2 FLOP x {power_w:g} W / {flops:g} FLOP/s",
                low=floor,
            )
        },
        absorbed_static="in TDP",
        envelope={
            "peak_power": sheet(power_w, "W", "TDP"),
            "peak_rate": sheet(flops, "FLOP/s", peak),
        },
    )


V100 = _gpu("V100 SXM2", "12 nm", 300.0, 125e12, "fp16", "peak fp16 tensor")
A100 = _gpu("A100 SXM", "7 nm", 400.0, 312e12, "bf16", "peak bf16 dense")
H100 = _gpu("H100 SXM5", "4N", 700.0, 989.4e12, "bf16", "peak bf16 dense")

DEGNAN = "Degnan, Marr & Hasler (2016), TVLSI 24(1):58-66, as used by KerasSpiking; as transcribed"


def _whole(name: str, joules: float) -> Platform:
    """A processor known by the energy per MAC of all it drew."""
    figure = Constant(
        joules,
        "J",
        "energy per MAC",
        node="not stated",
        evidence="measured",
        source=DEGNAN,
        aggregate=True,
    )
    return Platform(
        name,
        boundary="one processor at one operating point; without host and board",
        prices={"mac": figure},
        absorbed_static="in the energy per MAC",
    )


CPU = _whole("CPU i7-4960X", 8.6e-9)
GTX_TITAN = _whole("GPU GTX Titan Black", 0.3e-9)
ARM = _whole("ARM Cortex-A", 0.9e-9)

ATTWELL = "Attwell & Laughlin (2001), J. Cereb. Blood Flow Metab. 21:1133; recalled, not re-read"
_brain = partial(Constant, node="cortex", evidence="estimated", source=ATTWELL)
BRAIN = Platform(
    "human brain (order of magnitude)",
    boundary="the whole brain; a reference row, not a machine that could run this",
    prices={
        "synaptic_event": _brain(
            2e-13,
            "J",
            "energy per synaptic event if 1e14 synapses x 1 Hz took all 20 W",
            evidence="derived",
            source=ATTWELL + ": 20 W / 1e14 synapses / 1 Hz; ten times less with 1e15 synapses",
            low=2e-14,
            high=2e-13,
            aggregate=True,
        )
    },
    absorbed=dict.fromkeys((k for k in EVENTS if k != "synaptic_event"), "in all 20 W"),
    absorbed_static="in all 20 W",
    capacity=Capacity(
        boundless=dict.fromkeys(("weight_bits", "state_bits", "activation_bits"), "not digital")
    ),
    envelope={
        "typical_power": _brain(20, "W", "power"),
        "chip_neurons": _brain(
            86e9,
            "count",
            "neurons",
            source="Azevedo et al. (2009), J. Comp. Neurol. 513:532; recalled, not re-read",
        ),
        "chip_synapses": _brain(
            1e14, "count", "synapses, low", source="common range; recalled, not re-read"
        ),
    },
)

DENSE = (CMOS45_FP32, CMOS45_INT8, V100, A100, H100, CPU, GTX_TITAN, ARM, BRAIN)
