"""An architecture of SANA-FE is a platform; a mapped graph is one of its networks, line by line."""

import numpy as np
import pytest

yaml = pytest.importorskip("yaml", reason="the interop extra")

from hw.datasheets import LOIHI1_SANAFE  # noqa: E402
from hw.graph import Edge, Graph, Node  # noqa: E402
from hw.mapping import Placement  # noqa: E402
from hw.sanafe_io import read_architecture, write_network  # noqa: E402

TEXT = """
architecture:
  name: mine
  attributes:
    topology: mesh
    width: 2
    height: 3
    link_buffer_size: 16
    sync_model: table
    latency_sync: { 1: 0.6e-6, 4: 1e-6 }
  tile:
    - name: tile[0..5]
      attributes:
        energy_north_hop: 4.2e-12
        latency_north_hop: 6.5e-9
        energy_east_hop: 3.0e-12
        energy_south_hop: 4.3e-12
        energy_west_hop: 3.1e-12
      core:
        - name: core[0..3]
          attributes: { max_neurons_supported: 1024 }
          axon_in:
            - name: i
              attributes: { energy_message_in: 1e-12, latency_message_in: 16e-9 }
          soma:
            - name: lif
              attributes:
                energy_access_neuron: 51.2e-12
                latency_access_neuron: 6.0e-9
                energy_update_neuron: 21.6e-12
                latency_update_neuron: 3.7e-9
                energy_spike_out: 69.3e-12
                latency_spike_out: 30.0e-9
          dendrite: [{ name: d, attributes: { energy_update: 0.5e-12, latency_update: 0.1e-9 } }]
          synapse:
            - name: s
              attributes: { energy_process_spike: 35.5e-12, latency_process_spike: 3.8e-9 }
          axon_out:
            - name: o
              attributes: { energy_message_out: 111.0e-12, latency_message_out: 5.1e-9 }
"""


def test_an_architecture_becomes_a_platform():
    chip = read_architecture(TEXT, where="mine.yaml")
    assert chip.name == "mine"
    assert (chip.mesh.width, chip.mesh.height, chip.mesh.cores_per_tile) == (2, 3, 4)
    assert chip.capacity.neurons.value == 1024
    expected = {
        **{k: c.value for k, c in LOIHI1_SANAFE.prices.items()},
        **{"axon_in": 1e-12, "hop_west": 3.1e-12, "hop_south": 4.3e-12},
        "synaptic_event": 36e-12,  # with the dendrite's
    }
    assert {k: c.value for k, c in chip.prices.items()} == pytest.approx(expected)
    assert chip.clock.receive["synaptic_event"].value == pytest.approx(3.9e-9)
    assert {k: c.value for k, c in chip.clock.barrier.items()} == {1: 0.6e-6, 4: 1e-6}
    assert all(c.source == "mine.yaml" for c in chip.prices.values())


@pytest.mark.parametrize(
    "old, new, culprit",
    [
        ("width: 2", "width: two", "width must be a whole number from 1 on, got 'two'"),
        ("width: 2", "width: 3", "6 tiles do not fill a mesh of 3 x 3"),
        ("energy_spike_out: 69.3e-12", "energy_spike_out: -1.0", "energy_spike_out must be"),
        ("energy_spike_out: 69.3e-12", "energy_spike_out: .nan", "energy_spike_out must be"),
        ("energy_spike_out: 69.3e-12", "", "energy_spike_out must be a number"),
        ("synapse:", "synapses:", "core.synapse must be a list"),
        ("tile[0..5]", "tile[1..6]", "must count from 0"),
        ("- name: tile[0..5]", "- name: other\n    - name: tile[0..5]", "exactly one kind of tile"),
        ("{ 1: 0.6e-6, 4: 1e-6 }", "{ some: 0.6e-6 }", "latency_sync must be by numbers"),
        ("architecture:", "chip:", "architecture must be a dict"),
        ("topology: mesh", "topology: &a [1]\n    more: *a", "aliases are refused"),
        ("topology: mesh", "topology: [", "expected YAML"),
    ],
)
def test_what_is_wrong_is_refused_by_field(old, new, culprit):
    assert old in TEXT
    with pytest.raises(ValueError, match=f"^mine.yaml: .*{culprit}"):
        read_architecture(TEXT.replace(old, new, 1), where="mine.yaml")


EDGE = Edge("a", "b", np.array([0, 1]), np.array([0, 0]), np.array([0.125, -0.5]))
GRAPH = Graph((Node("a", 2), Node("b", 1)), (EDGE,))


def test_a_mapped_graph_is_written_neuron_by_neuron():
    text = write_network(
        GRAPH,
        Placement(np.array([0, 5, 127])),
        LOIHI1_SANAFE,
        {"b": {"threshold": 1.0}},
        bias=np.array([0.25, 0.0, 0.0]),
    )
    tree = yaml.safe_load(text)
    assert tree["network"]["groups"] == [
        {"name": "a", "attributes": [], "neurons": [{0: [{"bias": 0.25}]}, {1: []}]},
        {"name": "b", "attributes": [{"threshold": 1.0}], "neurons": [{0: []}]},
    ]
    assert tree["network"]["edges"] == [
        {"a.0 -> b.0": [{"weight": 0.125}]},
        {"a.1 -> b.0": [{"weight": -0.5}]},
    ]
    assert [line.strip() for line in text.splitlines()[-3:]] == (
        ["- a.0: [core: 0.0]", "- a.1: [core: 1.1]", "- b.0: [core: 31.3]"]
    )


def test_what_sanafe_does_not_have_is_not_written():
    place = Placement(np.array([-1, 0]))
    outside = Graph((Node("in", 1, external=True), Node("a", 1)), ())
    with pytest.raises(ValueError, match=r"\['in'\] are external"):
        write_network(outside, place, LOIHI1_SANAFE, {})
    slow = Graph((Node("a", 1),), (Edge("a", "a", *np.zeros((2, 1), int), np.ones(1), delay=2),))
    with pytest.raises(ValueError, match="delays must be 1 step, got up to 2"):
        write_network(slow, Placement(np.zeros(1, int)), LOIHI1_SANAFE, {})
    with pytest.raises(ValueError, match="names of nodes must be words"):
        write_network(Graph((Node("a b", 1),), ()), Placement(np.zeros(1, int)), LOIHI1_SANAFE, {})
