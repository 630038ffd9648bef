"""NeuroBench's metrics come out as NeuroBench 2.3.0 reported them."""

import json
from pathlib import Path

import numpy as np
import pytest

from hw.metrics import (
    NOTHING,
    activation_sparsity,
    connection_sparsity,
    footprint,
    membrane_updates,
    synaptic_operations,
)
from hw.operators import Affine, Conv2d, Linear
from hw.unroll import linear

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/hw_peer_neurobench.json").read_text())


def weights(seed, shape, zeros, scale):
    """As in the stored run."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(shape) * scale
    w[rng.random(shape) < zeros] = 0.0
    return w.astype(np.float32)


def test_a_spiking_network_as_neurobench_counts_it():
    """20-64-10, leaky with delayed reset by subtraction, as snnTorch's Leaky(0.9)."""
    stored, batch, steps = GOLDEN["snn_20_64_10"]["neurobench"], 5, 40
    x = (np.random.default_rng(7).random((batch, steps, 20)) < 0.3).astype(np.float32)
    layers = Linear(weights(1, (64, 20), 0.5, 0.6)), Linear(weights(2, (10, 64), 0.5, 0.4))
    total, outputs = NOTHING, []
    v = [np.zeros((batch, 64), np.float32), np.zeros((batch, 10), np.float32)]
    potentials = [[], []]
    for t in range(steps):
        signal = x[:, t]
        for i, layer in enumerate(layers):
            total += synaptic_operations(layer, signal)
            v[i] = np.float32(0.9) * v[i] + signal @ layer.weight.T - (v[i] > 1)
            potentials[i].append(v[i])
            signal = (v[i] > 1).astype(np.float32)
            outputs.append(signal)
    operations = stored["SynapticOperations"]
    assert total.effective_acs / batch == operations["Effective_ACs"] == 9336.4
    assert total.effective_macs == operations["Effective_MACs"] == 0
    assert total.dense / batch == operations["Dense"]
    assert activation_sparsity(outputs) == pytest.approx(stored["ActivationSparsity"], rel=1e-15)
    updates = sum(membrane_updates(np.stack(p)) for p in potentials)
    assert updates == stored["MembraneUpdates"]
    matrices = [layer.weight for layer in layers]
    assert round(connection_sparsity(matrices), 4) == stored["ConnectionSparsity"]
    buffers = [np.zeros(5, np.float32)] * 2  # snnTorch's five scalars a layer
    assert footprint([*matrices, *buffers]) == stored["Footprint"]


@pytest.mark.parametrize("case", ["ann_conv", "ann_conv_binary_input"])
def test_a_convolutional_network_as_neurobench_counts_it(case):
    stored = GOLDEN[case]["neurobench"]
    if case == "ann_conv":
        x = np.random.default_rng(8).standard_normal((5, 1, 8, 8)).astype(np.float32)
        x[np.random.default_rng(9).random(x.shape) < 0.4] = 0
    else:
        x = (np.random.default_rng(10).random((5, 1, 8, 8)) < 0.5).astype(np.float32)
    kernel, bias = weights(3, (4, 1, 3, 3), 0.25, 0.5), weights(4, (4,), 0.0, 0.1)
    conv = Conv2d(kernel, bias, (2, 2), (1, 1), (1, 1))
    dense = Affine(weights(5, (10, 64), 0.25, 0.2), weights(6, (10,), 0.0, 0.1))
    links, offset = linear(conv, (1, 8, 8))
    arrived = np.tile(offset, (5, 1))
    for i, sample in enumerate(x.reshape(5, -1)):
        np.add.at(arrived[i], links.post, links.weight * sample[links.pre])
    hidden = np.maximum(arrived, 0)
    total = synaptic_operations(conv, x) + synaptic_operations(dense, hidden)
    operations = stored["SynapticOperations"]
    assert total.effective_macs / 5 == operations["Effective_MACs"]
    assert total.effective_acs / 5 == operations["Effective_ACs"]
    assert total.dense / 5 == operations["Dense"]
    assert activation_sparsity([hidden]) == stored["ActivationSparsity"]
    assert round(connection_sparsity([kernel, dense.weight]), 4) == stored["ConnectionSparsity"]
    assert footprint([kernel, bias, dense.weight, dense.bias]) == stored["Footprint"]


def test_a_silent_call_counts_as_accumulates():
    assert synaptic_operations(Linear(np.ones((2, 3))), np.zeros((1, 3))) == (0, 0, 6)


def test_the_sparsity_of_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing whose sparsity"):
        connection_sparsity([])
