"""A streaming language model against the package that carries it, in floats and in spikes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snn import pretrained
from snn.adaptive_neurons import AdaptiveNeuron, MeanThreshold
from snn.decoder import spiking
from snn.transformer import converter

TEXT = (
    "The old house stood at the end of the lane, and nobody had opened its door for many years. "
    "One morning a girl came up the hill with a lantern, knocked three times, and waited. "
    "“Who is there?” said a voice; but when she looked in, there was nothing but dust and light. "
)
read = eqx.filter_jit(lambda model, tokens: model(tokens))


@pytest.fixture(scope="module")
def model():
    try:
        decoder, encode = pretrained.glassllm()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    return decoder, jnp.array(encode(TEXT)[:80])


@pytest.mark.slow
def test_a_streamed_text_has_the_logits_of_the_package_s_whole_one(model):
    from glassllm import GlassLM

    decoder, tokens = model
    folder = pretrained._folder("glassllm", "") / "weights"
    whole = GlassLM.load(folder / "en.npz").forward(np.asarray(tokens)).data[0]
    # two orders of float32 sums through four blocks, logits of about 10
    np.testing.assert_allclose(read(decoder, tokens).logits, whole, atol=2e-4)


def test_a_stream_may_be_cut_anywhere(model):
    decoder, tokens = model
    whole = read(decoder, tokens).logits
    step = eqx.filter_jit(lambda d, s, t: d.step(s, t))
    state = decoder.init()
    for token, logits in zip(tokens[:5], whole, strict=False):
        state, predicted = step(decoder, state, token)
        np.testing.assert_allclose(predicted.logits, logits, atol=1e-5)
    assert state.place == 5


@pytest.mark.slow
@pytest.mark.parametrize("k, limit", [(3.0, 0.010), (4.0, 0.006)])
def test_spikes_leave_the_predicted_words_nearly_as_they_were(model, k, limit):
    decoder, tokens = model
    spikes = spiking(decoder, converter(AdaptiveNeuron(MeanThreshold(k))))
    exact, ours = (jax.nn.log_softmax(read(d, tokens).logits) for d in (decoder, spikes))
    divergence = jnp.mean(jnp.sum(jnp.exp(exact) * (exact - ours), axis=1))
    assert 0 < divergence < limit  # nats a token


def test_a_text_that_is_too_long_is_refused(model):
    decoder, _ = model
    with pytest.raises(ValueError, match="128 tokens at most, got 129"):
        decoder(jnp.zeros(129, jnp.int32))
