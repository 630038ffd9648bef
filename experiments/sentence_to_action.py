"""Three bridges joined: a sentence in spikes, its intent learnt by STDP, belief and action.

Settings were picked on development sentences, and the classifiers' learning rate is picked on them
in every run; the test sentences were written afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from experiments.claims import Check, Row
from experiments.dialogues import populations
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION, panels
from experiments.papers.spikingbrain_2025_minilm import fitted
from experiments.requests import INTENTS, requests
from experiments.sentence_outcomes import RATE, SPIKES, Priced, Talks, outcome
from experiments.sentence_prices import (
    ACCOUNTS,
    OURS,
    Price,
    dense_load,
    even_rows,
    of_circuit,
    of_sentence,
    price_rows,
    term_rows,
)
from experiments.sentence_stages import LEARNERS, Embedded, Recipe, embed, pick, sentence_load
from experiments.workloads import held
from snn.coding import HalvingCode
from snn.pretrained import minilm
from snn.spiking_pc import circuit, raster
from snn.transformer import Encoder, spiking

STAGES = "embedding a sentence", "naming its intent", "believing after it"
RATES = 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2  # peaks of Adam's rate to pick from
RECORDED = 16  # sentences, and cycles of belief, over which joules are averaged
# twins whose break-even the summary tells; the tables have all
TOLD = "with dense INT8", "with dense INT8, operations alone", "with H100 SXM5"
CHAIN = "spiking MiniLM, trace STDP, spiking belief, beside their float twins"


@dataclass(frozen=True)
class Config:
    """Sentences to actions, in spikes and in floating point.

    Attributes:
        seed: of rotations, weights, sample order and dialogues; run k uses seed + k.
        seeds: independent runs.
        bits: signed binary spikes a value in the encoder.
        hidden: units between embedding and intents.
        epochs: passes through the training sentences.
        batch: samples a weight update.
        settle_rate: Euler step of inference.
        settle_steps: steps of inference a sample.
        halvings: spike sizes of the classifier's code, 2 to 2^(2 - halvings).
        neurons: integrate-and-fire neurons an intent, a stage of the dialogue, a policy.
        dialogues: of each run, each with one intent.
        turns: utterances in a dialogue, at most.
    """

    seed: int = 0
    seeds: int = 5
    bits: int = 5
    hidden: int = 128
    epochs: int = 20
    batch: int = 16
    settle_rate: float = 0.2
    settle_steps: int = 16
    halvings: int = 9
    neurons: int = 256
    dialogues: int = 256
    turns: int = 4

    def __post_init__(self):
        whole = "seeds", "bits", "hidden", "epochs", "batch", "settle_steps", "halvings"
        for name in (*whole, "neurons", "dialogues", "turns"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.settle_rate < 1:
            raise ValueError(f"settle_rate must lie between 0 and 1, got {self.settle_rate}")
        if self.seed < 0 or self.turns > 22:
            raise ValueError(
                f"seed >= 0 and turns <= 22, the test sentences of an intent, are needed; "
                f"got {self.seed}, {self.turns}"
            )


class Result(NamedTuple):
    """What came of each stage, run by run, and what it cost in the first."""

    developed: Float[np.ndarray, "rates learners"]  # accuracy on development sentences, mean
    rate: float  # that was picked
    cosine: Float[np.ndarray, "runs sentences"]  # of spiking to float embeddings, test sentences
    accuracy: Float[np.ndarray, "runs learners"]  # on test sentences
    confusion: Float[np.ndarray, "named meant"]  # share of the spiking classifier's, test, mean
    deposit: Float[np.ndarray, " runs"]  # least cosine of trace deposits to the rate gradient
    naming: Float[np.ndarray, " runs"]  # total variation of class probabilities, to same weights
    variation: Float[np.ndarray, "runs two"]  # of beliefs to the exact filter, mean and largest
    certainty: Float[np.ndarray, "two turns"]  # of the true intent, exact and spiking, in one
    chains: dict[str, dict[str, list[float]]]  # dialogues by who acts: all spikes, or all floats
    agreement: Float[np.ndarray, " runs"]  # share of dialogues that end in the same deed
    prices: list[Price]


@cache
def run(config: Config) -> Result:
    """The whole chain on all-MiniLM-L6-v2; equal settings are run once a process."""
    encoder, tokenise = minilm()
    seeds = range(config.seed, config.seed + config.seeds)
    twins = [spiking(encoder, fitted(config.bits, seed)) for seed in seeds]
    return chain(config, encoder, twins, tokenise)


def chain(config: Config, encoder: Encoder, twins: Sequence[Encoder], tokenise: Callable) -> Result:
    """Every stage in spikes and in floats, run by run.

    Args:
        config: settings.
        encoder: in floating point.
        twins: in spikes, one a run.
        tokenise: sentences -> tokens of all.
    """
    split = requests()
    tokens = tokenise([s for part in split for s in part.sentences])
    floats, spikes = embed(encoder, tokens, split), [embed(t, tokens, split) for t in twins]
    seeds = range(config.seed, config.seed + config.seeds)
    keys = [jax.random.key(seed) for seed in seeds]
    recipes = [_recipe(config, rate) for rate in RATES]
    recipe, developed = pick(recipes, floats, spikes, split, keys)
    runs, priced = [], None
    for seed, own, key in zip(seeds, spikes, keys, strict=True):
        talks = Talks.drawn(split, config.dialogues, config.turns, config.neurons, seed)
        found, ran = outcome(recipe, floats, own, split, talks, key)
        runs.append(found)
        priced = priced or ran
    of = lambda name: np.array([getattr(found, name) for found in runs])
    told = lambda name, k: [found.chains[name][k] for found in runs]
    load, length = sentence_load(twins[0], tokens), float(tokens.mask.sum() / len(tokens.mask))
    return Result(
        developed,
        recipe.rate,
        of("cosine"),
        of("accuracy"),
        of("confusion").mean(axis=0),
        of("deposit"),
        of("naming"),
        np.array([[found.variation.mean(), found.variation.max()] for found in runs]),
        runs[0].certainty,
        {n: {k: told(n, k) for k in runs[0].chains[n]} for n in (SPIKES, RATE)},
        of("agreement"),
        [
            *of_sentence(STAGES[0], load, length),
            *_naming(recipe, priced, spikes[0]),
            *_believing(config, priced),
        ],
    )


def summary(_: Config, result: Result) -> list[Row]:
    """Each stage beside its float twin, how dialogues end, and what it all costs."""
    runs, sentences = result.cosine.shape
    over = f"mean and range of {runs} runs" if runs > 1 else "one run"
    row = lambda label, values, told="": Row(
        label, float(np.mean(values)), "", f"{told}{over}", *_range(values)
    )
    rows = [row("cosine of embeddings", result.cosine, f"{sentences} test sentences; ")]
    for k, name in enumerate(LEARNERS):
        fed = "spiking" if name == SPIKES else "float"
        told = f"{sentences} test sentences, {fed} embeddings; "
        rows.append(row(f"accuracy, {name}", result.accuracy[:, k], told))
    rows += [
        row("class probabilities, total variation", result.naming, "to the same weights; "),
        row("trace deposit, cosine to the rate gradient", result.deposit, "after learning; "),
        row("beliefs, total variation", result.variation[:, 0], "to the exact filter; "),
        row("beliefs, largest total variation", result.variation[:, 1], "to the exact filter; "),
    ]
    for name, told in result.chains.items():
        mind = "all in spikes" if name == SPIKES else "all in floats"
        rows += [row(f"{mind}: {k}", values) for k, values in told.items() if "total" not in k]
    rows.append(row("both end in the same deed", result.agreement, "share of dialogues; "))
    chosen = [p for p in result.prices if p["name"] in ACCOUNTS]
    return (
        rows + price_rows(chosen) + [row for row in even_rows(chosen) if row.label.endswith(TOLD)]
    )


def tables(_: Config, result: Result) -> dict[str, list[Row]]:
    """What was picked, what was confused, and every stage on every platform."""
    picked = []
    for rate, scores in zip(RATES, result.developed, strict=True):
        told = "picked" if rate == result.rate else ""
        picked += [
            Row(f"peak rate {rate:g}: {name}", float(score), "", told)
            for name, score in zip(LEARNERS, scores, strict=True)
        ]
    confused = [
        Row(f"{INTENTS[j]} taken for {INTENTS[i]}", float(result.confusion[i, j]))
        for i, j in np.ndindex(*result.confusion.shape)
        if i != j and result.confusion[i, j] > 0
    ]
    sections = {
        "Accuracy on development sentences": picked,
        "What is misunderstood, share of the test sentences": confused,
    }
    for stage in STAGES:
        own = [p for p in result.prices if p["stage"] == stage]
        sections[f"Energy of {stage}"] = price_rows(own)
        sections[f"Energy of {stage}, term by term"] = term_rows(own)
        sections[f"Break-even sparsity of {stage}"] = even_rows(own)
    return sections


def verify() -> list[Check]:
    """Each stage in spikes beside its float twin, whose value stands as the published one."""
    config = Config()
    return checks(config, run(config))


def checks(config: Config, result: Result) -> list[Check]:
    """What `verify` holds a result against; means over its runs."""
    tests = result.cosine.shape[1]
    rated, spiked = (float(result.accuracy[:, k].mean()) for k in (1, 2))
    # two standard errors of a share of so many sentences
    error = 2 * (rated * (1 - rated) / tests) ** 0.5
    # counts are off by less than one spike of the window's, each of the intents
    window = config.neurons * 100 * 0.025  # neurons x Hz x s
    of = lambda name, k: float(np.mean(result.chains[name][k]))
    right, talks = of(RATE, "right"), config.dialogues * config.seeds
    chance = 2 * (right * (1 - right) / talks) ** 0.5
    values = (
        # what five bits reach on the sentences that the setting was picked on: 0.9985
        ("cosine of embeddings, mean", 1.0, float(result.cosine.mean()), 0.002),
        ("accuracy of trace STDP", rated, spiked, error),
        # half the smallest spike of 2^-7 at each label, times a precision of 20, over two
        ("class probabilities, total variation", 0.0, float(result.naming.mean()), 0.08),
        ("beliefs, mean total variation", 0.0, float(result.variation[:, 0].mean()), 8 / window),
        # a hundredth of what parts right from wrong, 8 nats
        (
            "free energy given away a decision, nats",
            0.0,
            of(SPIKES, "free energy given away"),
            0.08,
        ),
        ("dialogues that end right, share", right, of(SPIKES, "right"), chance),
    )
    return [Check(CHAIN, *value) for value in values]


def figure(result: Result):
    """From a sentence to an action, in spikes.

    a, Cosine of every test sentence's spiking embedding to its float twin's, sorted, a line a run.
    b, Accuracy of the three learners on test sentences, a dot a run; the line joins means. c, What
    the spiking classifier, trained by trace STDP, takes test sentences for, mean over runs. d,
    Belief in the true intent over the utterances of one dialogue in which the robot asks before it
    acts: exact filter, and share of the spikes. e, Energy of each stage at 45 nm: additions alone,
    and with accumulator and memory, whose price makes the band; spikes, and the dense work that
    they replace. f, Spikes an input at which each platform breaks even with dense INT8 at 45 nm,
    all counted (full) and by what spikes move alone (open), and what is sent (black). Without full
    symbol the platform never breaks even: what it takes in silence is more.
    """
    drawing, axes = panels(2, 3, height_mm=125)
    a, b, c, d, e, f = axes
    for cosine in result.cosine:
        a.plot(np.arange(len(cosine)) + 1, np.sort(cosine), color=BLUE, linewidth=0.6)
    a.set(xlabel="test sentence", ylabel="cosine, spiking to float embedding", ylim=(None, 1))
    for scores in result.accuracy:
        b.plot(range(len(LEARNERS)), 100 * scores, "o", color=BLUE, alpha=0.6)
    b.plot(range(len(LEARNERS)), 100 * result.accuracy.mean(axis=0), color=BLACK, linewidth=0.6)
    b.set(xticks=range(len(LEARNERS)), ylabel="accuracy (%)", xlim=(-0.4, 2.4))
    b.set_xticklabels(["backprop", "PC", "spiking PC,\ntrace STDP"])
    c.imshow(result.confusion, cmap="Blues", vmin=0, vmax=1)
    places = range(len(INTENTS))
    c.set(xticks=places, yticks=places, xlabel="meant", ylabel="named")
    c.set_xticklabels(INTENTS, rotation=45, ha="right")
    c.set_yticklabels(INTENTS)
    turns = np.arange(result.certainty.shape[1]) + 1
    d.plot(turns, result.certainty[1], "o-", color=VERMILION, label="spiking populations")
    d.plot(turns, result.certainty[0], "--", color=BLACK, label="exact filter")
    d.set(xlabel="utterance", ylabel="belief in the true intent", xticks=turns, ylim=(-0.03, 1.03))
    d.legend(loc="lower right")
    _draw_joules(e, result)
    _draw_evens(f, result)
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
    ax.set_ylim(len(STAGES) + 0.6, -0.5)  # room for the legend
    ax.legend(loc="lower right")


def _draw_evens(ax, result: Result) -> None:
    spiking = [p for p in result.prices if p["break_even"] and "alone" not in p["name"]]
    names = list(dict.fromkeys(p["name"] for p in spiking))
    colours = (SKY, BLUE, GREEN)
    for k, (stage, colour) in enumerate(zip(STAGES, colours, strict=True)):
        own = [p for p in spiking if p["stage"] == stage]
        for p in own:
            y, even = names.index(p["name"]) + 0.25 * (k - 1), p["break_even"]
            ax.plot(p["sends"], y, "|", color=BLACK, markersize=4)
            bare = {"markerfacecolor": "none", "label": stage if p is own[0] else None}
            ax.plot(even["dense INT8, events alone"], y, "o", color=colour, **bare)
            if even["dense INT8"]:
                ax.plot(even["dense INT8"], y, "o", color=colour)
    ax.set(xscale="log", xlabel="spikes an input", yticks=range(len(names)))
    ax.set_yticklabels(["45 nm" if name == OURS else name.replace(" (", "\n(") for name in names])
    ax.set_ylim(len(names) + 1.2, -0.5)
    ax.legend(loc="lower left")


def _recipe(config: Config, rate: float) -> Recipe:
    code = HalvingCode(2.0, config.halvings)
    settle = config.settle_rate, config.settle_steps
    return Recipe(config.hidden, config.epochs, config.batch, rate, *settle, code)


def _range(values: np.ndarray | list[float]) -> tuple[float, float]:
    return float(np.min(values)), float(np.max(values))


def _naming(recipe: Recipe, priced: Priced, spikes: Embedded) -> list[Price]:
    """The feed-forward sweep alone, with weights held."""
    network = priced.classifier.network
    rows = np.linspace(0, len(spikes.test) - 1, RECORDED).astype(int)
    nothing = np.zeros((RECORDED, len(INTENTS)), np.float32)
    settle = jax.jit(jax.vmap(recipe.populations(network)))
    trials = jax.tree.map(np.asarray, settle(spikes.test[rows], nothing))
    sweep = len(network.layers) * recipe.code.halvings
    nth = lambda i: raster(jax.tree.map(lambda a: a[i], trials))
    rasters = [{n: train[:sweep] for n, train in nth(i).items()} for i in range(RECORDED)]
    sizes = [layer.weight.shape for layer in network.layers]
    dense = dense_load(
        sum(n for _, n in sizes), sum(n for n, _ in sizes), sum(a * b for a, b in sizes), len(sizes)
    )
    return of_circuit(STAGES[1], held(circuit(network)), rasters, dense)


def _believing(config: Config, priced: Priced) -> list[Price]:
    """One cycle of the belief over intents; planning is not on the chip."""
    cycles = priced.cycles.reshape(-1, *priced.cycles.shape[2:])[:RECORDED]
    ran, rasters = populations(priced.confusion, config.neurons, cycles)
    n = len(INTENTS)
    return of_circuit(STAGES[2], ran, rasters, dense_load(n, n, n * n + n, 1))
