"""One seed of the way from sentences to actions: every stage in spikes, and in floats."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from experiments.dialogues import Played, comparison, exact_mind, model_of, play, spiking_mind
from experiments.requests import INTENTS, Split
from experiments.sentence_stages import (
    LEARNERS,
    SCALE,
    Classifier,
    Embedded,
    Recipe,
    accuracy,
    classifiers,
    gradient_cosine,
    probabilities,
)

RATE, SPIKES = LEARNERS[1:]


class Talks(NamedTuple):
    """Dialogues to come, the same for both minds."""

    intents: Int[np.ndarray, " dialogues"]
    rows: Int[np.ndarray, "dialogues turns"]  # test sentences that tell of the intent, none twice
    neurons: int  # of each population that hears them

    @classmethod
    def drawn(cls, split: Split, dialogues: int, turns: int, neurons: int, seed: int) -> "Talks":
        """Intents at random, and sentences of each."""
        rng = np.random.default_rng(seed)
        intents = rng.integers(len(INTENTS), size=dialogues)
        of = [np.flatnonzero(split.test.intents == i) for i in range(len(INTENTS))]
        return cls(intents, np.stack([rng.permutation(of[i])[:turns] for i in intents]), neurons)


class Outcome(NamedTuple):
    """What came of each stage."""

    cosine: Float[np.ndarray, " sentences"]  # of spiking to float embeddings, test sentences
    accuracy: Float[np.ndarray, " learners"]  # on test sentences
    confusion: Float[np.ndarray, "named meant"]  # share of the spiking classifier's, test
    deposit: float  # cosine of trace deposits to the rate gradient, trained, the least of layers
    naming: float  # mean total variation of class probabilities, spikes to the same weights
    variation: Float[np.ndarray, " decisions"]  # of beliefs to the exact filter
    certainty: Float[np.ndarray, "two turns"]  # of the true intent, exact and spiking, in one
    chains: dict[str, dict[str, float]]  # dialogues by who acts: all spikes, or all floats
    agreement: float  # share of dialogues that end in the same deed


class Priced(NamedTuple):
    """What ran in spikes, for its joules to be counted."""

    classifier: Classifier
    confusion: Float[np.ndarray, "named meant"]  # that the belief knows
    cycles: np.ndarray  # spikes of intents, (dialogues, turns, steps, intents, neurons)


def outcome(
    recipe: Recipe, floats: Embedded, spikes: Embedded, split: Split, talks: Talks, key: Array
) -> tuple[Outcome, Priced]:
    """Learn, name all test sentences, and talk.

    Args:
        recipe: of the classifiers.
        floats: embeddings in floating point.
        spikes: of the spiking twin.
        split: of the sentences.
        talks: dialogues of test sentences.
        key: of weights and sample order.
    """
    trained = classifiers(recipe, floats, spikes, split, key)
    own = {name: spikes if name == SPIKES else floats for name in trained}
    named = {n: probabilities(c, own[n].test) for n, c in trained.items()}
    known = {
        n: by_intent(probabilities(trained[n], own[n].calibrate), split.calibrate.intents)
        for n in (SPIKES, RATE)
    }
    played, cycles = {}, None
    for name, confusion in known.items():
        model = model_of(confusion)
        mind = spiking_mind(model, talks.neurons) if name == SPIKES else exact_mind(model)
        played[name], fired = play(mind, exact_mind(model), _heard(named[name][talks.rows]))
        cycles = fired if name == SPIKES else cycles
    turns, meant, spiking = played[SPIKES].turns, split.test.intents, trained[SPIKES]
    same = spiking._replace(predict=jax.vmap(spiking.network.predict))
    rated = probabilities(same, spikes.test)
    batch = slice(None, None, max(1, len(meant) // 64))
    found = Outcome(
        np.sum(floats.test * spikes.test, axis=1) / (SCALE**2 * floats.test.shape[1]),
        np.array([accuracy(named[n], meant) for n in LEARNERS]),
        by_intent(np.eye(len(INTENTS))[named[SPIKES].argmax(axis=1)], meant),
        gradient_cosine(recipe, spiking.network, spikes.test[batch], meant[batch]),
        float(np.mean(0.5 * np.abs(rated - named[SPIKES]).sum(axis=1))),
        0.5 * np.abs(turns.belief - turns.exact).sum(axis=-1)[played[SPIKES].reached],
        _certainty(played[SPIKES], talks.intents),
        {n: _told(played[n], named[n][talks.rows[:, 0]], talks.intents) for n in played},
        float(np.mean(played[SPIKES].acted == played[RATE].acted)),
    )
    return found, Priced(spiking, known[SPIKES], cycles)


def by_intent(named: np.ndarray, intents: np.ndarray) -> Float[np.ndarray, "named meant"]:
    """Mean of what is named, for each intent that is meant."""
    return np.stack([named[intents == i].mean(axis=0) for i in range(len(INTENTS))], axis=1)


def _heard(named: np.ndarray) -> np.ndarray:
    """Likelihood of utterances under each outcome; an utterance is no silence."""
    silence = np.zeros((*named.shape[:-1], 1))
    return np.concatenate([named, silence], axis=-1).astype(np.float32)


def _told(played: Played, first: np.ndarray, intents: np.ndarray) -> dict[str, float]:
    """How dialogues went, beside a robot that acts on the first utterance."""
    at_once = float(np.mean(first.argmax(axis=1) == intents))
    return comparison(played, intents) | {"right on the first utterance": at_once}


def _certainty(played: Played, intents: np.ndarray) -> Float[np.ndarray, "two turns"]:
    """Of the longest dialogue that ends right."""
    shown = int(np.argmax(played.questions * (played.acted == intents)))
    both = np.stack([played.turns.exact, played.turns.belief])
    return both[:, shown, :, intents[shown]]
