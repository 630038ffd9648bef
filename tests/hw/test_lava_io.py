"""Networks of lava-dl are read as they are, run on integer cores, or refused by field."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="the interop extra")

from hw.hdf5 import ReadError  # noqa: E402
from hw.lava_io import read_lava  # noqa: E402


def dense(group, weight, *, v_decay=300, mantissa=4):
    group["type"] = np.array([b"dense"], "S10")
    group["weight"] = weight.astype(np.float32)
    put_neuron(group, v_decay, mantissa)


def put_neuron(group, v_decay, mantissa):
    neuron = group.create_group("neuron")
    neuron["type"] = "CUBA"
    for name, value in (("iDecay", 4096), ("vDecay", v_decay), ("vThMant", mantissa)):
        neuron[name] = value


rng = np.random.default_rng(0)
FIRST, SECOND = rng.integers(-6, 8, (5, 4)), rng.integers(-6, 8, (3, 5))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "network.net"
    with h5py.File(path, "w") as file:
        dense(file.create_group("layer/0"), FIRST)
        dense(file.create_group("layer/1"), SECOND, v_decay=1000, mantissa=3)
    return path


def test_a_dense_network_spikes_by_the_integer_rule_a_step_a_layer_later(path):
    network = read_lava(path)
    graph, cores = network.graph, network.cores
    assert [(node.name, node.size) for node in graph.nodes] == (
        [("input", 4), ("layer0", 5), ("layer1", 3)]
    )
    steps = 40
    x = (rng.random((steps, 4)) < 0.5).astype(np.int32)
    driven = np.zeros((steps + 2, 12), np.int32)
    driven[:steps, :4] = x
    run = lambda d: jax.lax.scan(lambda s, d: cores.step(s, d), cores.init(), d)[1]
    out = np.asarray(eqx.filter_jit(run)(jnp.asarray(driven)).spikes)
    v = np.zeros(5, int), np.zeros(3, int)
    total = 0
    for t in range(steps):
        s = x[t]
        for i, (weight, loss, mantissa) in enumerate([(FIRST, 300, 4), (SECOND, 1000, 3)]):
            v[i][:] = np.sign(v[i]) * ((np.abs(v[i]) * (4096 - loss)) >> 12) + 64 * (weight @ s)
            s = (v[i] >= 64 * mantissa).astype(int)
            v[i][s > 0] = 0
            np.testing.assert_array_equal(out[t + 1 + i, [4, 9][i] : [9, 12][i]], s)
            total += s.sum()
    assert total > 20


def edited(path, edit):
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


def replaced(name, value):
    def edit(file):
        del file[name]
        file[name] = value

    return edit


@pytest.mark.parametrize(
    "edit, culprit",
    [
        (replaced("layer/0/type", "gru"), "/layer/0/type: expected dense, flatten or input"),
        (replaced("layer/0/neuron/type", "ALIF"), "/layer/0/neuron/type: expected CUBA"),
        (replaced("layer/0/neuron/vDecay", 5000), r"vDecay: expected a number in \[0, 4096\]"),
        (replaced("layer/0/neuron/vThMant", 0), "vThMant"),
        (replaced("layer/0/weight", np.ones((5, 4)) / 2), "weight: expected whole numbers"),
        (replaced("layer/0/weight", np.full((5, 4), np.nan)), "weight: expected whole numbers"),
        (replaced("layer/0/weight", np.full((5, 4), 1e9)), "numbers up to 2"),
        (replaced("layer/1/weight", np.ones((3, 6))), "/layer/1: expected input of"),
        (replaced("layer", 3), "/layer: expected numbered layers"),
        (lambda file: file.__delitem__("layer/0/neuron"), "/layer/0/neuron: expected a group"),
    ],
)
def test_what_is_wrong_is_refused_by_field(path, edit, culprit):
    with pytest.raises(ReadError, match=culprit):
        read_lava(edited(path, edit))
