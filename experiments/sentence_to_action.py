"""Three bridges joined: a sentence in spikes, its intent learnt by STDP, belief and action."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from experiments.claims import Check, Row
from experiments.dialogues import (
    comparison,
    exact_mind,
    model_of,
    play,
    populations,
    spiking_mind,
)
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, VERMILION, panels
from experiments.papers.spikingbrain_2025_minilm import fitted
from experiments.requests import INTENTS, Split, requests
from experiments.sentence_prices import (
    ACCOUNTS,
    Price,
    dense_load,
    of_circuit,
    of_sentence,
    price_rows,
)
from experiments.sentence_stages import (
    LEARNERS,
    SCALE,
    Classifier,
    Embedded,
    Recipe,
    classifiers,
    embed,
    gradient_cosine,
    probabilities,
    sentence_load,
)
from experiments.workloads import held
from snn.coding import HalvingCode
from snn.pretrained import minilm
from snn.spiking_pc import circuit, raster
from snn.transformer import Encoder, spiking

RATE, SPIKES = LEARNERS[1:]
STAGES = "embedding a sentence", "naming its intent", "believing after it"
RECORDED = 16  # sentences, and cycles of belief, over which joules are averaged
CHAIN = "spiking MiniLM, trace STDP, spiking belief, beside their float twins"


@dataclass(frozen=True)
class Config:
    """Sentences to actions, in spikes and in floating point.

    Attributes:
        seed: of rotations, weights, sample order and dialogues.
        bits: signed binary spikes a value in the encoder.
        hidden: units between embedding and intents.
        epochs: passes through the training sentences.
        batch: samples a weight update.
        rate: peak of Adam's learning rate, which falls along a cosine to zero.
        settle_rate: Euler step of inference.
        settle_steps: steps of inference a sample.
        halvings: spike sizes of the classifier's code, 2 to 2^(2 - halvings).
        neurons: integrate-and-fire neurons an intent, a stage of the dialogue, a policy.
        dialogues: each with one intent.
        turns: utterances in a dialogue, at most.
    """

    seed: int = 0
    bits: int = 5
    hidden: int = 128
    epochs: int = 20
    batch: int = 16
    rate: float = 2e-3
    settle_rate: float = 0.2
    settle_steps: int = 16
    halvings: int = 9
    neurons: int = 256
    dialogues: int = 1024
    turns: int = 4

    def __post_init__(self):
        whole = "bits", "hidden", "epochs", "batch", "settle_steps", "halvings", "neurons"
        for name in (*whole, "dialogues", "turns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("rate", "settle_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.seed < 0 or self.turns > 12:
            raise ValueError(
                f"seed >= 0 and turns <= 12, the test sentences of an intent, are needed; "
                f"got {self.seed}, {self.turns}"
            )


class Result(NamedTuple):
    """What came of each stage, and what it cost."""

    cosine: Float[np.ndarray, " sentences"]  # of spiking to float embeddings, test sentences
    accuracy: Float[np.ndarray, " learners"]  # on test sentences
    confusion: Float[np.ndarray, "named meant"]  # share of the spiking classifier's, test
    deposit: float  # cosine of trace deposits to the rate gradient, trained, the least of layers
    naming: float  # mean total variation of class probabilities, spikes to the same weights
    variation: Float[np.ndarray, " decisions"]  # of beliefs to the exact filter
    certainty: Float[np.ndarray, "two turns"]  # of the true intent, exact and spiking, in one
    chains: dict[str, dict[str, float]]  # dialogues by who acts: all spikes, or all floats
    agreement: float  # share of dialogues that end in the same deed
    prices: list[Price]


@cache
def run(config: Config) -> Result:
    """The whole chain on all-MiniLM-L6-v2; equal settings are run once a process."""
    encoder, tokenise = minilm()
    return chain(config, encoder, spiking(encoder, fitted(config.bits, config.seed)), tokenise)


def chain(config: Config, encoder: Encoder, twin: Encoder, tokenise: Callable) -> Result:
    """Every stage in spikes and in floats.

    Args:
        config: settings.
        encoder: in floating point.
        twin: in spikes.
        tokenise: sentences -> tokens of both.
    """
    split = requests()
    tokens = tokenise([s for part in split for s in part.sentences])
    floats, spikes = (embed(e, tokens, split) for e in (encoder, twin))
    recipe = _recipe(config)
    learnt, dialogues = jax.random.split(jax.random.key(config.seed))
    trained = classifiers(recipe, floats, spikes, split, learnt)
    own = {name: spikes if name == SPIKES else floats for name in trained}
    named = {n: probabilities(c, own[n].test) for n, c in trained.items()}
    meant = split.test.intents
    intents, rows = _dialogues(config, split)
    played, cycles = {}, None
    for name in (SPIKES, RATE):
        said = probabilities(trained[name], own[name].calibrate)
        model = model_of(_by_intent(said, split.calibrate.intents))
        mind = spiking_mind(model, config.neurons) if name == SPIKES else exact_mind(model)
        played[name], fired = play(mind, exact_mind(model), _heard(named[name][rows]))
        if name == SPIKES:
            cycles, confusion = fired, _by_intent(said, split.calibrate.intents)
    first = {name: named[name][rows[:, 0]].argmax(axis=1) for name in played}
    turns, reached = played[SPIKES].turns, played[SPIKES].reached
    shown = int(np.argmax(played[SPIKES].questions * (played[SPIKES].acted == intents)))
    beliefs = np.stack([turns.exact, turns.belief])[:, shown, :, intents[shown]]
    same = trained[SPIKES]._replace(predict=jax.vmap(trained[SPIKES].network.predict))
    rated = probabilities(same, spikes.test)
    batch = slice(None, None, max(1, len(meant) // 64))
    load, length = sentence_load(twin, tokens), float(tokens.mask.sum() / len(tokens.mask))
    return Result(
        np.sum(floats.test * spikes.test, axis=1) / (SCALE**2 * floats.test.shape[1]),
        np.array([np.mean(named[n].argmax(axis=1) == meant) for n in LEARNERS]),
        _by_intent(np.eye(len(INTENTS))[named[SPIKES].argmax(axis=1)], meant),
        gradient_cosine(recipe, trained[SPIKES].network, spikes.test[batch], meant[batch]),
        float(np.mean(0.5 * np.abs(rated - named[SPIKES]).sum(axis=1))),
        0.5 * np.abs(turns.belief - turns.exact).sum(axis=-1)[reached],
        beliefs,
        {
            name: comparison(p, intents)
            | {"right on the first utterance": float(np.mean(first[name] == intents))}
            for name, p in played.items()
        },
        float(np.mean(played[SPIKES].acted == played[RATE].acted)),
        [
            *of_sentence(STAGES[0], load, length),
            *_naming(recipe, trained[SPIKES], spikes),
            *_believing(config, confusion, cycles),
        ],
    )


def summary(_: Config, result: Result) -> list[Row]:
    """Each stage beside its float twin, how dialogues end, and what it all costs."""
    low, high = float(result.cosine.min()), float(result.cosine.max())
    rows = [Row("cosine of embeddings", float(result.cosine.mean()), "", "mean, range", low, high)]
    for name, share in zip(LEARNERS, result.accuracy, strict=True):
        fed = "spiking" if name == SPIKES else "float"
        told = f"{len(result.cosine)} test sentences, {fed} embeddings"
        rows.append(Row(f"accuracy, {name}", float(share), "", told))
    gap, most = float(result.variation.mean()), float(result.variation.max())
    rows += [
        Row("class probabilities, total variation", result.naming, "", "to the same weights"),
        Row("trace deposit, cosine to the rate gradient", result.deposit, "", "after learning"),
        Row("beliefs, total variation", gap, "", "to the exact filter; mean, range", 0.0, most),
    ]
    for name, told in result.chains.items():
        mind = "all in spikes" if name == SPIKES else "all in floats"
        rows += [Row(f"{mind}: {k}", value) for k, value in told.items() if "total" not in k]
    rows.append(Row("both end in the same deed", result.agreement, "", "share of dialogues"))
    return rows + price_rows([p for p in result.prices if p["name"] in ACCOUNTS])


def tables(_: Config, result: Result) -> dict[str, list[Row]]:
    """Every stage on every platform, and the confusion of intents."""
    confused = [
        Row(f"{INTENTS[j]} taken for {INTENTS[i]}", float(result.confusion[i, j]))
        for i, j in np.ndindex(*result.confusion.shape)
        if i != j and result.confusion[i, j] > 0
    ]
    prices = {
        f"Energy of {stage}": price_rows([p for p in result.prices if p["stage"] == stage])
        for stage in STAGES
    }
    return {"What is misunderstood, share of the test sentences": confused, **prices}


def verify() -> list[Check]:
    """Each stage in spikes beside its float twin, whose value stands as the published one."""
    config = Config()
    result = run(config)
    tests = len(result.cosine)
    rated = float(result.accuracy[1])
    # two standard errors of a share of so many sentences
    error = 2 * (rated * (1 - rated) / tests) ** 0.5
    # counts are off by less than one spike of the window's, each of the intents
    window = config.neurons * 100 * 0.025  # neurons x Hz x s
    spikes, floats = (result.chains[name] for name in (SPIKES, RATE))
    chance = 2 * (floats["right"] * (1 - floats["right"]) / config.dialogues) ** 0.5
    values = (
        # what five bits reach on the sentences that the setting was picked on: 0.9985
        ("cosine of embeddings, mean", 1.0, float(result.cosine.mean()), 0.002),
        ("accuracy of trace STDP", rated, float(result.accuracy[2]), error),
        # half the smallest spike of 2^-7 at each label, times a precision of 20, over two
        ("class probabilities, total variation", 0.0, result.naming, 0.08),
        ("beliefs, mean total variation", 0.0, float(result.variation.mean()), 8 / window),
        ("same action as the exact mind, share", 1.0, spikes["same action"], 0.01),
        ("dialogues that end right, share", floats["right"], spikes["right"], chance),
    )
    return [Check(CHAIN, *value) for value in values]


def figure(result: Result):
    """From a sentence to an action, in spikes.

    a, Cosine of every test sentence's spiking embedding to its float twin's, sorted. b, What the
    spiking classifier, trained by trace STDP, takes test sentences for; its accuracy, and that of
    its float twins. c, Belief in the true intent over the utterances of one dialogue in which the
    robot asks before it acts: exact filter, and share of the spikes. d, Energy of each stage at
    45 nm: additions alone, and with accumulator and memory, whose price makes the band; spikes,
    and the dense work that they replace.
    """
    drawing, (a, b, c, d) = panels(2, 2, height_mm=125)
    a.plot(np.arange(len(result.cosine)) + 1, np.sort(result.cosine), ".", color=BLUE)
    a.set(xlabel="test sentence", ylabel="cosine, spiking to float embedding", ylim=(None, 1))
    b.imshow(result.confusion, cmap="Blues", vmin=0, vmax=1)
    places = range(len(INTENTS))
    told = zip(("backprop", "PC", "spiking PC"), result.accuracy, strict=True)
    scores = ", ".join(f"{name} {share:.1%}" for name, share in told)
    b.set(xticks=places, yticks=places, xlabel=f"meant ({scores})", ylabel="named")
    b.set_xticklabels(INTENTS, rotation=45, ha="right")
    b.set_yticklabels(INTENTS)
    turns = np.arange(result.certainty.shape[1]) + 1
    c.plot(turns, result.certainty[1], "o-", color=VERMILION, label="spiking populations")
    c.plot(turns, result.certainty[0], "--", color=BLACK, label="exact filter")
    c.set(xlabel="utterance", ylabel="belief in the true intent", xticks=turns, ylim=(-0.03, 1.03))
    c.legend(loc="lower right")
    _draw_joules(d, result)
    return drawing


def _draw_joules(ax, result: Result) -> None:
    for k, (name, colour) in enumerate(
        zip(ACCOUNTS, (BLUE, VERMILION, ORANGE, GREEN), strict=True)
    ):
        for y, stage in enumerate(STAGES):
            (p,) = (p for p in result.prices if (p["stage"], p["name"]) == (stage, name))
            at = y + 0.15 * (k - 1.5)
            ax.plot(p["joules"], at, "o", color=colour, label=None if y else name)
            ax.plot([p["low"], p["high"]], [at, at], color=colour)
    ax.set(xscale="log", xlabel="energy at 45 nm (J)", yticks=range(len(STAGES)))
    ax.set_yticklabels([stage.replace(" ", "\n", 1) for stage in STAGES])
    ax.invert_yaxis()
    ax.legend(loc="upper left")


def _recipe(config: Config) -> Recipe:
    code = HalvingCode(2.0, config.halvings)
    settle = config.settle_rate, config.settle_steps
    return Recipe(config.hidden, config.epochs, config.batch, config.rate, *settle, code)


def _dialogues(config: Config, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Intents, and the test sentences that tell of each, none twice in a dialogue."""
    rng = np.random.default_rng(config.seed)
    intents = rng.integers(len(INTENTS), size=config.dialogues)
    of = [np.flatnonzero(split.test.intents == i) for i in range(len(INTENTS))]
    return intents, np.stack([rng.permutation(of[i])[: config.turns] for i in intents])


def _heard(named: np.ndarray) -> np.ndarray:
    """Likelihood of utterances under each outcome; an utterance is no silence."""
    silence = np.zeros((*named.shape[:-1], 1))
    return np.concatenate([named, silence], axis=-1).astype(np.float32)


def _by_intent(named: np.ndarray, intents: np.ndarray) -> Float[np.ndarray, "named meant"]:
    return np.stack([named[intents == i].mean(axis=0) for i in range(len(INTENTS))], axis=1)


def _naming(recipe: Recipe, classifier: Classifier, spikes: Embedded) -> list[Price]:
    """The feed-forward sweep alone, with weights held."""
    rows = np.linspace(0, len(spikes.test) - 1, RECORDED).astype(int)
    nothing = np.zeros((RECORDED, len(INTENTS)), np.float32)
    settle = jax.jit(jax.vmap(recipe.populations(classifier.network)))
    trials = jax.tree.map(np.asarray, settle(spikes.test[rows], nothing))
    layers = classifier.network.layers
    sweep = len(layers) * recipe.code.halvings
    nth = lambda i: raster(jax.tree.map(lambda a: a[i], trials))
    rasters = [{n: train[:sweep] for n, train in nth(i).items()} for i in range(RECORDED)]
    sizes = [layer.weight.shape for layer in layers]
    dense = dense_load(
        sum(n for _, n in sizes), sum(n for n, _ in sizes), sum(a * b for a, b in sizes), len(sizes)
    )
    return of_circuit(STAGES[1], held(circuit(classifier.network)), rasters, dense)


def _believing(config: Config, confusion: np.ndarray, cycles: np.ndarray) -> list[Price]:
    """One cycle of the belief over intents; planning is not on the chip."""
    cycles = cycles.reshape(-1, *cycles.shape[2:])[:RECORDED]
    ran, rasters = populations(confusion, config.neurons, cycles)
    n = len(INTENTS)
    return of_circuit(STAGES[2], ran, rasters, dense_load(n, n, n * n + n, 1))
