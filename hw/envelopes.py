"""Chips that publish capacities and whole-chip figures, and no energy per operation.

They price nothing. What they say of a workload is whether it fits, and what the whole chip or
another network once took; a platform without any primary source is listed and refused.
"""

from functools import partial

from hw.platforms import Capacity, Constant, Mesh, Platform

NO_PRICE = "no energy per operation is published"
_sheet = partial(Constant, evidence="datasheet")

# --- Loihi 2 and Hala Point -------------------------------------------------------------------
INTEL4 = "Intel 4"
_page = partial(_sheet, node=INTEL4, source="open-neuromorphic.org, Loihi 2 hardware page")
_brief = partial(
    _sheet, node=INTEL4, source="Intel (2021), Loihi 2 technology brief; recalled, not re-read"
)
LOIHI2_CAPACITY = Capacity(
    neurons=_brief(8192, "count", "max neurons per core"),
    output_axons=_brief(4096, "count", "max output axons per core"),
    activation_bits=_brief(32, "bit", "graded spike payload"),
    boundless={
        "fan_in": "the memory of a core binds first",
        "fan_out": "the output axons of a core bind first",
        "targets": "the output axons of a core bind first",
        "inputs": "the host sends to any axon",
    },
    learns=True,
)
LOIHI2 = Platform(
    "Loihi 2",
    boundary="one chip",
    refusal=NO_PRICE,
    mesh=Mesh(16, 8, 1, "128 cores as published; the 16 x 8 shape is a guess for drawing only"),
    capacity=LOIHI2_CAPACITY,
    envelope={
        "chip_neurons": _page(1e6, "count", "neurons per chip"),
        "chip_synapses": _page(120e6, "count", "synapses per chip, max"),
        "typical_power": _page(1.0, "W", "typical power"),
        "memory": _brief(196608, "B", "memory per core"),
    },
)
NEWSROOM = "Intel newsroom, 2024-04-17, as reported"
_hala = partial(_sheet, node=INTEL4, source=NEWSROOM)
_hala_derived = partial(Constant, node=INTEL4, evidence="derived")
USABLE_CORES = 122  # of the 128 of a chip: 140,544 cores on 1,152 chips
HALA_POINT = Platform(
    "Hala Point",
    boundary="the whole system of 1,152 chips",
    refusal=NO_PRICE,
    mesh=Mesh(1152, USABLE_CORES, 1, NEWSROOM + ": 140,544 cores on 1,152 chips, 122 on each"),
    capacity=LOIHI2_CAPACITY,
    envelope={
        "chips": _hala(1152, "count", "Loihi 2 chips"),
        "chip_neurons": _hala(1.15e9, "count", "neurons"),
        "chip_synapses": _hala(128e9, "count", "synapses"),
        "peak_power": _hala(2600, "W", "max power"),
        "peak_rate": _hala(20e15, "op/s", "8-bit ops/s"),
        "synaptic_rate": _hala(380e12, "op/s", "8-bit synapse ops/s"),
        "neuron_rate": _hala(240e12, "op/s", "neuron ops/s"),
        "efficiency": _hala(15e12, "op/s/W", "efficiency, deep nets"),
        "full_load_event": _hala_derived(
            2600 / 380e12,
            "J",
            "upper bound energy per synaptic op (max power / peak rate)",
            source=NEWSROOM + ": 2600 W / 380e12 op/s, of a system that does nothing else",
            aggregate=True,
        ),
    },
)
LOIHI3 = Platform("Loihi 3", boundary="none", refusal="no primary source describes it")

# --- Xylo -------------------------------------------------------------------------------------
ROCKPOOL = "Rockpool source and device docs (xylo-overview; xylo_mapper.py)"
_xylo = partial(_sheet, node="28 nm (node recalled)", source=ROCKPOOL)
_aloha = partial(
    Constant,
    node="28 nm (node recalled)",
    evidence="measured",
    source="Bos & Muir (2024), arXiv:2406.15112, abstract",
)
XYLO = Platform(
    "Xylo Audio 2",
    boundary="one chip",
    refusal=NO_PRICE,
    mesh=Mesh(1, 1, 1, ROCKPOOL + ": one core"),
    capacity=Capacity(
        neurons=_xylo(1000, "count", "hidden neurons"),
        inputs=_xylo(16, "count", "input channels"),
        targets=_xylo(64, "count", "max fan-out"),
        weight_bits=_xylo(8, "bit", "weight bits"),
        spikes_per_step=_xylo(31, "count", "max spikes per hidden neuron and step"),
        boundless={
            "input_axons": "one core",
            "output_axons": "one core",
            "fan_out": "one core, within which targets are limited",
        },
    ),
    envelope={
        "workload_power": _aloha(0.000291, "W", "dynamic inference power, Aloha KWS"),
        "workload_energy": _aloha(6.6e-6, "J", "energy per inference, Aloha KWS"),
    },
)

# --- Akida ------------------------------------------------------------------------------------
_akida = partial(_sheet, node="TSMC 28 nm")
_thesis = partial(
    Constant,
    node="TSMC 28 nm",
    evidence="measured",
    source="Chemnitz & Ermis (2025), KTH thesis, as excerpted",
)
AKIDA1 = Platform(
    "Akida AKD1000",
    boundary="one chip",
    refusal=NO_PRICE,
    mesh=Mesh(10, 8, 1, "80 NPUs as published; the 10 x 8 shape is a guess for drawing only"),
    capacity=Capacity(
        weight_bits=_akida(
            4,
            "bit",
            "weight bits max (v1)",
            source="BrainChip documentation; recalled, not re-read",
        ),
        activation_bits=_akida(
            4,
            "bit",
            "weight bits max (v1)",
            source="BrainChip documentation; recalled, not re-read: activations as weights",
        ),
    ),
    envelope={
        "memory": _akida(
            102400, "B", "SRAM per NPU", source="BrainChip material; recalled, not re-read"
        ),
        "clock_low": _thesis(35e6, "Hz", "clock range low"),
        "clock_high": _thesis(179e6, "Hz", "clock range high"),
        "workload_latency": _thesis(0.001622, "s", "MNIST GXNOR latency"),
        "workload_ratio": _thesis(0.9952, "fraction", "MNIST energy reduction vs GTX 1080"),
        "workload_power": _thesis(
            0.25,
            "W",
            "power budget in Univ. Luxembourg study",
            source="arXiv:2504.00957, as reviewed",
        ),
    },
)
_akida2 = partial(_sheet, node="IP", source="elektroniknet (2023), interview with BrainChip")
AKIDA2 = Platform(
    "Akida 2",
    boundary="a licensed design of up to 128 nodes",
    refusal=NO_PRICE,
    mesh=Mesh(16, 8, 1, "128 nodes as published; the 16 x 8 shape is a guess for drawing only"),
    capacity=Capacity(
        weight_bits=_akida2(8, "bit, also 4/2/1", "weight/activation bits"),
        activation_bits=_akida2(8, "bit, also 4/2/1", "weight/activation bits"),
    ),
    envelope={
        "peak_rate": _akida2(50e12, "op/s", "Akida-P peak"),
        "typical_power": _akida2(
            1e-3, "W", "power", source="IEEE Spectrum (2024-10-03), reprint: of Akida Pico"
        ),
    },
)

# --- BrainScaleS-2 ----------------------------------------------------------------------------
_bss = partial(_sheet, node="65 nm")
PEHLE = "Pehle et al. (2022), Front. Neurosci. 16:795876; recalled, not re-read"
WEIS = "Weis et al. (2020), arXiv:2006.13177, abstract"
CRAMER = "Cramer et al. (2022), PNAS 119(4); recalled, not re-read"
BRAINSCALES2 = Platform(
    "BrainScaleS-2",
    boundary="one chip; analog, in accelerated time",
    refusal=NO_PRICE,
    mesh=Mesh(1, 1, 1, PEHLE + ": one array"),
    capacity=Capacity(
        neurons=_bss(512, "count", "AdEx neurons", source=PEHLE),
        synapses=_bss(131072, "count", "synapses (256 rows x 512 columns)", source=PEHLE),
        fan_in=_bss(
            256,
            "count",
            "rows of the synapse array",
            source=PEHLE + ": 131,072 synapses in 512 columns",
        ),
        weight_bits=_bss(6, "bit", "weight bits", source=WEIS),
        activation_bits=_bss(8, "bit", "ANN-mode activation bits", source=WEIS),
        boundless={
            "input_axons": "rows of the array, which fan_in holds",
            "output_axons": "one array",
            "fan_out": "one array",
            "targets": "one array",
            "synapse_bits": "counted in synapses",
            "state_bits": "analog",
            "delay_steps": "continuous time",
        },
    ),
    envelope={
        "speed_up": _bss(1000, "x", "speed-up over biology", source=PEHLE),
        "typical_power": _bss(0.2, "W", "system ASIC power", source=CRAMER, evidence="measured"),
        "workload_energy": _bss(
            2.4e-6, "J", "MNIST 16x16 energy per image", source=CRAMER, evidence="measured"
        ),
        "workload_latency": _bss(8e-6, "s", "MNIST latency", source=CRAMER, evidence="measured"),
        "workload_rate": _bss(
            85e3, "image/s", "MNIST throughput", source=CRAMER, evidence="measured"
        ),
    },
)

# --- NorthPole --------------------------------------------------------------------------------
MODHA = "Modha et al. (2023), Science 382:329-335; recalled, not re-read"
_pole = partial(_sheet, node="12 nm")
NORTHPOLE = Platform(
    "NorthPole",
    boundary="one chip; dense layers, not spiking",
    refusal=NO_PRICE,
    mesh=Mesh(16, 16, 1, "256 cores as published; the 16 x 16 shape is a guess for drawing only"),
    capacity=Capacity(
        weight_bits=_pole(
            8, "bit", "widest operands", source=MODHA + ": 8-bit ops, also 4 and 2 bits"
        ),
        activation_bits=_pole(
            8, "bit", "widest operands", source=MODHA + ": 8-bit ops, also 4 and 2 bits"
        ),
    ),
    envelope={
        "memory": _pole(
            234881024,
            "B",
            "on-chip memory total",
            source="public reference pages on Modha et al. (2023): 192 MB + 32 MB",
        ),
        "clock_low": _pole(25e6, "Hz", "clock range low", source=MODHA),
        "clock_high": _pole(425e6, "Hz", "clock range high", source=MODHA),
        "workload_rate": _pole(
            42460,
            "frame/s",
            "ResNet-50 throughput",
            source="benchmark matrices quoting Modha et al. (2023)",
            evidence="measured",
        ),
        "efficiency": _pole(
            571,
            "frame/J",
            "ResNet-50 efficiency",
            source=MODHA + "; another page quotes 612",
            evidence="measured",
        ),
        "workload_ratio": _pole(
            25,
            "x",
            "ResNet-50 FPS/W vs comparable 12 nm GPU",
            source="Modha et al. (2023), abstract",
            evidence="measured",
        ),
    },
)

ENVELOPED = (LOIHI2, HALA_POINT, XYLO, AKIDA1, AKIDA2, BRAINSCALES2, NORTHPOLE, LOIHI3)
