"""Whatever evolves keeps one contract: init and step scan, vmap and trace once."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import Learner, PredictiveCoding, backprop
from fep.predictive_coding.network import multilayer
from snn import neurons, nonlinear_neurons, synapses
from snn.coding import HalvingCode
from snn.connectivity import all_to_all, rows
from snn.delivery import EventLoop
from snn.events import pack
from snn.loihi import LoihiCuba
from snn.network import Clock, Group, Network, Pathway, PoissonGroup, SpikeInput
from snn.plasticity import BCM
from snn.spiking_beliefs import SpikingBelief
from snn.spiking_pc import SpikingPC, TracePlasticity
from snn.stochastic_neurons import EscapeLIF, PoissonSource, Refractory
from snn.training import SpikingNetwork, dense_layer


class Case(NamedTuple):
    """One evolving thing: how it starts from a key, how it steps, what it is fed."""

    owner: type
    init: Callable[[Any], Any]  # key -> state
    step: Callable[[Any, Any], Any]  # (state, input) -> (state, output)
    inputs: Any  # leading axis of six time steps


def digits(key):
    kx, ky = jax.random.split(key)
    x = jax.random.uniform(kx, (6, 4, 5))
    return x, jax.nn.one_hot(jax.random.randint(ky, (6, 4), 0, 3), 3)


def learner(rule):
    machine = Learner(rule, optax.adam(1e-2))
    start = lambda key: machine.init(multilayer((5, 7, 3), jnp.tanh, key=key))
    return Case(Learner, start, machine.step, digits(jax.random.key(1)))


def spiking_pc():
    network = multilayer((5, 7, 3), jnp.tanh, key=jax.random.key(2))
    machine = SpikingPC(network, HalvingCode(1.0, 5), rate=0.2, steps=4)
    start = lambda key: machine.init(jax.random.uniform(key, (5,)), jnp.eye(3)[0])[0]
    return Case(SpikingPC, start, machine.step, None)


def spiking_belief():
    likelihood = jnp.array([[0.8, 0.3], [0.2, 0.7]])
    transitions = jnp.stack([jnp.eye(2), 1 - jnp.eye(2)], axis=2) * 0.8 + 0.1
    machine = SpikingBelief((likelihood,), transitions, jnp.array([0.5, 0.5]), neurons=8)
    outcomes = jax.random.randint(jax.random.key(3), (6,), 0, 2)
    start = lambda key: machine.expect(
        machine.init(), jax.random.dirichlet(key, jnp.ones(2)), jnp.array(0)
    )
    return Case(SpikingBelief, start, machine.step, (outcomes,))


def timed(machine, inputs):
    """What is stepped by dt under inputs of shape (6, 4)."""
    step = lambda state, value: machine.step(state, value, dt=1e-3)
    return Case(type(machine), lambda key: machine.init(4), step, inputs)


def carrying_nothing(owner, step, inputs):
    """What has an empty state beside a number, for `vmap` wants something to map over."""
    start = lambda key: ((), jax.random.uniform(key))
    return Case(type(owner), start, lambda s, value: (s, step(s[0], value)[1]), inputs)


def spiking_cases():
    """Neurons, synapses, and networks of them."""
    kx, ks = jax.random.split(jax.random.key(4))
    x, spikes = 2 * jax.random.normal(kx, (6, 4)), (jax.random.uniform(ks, (6, 4)) < 0.5) * 1.0
    lif = neurons.LIF(20e-3)
    machines = [
        *(lif, neurons.LI(20e-3), neurons.CubaLIF(20e-3), neurons.ALIF(20e-3)),
        *(neurons.ResonateAndFire(), neurons.SigmaDelta(0.1), Refractory(lif, 2e-3)),
        *(nonlinear_neurons.QIF(20e-3), nonlinear_neurons.Izhikevich()),
        *(synapses.Exponential(5e-3), synapses.Alpha(5e-3)),
        synapses.DoubleExponential(2e-3, 5e-3),
        synapses.Conductance(synapses.Alpha(5e-3), 0.0),
        synapses.NMDA(synapses.Alpha(5e-3), 0.0),
        synapses.ShortTermPlasticity(0.5, 0.1, 0.2),
    ]
    yield from (timed(machine, x) for machine in machines)
    yield timed(neurons.ConductanceLIF(20e-3), neurons.Drive(x, jnp.abs(x)))
    for machine in (nonlinear_neurons.EIF(), nonlinear_neurons.AdEx()):
        yield timed(machine, x * 1e-9)
    yield timed(nonlinear_neurons.HodgkinHuxley(), x * 1e-2)
    escape, bcm = EscapeLIF(20e-3), BCM(0.1, 1.0)
    key = jax.random.key(5)
    step = lambda s, value: escape.step(s, value, dt=1e-3, key=key)
    yield Case(EscapeLIF, lambda _: escape.init(4), step, x)
    loihi = LoihiCuba(400, 200, 10)
    yield Case(LoihiCuba, lambda _: loihi.init(4), loihi.step, (x * 20).astype(jnp.int32))
    rate = lambda s, value: bcm.step(s, value, dt=1e-3)
    yield Case(BCM, lambda key: bcm.init(jax.random.uniform(key, (4, 2))), rate, x)
    clock = Clock(1e-3, jnp.int32(0), key)
    group = Group(lif, 4, (synapses.Exponential(5e-3),))
    step = lambda s, value: group.step(s, value[None], value, clock)
    yield Case(Group, lambda _: group.init(), step, spikes)
    for source in (SpikeInput(4), PoissonGroup(4, PoissonSource(100.0))):
        step = lambda s, value, source=source: source.step(s, value[None], value, clock)
        yield carrying_nothing(source, step, spikes)
    delta = synapses.Delta(20e-3)
    yield carrying_nothing(delta, lambda s, value: delta.step(s, value, dt=1e-3), x)
    edges = all_to_all(4, 4)
    store = rows(edges, 0.3, 1 + edges.post % 3)
    pathway = Pathway("a", "a", EventLoop(store))
    step = lambda s, value: pathway.step(s, pack(value), jnp.zeros(4), jnp.int32(1))[:2]
    yield Case(Pathway, lambda _: pathway.init(), step, spikes)
    network = Network({"a": group}, (pathway,), 1e-3)
    step = lambda s, value: network.step(s, {"a": value}, key=key)
    yield Case(Network, lambda _: network.init(), step, x)
    layers = dense_layer(4, lif, 5, 8.0, key=kx), dense_layer(5, neurons.LI(20e-3), 2, 1.0, key=ks)
    deep = SpikingNetwork(layers, 1e-3)
    yield Case(SpikingNetwork, lambda _: deep.init(), deep.step, spikes)


CASES = {
    **{case.owner.__name__: case for case in spiking_cases()},
    "backprop": learner(backprop),
    "predictive coding": learner(PredictiveCoding(GradientFlow(0.1, 5))),
    "trace plasticity": learner(TracePlasticity(HalvingCode(1.0, 5), 0.2, 4)),
    "spiking predictive coding": spiking_pc(),
    "spiking belief": spiking_belief(),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), a, b)


def run(case, state, inputs):
    return jax.lax.scan(lambda s, i: case.step(s, i), state, inputs, length=6)


@cases
def test_a_run_traces_its_step_once_and_may_be_cut_anywhere(case):
    traces = []

    @eqx.filter_jit
    def step(state, value):
        traces.append(1)
        return case.step(state, value)

    state = case.init(jax.random.key(0))
    whole, outputs = eqx.filter_jit(run)(case, state, case.inputs)
    for t in range(6):
        state, output = step(state, jax.tree.map(lambda a, t=t: a[t], case.inputs))
        close(output, jax.tree.map(lambda a, t=t: a[t], outputs))
    close(state, whole)
    assert len(traces) == 1


@cases
def test_a_population_under_vmap_is_each_member_alone(case):
    keys = jax.random.split(jax.random.key(1), 3)
    states = jax.vmap(lambda key: case.init(key))(keys)
    many = eqx.filter_jit(lambda s: jax.vmap(lambda s: run(case, s, case.inputs))(s))(states)
    alone = eqx.filter_jit(run)(case, case.init(keys[1]), case.inputs)
    close(jax.tree.map(lambda a: a[1], many), alone)


def test_everything_that_evolves_is_held_to_the_contract():
    evolving = set()
    for package in ("fep", "snn", "hw"):
        path = importlib.import_module(package).__path__
        for info in pkgutil.walk_packages(path, package + "."):
            for _, kind in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
                if kind.__module__ == info.name and hasattr(kind, "init") and hasattr(kind, "step"):
                    evolving.add(kind)
    assert evolving == {case.owner for case in CASES.values()}
