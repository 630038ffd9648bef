"""The ledger equals a recount, event by event, in plain NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.events import Activity, Counter, activity, tally
from hw.graph import Edge, Graph, Node
from hw.ledger import Ledger
from hw.mapping import Placement
from hw.platforms import Mesh

MESH, CORES, STEPS = Mesh(3, 2, 1), 6, 5


def random_graph(rng, *, sizes=(4, 5, 3)):
    nodes = tuple(Node(f"n{i}", size, external=i == 0) for i, size in enumerate(sizes))
    edges = ()
    for source in nodes:
        for target in nodes[1:]:
            pre, post = np.nonzero(rng.random((source.size, target.size)) < 0.4)
            weight = rng.integers(-1, 2, pre.size)
            plastic, delay = bool(rng.random() < 0.5), int(rng.integers(1, 4))
            edges += (Edge(source.name, target.name, pre, post, weight, plastic, delay),)
    core_of = rng.integers(0, CORES, sum(sizes))
    core_of[-1] = CORES - 1
    core_of[: sizes[0]] = -1
    return Graph(nodes, edges), Placement(core_of)


def recount(graph, placement, spikes):
    """Every event visited on its own; counts of shape (steps, cores)."""
    steps, n = spikes.shape
    made = {kind: np.zeros((steps, CORES), int) for kind in Ledger._fields}
    synapses = list(zip(*graph.synapses, strict=True))
    core_of = placement.core_of
    at = lambda core: (core // MESH.height, core % MESH.height)  # one core a tile
    arrivals = {
        (t + delay, post)
        for t in range(steps)
        for pre, post, _, _, delay in synapses
        if spikes[t, pre]
    }
    for t in range(steps):
        for i in range(n):
            home = core_of[i]
            if home >= 0:
                made["soma_access"][t, home] += 1
                made["neuron_update"][t, home] += bool(spikes[t, i] or (t, i) in arrivals)
            if not spikes[t, i]:
                continue
            reached = set()
            for pre, post, weight, plastic, _ in synapses:
                core = core_of[post]
                if pre == i:
                    reached.add(core)
                    made["synaptic_event"][t, core] += 1
                    made["zero_weight_event"][t, core] += weight == 0
                if plastic:
                    made["learning_update"][t, core] += int(pre == i) + int(post == i)
            for core in reached:
                made["axon_in"][t, core] += 1
                if home < 0:
                    made["host_message"][t, core] += 1
                    continue
                made["axon_out"][t, home] += 1
                (x0, y0), (x1, y1) = at(home), at(core)
                made["hop_east"][t, home] += max(x1 - x0, 0)
                made["hop_west"][t, home] += max(x0 - x1, 0)
                made["hop_north"][t, home] += max(y1 - y0, 0)
                made["hop_south"][t, home] += max(y0 - y1, 0)
            if home >= 0:
                made["spike"][t, home] += 1
        made["barrier"][t] += 1
    return Ledger(**made)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_ledger_equals_a_recount_exactly(seed):
    rng = np.random.default_rng(seed)
    graph, placement = random_graph(rng)
    spikes = rng.random((STEPS, graph.size)) < 0.4
    counted = tally(Counter(graph, placement, MESH), activity(graph, spikes))
    expected = recount(graph, placement, spikes)
    for kind in Ledger._fields:
        np.testing.assert_array_equal(getattr(counted, kind), getattr(expected, kind), err_msg=kind)


@pytest.fixture
def case():
    rng = np.random.default_rng(7)
    graph, placement = random_graph(rng)
    did = activity(graph, rng.random((131, graph.size)) < 0.3)
    return Counter(graph, placement, MESH), did


def test_time_may_be_cut_anywhere(case):
    counter, did = case
    whole, cut = tally(counter, did), 65
    parts = [tally(counter, Activity(*(a[s] for a in did))) for s in (np.s_[:cut], np.s_[cut:])]
    for a, *b in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(a, np.concatenate(b))


def test_a_compiled_batch_counts_each_member_as_alone(case):
    counter, did = case
    batch = eqx.filter_jit(lambda c, a: jax.vmap(c)(a))(counter, jax.tree.map(jnp.asarray, did))
    for a, b in zip(tally(counter, did), batch, strict=True):
        np.testing.assert_array_equal(a, b)
        assert b.dtype == jnp.int32


@pytest.mark.slow
def test_counts_are_linear_in_rates_so_that_gradients_are_the_events_of_one_spike(case):
    counter, did = case
    n = did.spikes.shape[1]
    reached = lambda rates: jnp.sum(counter(Activity(rates, rates)).synaptic_event)
    gradient = jax.grad(reached)(jnp.full(n, 0.3))
    one_each = [counter(Activity(s, s)).synaptic_event.sum() for s in jnp.eye(n, dtype=int)]
    np.testing.assert_array_equal(gradient, one_each)  # small integers: exact in float32
