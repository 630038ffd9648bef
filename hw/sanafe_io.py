"""SANA-FE's files: its architectures as platforms, and our mapped graphs as its networks.

Both are YAML; its program is never imported. So that users can hold one tool against the other.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hw.graph import Graph
from hw.mapping import Placement
from hw.platforms import Capacity, Constant, Mesh, Platform, Serial

LARGEST_TEXT = 4 << 20  # characters
MANY = re.compile(r"^(.*)\[(\d+)\.\.(\d+)\]$")  # name[first..last]
HOPS = {"hop_east": "east", "hop_west": "west", "hop_north": "north", "hop_south": "south"}
# kind of event: the unit of a core that does it, and the name of its cost
COSTS = {
    "soma_access": (("soma", "access_neuron"),),
    "neuron_update": (("soma", "update_neuron"),),
    "spike": (("soma", "spike_out"),),
    "axon_out": (("axon_out", "message_out"),),
    "axon_in": (("axon_in", "message_in"),),
    "synaptic_event": (("synapse", "process_spike"), ("dendrite", "update")),
}
SENT = ("soma_access", "neuron_update", "spike", "axon_out")


def read_architecture(text: str, *, where: str = "architecture") -> Platform:
    """The platform that an architecture file describes, by the first unit of each kind in its core.

    A chip of several kinds of tiles or cores is refused: one placement of neurons then has no one
    price. Costs carry no source in the file, and are marked as estimated.

    Args:
        text: of the file.
        where: what to call it in errors and as the source: its path, say.

    Raises:
        ValueError: naming the field that is missing or wrong.
    """
    tree = _load(text, where)
    chip = _get(tree, "architecture", dict, where)
    settings = _get(chip, "attributes", dict, where, "architecture")
    (tile,) = _only(chip, "tile", where)
    (core,) = _only(tile, "core", where)
    tiles, cores = _count(tile, where), _count(core, where)
    width, height = (_whole(settings, name, where) for name in ("width", "height"))
    if width * height != tiles:
        raise ValueError(f"{where}: {tiles} tiles do not fill a mesh of {width} x {height}")
    cost = _Costs(core, tile, where)
    prices = {kind: cost(kind, "energy", "J") for kind in COSTS}
    prices |= {kind: cost.hop(way) for kind, way in HOPS.items()}
    latency = {kind: cost(kind, "latency", "s") for kind in COSTS}
    most = _whole(_get(core, "attributes", dict, where, "core"), "max_neurons_supported", where)
    return Platform(
        str(chip.get("name", where)),
        boundary="what the architecture file prices; without static power and host",
        prices=prices,
        clock=Serial(
            send={k: c for k, c in latency.items() if k in SENT},
            receive={k: c for k, c in latency.items() if k not in SENT},
            barrier=_barrier(settings, where),
        ),
        mesh=Mesh(width, height, cores, where),
        capacity=Capacity(neurons=_constant(most, "count", "max_neurons_supported", where)),
    )


def write_network(
    graph: Graph,
    placement: Placement,
    platform: Platform,
    attributes: Mapping[str, Mapping[str, float]],
    *,
    bias: np.ndarray | None = None,
) -> str:
    """A mapped graph as text of a network file.

    Args:
        graph: of neurons on the chip alone, with delays of one step.
        placement: of all of them.
        platform: whose mesh numbers the cores.
        attributes: by node, what SANA-FE calls its model's: threshold, reset, leak_decay.
        bias: of each neuron, shape (n,).

    Raises:
        ValueError: for what SANA-FE's networks do not have.
    """
    if graph.external.any():
        outside = [node.name for node in graph.nodes if node.external]
        raise ValueError(f"SANA-FE has no neurons off the chip, but {outside} are external")
    if (graph.synapses.delay != 1).any():
        raise ValueError(f"all delays must be 1 step, got up to {graph.synapses.delay.max()}")
    bad = [node.name for node in graph.nodes if not re.fullmatch(r"\w+", node.name)]
    if bad:
        raise ValueError(f"names of nodes must be words, got {bad}")
    bias = np.zeros(graph.size) if bias is None else bias
    lines, first = ["network:", "  name: graph", "  groups:"], 0
    mapping = ["mappings:"]
    for node in graph.nodes:
        given = ", ".join(f"{k}: {v!r}" for k, v in attributes.get(node.name, {}).items())
        lines += [f"    - name: {node.name}", f"      attributes: [{given}]", "      neurons:"]
        for i in range(node.size):
            own = f"bias: {float(bias[first + i])!r}" if bias[first + i] else ""
            lines.append(f"        - {i}: [{own}]")
            tile, core = divmod(int(placement.core_of[first + i]), platform.mesh.cores_per_tile)
            mapping.append(f"  - {node.name}.{i}: [core: {tile}.{core}]")
        first += node.size
    lines.append("  edges:")
    lines += [
        f"    - {e.source}.{i} -> {e.target}.{j}: [weight: {float(w)!r}]"
        for e in graph.edges
        for i, j, w in zip(e.pre, e.post, e.weight, strict=True)
    ]
    return "\n".join([*lines, *mapping]) + "\n"


class _Costs:
    """Costs of the units of a core, and of the hops of its tile."""

    def __init__(self, core: dict, tile: dict, where: str):
        self.core, self.where = core, where
        self.tile = _get(tile, "attributes", dict, where, "tile")

    def __call__(self, kind: str, what: str, unit: str) -> Constant:
        total = sum(
            _number(self.unit(part), f"{what}_{name}", self.where) for part, name in COSTS[kind]
        )
        told = " + ".join(f"{part} {what}_{name}" for part, name in COSTS[kind])
        return _constant(total, unit, told, self.where)

    def hop(self, way: str) -> Constant:
        name = f"energy_{way}_hop"
        return _constant(_number(self.tile, name, self.where), "J", name, self.where)

    def unit(self, part: str) -> dict:
        units = _get(self.core, part, list, self.where, "core")
        if not units or not isinstance(units[0], dict):
            raise ValueError(f"{self.where}: core.{part} must list a unit")
        return _get(units[0], "attributes", dict, self.where, part)


def _barrier(settings: dict, where: str) -> dict[int, Constant]:
    table = settings.get("latency_sync", 0.0)
    if not isinstance(table, dict):
        table = {1: table}
    if not all(isinstance(key, int) and key >= 1 for key in table):
        raise ValueError(f"{where}: latency_sync must be by numbers of tiles, got {list(table)}")
    read = lambda key: _number(table, key, where)
    return {key: _constant(read(key), "s", f"latency_sync, {key} tiles", where) for key in table}


def _load(text: str, where: str) -> Any:
    import yaml

    if len(text) > LARGEST_TEXT:
        raise ValueError(f"{where}: at most {LARGEST_TEXT} characters, got {len(text)}")
    try:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        if any(isinstance(event, yaml.AliasEvent) for event in events):
            raise ValueError(f"{where}: aliases are refused, which can grow without bound")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{where}: expected YAML, {error}") from error


def _constant(value: float | int, unit: str, quantity: str, where: str) -> Constant:
    return Constant(value, unit, quantity, "not stated", "estimated", where)


def _get(tree: Any, name: str, kind: type, where: str, inside: str = "") -> Any:
    found = tree.get(name) if isinstance(tree, dict) else None
    if not isinstance(found, kind):
        path = f"{inside}.{name}" if inside else name
        raise ValueError(f"{where}: {path} must be a {kind.__name__}, got {found!r:.60}")
    return found


def _only(tree: dict, name: str, where: str) -> list[dict]:
    found = _get(tree, name, list, where)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise ValueError(f"{where}: exactly one kind of {name} is needed, got {len(found)}")
    return found


def _count(tree: dict, where: str) -> int:
    name = str(tree.get("name", ""))
    if many := MANY.match(name):
        first, last = int(many[2]), int(many[3])
        if first != 0 or last > 1 << 20:
            raise ValueError(f"{where}: {name!r} must count from 0, to at most 2^20")
        return last + 1
    return 1


def _whole(tree: dict, name: str, where: str) -> int:
    value = tree.get(name)
    if type(value) is not int or value < 1:
        raise ValueError(f"{where}: {name} must be a whole number from 1 on, got {value!r}")
    return value


def _number(tree: dict, name: str | int, where: str) -> float:
    value = tree.get(name)
    try:  # YAML reads 1e-9 as text: it wants a dot
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if isinstance(value, bool) or not (np.isfinite(number) and number >= 0):
        raise ValueError(f"{where}: {name} must be a number, not negative, got {value!r}")
    return number
