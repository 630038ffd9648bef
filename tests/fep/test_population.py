"""A member of a population has the same bits, whoever else is computed beside it."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.population import map_members

SIZE, WIDTH = 13, 4
KEY = jax.random.key(0)
WEIGHT = jax.random.normal(jax.random.key(1), (1000, 30))
START = jax.random.normal(jax.random.key(2), (SIZE, 30))

# the same population on one device and on four; a fresh process, because devices are counted once
ON_DEVICES = """
import jax, numpy as np
from jax.sharding import Mesh
from test_population import SIZE, run
alone = run(range(SIZE))
for shape, axes in (((4,), ("members",)), ((2, 2), ("rows", "columns"))):
    devices = np.array(jax.devices()[: np.prod(shape)]).reshape(shape)
    shared = run(range(SIZE), mesh=Mesh(devices, axes))
    assert all(np.array_equal(a, b) for a, b in zip(shared, alone)), shape
    assert len(shared[0].sharding.device_set) == devices.size
print("equal", len(jax.devices()))
"""


def member(key, start):
    """Products and sums long enough that their rounding tells how they were batched."""
    wide = jnp.tanh(WEIGHT @ start + jax.random.uniform(key, (1000,)))
    return wide, jnp.sum(wide), jax.nn.logsumexp(wide)


@partial(jax.jit, static_argnames=("width", "mesh"))
def mapped(members, start, width, mesh=None):
    return map_members(member, members, start, key=KEY, width=width, mesh=mesh)


def run(members, width=WIDTH, mesh=None):
    members = np.array(members)
    return mapped(members, START[members], width, mesh)


@pytest.fixture(scope="module")
def whole():
    return run(range(SIZE))


@pytest.mark.parametrize("members", [[12], [7, 2, 11, 2, 0], list(range(SIZE))[::-1]])
def test_a_subset_in_any_order_has_the_bits_of_the_whole(whole, members):
    for part, every in zip(run(members), whole, strict=True):
        np.testing.assert_array_equal(part, every[np.array(members)])


def test_members_of_one_batch_would_not_have():
    """The guard of the test above: this work's bits do depend on how it is batched."""
    batch = jax.jit(lambda start: jax.vmap(partial(member, KEY))(start))
    alone, among = batch(START[:1]), batch(START)
    assert any((a != b[:1]).any() for a, b in zip(alone, among, strict=True))


def test_results_are_the_members_own(whole):
    for i in (0, 12):
        wide, total, _ = member(jax.random.fold_in(KEY, i), START[i])
        np.testing.assert_allclose(whole[0][i], wide, atol=1e-5)  # float32, 30 products
        np.testing.assert_allclose(whole[1][i], total, atol=1e-3)  # 1000 summands


@pytest.mark.slow
def test_devices_do_not_change_a_bit(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(Path(__file__).parent), *sys.path)))
    command = [sys.executable, "-c", ON_DEVICES]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "equal 4\n"), ended.stderr


def test_trees_go_in_and_come_out():
    inputs = {"x": jnp.arange(5.0), "y": (jnp.ones((5, 2)),)}
    double = lambda key, tree: jax.tree.map(lambda leaf: 2 * leaf, tree)
    doubled = map_members(double, jnp.arange(5), inputs, key=KEY, width=3)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, 2 * b), doubled, inputs)


@pytest.mark.parametrize(
    "members, start, width, words",
    [
        (jnp.arange(0), jnp.ones((0, 30)), 4, "members and a positive width, got 0 and 4"),
        (jnp.arange(2), jnp.ones((2, 30)), 0, "got 2 and 0"),
        (
            jnp.arange(2),
            jnp.ones((3, 30)),
            4,
            r"inputs\[0\]: .* found shape \(3, 30\)",
        ),
        (jnp.arange(2), jnp.ones(()), 4, r"inputs\[0\]: expected 2 rows"),
    ],
)
def test_what_is_no_population_is_refused(members, start, width, words):
    with pytest.raises(ValueError, match=words):
        map_members(member, members, start, key=KEY, width=width)
