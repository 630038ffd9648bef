"""Two devices that share a batch learn what one device learns."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import PredictiveCoding
from fep.predictive_coding.network import multilayer
from fep.predictive_coding.parallel import DataParallel

# a fresh process, because devices are counted once
ON_TWO = """
import equinox as eqx, jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import Mesh
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import Learner, PredictiveCoding
from fep.predictive_coding.network import multilayer
from fep.predictive_coding.parallel import DataParallel
jax.config.update("jax_enable_x64", True)
network = multilayer((4, 6, 3), jnp.tanh, key=jax.random.key(0))
batch = jnp.linspace(-1, 1, 32).reshape(8, 4), jnp.linspace(0, 1, 24).reshape(8, 3)
rule = PredictiveCoding(GradientFlow(0.1, 5))
shared = DataParallel(rule, Mesh(np.array(jax.devices()), ("data",)))
lowered = eqx.filter_jit(shared).lower(network, batch).as_text()
assert "all_reduce" in lowered and "num_partitions = 2" in lowered, lowered
steps = [eqx.filter_jit(Learner(r, optax.adam(1e-2)).step) for r in (rule, shared)]
alone, both = (step(Learner(rule, optax.adam(1e-2)).init(network), batch) for step in steps)
for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(both), strict=True):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-9, atol=1e-12)
try:
    shared(network, jax.tree.map(lambda a: a[:5], batch))
except ValueError as error:
    print(len(jax.devices()), "equal;", error)
"""


@pytest.mark.slow
def test_two_devices_update_as_one_and_refuse_what_they_cannot_share(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    told = "2 equal; 2 devices must divide the batch, got 5 samples\n"
    ended = subprocess.run([sys.executable, "-c", ON_TWO], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, told), ended.stderr


def test_one_device_alone_changes_nothing():
    network = multilayer((4, 6, 3), jnp.tanh, key=jax.random.key(1))
    batch = jnp.ones((2, 4)), jnp.zeros((2, 3))
    rule = PredictiveCoding(GradientFlow(0.1, 2))
    shared = DataParallel(rule, Mesh(np.array(jax.devices()[:1]), ("data",)))
    ours, alone = jax.jit(lambda: (shared(network, batch), rule(network, batch)))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, alone)
