"""Spikes arrive on time under every strategy; runs are cut, batched and resumed bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hw.lower import lower
from snn import connectivity as c
from snn.delivery import EventLoop, EventScatter, dense, fan_in
from snn.events import raster
from snn.network import Group, Network, Pathway, PoissonGroup, PoissonInput, SpikeInput
from snn.neurons import LIF, ConductanceLIF
from snn.simulate import Watch, in_chunks, run
from snn.stochastic_neurons import EscapeLIF, PoissonCounts, PoissonSource, Refractory
from snn.synapses import Conductance, Delta, Exponential

KEY, DT = jax.random.key(5), 1e-3
ADVANCE = eqx.filter_jit(run)


def recurrent(strategy, delay=3):
    """Two groups, excitation and inhibition by conductances, Poisson drive; 70 + 40 neurons."""
    neuron = Refractory(ConductanceLIF(20e-3), 2e-3)
    receptors = Conductance(Exponential(5e-3), 4.0), Conductance(Exponential(8e-3), -1.0)
    drive = PoissonInput(PoissonCounts(1.0), 0.08)
    groups = {
        "e": Group(neuron, 70, receptors, background=(drive,)),
        "i": Group(neuron, 40, receptors, bias=0.6, background=(drive,)),
    }
    pathways = ()
    for s, source in enumerate(groups):
        for t, target in enumerate(groups):
            sizes = groups[source].size, groups[target].size
            edges = c.fixed_in_degree(*sizes, 8, key=jax.random.key(10 + 2 * s + t))
            flat = edges._replace(post=edges.post + s * sizes[1], targets=2 * sizes[1])
            store = c.rows(flat, (0.1, 0.3)[s])
            pathways += (Pathway(source, target, strategy(store), delay),)
    return Network(groups, pathways, DT)


STRATEGIES = {
    "event loop": EventLoop,
    "event scatter": lambda rows: EventScatter(rows, rows.sources),
    "dense": dense,
    "fan-in": fan_in,
}


@pytest.fixture(scope="module")
def reference():
    network = recurrent(EventLoop)
    state, recording = ADVANCE(network, network.init(), 300, key=KEY)
    return network, state, recording


def same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STRATEGIES)[1:])
def test_the_network_runs_alike_under_every_strategy(name, reference):
    network = recurrent(STRATEGIES[name])
    state, recording = ADVANCE(network, network.init(), 100, key=KEY)
    spikes = raster(np.asarray(recording.spikes["e"]), 70)
    np.testing.assert_array_equal(spikes, raster(np.asarray(reference[2].spikes["e"])[:100], 70))
    assert 20 < spikes.sum() < 6000  # it is neither silent nor saturated


def test_chunks_are_the_whole_bit_for_bit_and_resume_anywhere(reference):
    network, whole, recording = reference
    advance = lambda state, _: ADVANCE(network, state, 100, key=KEY)
    pieces = list(in_chunks(advance, network.init(), 3))
    same_bits(pieces[-1][0], whole)
    spikes = [piece.spikes for _, piece in pieces]
    same_bits(jax.tree.map(lambda *a: np.concatenate(a), *spikes), recording.spikes)
    resumed = list(in_chunks(advance, pieces[0][0], 2))
    same_bits(resumed[-1][0], whole)


@pytest.mark.parametrize(
    "name", ["event loop", pytest.param("event scatter", marks=pytest.mark.slow)]
)
def test_trials_under_vmap_are_each_trial_alone_bit_for_bit(name):
    network = recurrent(STRATEGIES[name])
    keys = jax.random.split(KEY, 3)
    one = lambda key: run(network, network.init(), 100, key=key)[1].spikes
    many = eqx.filter_jit(lambda k: jax.vmap(one)(k))(keys)
    for i, key in enumerate(keys):
        alone = ADVANCE(network, network.init(), 100, key=key)[1].spikes
        same_bits(jax.tree.map(lambda a, i=i: a[i], many), alone)


TRIALS = """
import jax, numpy as np
from jax.sharding import Mesh
from snn.simulate import over_devices, run
from tests.snn.test_simulate import KEY, STRATEGIES, recurrent, same_bits

network = recurrent(STRATEGIES["event loop"])
trial = lambda key: run(network, network.init(), 40, key=key)[1].spikes
keys = jax.random.split(KEY, 4)
assert jax.device_count() == 2
one, two = (Mesh(np.array(jax.devices()[:n]), "trials") for n in (1, 2))
shared = jax.jit(over_devices(trial, two))(keys)
assert len(shared["e"].sharding.device_set) == 2
same_bits(shared, jax.jit(over_devices(trial, one))(keys))
alone = jax.jit(trial)
for i, key in enumerate(keys):
    same_bits(jax.tree.map(lambda a: a[i], shared), alone(key))
assert np.asarray(shared["e"]).any()
"""


@pytest.mark.slow
def test_trials_on_two_devices_are_those_of_one_bit_for_bit():
    root = str(Path(__file__).parents[2])
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "PYTHONPATH": root}
    command = [sys.executable, "-c", TRIALS]
    environment = {**os.environ, **flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run(command, env=environment, cwd=root, check=True)


def pulse_network(edges, delivery, delay, size=6):
    """Given spikes onto leaky neurons that never fire: what arrives is read off them."""
    groups = {
        "in": SpikeInput(edges.sources),
        "out": Group(LIF(1e-9, v_threshold=1e9), size, (Delta(1e-9),)),
    }
    return Network(groups, (Pathway("in", "out", delivery, delay),), DT)


@pytest.mark.parametrize("delay", [1, 2, 7])
def test_a_shared_delay_is_the_steps_between_spike_and_arrival(delay):
    edges = c.one_to_one(6)
    network = pulse_network(edges, EventLoop(c.rows(edges, 1.0)), delay)
    spikes = jnp.zeros((20, 6)).at[3, 2].set(1.0).at[4, 2].set(1.0).at[4, 5].set(1.0)
    watch = Watch(lambda s: s.groups["out"].neuron.v)
    _, recording = ADVANCE(network, network.init(), 20, key=KEY, inputs={"in": spikes}, watch=watch)
    expected = np.zeros((20, 6))
    expected[3 + delay, 2] = expected[4 + delay, 2] = expected[4 + delay, 5] = 1
    np.testing.assert_allclose(recording.probed, expected, atol=1e-6)


@pytest.mark.parametrize("strategy", [EventLoop, lambda rows: EventScatter(rows, 9)])
def test_each_synapse_keeps_a_delay_of_its_own(strategy):
    random = np.random.default_rng(0)
    edges = c.fixed_out_degree(9, 6, 4, key=KEY)
    delays = random.integers(1, 12, len(edges.pre))
    weights = random.normal(size=len(edges.pre)).astype(np.float32)
    network = pulse_network(edges, strategy(c.rows(edges, weights, delays)), 1)
    spikes = random.random((40, 9)) < 0.2
    watch = Watch(lambda s: s.groups["out"].neuron.v)
    _, recording = ADVANCE(
        network, network.init(), 40, key=KEY, inputs={"in": jnp.asarray(spikes, float)}, watch=watch
    )
    expected = np.zeros((60, 6))
    for step, pre in np.argwhere(spikes):
        for edge in np.nonzero(edges.pre == pre)[0]:
            expected[step + delays[edge], edges.post[edge]] += weights[edge]
    np.testing.assert_allclose(recording.probed, expected[:40], atol=1e-5)


def test_a_run_that_lost_spikes_is_refused():
    network = recurrent(lambda rows: EventScatter(rows, 1))
    with pytest.raises(Exception, match="spikes were lost"):
        jax.block_until_ready(ADVANCE(network, network.init(), 100, key=KEY))


def test_a_probe_sees_the_last_state_of_each_stretch():
    network = Network({"e": Group(LIF(20e-3), 3, bias=1.5)}, (), DT)
    watch = lambda every: Watch(lambda s: (s.time, s.groups["e"].neuron.v), every)
    _, fine = ADVANCE(network, network.init(), 30, key=KEY, watch=watch(1))
    _, coarse = ADVANCE(network, network.init(), 30, key=KEY, watch=watch(10))
    same_bits(jax.tree.map(lambda a: a[9::10], fine.probed), coarse.probed)
    assert list(coarse.probed[0]) == [10, 20, 30]
    with pytest.raises(ValueError, match="multiple of every = 7"):
        run(network, network.init(), 30, key=KEY, watch=watch(7))


def test_random_groups_fire_at_their_rates():
    escape = EscapeLIF(1e-6, rate_hz=40.0)
    groups = {
        "source": PoissonGroup(500, PoissonSource(30.0)),
        "escape": Group(escape, 500, bias=1.0),
    }
    network = Network(groups, (), DT)
    _, recording = ADVANCE(network, network.init(), 500, key=KEY)
    for name, rate in (("source", 30.0), ("escape", 40.0)):
        found = raster(np.asarray(recording.spikes[name]), 500).mean() / DT
        expected = (1 - np.exp(-rate * DT)) / DT
        assert found == pytest.approx(expected, abs=5 * (expected / 250) ** 0.5)


def test_a_network_shows_the_chip_its_synapses_with_pairs_joined():
    edges = c.Edges(np.array([0, 0, 1]), np.array([2, 2, 0]), 2, 3)
    for strategy in (EventLoop, dense, fan_in):
        groups = {"in": SpikeInput(2), "out": Group(LIF(1.0), 3, (Delta(1.0),))}
        store = strategy(c.rows(edges, np.array([0.5, 0.25, -1.0])))
        graph = lower(Network(groups, (Pathway("in", "out", store),), DT).circuit())
        (edge,) = graph.edges
        found = dict(zip(zip(edge.pre, edge.post, strict=True), edge.weight, strict=True))
        assert {k: v for k, v in found.items() if v} == {(0, 2): 0.75, (1, 0): -1.0}
        assert [node.external for node in graph.nodes] == [True, False]


ROWS = c.rows(c.one_to_one(4), 1.0)
GROUP = Group(LIF(1.0), 4, (Delta(1.0),))


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: Pathway("a", "a", EventLoop(ROWS), 0), "delay must be at least 1"),
        (
            lambda: Pathway("a", "a", EventLoop(c.rows(c.one_to_one(4), 1.0, np.full(4, 2))), 2),
            "delays of their own",
        ),
        (lambda: Network({"a": GROUP}, (Pathway("a", "b", EventLoop(ROWS)),), DT), "target must"),
        (lambda: Network({"a": GROUP}, (), 0.0), "dt must be positive"),
        (
            lambda: Network(
                {"a": GROUP}, (Pathway("a", "a", EventLoop(c.rows(c.one_to_one(3), 1.0))),), DT
            ),
            "4 sources and 4 targets",
        ),
        (lambda: Group(LIF(1.0), 0), "size"),
        (
            lambda: Group(LIF(1.0), 1, background=(PoissonInput(PoissonCounts(1.0), 1.0),)),
            "one of 0 receptors",
        ),
    ],
)
def test_a_bad_network_is_refused_by_name(build, culprit):
    with pytest.raises(ValueError, match=culprit):
        build()
