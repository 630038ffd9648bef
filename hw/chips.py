"""Spiking chips with a published energy per operation, each number with evidence and source."""

from functools import partial

from hw.loihi1 import EW, LOIHI1, LOIHI1_SANAFE, LOIHI1_X86, NS
from hw.platforms import Capacity, Constant, Mesh, Platform, Serial, Tick

_each = dict.fromkeys

# --- TrueNorth --------------------------------------------------------------------------------
AKOPYAN = "Merolla et al. (2014), Science 345:668; Akopyan et al. (2015), TCAD 34(10):1537"
truenorth = partial(Constant, node="Samsung 28 nm", evidence="datasheet", source=AKOPYAN)
# power against firing rate of 2^20 neurons with 128 active synapses each, 0.8 V; the middle
# point of the sweep, 20.07 Hz and 71 mW, is left out and predicted
_EVENTS_PER_HZ = 2**20 * 128
_RISE_EVENTS = (95.93 - 11.58) * _EVENTS_PER_HZ
_SLOPE_J, _SLOPE_LOW_J, _SLOPE_HIGH_J = (rise / _RISE_EVENTS for rise in (26e-3, 25e-3, 27e-3))
_static = lambda slope, power_w: power_w - slope * 11.58 * _EVENTS_PER_HZ
SWEEP = (
    AKOPYAN + ", Fig. 17 at 0.8 V: line through 68 mW at 11.58 Hz and 94 mW at 95.93 Hz, for "
    "2^20 neurons x 128 active synapses; band: powers rounded to 1 mW; as transcribed"
)
TRUENORTH_CAPACITY = Capacity(
    neurons=truenorth(256, "count", "neurons per core"),
    input_axons=truenorth(256, "count", "axons per core"),
    fan_in=truenorth(256, "count", "max fan-in per neuron"),
    fan_out=truenorth(1, "count", "direct fan-out axons per neuron"),
    weight_levels=truenorth(4, "count", "signed 9-bit weights per neuron, one an axon type"),
    delay_steps=truenorth(15, "ticks", "delay max"),
    weight_bits=truenorth(1, "bit", "crossbar weight bits"),
    state_bits=truenorth(20, "bit", "membrane bits"),
    boundless={
        "output_axons": "a neuron has one axon, which fan_out holds",
        "targets": "its axon reaches all neurons of a core",
        "synapse_bits": "the crossbar has room for all synapses of its axons and neurons",
        "synapses": "the crossbar has room for all synapses of its axons and neurons",
        "inputs": "the host sends to any axon",
        "activation_bits": "spikes are binary",
        "spikes_per_step": "one, and all neurons here send at most one",
    },
)
TRUENORTH_ENVELOPE = {
    "idle_power": truenorth(0.042, "W", "power at zero activity, 0.70 V", evidence="measured"),
    "peak_power": truenorth(0.323, "W", "power max corner 1.05 V 200 Hz", evidence="measured"),
    "efficiency": truenorth(46e9, "SOPS/W", "efficiency, real time", evidence="measured"),
}
TRUENORTH = Platform(
    name="TrueNorth (marginal + static, 0.8 V)",
    boundary="one chip: cores, mesh and static power; without board and host",
    prices={
        "synaptic_event": Constant(
            _SLOPE_J,
            "J",
            "marginal energy per synaptic event (fit of the 0.8 V sweep endpoints)",
            node="28 nm, 0.8 V",
            evidence="derived",
            source=SWEEP,
            low=_SLOPE_LOW_J,
            high=_SLOPE_HIGH_J,
        )
    },
    absorbed={
        "soma_access": "in static power: every neuron is visited each tick",
        "neuron_update": "in static power: every neuron is updated each tick",
        "barrier": "in static power: the tick is part of it",
        **_each(
            ("spike", "axon_out", "axon_in", *EW, *NS),
            "in the slope of the sweep, at its 128 synapses a spike",
        ),
    },
    static=Constant(
        _static(_SLOPE_J, 68e-3),
        "W",
        "static power (same fit)",
        node="28 nm, 0.8 V",
        evidence="derived",
        source=SWEEP,
        low=_static(_SLOPE_HIGH_J, 67.5e-3),
        high=_static(_SLOPE_LOW_J, 68.5e-3),
    ),
    clock=Tick(truenorth(1e-3, "s", "tick")),
    mesh=Mesh(64, 64, 1, AKOPYAN + ": 64 x 64 cores"),
    capacity=TRUENORTH_CAPACITY,
    envelope=TRUENORTH_ENVELOPE,
)
TRUENORTH_AGGREGATE = Platform(
    name="TrueNorth (total power / rate, 20 Hz, 0.775 V)",
    boundary="one chip at one operating point; wrong at any other",
    prices={
        "synaptic_event": Constant(
            26e-12,
            "J",
            "energy per synaptic event, total power / rate at 20 Hz, 128 syn, 0.775 V",
            node="Samsung 28 nm",
            evidence="measured",
            source=AKOPYAN + "; as transcribed",
            aggregate=True,
        )
    },
    absorbed={k: "in total power" for k in (*TRUENORTH.absorbed, "host_message")},
    absorbed_static="in total power",
    clock=TRUENORTH.clock,
    mesh=TRUENORTH.mesh,
    capacity=TRUENORTH_CAPACITY,
    envelope=TRUENORTH_ENVELOPE,
)

# --- ODIN -------------------------------------------------------------------------------------
FRENKEL = "Frenkel et al. (2019), TBioCAS 13(1):145-158, arXiv:1804.07858; as transcribed"
_frenkel = partial(Constant, node="28 nm FDSOI, 0.55 V", evidence="measured", source=FRENKEL)
ODIN_LEAKAGE = _frenkel(27.3e-6, "W", "leakage power")
ODIN_IDLE = _frenkel(1.78e-6, "W/MHz", "idle power per MHz")


def odin(clock_mhz: float) -> Platform:
    """ODIN, one core, at a clock of `clock_mhz`; a synaptic event takes two cycles."""
    return Platform(
        name=f"ODIN ({clock_mhz:g} MHz)",
        boundary="one core: leakage, clock and events; without host",
        prices={"synaptic_event": _frenkel(8.43e-12, "J", "incremental energy per SOP")},
        absorbed={
            **_each(
                ("soma_access", "neuron_update", "spike", "axon_out", "axon_in"),
                "in the energy per SOP: neurons are updated by events alone",
            ),
            "barrier": "one core, nothing to wait for",
        },
        static=_frenkel(
            ODIN_LEAKAGE.value + ODIN_IDLE.value * clock_mhz,
            "W",
            "leakage power and idle power per MHz",
            evidence="derived",
            source=FRENKEL + f": 27.3 uW + 1.78 uW/MHz x {clock_mhz:g} MHz",
        ),
        clock=Serial(
            send={},
            receive={
                "synaptic_event": _frenkel(
                    2e-6 / clock_mhz,
                    "s",
                    "time per SOP",
                    evidence="derived",
                    source=FRENKEL + ": 37.5 MSOP/s at 75 MHz is two cycles",
                )
            },
            instant=_each(
                ("soma_access", "neuron_update", "spike", "axon_out", "axon_in", "barrier"),
                "in the time per SOP: neurons are updated by events alone",
            ),
        ),
        mesh=Mesh(1, 1, 1, FRENKEL + ": one core"),
        capacity=Capacity(
            neurons=_frenkel(256, "count", "neurons"),
            synapses=_frenkel(65536, "count", "synapses"),
            boundless={
                "input_axons": "a synapse a pair of neurons",
                "output_axons": "one core",
                "fan_out": "one core",
                "targets": "a synapse a pair of neurons",
                "synapse_bits": "counted in synapses",
                "activation_bits": "spikes are binary",
            },
        ),
        envelope={
            "workload_power": _frenkel(0.000477, "W", "power at 75 MHz, 37.5 MSOP/s"),
            "full_load_event": _frenkel(
                1.27e-11, "J", "global energy per SOP at 75 MHz", aggregate=True
            ),
        },
    )


ODIN = odin(75.0)

# --- SpiNNaker --------------------------------------------------------------------------------
HOEPPNER = "Hoeppner et al. (2019), TCAS-I 66(8), arXiv:1903.08941, as used by KerasSpiking"
_SPINNAKER_BOUNDARY = "neuron updates and synaptic operations alone; without the rest of the board"


_recalled = partial(
    Constant,
    evidence="datasheet",
    source="sPyNNaker and SpiNNaker2 documentation; recalled, not re-read",
)
_boards = {
    "output_axons": "routed by tables in software",
    "fan_out": "packets are copied on their way",
    "targets": "packets are copied on their way",
    "activation_bits": "spikes are binary",
}


def _spinnaker(
    name: str, node: str, synaptic_j: float, update_j: float, capacity: Capacity, memory: Constant
) -> Platform:
    figure = partial(Constant, node=node, evidence="measured", source=HOEPPNER)
    return Platform(
        name=name,
        boundary=_SPINNAKER_BOUNDARY,
        prices={
            "soma_access": figure(update_j, "J", "energy per neuron update"),
            "synaptic_event": figure(synaptic_j, "J", "energy per synaptic op"),
        },
        absorbed={"neuron_update": "in the update that every neuron gets each step"},
        capacity=capacity,
        envelope={"memory": memory},
    )


SPINNAKER1 = _spinnaker(
    "SpiNNaker 1",
    "130 nm",
    13.3e-9,
    26e-9,
    Capacity(
        weight_bits=_recalled(16, "bit", "synaptic weight bits", node="130 nm"),
        delay_steps=_recalled(16, "steps", "native delay steps", node="130 nm"),
        boundless=_boards,
        learns=True,
    ),
    _recalled(65536, "B", "DTCM per core", node="130 nm"),
)
SPINNAKER2 = _spinnaker(
    "SpiNNaker 2 (prototype)",
    "28 nm prototype (product: 22FDX)",
    450e-12,
    2.19e-9,
    Capacity(boundless=_boards, learns=True),
    _recalled(131072, "B", "SRAM per PE", node="22FDX"),
)

PER_OPERATION = (
    LOIHI1,
    LOIHI1_X86,
    LOIHI1_SANAFE,
    TRUENORTH,
    TRUENORTH_AGGREGATE,
    ODIN,
    SPINNAKER1,
    SPINNAKER2,
)
