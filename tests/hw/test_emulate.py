"""Emulated Loihi cores fire, count and cost what SANA-FE 2.2.9 reported for the same networks."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hw.cost import price, totals
from hw.datasheets import LOIHI1_SANAFE
from hw.emulate import LoihiCores
from hw.events import Counter, tally
from hw.graph import Edge, Graph, Node
from hw.mapping import Infeasible, Placement, check, tiles

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/hw_peer_sanafe.json").read_text())
RUNS = GOLDEN["runs"]


def rebuild(run):
    """The network of a stored run: graph, bias, and neurons placed in order."""
    n, fanout = run["neurons"], run["fanout"]
    rng = np.random.default_rng(run["seed"])
    pre = np.repeat(np.arange(n), fanout)
    post = np.concatenate([rng.choice(n, size=fanout, replace=False) for _ in range(n)])
    inhibits = rng.random(n) < 0.2
    driven = rng.random(n) < 0.25
    bias = np.where(driven, rng.integers(4, 17, size=n) / 64, 0.0)
    weight = np.where(inhibits[pre], -0.5625, 0.125)
    graph = Graph((Node("pop", n),), (Edge("pop", "pop", pre, post, weight),))
    return graph, bias, Placement(np.arange(n) // run["neurons_per_core"])


@eqx.filter_jit
def emulate(cores, steps):
    silent = jnp.zeros((steps, cores.bias.size), bool)
    return jax.lax.scan(lambda s, d: cores.step(s, d), cores.init(), silent)[1]


@pytest.mark.parametrize(
    "run",
    [pytest.param(r, marks=[pytest.mark.slow] * (r["neurons"] > 2000)) for r in RUNS],
    ids=lambda run: str(run["neurons"]),
)
def test_counts_equal_and_energy_and_time_agree_with_sanafe(run):
    graph, bias, placement = rebuild(run)
    assert graph.synapses.weight.sum() == run["weight_sum"]
    assert bias.sum() == run["bias_sum"]
    assert (
        np.sum(graph.synapses.post * (np.arange(graph.synapses.post.size) % 97))
        == (run["dst_checksum"])
    )
    did = emulate(LoihiCores(graph, bias, leak_decay=0.9375), GOLDEN["steps"])
    ledger = tally(Counter(graph, placement, LOIHI1_SANAFE.mesh), jax.tree.map(np.asarray, did))
    counts, stored = totals(ledger), run["oracle"]["counts"]
    assert counts["soma_access"] == stored["soma_accesses"]
    assert counts["neuron_update"] == run["simple"]["neurons_updated"]
    assert counts["spike"] == run["simple"]["neurons_fired"]
    assert counts["synaptic_event"] == run["simple"]["synapse_events"]
    assert counts["axon_out"] == counts["axon_in"] == run["simple"]["messages"]
    hops = sum(counts[k] for k in ("hop_east", "hop_west", "hop_north", "hop_south"))
    assert hops == stored["hops"]
    bill = price(counts, LOIHI1_SANAFE, duration_s=None)
    joules = {item.term: item.joules for item in bill.items}
    soma = joules["soma_access"] + joules["neuron_update"] + joules["spike"]
    energy = run["simple"]["energy"]  # the peer's sums run over floats one by one
    assert bill.joules == pytest.approx(energy["total"], rel=1e-9)
    assert soma == pytest.approx(energy["soma"], rel=1e-9)
    assert joules["synaptic_event"] == pytest.approx(energy["synapse"], rel=1e-9)
    used = tiles(LOIHI1_SANAFE.mesh, placement)
    seconds = LOIHI1_SANAFE.clock.seconds(ledger, used).sum()
    assert seconds == pytest.approx(run["simple"]["sim_time_s"], rel=1e-9)


def test_the_network_that_overruns_the_axons_of_a_chip_is_refused():
    graph, _, placement = rebuild(RUNS[-1])
    with pytest.raises(Infeasible, match="input_axons per core: at most 4096, needed 10601"):
        check(graph, placement, LOIHI1_SANAFE)


def test_a_neuron_by_hand():
    edge = Edge("in", "a", np.array([0]), np.array([0]), np.array([0.75]))
    graph = Graph((Node("in", 1, external=True), Node("a", 1)), (edge,))
    cores = LoihiCores(graph, np.zeros(2), leak_decay=0.7, input_decay=0.5)
    state, seen = cores.init(), []
    for driven in (1, 0, 0, 0):
        state, did = cores.step(state, jnp.array([bool(driven), False]))
        seen.append((bool(did.spikes[1]), bool(did.active[1]), float(state.v[1])))
    # the spike arrives a step later as u = 0.75; then 0.7 x 0.75 = 33.6/64 is cut to 33/64 and
    # u = 0.375 joins: 57/64; then 0.7 x 57/64 = 39.9/64 is cut to 39/64 and 0.1875 joins: 51/64
    assert seen == [
        (False, False, 0.0),
        (False, True, 48 / 64),
        (False, True, 57 / 64),
        (False, True, 51 / 64),
    ]


def test_a_neuron_above_threshold_spikes_and_is_reset():
    graph = Graph((Node("a", 1),), ())
    cores = LoihiCores(graph, np.full(1, 0.5), v_threshold=1.0, v_reset=0.25)
    state, spikes = cores.init(), []
    for _ in range(5):
        state, did = cores.step(state, jnp.zeros(1, bool))
        spikes.append(bool(did.spikes[0]))
    # 0.5, 1.0 (not above), 1.5 -> 0.25, 0.75, 1.25 -> 0.25
    assert spikes == [False, False, True, False, True]


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda g: LoihiCores(g, np.zeros(3)), r"bias must have shape \(2,\)"),
        (lambda g: LoihiCores(g, np.zeros(2), leak_decay=1.5), "leak_decay must lie in"),
        (
            lambda g: LoihiCores(
                Graph(
                    g.nodes,
                    (Edge("a", "a", np.zeros(1, int), np.zeros(1, int), np.ones(1), delay=2),),
                ),
                np.zeros(2),
            ),
            "delays must all be 1 step, got up to 2",
        ),
    ],
)
def test_what_the_emulator_cannot_run_is_refused(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build(Graph((Node("a", 2),), ()))
