"""The stages from a sentence to what it asks for: spiking embeddings, and classes learnt by spikes.

Each is made twice: in spikes, and by its float twin.
"""

from collections.abc import Callable, Sequence
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
    develop: Float[np.ndarray, "sentences width"]
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
    """Embeddings of all sentences, whose tokens are in the order of the split."""
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


def pick(
    recipes: Sequence[Recipe],
    floats: Embedded,
    spikes: Sequence[Embedded],
    split: Split,
    keys: Sequence[Array],
) -> tuple[Recipe, Float[np.ndarray, "recipes learners"]]:
    """The recipe of the highest accuracy on development sentences, and accuracies of all.

    Accuracies are means over seeds; what is compared is their mean over the three learners, so
    that no learner is favoured. Of equals the first is picked.

    Args:
        recipes: to choose from.
        floats: embeddings in floating point.
        spikes: in spikes, a seed each.
        split: of the sentences.
        keys: of weights and sample order, a seed each.
    """

    def developed(recipe: Recipe) -> list[list[float]]:
        found = []
        for own, key in zip(spikes, keys, strict=True):
            trained = classifiers(recipe, floats, own, split, key)
            inputs = [own.develop if n == LEARNERS[2] else floats.develop for n in LEARNERS]
            found.append(
                [
                    accuracy(probabilities(trained[n], x), split.develop.intents)
                    for n, x in zip(LEARNERS, inputs, strict=True)
                ]
            )
        return found

    table = np.array([np.mean(developed(recipe), axis=0) for recipe in recipes])
    return recipes[int(np.argmax(table.mean(axis=1)))], table


def accuracy(named: Float[np.ndarray, "n labels"], intents: np.ndarray) -> float:
    """Share of sentences whose likeliest label is meant."""
    return float(np.mean(named.argmax(axis=1) == intents))


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
        targets = one_hot(split.train.intents)
        plan = recipe.hidden, recipe.epochs, recipe.batch
        peak = jnp.asarray(recipe.rate)
        network = _train(rule, plan, peak, jnp.asarray(embedded.train), targets, key)
        mind = recipe.populations(network) if name == LEARNERS[2] else network
        predict = lambda inputs, mind=mind: _predict(mind, inputs)
        missed = predict(embedded.calibrate) - one_hot(split.calibrate.intents)
        trained[name] = Classifier(network, predict, float(1 / jnp.mean(missed**2)))
    return trained


@eqx.filter_jit
def _predict(mind: PCNetwork | SpikingPC, inputs: Array) -> Float[Array, "n labels"]:
    return jax.vmap(mind.predict)(inputs)


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


@eqx.filter_jit
def _train(rule: Callable, plan: tuple[int, int, int], peak, inputs, targets, key) -> PCNetwork:
    """Adam, whose rate falls from its peak along a cosine to zero; plan: hidden, epochs, batch."""
    hidden, epochs, batch = plan
    batches = len(inputs) // batch
    schedule = optax.cosine_decay_schedule(peak, epochs * batches)
    learner = Learner(rule, optax.adam(schedule))
    weights, shuffles = jax.random.split(key)
    widths = inputs.shape[1], hidden, targets.shape[1]

    def epoch(state, key):
        order = jax.random.permutation(key, len(inputs))[: batches * batch]
        learn = lambda state, rows: learner.step(state, (inputs[rows], targets[rows]))
        return jax.lax.scan(learn, state, order.reshape(batches, batch))[0], None

    start = learner.init(multilayer(widths, jax.nn.relu, key=weights))
    return jax.lax.scan(epoch, start, jax.random.split(shuffles, epochs))[0].network
