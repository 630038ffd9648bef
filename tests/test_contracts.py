"""Whatever evolves keeps one contract: init and step scan, vmap and trace once."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fep.active_inference.agent import Agent
from fep.active_inference.hierarchy import DeepAgent
from fep.active_inference.model import Model
from fep.active_inference.planning import Exhaustive
from fep.active_inference.trial import TrialAgent
from fep.predictive_coding.amortised import Guess, HybridLearner
from fep.predictive_coding.dynamic import DynamicPC
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import (
    IncrementalLearner,
    Learner,
    PredictiveCoding,
    backprop,
)
from fep.predictive_coding.network import multilayer
from fep.predictive_coding.temporal import (
    KalmanFilter,
    TemporalLearner,
    TemporalPC,
    temporal_network,
)
from fep.predictive_coding.temporal import Linear as Dynamics
from hw.chip_neurons import AdEx, LoihiCuba, TrueNorthNeuron, XyloNeuron
from hw.emulate import Cores, LoihiCores
from hw.graph import Edge, Graph, Node
from hw.interpret import Interpreter, Semantics
from hw.operators import LIF, Affine, Input
from hw.program import Program
from snn import loihi as integer
from snn import neurons, nonlinear_neurons, synapses
from snn.attention import LinearAttention
from snn.coding import HalvingCode, NonAdjacentCode
from snn.connectivity import all_to_all, rows
from snn.conversion import RateNetwork, SpikingNetwork, convert
from snn.decoder import Block, Decoder, RMSNorm
from snn.delivery import EventLoop
from snn.events import pack
from snn.integrate_and_fire import RectifiedIF, RetractingIF, SignedIF
from snn.loihi_learning import RoundedSumOfProducts, SumOfProducts, Synapses, Trace
from snn.network import Clock, Group, Network, Pathway, PoissonGroup, SpikeInput
from snn.plasticity import BCM
from snn.projections import Linear
from snn.spiking_agent import SpikingAgent
from snn.spiking_beliefs import SpikingBelief
from snn.spiking_beliefs_causes import HiddenCauses
from snn.spiking_beliefs_firing import (
    Coupled,
    IntegrateAndFire,
    Jittered,
    LateCoupled,
    Poisson,
    Rates,
    Varied,
)
from snn.spiking_beliefs_gaussian import SpikingKalman
from snn.spiking_beliefs_learning import LearningBelief
from snn.spiking_beliefs_online import OnlineBelief
from snn.spiking_beliefs_rivals import WinnerTakeAll
from snn.spiking_pc import SpikingPC
from snn.spiking_pc_bidirectional import BidirectionalNetwork, SpikingBidirectionalPC
from snn.spiking_pc_learning import ErrorScaledCodes, SpikingLearner, TracePlasticity
from snn.stochastic_neurons import EscapeLIF, PoissonSource, Refractory
from snn.training import SpikingNetwork as TrainedNetwork
from snn.training import dense_layer


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


def incremental():
    machine = IncrementalLearner(optax.sgd(0.1), optax.adam(1e-2), steps=3)
    start = lambda key: machine.init(multilayer((5, 7, 3), jnp.tanh, key=key))
    return Case(IncrementalLearner, start, machine.step, digits(jax.random.key(1)))


class FromInput(eqx.Module):
    """A guess that reads the first of the values given."""

    weight: jax.Array

    def __call__(self, x, y):
        return self.weight @ x


def hybrid():
    machine = HybridLearner(GradientFlow(0.1, 3), optax.adam(1e-2))
    guess = Guess((FromInput(jnp.zeros((7, 5))),))
    start = lambda key: machine.init(multilayer((5, 7, 3), jnp.tanh, key=key), guess)
    return Case(HybridLearner, start, machine.step, digits(jax.random.key(1)))


def temporal():
    network = temporal_network(Dynamics(0.9 * jnp.eye(3)), Dynamics(jnp.eye(3)[:2]))
    machine = TemporalPC(network, GradientFlow(0.1, 3), 3)
    start = lambda key: machine.init()._replace(estimate=jax.random.normal(key, (3,)))
    return Case(TemporalPC, start, machine.step, jax.random.normal(jax.random.key(4), (6, 2)))


def temporal_learner():
    network = temporal_network(Dynamics(0.9 * jnp.eye(3)), Dynamics(jnp.eye(3)[:2]))
    machine = TemporalLearner(TemporalPC(network, GradientFlow(0.1, 3), 3), optax.sgd(1e-2))

    def start(key):
        rest = machine.init()
        return rest._replace(filter=rest.filter._replace(estimate=jax.random.normal(key, (3,))))

    inputs = jax.random.normal(jax.random.key(4), (6, 2))
    return Case(TemporalLearner, start, machine.step, inputs)


def dynamic():
    gains = jnp.stack([jnp.eye(2)] * 2)
    machine = DynamicPC(
        Dynamics(-jnp.eye(2)), Dynamics(jnp.eye(2)[:1]), jnp.eye(2), jnp.eye(1), gains
    )
    step = lambda state, seen: machine.step(state, seen, dt=0.1)
    start = lambda key: machine.init()._replace(motion=jax.random.normal(key, (2, 2)))
    return Case(DynamicPC, start, step, jax.random.normal(jax.random.key(4), (6, 1, 1)))


def kalman():
    machine = KalmanFilter(0.9 * jnp.eye(3), jnp.eye(3)[:2], jnp.eye(3), jnp.eye(2))
    start = lambda key: machine.init()._replace(mean=jax.random.normal(key, (3,)))
    return Case(KalmanFilter, start, machine.step, jax.random.normal(jax.random.key(4), (6, 2)))


def spiking_pc():
    network = multilayer((5, 7, 3), jnp.tanh, key=jax.random.key(2))
    machine = SpikingPC(network, HalvingCode(1.0, 5), rate=0.2, steps=4)
    start = lambda key: machine.init(jax.random.uniform(key, (5,)), jnp.eye(3)[0])[0]
    return Case(SpikingPC, start, machine.step, None)


def bidirectional_pc():
    up, down = (
        multilayer(widths, jnp.tanh, key=jax.random.key(2)) for widths in ((5, 4, 3), (3, 4, 5))
    )
    code = HalvingCode(1.0, 5)
    network = BidirectionalNetwork(up, down)
    machine = SpikingBidirectionalPC(network, (code,) * 3, (code,) * 4, rate=0.2, steps=4)
    start = lambda key: machine.init(jax.random.uniform(key, (5,)), jnp.eye(3)[0])[0]
    return Case(SpikingBidirectionalPC, start, lambda state, _: machine.step(state), None)


SCALED = ErrorScaledCodes(NonAdjacentCode(1.0, 12), memory=3.0)


def spiking_learner():
    machine = SpikingLearner(SCALED, 0.2, 3, (1, 1, 0, 0), optax.sgd(1e-2))
    start = lambda key: machine.init(multilayer((5, 7, 3), jnp.tanh, key=key))
    return Case(SpikingLearner, start, machine.step, digits(jax.random.key(1)))


def error_scaled():
    traces = tuple(jax.random.normal(jax.random.key(n), (6, 4, n)) for n in (7, 3))
    start = lambda key: SCALED.init(2)._replace(magnitudes=jax.random.uniform(key, (2,)))
    return Case(ErrorScaledCodes, start, SCALED.step, traces)


def spiking_belief():
    likelihood = jnp.array([[0.8, 0.3], [0.2, 0.7]])
    transitions = jnp.stack([jnp.eye(2), 1 - jnp.eye(2)], axis=2) * 0.8 + 0.1
    machine = SpikingBelief((likelihood,), transitions, jnp.array([0.5, 0.5]), neurons=8)
    outcomes = jax.random.randint(jax.random.key(3), (6,), 0, 2)
    start = lambda key: machine.expect(
        machine.init(), jax.random.dirichlet(key, jnp.ones(2)), jnp.array(0)
    )
    return Case(SpikingBelief, start, machine.step, (outcomes,))


def firing(build):
    """Neurons that differ by key, driven at random."""
    drives = jax.random.uniform(jax.random.key(5), (6, 3))
    start = lambda key: build(key).init(3, 5)
    return Case(type(build(jax.random.key(0))), start, build(jax.random.key(0)).step, drives)


def winner_take_all():
    machine = WinnerTakeAll(6, firing=Coupled())
    start = lambda key: machine.init(jax.random.normal(key, (3,)))
    return Case(WinnerTakeAll, start, machine.step, jax.random.normal(jax.random.key(6), (6, 3)))


def learning_belief():
    machine = LearningBelief(jnp.array([0.5, 0.3, 0.2]), 4)
    start = lambda key: machine.init((jax.random.uniform(key, (4, 3)) + 0.5,), jnp.ones((3, 3, 2)))
    outcomes, actions = jax.random.randint(jax.random.key(7), (2, 6), 0, 2)
    return Case(LearningBelief, start, machine.step, ((outcomes,), actions))


def hidden_causes():
    machine = HiddenCauses(WinnerTakeAll(4))
    start = lambda key: machine.init(jnp.log(jax.random.uniform(key, (4, 2), minval=0.2)))
    senses = jax.random.bernoulli(jax.random.key(12), 0.5, (6, 4)).astype(float)
    return Case(HiddenCauses, start, machine.step, senses)


def online_belief():
    tuning = jax.random.uniform(jax.random.key(8), (5, 2), minval=1.0, maxval=50.0)
    machine = OnlineBelief(tuning, jnp.array([[-3.0, 2.0], [3.0, -2.0]]), 6)
    start = lambda key: machine.init(jax.random.dirichlet(key, jnp.ones(2)))
    senses = jax.random.bernoulli(jax.random.key(9), 0.1, (6, 5)).astype(float)
    return Case(OnlineBelief, start, machine.step, senses)


def spiking_kalman():
    decoders = 0.1 * jax.random.normal(jax.random.key(10), (2, 5))
    machine = SpikingKalman(0.9 * jnp.eye(2), jnp.eye(2)[:1], jnp.full((2, 1), 0.2), decoders)
    start = lambda key: machine.init(jax.random.normal(key, (2,)))
    return Case(SpikingKalman, start, machine.step, jax.random.normal(jax.random.key(11), (6, 1)))


def loihi_cores():
    pre, post = np.divmod(np.arange(12), 3)
    edges = (Edge("in", "out", pre, post, np.linspace(-0.5, 1.0, 12)),)
    graph = Graph((Node("in", 4, external=True), Node("out", 3)), edges)
    machine = LoihiCores(graph, np.full(7, 0.125), leak_decay=0.5)
    driven = jax.random.bernoulli(jax.random.key(4), 0.5, (6, 7))
    start = lambda key: machine.init()._replace(v=jax.random.uniform(key, (7,)))
    return Case(LoihiCores, start, machine.step, driven)


def integrate_and_fire(neuron):
    # eighths are exact in float32: no spike hangs on how a sum is rounded
    eighths = lambda key, *shape: jax.random.randint(key, shape, -9, 17) / 8
    start = lambda key: neuron.init((5,))._replace(v=eighths(key, 5))
    return Case(type(neuron), start, neuron.step, eighths(jax.random.key(5), 6, 5))


def discrete_agent():
    likelihood = np.array([[0.8, 0.3], [0.2, 0.7]])
    transitions = np.stack([np.eye(2), 1 - np.eye(2)], axis=2) * 0.8 + 0.1
    return Agent(Model([likelihood], [transitions], [[0.0, 1.0]]), Exhaustive(2))


def living(machine):
    """An agent, given outcomes and keys."""
    outcomes = (jax.random.randint(jax.random.key(4), (6,), 0, 2),)
    keys = jax.random.split(jax.random.key(5), 6)
    step = lambda state, given: machine.step(state, given[0], key=given[1])
    return Case(type(machine), lambda key: machine.init(), step, (outcomes, keys))


def chip(neuron, scale):
    currents = scale * jax.random.normal(jax.random.key(5), (6, 3))
    start = lambda key: neuron.init(3)
    inputs = currents if isinstance(neuron, AdEx) else currents.astype(jnp.int32)
    return Case(type(neuron), start, neuron.step, inputs)


def cores():
    pre, post = np.divmod(np.arange(12), 3)
    edges = (Edge("in", "out", pre, post, np.ones(12), delay=2),)
    graph = Graph((Node("in", 4, external=True), Node("out", 3)), edges)
    machine = Cores(graph, LoihiCuba(512, 256, v_mantissa=7), np.arange(-5, 7))
    driven = jax.random.randint(jax.random.key(6), (6, 7), 0, 2)
    return Case(Cores, lambda key: machine.init(), machine.step, driven)


def interpreter():
    rest = np.zeros(3)
    lif = LIF(r=rest + 1, tau=rest + 2e-3, v_leak=rest, v_threshold=rest + 0.3, v_reset=rest)
    affine = Affine(np.linspace(-1, 1, 12).reshape(3, 4), rest + 0.1)
    nodes = {"in": Input((4,)), "w": affine, "lif": lif}
    machine = Interpreter(Program(nodes, (("in", "w"), ("w", "lif"))), Semantics(1e-3))
    inputs = {"in": jax.random.normal(jax.random.key(7), (6, 4))}
    return Case(Interpreter, lambda key: machine.init(), machine.step, inputs)


def decoder():
    key = jax.random.key(6)
    linear = lambda m, n: Linear(jax.random.normal(key, (m, n)) / n**0.5)
    norm = RMSNorm(jnp.ones(8), 1e-6)
    block = Block(norm, linear(16, 8), linear(8, 8), norm, linear(24, 8), linear(8, 12), 4, 2, 10.0)
    machine = Decoder(jax.random.normal(key, (5, 8)), (block,), norm, 8)
    start = lambda key: machine.step(machine.init(), jax.random.randint(key, (), 0, 5))[0]
    return Case(Decoder, start, machine.step, jax.random.randint(key, (6,), 0, 5))


def linear_attention():
    machine = LinearAttention()
    start = lambda key: machine.step(machine.init(2, 4), jax.random.normal(key, (3, 2, 4)))[0]
    qkv = jax.random.normal(jax.random.key(7), (6, 3, 2, 4))
    return Case(LinearAttention, start, machine.step, qkv)


def converted_network():
    mlp = eqx.nn.MLP(4, 3, 6, 1, key=jax.random.key(8))
    machine = convert(RateNetwork.of(mlp), (jnp.array(0.5),))
    inputs = jax.random.uniform(jax.random.key(9), (6, 4))
    start = lambda key: machine.step(machine.init(inputs[0]), jax.random.uniform(key, (4,)))[0]
    return Case(SpikingNetwork, start, machine.step, inputs)


def deep_agent():
    noisy = np.array([[0.8, 0.3], [0.2, 0.7]])
    level = Agent(Model([noisy], [np.stack([np.eye(2), 1 - np.eye(2)], axis=2)]), Exhaustive(1))
    machine = DeepAgent(level, level, length=2)
    outcomes = (jax.random.randint(jax.random.key(6), (6,), 0, 2),)
    keys = jax.random.split(jax.random.key(7), 6)
    step = lambda state, given: machine.step(state, given[0], key=given[1])
    return Case(DeepAgent, lambda key: machine.init(), step, (outcomes, keys))


def trial_agent():
    noisy = np.array([[0.8, 0.3], [0.2, 0.7]])
    model = Model([noisy], [np.stack([np.eye(2), 1 - np.eye(2)], axis=2) * 0.8 + 0.1])
    machine = TrialAgent(model, jnp.arange(10).reshape(2, 5, 1) % 2, jnp.ones(2))
    outcomes = (jax.random.randint(jax.random.key(8), (6,), 0, 2),)
    keys = jax.random.split(jax.random.key(9), 6)
    step = lambda state, given: machine.step(state, given[0], key=given[1])
    return Case(TrialAgent, lambda key: machine.init(), step, (outcomes, keys))


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
    loihi = integer.LoihiCuba(400, 200, 10)
    yield Case(integer.LoihiCuba, lambda _: loihi.init(4), loihi.step, (x * 20).astype(jnp.int32))
    rule = SumOfProducts("0.1*x1*y0 - 0.1*y1*x0", pre=(Trace(1e-2),), post=(Trace(1e-2),))
    start = lambda key: rule.init(Synapses(*jax.random.uniform(key, (3, 4, 4))))
    step = lambda s, value: rule.step(s, (value, value[::-1]), dt=1e-3)
    yield Case(SumOfProducts, start, step, spikes)
    rounded = RoundedSumOfProducts("2*x1*y0", "", "", rule.pre, rule.post)
    step = lambda s, value: rounded.step(s, (value, value[::-1]), dt=1e-3, key=key)
    yield Case(RoundedSumOfProducts, start, step, spikes)
    rate = lambda s, value: bcm.step(s, value, dt=1e-3)
    yield Case(BCM, lambda key: bcm.init(jax.random.uniform(key, (4, 2))), rate, x)
    clock = Clock(1e-3, jnp.int32(0), key)
    group = Group(lif, 4, (synapses.Exponential(5e-3),))
    step = lambda s, value: group.step(s, value[None], value, clock)
    yield Case(Group, lambda _: group.init(), step, spikes)
    for source in (SpikeInput(4), PoissonGroup(4, PoissonSource(100.0))):
        step = lambda s, value, source=source: source.step(s, value[None], value, clock)
        yield carrying_nothing(source, step, spikes)
    for synapse in (synapses.Delta(20e-3), synapses.Impulse()):
        step = lambda s, value, synapse=synapse: synapse.step(s, value, dt=1e-3)
        yield carrying_nothing(synapse, step, x)
    edges = all_to_all(4, 4)
    store = rows(edges, 0.3, 1 + edges.post % 3)
    pathway = Pathway("a", "a", EventLoop(store))
    step = lambda s, value: pathway.step(s, pack(value), jnp.zeros(4), jnp.int32(1))[:2]
    yield Case(Pathway, lambda _: pathway.init(), step, spikes)
    network = Network({"a": group}, (pathway,), 1e-3)
    step = lambda s, value: network.step(s, {"a": value}, key=key)
    yield Case(Network, lambda _: network.init(), step, x)
    layers = (
        dense_layer(4, lif, 5, 8.0, key=kx),
        dense_layer(5, neurons.LI(20e-3), 2, 1.0, key=ks),
    )
    deep = TrainedNetwork(layers, 1e-3)
    yield Case(TrainedNetwork, lambda _: deep.init(), deep.step, spikes)


# built by the process that steps them
CASES = {
    **{case.owner.__name__: lambda case=case: case for case in spiking_cases()},
    "agent": lambda: living(discrete_agent()),
    "spiking agent": lambda: living(SpikingAgent(discrete_agent(), WinnerTakeAll(4))),
    "deep agent": deep_agent,
    "trial agent": trial_agent,
    "backprop": lambda: learner(backprop),
    "predictive coding": lambda: learner(PredictiveCoding(GradientFlow(0.1, 5))),
    "incremental predictive coding": incremental,
    "hybrid predictive coding": hybrid,
    "temporal predictive coding": temporal,
    "temporal learner": temporal_learner,
    "dynamic predictive coding": dynamic,
    "Kalman filter": kalman,
    "trace plasticity": lambda: learner(TracePlasticity(HalvingCode(1.0, 5), 0.2, 4)),
    "spiking predictive coding": spiking_pc,
    "bidirectional predictive coding": bidirectional_pc,
    "spiking learner": spiking_learner,
    "error-scaled codes": error_scaled,
    "spiking belief": spiking_belief,
    "winner-take-all": winner_take_all,
    "learning belief": learning_belief,
    "hidden causes": hidden_causes,
    "online belief": online_belief,
    "spiking Kalman filter": spiking_kalman,
    "integrate and fire": lambda: firing(lambda key: IntegrateAndFire(Varied(key, 0.1))),
    "coupled": lambda: firing(lambda key: Coupled(Varied(key, 0.1))),
    "coupled late": lambda: firing(lambda key: LateCoupled(Varied(key, 0.1))),
    "Poisson": lambda: firing(Poisson),
    "rates": lambda: firing(lambda key: Rates()),
    "jittered": lambda: firing(lambda key: Jittered(Poisson(key), 1.0, key)),
    "signed integrate-and-fire": lambda: integrate_and_fire(SignedIF(1.0)),
    "rectified integrate-and-fire": lambda: integrate_and_fire(RectifiedIF(1.0, 0.5)),
    "retracting integrate-and-fire": lambda: integrate_and_fire(RetractingIF(1.0, 0.5)),
    "converted network": converted_network,
    "linear attention": linear_attention,
    "decoder": decoder,
    "emulated Loihi cores": loihi_cores,
    "emulated cores of any chip": cores,
    "Loihi compartment": lambda: chip(LoihiCuba(512, 256, v_mantissa=7, bias=3), 9),
    "TrueNorth neuron": lambda: chip(TrueNorthNeuron(leak=-1, threshold=8), 9),
    "Xylo neuron": lambda: chip(XyloNeuron(2, 3, threshold=20), 30),
    "AdEx neuron": lambda: chip(AdEx(), 100.0),
    "NIR interpreter": interpreter,
}


def plain(x):
    """A random key as the numbers it is made of, anything else as it is."""
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def close(a, b):
    same = lambda x, y: np.testing.assert_allclose(plain(x), plain(y), rtol=1e-4, atol=1e-5)
    jax.tree.map(same, a, b)


STEPS = 6


# those that take longest to compile, and share what they step by with another case
DEAR = {
    *("deep agent", "hybrid predictive coding", "bidirectional predictive coding"),
    *("trace plasticity", "spiking learner", "error-scaled codes", "learning belief"),
    *("online belief", "coupled late", "jittered", "temporal learner"),
}


@cache
def build(name):
    return CASES[name]()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in DEAR else n for n in CASES]
)
def test_a_population_in_one_scan_is_each_member_stepped_alone_and_the_step_traces_once(name):
    case = build(name)
    traces = []

    @jax.jit
    def step(state, value):
        traces.append(1)
        return case.step(state, value)

    def start(key):
        return case.init(key)

    def life(key):
        return jax.lax.scan(lambda s, i: case.step(s, i), start(key), case.inputs, length=STEPS)

    keys = jax.random.split(jax.random.key(1), 2)
    last, outputs = jax.tree.map(lambda a: a[1], jax.jit(jax.vmap(life))(keys))
    state = jax.jit(start)(keys[1])
    for t in range(STEPS):
        state, output = step(state, jax.tree.map(lambda a, t=t: a[t], case.inputs))
        close(output, jax.tree.map(lambda a, t=t: a[t], outputs))
    close(state, last)
    assert len(traces) == 1


def test_everything_that_evolves_is_held_to_the_contract():
    evolving = set()
    for package in ("fep", "snn", "hw"):
        path = importlib.import_module(package).__path__
        for info in pkgutil.walk_packages(path, package + "."):
            for _, kind in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
                if kind.__module__ == info.name and hasattr(kind, "init") and hasattr(kind, "step"):
                    evolving.add(kind)
    assert evolving == {build(name).owner for name in CASES}
