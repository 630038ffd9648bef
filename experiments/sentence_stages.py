"""The stages from a sentence to what it asks for: spiking embeddings, and classes learnt by spikes.

Each is made twice: in spikes, and by its float twin.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.requests import Split
from experiments.spike_prices import Load, token_load
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import Learner, PredictiveCoding, backprop
from fep.predictive_coding.network import PCNetwork, multilayer
from snn.coding import HalvingCode
from snn.pretrained import Tokens
from snn.spiking_pc import SpikingPC
from snn.spiking_pc_learning import TracePlasticity
from snn.transformer import Encoder

LEARNERS = ("backprop", "predictive coding", "spiking predictive coding")
# root mean square of an embedding's values; single ones reach past 2, and spikes tell up to 4
SCALE = 0.5
AT_ONCE = 24  # sentences encoded together, which bounds memory


class Embedded(NamedTuple):
    """All sentences by one encoder, in a scale that a code of spikes up to 2 can tell."""

    train: Float[np.ndarray, "sentences width"]
    calibrate: Float[np.ndarray, "sentences width"]
    test: Float[np.ndarray, "sentences width"]


class Recipe(NamedTuple):
    """How the three classifiers are trained."""

    hidden: int
    epochs: int
    batch: int
    rate: float
    settle_rate: float
    settle_steps: int
    code: HalvingCode

    @property
    def flow(self) -> GradientFlow:
        """How rate predictive coding settles."""
        return GradientFlow(self.settle_rate, self.settle_steps)

    @property
    def spiking(self) -> TracePlasticity:
        """The local rule of its spiking twin: pair traces alone."""
        return TracePlasticity(self.code, self.settle_rate, self.settle_steps)

    def populations(self, network: PCNetwork) -> SpikingPC:
        """A network as populations."""
        return SpikingPC(network, self.code, self.settle_rate, self.settle_steps)


class Classifier(NamedTuple):
    """A trained network, and how sure of itself it may be."""

    network: PCNetwork
    predict: Callable  # embedding -> label units
    precision: float  # inverse mean square of what it misses labels by, on sentences not learnt


@eqx.filter_jit
def _encode(encoder: Encoder, ids, mask):
    encoded = jax.vmap(encoder)(ids, mask)
    return encoded.embedding, encoded.sent


def embed(encoder: Encoder, tokens: Tokens, split: Split) -> Embedded:
    """Embeddings of all sentences, whose tokens are in the order train, calibrate, test."""
    rows = np.arange(-(-len(tokens.ids) // AT_ONCE) * AT_ONCE) % len(tokens.ids)
    batches = rows.reshape(-1, AT_ONCE)
    found = [np.asarray(_encode(encoder, tokens.ids[b], tokens.mask[b])[0]) for b in batches]
    vectors = np.concatenate(found)[: len(tokens.ids)]
    ends = np.cumsum([len(part.sentences) for part in split])[:-1]
    return Embedded(*np.split(SCALE * vectors * np.sqrt(vectors.shape[1]), ends))


def sentence_load(encoder: Encoder, tokens: Tokens) -> Load:
    """Work of one token, the mean over some of the sentences, picked evenly."""
    rows = np.linspace(0, len(tokens.ids) - 1, AT_ONCE).astype(int)
    mask = tokens.mask[rows]
    return token_load(encoder, _encode(encoder, tokens.ids[rows], mask)[1], mask)


def classifiers(
    recipe: Recipe, floats: Embedded, spikes: Embedded, split: Split, key: Array
) -> dict[str, Classifier]:
    """Three learners of one network; the spiking one is fed spiking embeddings throughout."""
    rules = {
        LEARNERS[0]: (backprop, floats),
        LEARNERS[1]: (PredictiveCoding(recipe.flow), floats),
        LEARNERS[2]: (recipe.spiking, spikes),
    }
    trained = {}
    for name, (rule, embedded) in rules.items():
        network = _train(recipe, rule, embedded.train, one_hot(split.train.intents), key)
        predict = network.predict
        if name == LEARNERS[2]:
            predict = recipe.populations(network).predict
        predict = jax.jit(jax.vmap(predict))
        missed = predict(embedded.calibrate) - one_hot(split.calibrate.intents)
        trained[name] = Classifier(network, predict, float(1 / jnp.mean(missed**2)))
    return trained


def probabilities(classifier: Classifier, embedded: Float[np.ndarray, "n width"]) -> np.ndarray:
    r"""Posterior over labels, shape (n, labels): softmax(pi mu).

    Under the network's own Gaussian energy a one-hot label c is as likely as
    $\exp(-\frac\pi2 \lVert e_c - \mu \rVert^2) \propto \exp(\pi \mu_c)$.
    """
    return np.asarray(jax.nn.softmax(classifier.precision * classifier.predict(embedded)))


def gradient_cosine(recipe: Recipe, network: PCNetwork, inputs, intents) -> float:
    """Least cosine, over the layers, of what traces deposit to the slope of the settled energy."""
    batch = jnp.asarray(inputs), one_hot(intents)
    rules = recipe.spiking, PredictiveCoding(recipe.flow)
    told = [eqx.filter_jit(rule)(network, batch)[1].layers for rule in rules]
    cosine = lambda a, b: jnp.vdot(a, b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
    return min(float(cosine(a.weight, b.weight)) for a, b in zip(*told, strict=True))


def one_hot(intents: np.ndarray) -> Float[Array, "n labels"]:
    """Targets; every part of the requests has all intents."""
    return jax.nn.one_hot(intents, int(np.max(intents)) + 1)


def _train(recipe: Recipe, rule: Callable, inputs, targets, key) -> PCNetwork:
    batches = len(inputs) // recipe.batch
    schedule = optax.cosine_decay_schedule(recipe.rate, recipe.epochs * batches)
    learner = Learner(rule, optax.adam(schedule))
    weights, shuffles = jax.random.split(key)
    widths = inputs.shape[1], recipe.hidden, targets.shape[1]
    inputs = jnp.asarray(inputs)

    def epoch(state, key):
        order = jax.random.permutation(key, len(inputs))[: batches * recipe.batch]
        pick = lambda state, rows: learner.step(state, (inputs[rows], targets[rows]))
        return jax.lax.scan(pick, state, order.reshape(batches, recipe.batch))[0], None

    start = learner.init(multilayer(widths, jax.nn.relu, key=weights))
    run = jax.jit(lambda state, keys: jax.lax.scan(epoch, state, keys)[0])
    return run(start, jax.random.split(shuffles, recipe.epochs)).network
