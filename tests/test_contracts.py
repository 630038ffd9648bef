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

from fep.active_inference.agent import Agent
from fep.active_inference.hierarchy import DeepAgent
from fep.active_inference.model import Model
from fep.active_inference.planning import Exhaustive
from fep.active_inference.trial import TrialAgent
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import Learner, PredictiveCoding, backprop
from fep.predictive_coding.network import multilayer
from snn.coding import HalvingCode
from snn.spiking_beliefs import SpikingBelief
from snn.spiking_pc import SpikingPC, TracePlasticity


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


def agent():
    likelihood = np.array([[0.8, 0.3], [0.2, 0.7]])
    transitions = np.stack([np.eye(2), 1 - np.eye(2)], axis=2) * 0.8 + 0.1
    machine = Agent(Model([likelihood], [transitions], [[0.0, 1.0]]), Exhaustive(2))
    outcomes = (jax.random.randint(jax.random.key(4), (6,), 0, 2),)
    keys = jax.random.split(jax.random.key(5), 6)
    step = lambda state, given: machine.step(state, given[0], key=given[1])
    return Case(Agent, lambda key: machine.init(), step, (outcomes, keys))


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


CASES = {
    "agent": agent(),
    "deep agent": deep_agent(),
    "trial agent": trial_agent(),
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
    states = jax.vmap(case.init)(keys)
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
