"""Spiking predictive coding against its float twin, and its learning rule against the spikes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fep.predictive_coding.energies import Bernoulli, Gaussian, LearnedGaussian
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import PredictiveCoding
from fep.predictive_coding.network import Node, PCNetwork, chain, multilayer
from snn.coding import HalvingCode, NonAdjacentCode
from snn.plasticity import pair_trace
from snn.spiking_pc import PopulationCodes, SpikingPC, circuit, raster, sharpening
from snn.spiking_pc_learning import ErrorScaledCodes, TracePlasticity

WIDTHS, SLOW = (5, 8, 6, 3), pytest.mark.slow
SMALL = multilayer(WIDTHS, jnp.tanh, key=jax.random.key(8))
# one program for all networks of one shape and code
RUN = eqx.filter_jit(lambda spiking, x, y: spiking(x, y))
SETTLE = eqx.filter_jit(lambda spiking, *seen: spiking.settle(*seen))


def build(seed, code, *, widths=WIDTHS, steps=6, blur=()):
    network = multilayer(widths, jnp.tanh, key=jax.random.key(seed))
    x = jax.random.uniform(jax.random.key(seed + 100), widths[:1])
    y = jax.random.uniform(jax.random.key(seed + 200), widths[-1:])
    return SpikingPC(network, code, rate=0.2, steps=steps, blur=blur), x, y


def drawn_codes(depth):
    """A threshold of its own for each population."""
    rng = np.random.default_rng(depth)
    each = lambda: tuple(NonAdjacentCode(float(rng.uniform(1, 2)), 9) for _ in range(depth))
    return PopulationCodes(each(), each())


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("widths", [pytest.param((4, 3), marks=SLOW), WIDTHS], ids=len)
@pytest.mark.parametrize(
    "code, octaves",
    [
        (HalvingCode(0.7, 5), 0),
        pytest.param(HalvingCode(1.3, 9), 0, marks=SLOW),
        (drawn_codes, 3),
    ],
)
def test_traces_deposit_the_hebbian_product_of_the_coded_end_states(widths, code, octaves):
    code = code if isinstance(code, HalvingCode) else code(len(widths) - 1)
    blur = sharpening(6, octaves, 2)
    spiking, x, y = build(len(widths), code, widths=widths, blur=blur)
    trial = RUN(spiking, x, y)
    for deposit, h, r in zip(
        trial.deposits, trial.state.error_traces, trial.state.value_traces, strict=True
    ):
        assert float(jnp.abs(h).max()) > 0
        np.testing.assert_allclose(pair_trace(*deposit), jnp.outer(h, r), atol=1e-12)  # float64


@pytest.mark.usefixtures("x64")
def test_each_weight_change_follows_from_the_spike_trains_of_its_own_two_ends():
    """Replay: one synapse at a time, from its pre and its post train and nothing else."""
    spiking, x, y = build(0, HalvingCode(0.7, 5))
    trial = RUN(spiking, x, y)
    trains, sizes = raster(trial), np.asarray(spiking.code.sizes)

    def replay(pre, post):
        pre_trace = post_trace = change = 0.0
        for t, (s, r) in enumerate(zip(pre, post, strict=True)):
            size = sizes[t % len(sizes)]
            change += post_trace * size * s  # a pre spike meets the post trace
            pre_trace += size * s
            change += size * r * pre_trace  # a post spike meets the pre trace
            post_trace += size * r
        return change

    for layer, deposit in enumerate(trial.deposits, 1):
        change = np.asarray(pair_trace(*deposit))
        for i, j in np.ndindex(change.shape):
            pre, post = trains[f"value_{layer - 1}"][:, j], trains[f"error_{layer}"][:, i]
            assert change[i, j] == pytest.approx(replay(pre, post), abs=1e-12)  # float64


def test_no_weight_change_reads_a_spike_or_trace_of_another_unit():
    keys = jax.random.split(jax.random.key(0), 4)
    pre_spikes, pre_traces = (jax.random.normal(k, (7, 4)) for k in keys[:2])
    post_spikes, post_traces = (jax.random.normal(k, (7, 3)) for k in keys[2:])
    slopes = jax.jacobian(pair_trace, argnums=(0, 1, 2, 3))(
        pre_spikes, pre_traces, post_spikes, post_traces
    )
    for slope, own in zip(slopes, ("pre", "pre", "post", "post"), strict=True):
        reads = np.abs(np.asarray(slope)).sum(axis=2) > 0  # (post, pre, unit), events summed
        unit = np.eye(4)[None] if own == "pre" else np.eye(3)[:, None]
        np.testing.assert_array_equal(reads, np.broadcast_to(unit > 0, reads.shape))


@SLOW
@pytest.mark.usefixtures("x64")
def test_as_the_code_refines_the_spiking_network_settles_where_gradient_flow_does():
    distances = []
    for halvings in (6, 14):
        spiking, x, y = build(3, HalvingCode(1.0, halvings), widths=(5, 8, 3))
        trial = RUN(spiking, x, y)
        exact = eqx.filter_jit(GradientFlow(0.2, spiking.steps))(spiking.network, x, y)
        distances.append(float(jnp.abs(trial.state.values[1] - exact.state.activities[0]).max()))
    # the finest spike bounds what a trace can miss: 2^-5 and 2^-13 of one unit, here 256 apart
    assert distances[0] < 0.2
    assert distances[1] < distances[0] / 64


@SLOW
@pytest.mark.parametrize("halvings, least", [(6, 0.998), (8, 0.9995)])
def test_the_deposit_points_along_the_rate_gradient(halvings, least):
    """Cosine by layer over 64 samples, the worst of four networks at their start."""
    x = jax.random.uniform(jax.random.key(1), (64, 64))
    y = jax.nn.one_hot(jnp.arange(64) % 10, 10)
    # inputs as fine as a code from 1 down; values and errors follow the errors' size
    code = NonAdjacentCode(2.0 ** (20 - halvings), 20)
    scaled = ErrorScaledCodes(code, values=halvings - 5, errors=halvings - 4)

    @eqx.filter_jit
    def cosine(key):
        network = multilayer((64, 128, 64, 10), jax.nn.relu, key=key)
        scale, hear = scaled.init(3), TracePlasticity(scaled.codes(scaled.init(3)), 0.1, 24)
        _, _, settled = hear.learn(network, (x, y))
        codes = scaled.codes(scaled.step(scale, settled.state.error_traces)[0])
        spiking = TracePlasticity(codes, 0.1, 24)(network, (x, y))[1]
        rate = PredictiveCoding(GradientFlow(0.1, 24))(network, (x, y))[1]
        pairs = [(a.weight, b.weight) for a, b in zip(spiking.layers, rate.layers, strict=True)]
        return jnp.stack(
            [jnp.vdot(a, b) / jnp.sqrt(jnp.vdot(a, a) * jnp.vdot(b, b)) for a, b in pairs]
        )

    keys = jax.random.split(jax.random.key(2), 4)
    assert min(float(cosine(key).min()) for key in keys) >= least


@SLOW
def test_a_batch_deposits_the_mean_of_its_samples():
    network = multilayer(WIDTHS, jnp.tanh, key=jax.random.key(4))
    batch = (jax.random.uniform(jax.random.key(5), (3, 5)), jnp.eye(3))
    rule = eqx.filter_jit(TracePlasticity(HalvingCode(1.0, 6), 0.2, 5))
    _, together = rule(network, batch)
    alone = [rule(network, (x[None], y[None]))[1] for x, y in zip(*batch, strict=True)]
    mean = jax.tree.map(lambda *g: sum(g) / 3, *alone)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), together, mean
    )  # float32


def test_the_raster_holds_every_spike_in_its_own_substep():
    spiking, x, y = build(6, HalvingCode(1.0, 4))
    trial = RUN(spiking, x, y)
    trains = raster(trial)
    substeps = 4 * (3 + 1 + 2 * spiking.steps)  # sweep, first errors, settle steps
    assert {name: train.shape for name, train in trains.items()} == {
        **{f"value_{i}": (substeps, n) for i, n in enumerate(WIDTHS[:-1])},
        **{f"error_{i}": (substeps, n) for i, n in enumerate(WIDTHS[1:], 1)},
    }
    recorded = sum(float(jnp.abs(a).sum()) for a in jax.tree.leaves((trial.start, trial.spikes)))
    assert sum(int(np.abs(train).sum()) for train in trains.values()) == recorded
    sizes = np.asarray(spiking.code.sizes)[np.arange(substeps) % 4]
    for i, trace in enumerate(trial.state.value_traces):
        np.testing.assert_allclose(sizes @ trains[f"value_{i}"], trace, atol=1e-6)
    for i, trace in enumerate(trial.state.error_traces, 1):
        np.testing.assert_allclose(sizes @ trains[f"error_{i}"], trace, atol=1e-6)


def test_the_circuit_is_the_network_and_its_transpose():
    spiking, _, _ = build(7, HalvingCode(1.0, 4))
    wiring = circuit(spiking.network)
    assert {p.name: p.size for p in wiring.populations} == dict(
        value_0=5, value_1=8, value_2=6, error_1=8, error_2=6, error_3=3
    )
    dense = {}
    for p in wiring.projections:
        sizes = {q.name: q.size for q in wiring.populations}
        dense[p.source, p.target] = np.zeros((sizes[p.target], sizes[p.source]))
        dense[p.source, p.target][p.post, p.pre] = p.weights
    for i, layer in enumerate(spiking.network.layers, 1):
        np.testing.assert_array_equal(dense[f"value_{i - 1}", f"error_{i}"], layer.weight)
        if i > 1:
            np.testing.assert_array_equal(dense[f"error_{i}", f"value_{i - 1}"], layer.weight.T)
    for i in (1, 2):
        np.testing.assert_array_equal(dense[f"error_{i}", f"value_{i}"], -np.eye(WIDTHS[i]))
    assert len(dense) == 7


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("free_root", [pytest.param(False, marks=SLOW), True])
def test_precision_is_the_gain_of_errors_and_a_free_root_is_drawn_to_its_prior(free_root):
    """Against gradient flow on the same energies, with spikes too fine to matter."""
    base = multilayer((4, 6, 5), jnp.tanh, key=jax.random.key(11))
    nodes = (
        Node("0", Gaussian(0.5), shape=(4,)),
        Node("1", LearnedGaussian(jnp.linspace(-1, 1, 6))),
    )
    nodes += (Node("2", Gaussian(0.3)),)
    network = PCNetwork(nodes, base.edges, ("2",) if free_root else ("0", "2"))
    x, y = jax.random.normal(jax.random.key(12), (4,)), jnp.linspace(-1, 1, 5)
    sample = (y,) if free_root else (x, y)
    spiking = SpikingPC(network, NonAdjacentCode(8.0, 29), rate=0.1, steps=8)
    settled = SETTLE(spiking, *sample)
    exact = eqx.filter_jit(GradientFlow(0.1, 8))(network, *sample)
    free = settled.state.values[0 if free_root else 1 : 2]
    for z, wanted in zip(free, exact.state.activities, strict=True):
        np.testing.assert_allclose(z, wanted, atol=1e-6)  # spikes of 2^-25, eight steps
    assert float(spiking.energy(settled.state)) == pytest.approx(
        float(exact.energies[-1]), abs=1e-6
    )


def test_a_unit_without_precision_is_filled_in():
    """What is clamped there is not heard, and it is predicted from the rest."""
    base = multilayer((3, 5, 8), jnp.tanh, key=jax.random.key(13))
    seen = jnp.arange(8) < 4
    output = LearnedGaussian(jnp.where(seen, 0.0, -80.0))
    network = PCNetwork((Node("0", Gaussian(), shape=(3,)), *base.nodes[1:-1], Node("2", output)),
                        base.edges, ("2",))  # fmt: skip
    settle = eqx.filter_jit(SpikingPC(network, NonAdjacentCode(2.0, 12), 0.2, 20).settle)
    image = jax.random.normal(jax.random.key(14), (8,))
    states = [settle(jnp.where(seen, image, other)).state for other in (image, 1 - image)]
    np.testing.assert_array_equal(*(state.predictions[-1] for state in states))
    assert not np.any(states[0].error_traces[-1][4:])
    assert float(jnp.abs(states[0].predictions[-1][4:]).max()) > 0.05
    wiring = circuit(network)
    assert not any(p.external for p in wiring.populations)
    assert ("error_1", "value_0") in {(p.source, p.target) for p in wiring.projections}


def test_counting_settles_as_recording_does():
    spiking, x, y = build(9, drawn_codes(3), blur=sharpening(6, 2, 1))
    trial, settled = RUN(spiking, x, y), SETTLE(spiking, x, y)
    jax.tree.map(np.testing.assert_array_equal, trial.state, settled.state)
    total = lambda start, spikes: [
        float(jnp.abs(a).sum() + jnp.abs(b).sum()) for a, b in zip(start, spikes, strict=True)
    ]
    assert total(trial.start.values, trial.spikes.values) == settled.value_spikes.tolist()
    assert total(trial.start.errors, trial.spikes.errors) == settled.error_spikes.tolist()


def test_an_input_beyond_the_first_cycle_is_refused():
    spiking, x, y = build(10, HalvingCode(1.0, 4))
    with pytest.raises(RuntimeError, match="raise `largest`"):
        SETTLE(spiking, 3 + x, y)


@pytest.mark.parametrize(
    "change, culprit",
    [
        ({"rate": 0.0}, "rate"),
        ({"steps": 0}, "steps"),
        ({"network": chain((eqx.nn.Identity(),))}, "Dense"),
        ({"network": SMALL.clamping("0")}, "clamped"),
        ({"network": eqx.tree_at(lambda n: n.nodes[1], SMALL, Node("1", Bernoulli()))}, "alone"),
        ({"code": drawn_codes(2)}, "3 layers"),
        ({"blur": (1, 0)}, "blur"),
    ],
)
def test_a_bad_setting_is_refused_by_name(change, culprit):
    spiking, _, _ = build(8, HalvingCode(1.0, 4))
    settings = dict(network=spiking.network, code=spiking.code, rate=0.2, steps=5)
    with pytest.raises(ValueError, match=culprit):
        SpikingPC(**{**settings, **change})
