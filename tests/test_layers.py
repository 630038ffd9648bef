"""Imports flow one way, fep -> snn -> hw -> experiments, and cross by named doors."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("fep", "snn", "hw", "experiments")
DOORS = {
    "snn": {
        "spiking_pc",
        "spiking_pc_bidirectional",
        "spiking_pc_learning",
        "spiking_pc_pairs",
        "spiking_beliefs",
        "spiking_agent",
        "conversion",
        "transformer",
    },
    "hw": {"lower"},
}
FILES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
# optional packages, each with the one place that may import it (inside a function)
OWNERS = {
    "matplotlib": {"experiments/figures.py"},
    "nir": set(),  # in tests alone, as the oracle of our own reader and writer
    "h5py": {"hw/hdf5.py", "experiments/data_spike_trains.py"},
    "diffrax": {"fep/predictive_coding/ode.py"},
    "sklearn": {"experiments/data.py"},
    "safetensors": {"snn/pretrained.py"},
    "tokenizers": {"snn/pretrained.py"},
    "glassllm": {"snn/pretrained.py"},
    "gymnasium": {"experiments/environments/gymnasium_adapter.py"},
}


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node, "." * node.level + (node.module or "")
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name


def faults(path, text):
    """Every broken rule in one module, as sentences."""
    layer, tree = path.parts[0], ast.parse(text)
    for node, name in imports(tree):
        package, _, module = name.partition(".")
        if not package:
            yield f"relative import {name}"
        if package == "tests" or (package == "experiments" and layer != "experiments"):
            yield f"{layer} imports {name}"
        if package in LAYERS:
            if not module:
                yield f"import {package} itself; name the module instead"
            if LAYERS.index(package) > LAYERS.index(layer):
                yield f"{layer} imports {name}"
            if package != layer and layer in DOORS and path.stem not in DOORS[layer]:
                yield f"{name} enters {layer} beside its doors"
        if package in OWNERS:
            if path.as_posix() not in OWNERS[package]:
                yield f"{name} is imported outside {sorted(OWNERS[package])}"
            if node in tree.body:
                yield f"{name} is imported at the top, not where it is used"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_imports_only_what_its_layer_may(path):
    assert list(faults(path.relative_to(ROOT), path.read_text())) == []


@pytest.mark.parametrize(
    "path, text",
    [
        ("fep/a.py", "from snn.neurons import LIF"),
        ("snn/neurons.py", "from fep.free_energy import gaussian_energy"),
        ("hw/mapping.py", "from snn.network import Circuit"),
        ("hw/graph.py", "import experiments.run"),
        ("fep/a.py", "from . import b"),
        ("fep/a.py", "import fep"),
        ("experiments/run.py", "def f():\n    import matplotlib"),
        ("experiments/figures.py", "import matplotlib"),
    ],
)
def test_a_planted_violation_is_found(path, text):
    assert list(faults(Path(path), text))
