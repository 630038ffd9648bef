"""Loihi 1 under two sets of figures: Intel's own, and SANA-FE's fit to silicon."""

from dataclasses import replace
from functools import partial

from hw.platforms import Capacity, Constant, Mesh, Platform, Serial, SynapseFormat

EW, NS = ("hop_east", "hop_west"), ("hop_north", "hop_south")
_each = dict.fromkeys

DAVIES = (
    "Davies et al. (2018), IEEE Micro 38(1):82-99, Table 2: pre-silicon SDF and SPICE at 0.75 V; "
    "as transcribed"
)
davies = partial(Constant, node="Intel 14 nm, 0.75 V", evidence="simulated", source=DAVIES)
davies_sheet = partial(
    Constant,
    node="Intel 14 nm",
    evidence="datasheet",
    source="Davies et al. (2018), IEEE Micro 38(1):82-99, pp. 86-95; as transcribed",
)
FRADY = (
    "Frady et al. (2020), arXiv:2004.12691, Table 2; as transcribed: 3.34 W / 32 chips, at a "
    "voltage that is not stated"
)
LOIHI_BOUNDARY = "one chip: cores, mesh, static power; without x86 cores, board and host"
LOIHI_STATIC = Constant(
    3.34 / 32,
    "W",
    "static power per chip, all circuits powered (32-chip board, 3.34 W)",
    node="Intel 14 nm, V not stated",
    evidence="derived",
    source=FRADY,
)
LOIHI_MESH = Mesh(8, 4, 4, "32 tiles and 128 cores as published; the 8 x 4 shape is inferred")
LOIHI_CAPACITY = Capacity(
    neurons=davies_sheet(1024, "count", "compartments (neurons) per core"),
    input_axons=davies_sheet(4096, "count", "max input axons (distribution lists) per core"),
    output_axons=davies_sheet(4096, "count", "max output axons (core-to-core edges) per core"),
    synapse_bits=Constant(
        1048576,
        "bit",
        "max synapse bits per core (nengo-loihi validator)",
        node="Intel 14 nm",
        evidence="datasheet",
        source="nengo-loihi (2022), builder/validate.py; 128 KB in Davies et al. (2018)",
    ),
    synapse_format=SynapseFormat(
        weight_bits=8,
        index_bits=10,
        header_bits=10,
        block=64,
        word_bits=64,
        source="nengo-loihi (2022), block.py, sparse format; index for 1024 compartments",
    ),
    delay_steps=davies_sheet(62, "steps", "synaptic delay, max with fewer compartments"),
    learns=True,
    weight_bits=davies_sheet(9, "bit", "synaptic weight bits, max (signed)"),
    boundless={
        "fan_in": "the input axons and synapse bits of a core bind first",
        "fan_out": "the output axons of a core bind first",
        "synapses": "counted in bits",
        "targets": "the output axons of a core bind first",
        "inputs": "the host sends to any axon",
        "activation_bits": "spikes are binary",
        "spikes_per_step": "one, and all neurons here send at most one",
    },
)
LOIHI_WARNING = (
    "excludes management: x86 cores drew about 70 of 81 mW beyond idle in Blouw et al. (2019)"
)
LOIHI_ENVELOPE = {
    "chips": davies_sheet(16384, "count", "max chips in mesh"),
    "memory": davies_sheet(262144.0, "B", "SRAM per core"),
    "state_reset": Constant(
        5.9375e-6,
        "J",
        "whole-chip state reset energy",
        node="Intel 14 nm",
        evidence="derived",
        source="Frady et al. (2020), arXiv:2004.12691, Table 2; as transcribed, a chip's share",
    ),
}
LOIHI1 = Platform(
    name="Loihi 1 (Davies 2018)",
    boundary=LOIHI_BOUNDARY,
    prices={
        "soma_access": davies(52e-12, "J", "energy per neuron update, inactive"),
        "neuron_update": davies(
            29e-12,
            "J",
            "energy per neuron update, active less inactive",
            evidence="derived",
            source=DAVIES + ": 81 pJ active less the 52 pJ that every visited neuron pays",
        ),
        "axon_out": davies(1.7e-12, "J", "within-tile spike energy"),
        "synaptic_event": davies(
            23.6e-12, "J", "energy per synaptic spike op (minimum)", low=23.6e-12
        ),
        **_each(EW, davies(3e-12, "J", "energy per tile hop, E-W")),
        **_each(NS, davies(4e-12, "J", "energy per tile hop, N-S")),
        "learning_update": davies(120e-12, "J", "energy per synaptic update, pairwise STDP"),
    },
    static=LOIHI_STATIC,
    clock=Serial(
        send={
            "soma_access": davies(5.3e-9, "s", "time per neuron update, inactive"),
            "neuron_update": davies(
                3.1e-9,
                "s",
                "time per neuron update, active less inactive",
                evidence="derived",
                source=DAVIES + ": 8.4 ns active less the 5.3 ns that every visited neuron takes",
            ),
        },
        receive={
            "synaptic_event": davies(3.5e-9, "s", "time per synaptic spike op (maximum)"),
            "learning_update": davies(6.1e-9, "s", "time per synaptic update, pairwise STDP"),
        },
        barrier={
            1: davies(113e-9, "s", "mesh-wide barrier sync time, 1 tile"),
            # nothing is published between 1 and 32 tiles: from 2 on the longer one is taken
            2: davies(465e-9, "s", "mesh-wide barrier sync time, 32 tiles"),
        },
    ),
    mesh=LOIHI_MESH,
    capacity=LOIHI_CAPACITY,
    envelope=LOIHI_ENVELOPE,
    warning=LOIHI_WARNING,
)

LOIHI1_X86 = replace(
    LOIHI1,
    name="Loihi 1 (Davies 2018, with x86)",
    boundary="one chip: cores, mesh, static power, x86 cores; without board and host",
    management=Constant(
        70e-3,
        "W",
        "x86 cores switched on after the first run",
        node="Intel 14 nm",
        evidence="measured",
        source="Blouw et al. (2019), NICE, arXiv:1812.01739: the authors' own statement",
    ),
    warning="",
)

BOYLE = (
    "Boyle et al. (2025), IEEE TCAD 44(8):3165-3178, as in SANA-FE 2.2.9: regression on silicon; "
    "band: the stated error of the model's totals, {} %"
)


def _boyle(value: float, unit: str, quantity: str) -> Constant:
    error = {"J": 0.12, "s": 0.25}[unit]
    return Constant(
        value,
        unit,
        quantity,
        node="Intel 14 nm, silicon fit",
        evidence="derived",
        source=BOYLE.format(round(100 * error)),
        low=value * (1 - error),
        high=value * (1 + error),
    )


LOIHI1_SANAFE = Platform(
    name="Loihi 1 (SANA-FE calibration)",
    boundary=LOIHI_BOUNDARY,
    prices={
        "soma_access": _boyle(51.2e-12, "J", "soma access energy"),
        "neuron_update": _boyle(21.6e-12, "J", "soma update energy (added to access)"),
        "spike": _boyle(69.3e-12, "J", "soma spike-out energy"),
        "axon_out": _boyle(111e-12, "J", "axon-out energy per message"),
        "axon_in": _boyle(0.0, "J", "axon-in energy per message"),
        "synaptic_event": _boyle(35.5e-12, "J", "dense synapse energy"),
        **_each(EW, _boyle(3e-12, "J", "hop energy E/W")),
        **_each(NS, _boyle(4.2e-12, "J", "hop energy N/S")),
    },
    static=LOIHI_STATIC,
    clock=Serial(
        send={
            "soma_access": _boyle(6e-9, "s", "soma access latency"),
            "neuron_update": _boyle(3.7e-9, "s", "soma update latency"),
            "spike": _boyle(30e-9, "s", "soma spike-out latency"),
            "axon_out": _boyle(5.1e-9, "s", "axon-out latency per message"),
        },
        receive={
            "axon_in": _boyle(16e-9, "s", "axon-in latency per message"),
            "synaptic_event": _boyle(3.8e-9, "s", "dense synapse latency"),
        },
        barrier={
            1: _boyle(0.6e-6, "s", "sync latency 1 tile"),
            2: _boyle(1.0e-6, "s", "sync latency 2-3 tiles"),
            4: _boyle(1.4e-6, "s", "sync latency 4-28 tiles"),
            29: _boyle(1.8e-6, "s", "sync latency 29+ tiles"),
        },
    ),
    mesh=LOIHI_MESH,
    capacity=LOIHI_CAPACITY,
    envelope=LOIHI_ENVELOPE,
    warning=LOIHI_WARNING,
)
