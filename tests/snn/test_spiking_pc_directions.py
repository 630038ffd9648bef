"""Spiking predictive coding both ways at once, and without signs, against what it generalises."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.data import digits
from fep.predictive_coding.energies import Gaussian, LearnedGaussian
from fep.predictive_coding.network import Node, multilayer
from hw.lower import lower, lower_raster
from snn.coding import HalvingCode, NonAdjacentCode
from snn.spiking_pc import PopulationCodes, SpikingPC, circuit, raster, sharpening
from snn.spiking_pc_bidirectional import (
    BidirectionalNetwork,
    BidirectionalTracePlasticity,
    SpikingBidirectionalPC,
    bidirectional_circuit,
)
from snn.spiking_pc_pairs import PairedTracePlasticity, net, paired_deposits

WIDTHS = (4, 6, 3)
CODE = NonAdjacentCode(2.0, 9)
FINE = NonAdjacentCode(8.0, 29)  # spikes down to 2^-25
X = jax.random.uniform(jax.random.key(1), (3, 4))
Y = jnp.eye(3)


def up(energy=None):
    return multilayer(WIDTHS, jnp.tanh, key=jax.random.key(2), output=energy)


def both_ways(clamped=("0", "2"), *, heard=0.0):
    """Precisions of their own; `heard` is the log precision of what is predicted downwards."""
    down = multilayer(WIDTHS[::-1], jnp.tanh, key=jax.random.key(3))
    down = eqx.tree_at(
        lambda n: n.nodes[1:], down, tuple(Node(n.name, LearnedGaussian(jnp.full(d, heard)))
        for n, d in zip(down.nodes[1:], WIDTHS[-2::-1], strict=True))
    )  # fmt: skip
    return BidirectionalNetwork(up(Gaussian(0.5)).clamping(*clamped), down)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_units_without_signs_change_each_weight_as_signed_units_do():
    """The four synapses of two pairs together, from unsigned spikes and traces that only grow."""
    codes = PopulationCodes((CODE, HalvingCode(1.3, 9)), (CODE, HalvingCode(0.9, 9)))
    settings = codes, 0.2, 5, sharpening(5, 2, 1)
    batch = X.astype(jnp.float64), Y.astype(jnp.float64)
    network = jax.tree.map(lambda a: a.astype(jnp.float64), up())
    _, slope, trials = eqx.filter_jit(PairedTracePlasticity(*settings).learn)(network, batch)
    ends = zip(trials.state.error_traces, trials.state.value_traces, strict=True)
    for layer, (h, r) in zip(slope.layers, ends, strict=True):
        h, r = np.asarray(h), np.asarray(r)
        assert np.abs(h).max() > 0
        np.testing.assert_allclose(layer.weight, -h.T @ r / len(h), atol=1e-12)  # float64
        np.testing.assert_allclose(layer.bias, -h.mean(axis=0), atol=1e-12)
    # one trial: its ON and OFF trains are those of the neurons that a chip gets
    trial = jax.tree.map(lambda a: a[0], trials)
    wiring, signed = circuit(network), raster(trial)
    trains = lower_raster(wiring, signed)
    assert {name: train.shape[1] for name, train in trains.items()} == {
        node.name: node.size for node in lower(wiring).nodes
    }
    assert all(train.min() >= 0 for train in trains.values())
    spikes = sum(np.abs(train).sum() for train in signed.values())
    assert sum(train.sum() for train in trains.values()) == spikes
    for i, deposit in enumerate(paired_deposits(SpikingPC(network, *settings), trial)):
        assert min(float(part.min()) for part in deposit) == 0
        halves = [train for name, train in trains.items() if name.startswith(f"value_{i}")]
        sizes = np.resize(codes.values[i].sizes, len(halves[0]))
        heard = np.concatenate([sizes @ half for half in halves])
        np.testing.assert_allclose(deposit.pre_traces[-1], heard, atol=1e-12)


def test_a_weight_shared_by_four_synapses_changes_by_their_signed_sum():
    change = jnp.kron(jnp.array([[5.0, 3.0], [2.0, 1.0]]), jnp.ones((3, 4)))
    np.testing.assert_array_equal(net(change), np.full((3, 4), 5.0 - 3.0 - 2.0 + 1.0))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("clamped", [("0",), ("2",)], ids=["see", "imagine"])
def test_values_predicted_from_both_sides_settle_down_the_slope_of_both_energies(clamped):
    network, sample = both_ways(clamped, heard=0.4), {("0",): X[0], ("2",): Y[0]}[clamped]
    network, sample = jax.tree.map(lambda a: a.astype(jnp.float64), (network, (sample,)))
    spiking = SpikingBidirectionalPC(network, (FINE,) * 3, (FINE,) * 4, rate=0.1, steps=8)
    settled = eqx.filter_jit(spiking.settle)(*sample)
    held = [name in clamped for name in network.names]

    @eqx.filter_jit
    def flow(values):
        slopes = jax.grad(network.cost)(values)
        return tuple(z if h else z - 0.1 * g for h, z, g in zip(held, values, slopes, strict=True))

    values = spiking.init(*sample)[0].values
    for _ in range(8):
        values = flow(values)
    for z, wanted in zip(settled.state.values, values, strict=True):
        np.testing.assert_allclose(z, wanted, atol=1e-6)  # spikes of 2^-25, eight steps
    assert float(spiking.energy(settled.state)) == pytest.approx(
        float(network.cost(values)), abs=1e-6
    )


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_traces_learn_both_streams_down_the_slope_of_the_settled_energy():
    network = jax.tree.map(lambda a: a.astype(jnp.float64), both_ways(heard=0.4))
    batch = X.astype(jnp.float64), Y.astype(jnp.float64)
    settings = (FINE,) * 3, (FINE,) * 4, 0.1, 5
    energy, slope = eqx.filter_jit(BidirectionalTracePlasticity(*settings))(network, batch)

    @eqx.filter_jit
    def at_the_end(network):
        settle = SpikingBidirectionalPC(network, *settings).settle
        ends = jax.vmap(settle)(*batch).state.values
        return eqx.filter_value_and_grad(lambda n: jnp.mean(jax.vmap(n.cost)(ends)))(network)

    cost, wanted = at_the_end(network)
    assert float(energy) == pytest.approx(float(cost), abs=1e-6)
    for chain, same in ((slope.up, wanted.up), (slope.down, wanted.down)):
        for a, b in zip(chain.layers, same.layers, strict=True):
            assert float(jnp.abs(b.weight).max()) > 0.01
            np.testing.assert_allclose(a.weight, b.weight, atol=1e-6)  # spikes of 2^-25
            np.testing.assert_allclose(a.bias, b.bias, atol=1e-6)


@pytest.mark.slow
def test_one_network_learns_to_recognise_digits_and_to_imagine_them():
    """A tenth is chance; imagined digits are held against the means of their classes."""
    train, test = digits()
    widths, code = (64, 48, 10), NonAdjacentCode(4.0, 14)
    up = multilayer(widths, jnp.tanh, key=jax.random.key(0))
    down = multilayer(widths[::-1], jnp.tanh, key=jax.random.key(1))
    quiet = tuple(Node(node.name, Gaussian(4.0)) for node in down.nodes[1:])
    down = eqx.tree_at(lambda n: n.nodes[1:], down, quiet)
    rule = BidirectionalTracePlasticity((code,) * 3, (code,) * 4, 0.1, 8)
    adam = optax.adam(3e-3)
    weights, still = eqx.partition(BidirectionalNetwork(up, down), eqx.is_array)

    @eqx.filter_jit
    def learn(weights, memory, rows):
        def update(carry, rows):
            weights, memory = carry
            batch = inputs[rows], jax.nn.one_hot(labels[rows], 10)
            slope = eqx.filter(rule(eqx.combine(weights, still), batch)[1], eqx.is_array)
            change, memory = adam.update(slope, memory, weights)
            return (optax.apply_updates(weights, change), memory), None

        inputs, labels = jnp.asarray(train.inputs), jnp.asarray(train.labels)
        return jax.lax.scan(update, (weights, memory), rows)[0]

    memory, rng = adam.init(weights), np.random.default_rng(0)
    for _ in range(6):
        order = rng.permutation(len(train.labels))[: 32 * 44].reshape(44, 32)
        weights, memory = learn(weights, memory, jnp.asarray(order))
    network = eqx.combine(weights, still)

    def settled(name, samples):
        task = BidirectionalNetwork(network.up.clamping(name), network.down)
        settle = SpikingBidirectionalPC(task, (code,) * 3, (code,) * 4, 0.1, 40).settle
        many = eqx.filter_jit(lambda samples: jax.vmap(settle)(samples).state.values)
        return many(jnp.asarray(samples))

    recognised = np.argmax(settled("0", test.inputs)[-1], axis=1)
    assert np.mean(recognised == test.labels) >= 0.85
    imagined = settled("2", np.eye(10, dtype=np.float32))[0]
    means = np.stack([test.inputs[test.labels == c].mean(axis=0) for c in range(10)])
    unexplained = np.sum((imagined - means) ** 2) / np.sum((means - means.mean(axis=0)) ** 2)
    assert unexplained <= 0.25


@pytest.mark.slow
def test_where_the_way_down_is_not_heard_the_way_up_spikes_as_it_does_alone():
    network = both_ways(heard=-80.0)
    spiking = SpikingBidirectionalPC(network, (CODE,) * 3, (CODE,) * 4, rate=0.2, steps=6)
    settled = eqx.filter_jit(spiking.settle)(X[0], Y[0])
    alone = eqx.filter_jit(SpikingPC(network.up, CODE, 0.2, 6).settle)(X[0], Y[0])
    jax.tree.map(np.testing.assert_array_equal, settled.state.values, alone.state.values)
    jax.tree.map(
        np.testing.assert_array_equal, settled.state.error_traces[:2], alone.state.error_traces
    )
    assert settled.spikes.errors.tolist() == [*alone.error_spikes.tolist(), 0, 0]
    assert settled.spikes.values[:2].tolist() == alone.value_spikes.tolist()
    assert int(settled.spikes.values[2]) == 1  # the label's one, of size 1: none hears it upwards


def test_each_value_stands_between_two_populations_of_errors():
    wiring = bidirectional_circuit(both_ways())
    assert {p.name: p.size for p in wiring.populations} == dict(
        value_0=4, value_1=6, value_2=3, up_1=6, up_2=3, down_1=6, down_0=4
    )
    joined = {(p.source, p.target): p for p in wiring.projections}
    assert set(joined) == {
        ("value_0", "up_1"), ("up_1", "value_1"), ("value_1", "up_2"), ("up_2", "value_1"),
        ("value_2", "down_1"), ("down_1", "value_1"), ("value_1", "down_0"), ("down_0", "value_1"),
    }  # fmt: skip
    there, back = joined["value_1", "down_0"], joined["down_0", "value_1"]
    assert sorted(zip(there.pre, there.post, there.weights, strict=True)) == sorted(
        zip(back.post, back.pre, back.weights, strict=True)
    )


@pytest.mark.parametrize(
    "make, culprit",
    [
        (lambda n: BidirectionalNetwork(n.up, n.up), "reverse up"),
        (lambda n: BidirectionalNetwork(
            n.up, multilayer(WIDTHS[::-1], jax.nn.relu, key=jax.random.key(0))), "activation"),
        (lambda n: SpikingBidirectionalPC(n, (CODE,) * 2, (CODE,) * 4, 0.1, 3), "3 and 4 codes"),
        (lambda n: SpikingBidirectionalPC(n, (CODE,) * 3, (CODE,) * 4, 0.0, 3), "rate"),
        (lambda n: SpikingBidirectionalPC(n, (CODE,) * 3, (CODE,) * 4, 0.1, 0), "steps"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_refused_by_name(make, culprit):
    with pytest.raises(ValueError, match=culprit):
        make(both_ways())
