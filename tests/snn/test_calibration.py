"""Least-squares correction: what it fits, it fits better, and it holds on to the weights."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from encoders import encoder

from snn.adaptive_neurons import AdaptiveNeuron, MeanThreshold
from snn.calibration import least_squares
from snn.transformer import converter, spiking

IDS = jax.random.randint(jax.random.key(0), (60, 9), 0, 10)
MASK = jnp.arange(9)[None] < jax.random.randint(jax.random.key(1), (60, 1), 4, 10)
fit = eqx.filter_jit(least_squares)
embed = eqx.filter_jit(lambda e, ids, mask: jax.vmap(e)(ids, mask).embedding)


@pytest.fixture(scope="module")
def pair():
    net = encoder()
    convert = eqx.filter_jit(
        lambda net: spiking(net, converter(AdaptiveNeuron(MeanThreshold(0.7))))
    )
    return net, convert(net)


def lost(pair, spikes):
    """One minus the mean cosine to the float twin, on the sentences fitted on."""
    return 1 - jnp.mean(jnp.sum(embed(pair[0], IDS, MASK) * embed(spikes, IDS, MASK), axis=1))


def test_corrected_weights_come_nearer_to_the_twin(pair):
    corrected = fit(*pair, IDS, MASK, ridge=1e-3)
    assert lost(pair, corrected) < 0.5 * lost(pair, pair[1])


@pytest.mark.slow
def test_a_firm_hold_leaves_the_weights_as_they_were(pair):
    held = fit(*pair, IDS, MASK, ridge=1e9)
    before, after = (n.layers[1].output.weights.weight for n in (pair[1], held))
    assert jnp.max(jnp.abs(before - after)) < 1e-5


def test_padding_teaches_nothing(pair):
    other = jnp.where(MASK, IDS, 9 - IDS)  # other tokens where there are none
    first, second = (fit(*pair, ids, MASK, ridge=1e-3) for ids in (IDS, other))
    a, b = (n.layers[0].intermediate.weights.weight for n in (first, second))
    assert jnp.max(jnp.abs(a - b)) < 1e-4
