"""SpikingBrain's counted spikes on a real sentence encoder: fidelity, spikes, steps and joules.

Source: SpikingBrain (2025), Spiking brain-inspired large models, arXiv:2509.05276, whose code of a
7-billion-weight model is put on all-MiniLM-L6-v2, and bettered.
"""

from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from experiments.claims import Check, Row
from experiments.figures import BLUE, GREEN, ORANGE, VERMILION, panels
from experiments.spike_prices import (
    ADD8,
    BYTE,
    EXCLUDED,
    accounts,
    break_even,
    on_chips,
    token_load,
)
from experiments.texts import FIRST, SECOND, calibration
from snn.adaptive_neurons import (
    AdaptiveNeuron,
    BurstNeuron,
    FittedNeuron,
    MeanThreshold,
    PeakThreshold,
    PowerNeuron,
)
from snn.attention import SpikingAttention
from snn.calibration import least_squares
from snn.pretrained import minilm
from snn.quantised import FloatWeights, GroupedWeights
from snn.rotation import Hadamard
from snn.transformer import Encoder, converter, spiking

PAPER = "SpikingBrain (2025), arXiv:2509.05276"
COLUMNS = ("cosine", "least cosine", "rank correlation", "silent", "unary spikes")
COLUMNS += ("binary spikes", "non-adjacent spikes", "counts <= 7", "largest count")
REACHED = (3, 1, 1, 1)  # projections that each population of a layer reaches: 36 in six layers
INT8 = partial(GroupedWeights.of, bits=8, group=128)
INT4 = partial(GroupedWeights.of, bits=4, group=32)
SWEEP = (0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 8)
OURS = {"four steps, ours, INT8": 4, "five steps, ours, INT8": 5}


@dataclass(frozen=True)
class Config:
    """Convert MiniLM by every scheme of a table, and compare sentences with the float model's.

    Attributes:
        seed: of the rotations' signs, and of the sentences to calibrate on.
        rotations: seeds tried for the settings that are claimed.
        sentences: to calibrate on.
        ridge: of the least-squares correction.
    """

    seed: int = 0
    rotations: int = 5
    sentences: int = 400
    ridge: float = 1.0

    def __post_init__(self):
        for name in ("rotations", "sentences"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.ridge > 0:
            raise ValueError(f"ridge must be positive, got {self.ridge}")


class Result(NamedTuple):
    """Fidelity to the float model, and the spikes it took."""

    first: dict[str, Float[np.ndarray, " columns"]]  # by scheme, on the first sentences
    second: dict[str, Float[np.ndarray, " columns"]]  # on the second
    claimed: dict[str, Float[np.ndarray, "rotations sets two"]]  # cosine and rank correlation
    histogram: dict[str, Int[np.ndarray, " counts"]]  # inputs by absolute count
    energy: dict[str, list[dict[str, Any]]]  # accounts at 45 nm, by scheme
    chips: dict[str, list[dict[str, Any]]]  # platforms, by scheme
    even: dict[str, dict[str, float]]  # spikes an input that cost what dense work does at 45 nm


class Texts(NamedTuple):
    """Sentences as the encoder reads them, and what it makes of them in floating point."""

    ids: np.ndarray
    mask: np.ndarray
    embeddings: np.ndarray


@eqx.filter_jit
def _encode(encoder: Encoder, ids, mask):
    encoded = jax.vmap(encoder)(ids, mask)
    return encoded.embedding, encoded.sent


@cache
def run(config: Config) -> Result:
    """Every scheme on both sets of sentences; equal settings are run once a process."""
    return study(config)


def study(config: Config, only: tuple[str, ...] = ()) -> Result:
    """Some schemes, or all if none is named, and the claimed settings, on both sets of sentences.

    Args:
        config: settings.
        only: names of schemes.
    """
    encoder, tokenise = minilm()
    texts = _texts(encoder, tokenise)
    first, second, histogram, energy, chips, even = {}, {}, {}, {}, {}, {}
    for name, network in _schemes(config, encoder, tokenise, texts):
        if only and set(only) <= set(first):
            break
        if only and name not in only:
            continue
        embeddings, sent = _encode(network, texts.ids, texts.mask)
        for table, part in zip((first, second), SETS, strict=True):
            fidelity = _compare(np.asarray(embeddings), texts, part)
            table[name] = np.array([*fidelity, *_statistics(_counts(sent, texts.mask, part))])
        if name in PRICED:
            histogram[name] = np.bincount(_counts(sent, texts.mask, SETS[0]))
            load = token_load(network, sent, texts.mask)
            energy[name] = [{**a._asdict(), "band": a.band} for a in accounts(load)]
            chips[name], even[name] = on_chips(load), break_even(load)
    claimed = {name: [] for name in OURS}
    for seed in range(config.seed, config.seed + config.rotations):
        for name, steps in OURS.items():
            network = spiking(encoder, fitted(steps, seed))
            embeddings = np.asarray(_encode(network, texts.ids, texts.mask)[0])
            claimed[name].append([_compare(embeddings, texts, part)[::2] for part in SETS])
    claimed = {name: np.array(values) for name, values in claimed.items()}
    return Result(first, second, claimed, histogram, energy, chips, even)


SETS = slice(0, len(FIRST)), slice(len(FIRST), None)
PRICED = ("mean / 3, INT8", *OURS)


def _schemes(config: Config, encoder: Encoder, tokenise, texts: Texts):
    """Names and converted encoders, one row of the table each."""
    rotation = _rotation(config.seed)
    mean = lambda k, limit=None: AdaptiveNeuron(MeanThreshold(float(k)), limit)
    peak = lambda counts: AdaptiveNeuron(PeakThreshold(float(counts)))
    of = lambda *parts: spiking(encoder, converter(*parts))
    for k in SWEEP:
        yield f"mean / {k:g}", of(mean(k))
    yield "mean / 3, INT8", of(mean(3), INT8)
    yield "mean / 3, INT4", of(mean(3), INT4)
    attention = SpikingAttention(mean(3))
    yield "mean / 3, attention too", spiking(encoder, converter(mean(3)), attention)
    yield "mean / 3, at most 7", of(mean(3, 7))
    yield "mean / 3, at most 15", of(mean(3, 15))
    yield "mean / 3, at most 15, 1 % may burst", _bursting(encoder, texts)
    yield "mean / 3, one spike", of(PowerNeuron(MeanThreshold(3.0)))
    yield "rotated, mean / 2, at most 7", of(mean(2, 7), FloatWeights, rotation)
    yield "rotated, mean / 3, at most 15", of(mean(3, 15), FloatWeights, rotation)
    yield "peak / 31", of(peak(31))
    for counts in (7, 15):
        yield f"rotated, peak / {counts}", of(peak(counts), FloatWeights, rotation)
    yield "rotated, peak / 15, INT8", of(peak(15), INT8, rotation)
    yield "rotated, peak / 31", of(peak(31), FloatWeights, rotation)
    yield "peak / 127, as dense INT8", of(peak(127))
    yield "three steps, ours, INT8", spiking(encoder, fitted(3, config.seed))
    for name, steps in OURS.items():
        yield name, spiking(encoder, fitted(steps, config.seed))
    told = tokenise(calibration(config.sentences, config.seed))
    fit = eqx.filter_jit(least_squares)
    plain = of(peak(7), FloatWeights, rotation)
    corrected = fit(encoder, plain, told.ids, told.mask, ridge=config.ridge)
    yield "rotated, peak / 7, least squares", corrected


def fitted(steps: int, seed: int):
    """Rotated, the best of a few thresholds a token, INT8 weights."""
    return converter(FittedNeuron(2**steps - 1), INT8, _rotation(seed))


def _rotation(seed: int):
    key = jax.random.key(seed)
    return lambda n: Hadamard.random(n, key=jax.random.fold_in(key, n))


def _bursting(encoder: Encoder, texts: Texts) -> Encoder:
    """In each population, the 1 % of channels that peak highest in the float model may burst."""
    _, sent = _encode(encoder, texts.ids, texts.mask)
    here = np.where(np.arange(len(texts.ids))[:, None] < len(FIRST), texts.mask, False)
    inner, layers = AdaptiveNeuron(MeanThreshold(3.0)), ()
    for layer, told in zip(encoder.layers, sent, strict=True):
        for site, values in told._asdict().items():
            peaks = jnp.max(jnp.abs(values.counts[here]), axis=0)
            free = peaks >= jnp.quantile(peaks, 0.99)
            convert = converter(BurstNeuron(inner, 15, free))
            layer = eqx.tree_at(lambda n, s=site: getattr(n, s), layer, replace_fn=convert)
        layers += (layer,)
    return eqx.tree_at(lambda e: e.layers, encoder, layers)


def _texts(encoder: Encoder, tokenise) -> Texts:
    tokens = tokenise([*FIRST, *SECOND])
    return Texts(*tokens, np.asarray(_encode(encoder, *tokens)[0]))


def _compare(ours: np.ndarray, texts: Texts, part: slice) -> tuple[float, float, float]:
    """Mean and least cosine to the float model; rank correlation of similarities of all pairs."""
    both = ours[part], texts.embeddings[part]
    cosine = np.sum(both[0] * both[1], axis=1)
    pairs = np.triu_indices(len(cosine), 1)
    ranks = [np.argsort(np.argsort((e @ e.T)[pairs])) for e in both]
    return float(cosine.mean()), float(cosine.min()), float(np.corrcoef(*ranks)[0, 1])


def _statistics(counts: Int[np.ndarray, " inputs"]) -> tuple:
    """The columns that spikes fill, of absolute counts."""
    half = counts >> 1
    return (
        np.mean(counts == 0),
        np.mean(counts),
        np.mean(np.bitwise_count(counts)),
        np.mean(np.bitwise_count(half ^ (counts + half))),
        np.mean(counts <= 7),
        np.max(counts),
    )


def _counts(sent, mask, part: slice) -> Int[np.ndarray, " inputs"]:
    """Absolute counts of all linear inputs, a population once for each projection it reaches."""
    parts = [
        np.tile(np.abs(np.asarray(told.counts)[part][mask[part]]).ravel(), times)
        for layer in sent
        for told, times in zip(layer, REACHED, strict=True)
    ]
    return np.concatenate(parts)


def summary(_: Config, result: Result) -> list[Row]:
    """What is claimed, on sentences it was chosen on and on others, over rotations."""
    rows = []
    for name, values in result.claimed.items():
        for k, told in enumerate(("first", "second")):
            for j, quantity in enumerate(("cosine", "rank correlation")):
                found = values[:, k, j]
                mean, low, high = map(float, (found.mean(), found.min(), found.max()))
                source = f"{told} sentences; mean and range of {len(found)} rotations"
                rows.append(Row(f"{name}: {quantity}", mean, "", source, low, high))
    for name, table in result.energy.items():
        for row in table:
            joules = sum(row["terms"].values())
            rows.append(Row(f"{name}: {row['name']}", joules, "J", "a token, 45 nm", *row["band"]))
    for name, even in result.even.items():
        steps, has = int(result.first[name][-1]).bit_length(), result.first[name][5]
        for twin, spikes in even.items():
            silent = 1 - spikes / steps
            slots = (
                f"{silent:.1%} of {steps} slots silent" if silent > 0 else "a spike in every slot"
            )
            told = f"{slots}; it sends {has:.2f}"
            rows.append(Row(f"{name}: breaks even with {twin}", spikes, "spikes/input", told))
    return rows


def tables(_: Config, result: Result) -> dict[str, list[Row]]:
    """Every scheme on both sets of sentences, every term of every account, and the chips."""
    sections = {}
    for title, table in (("first", result.first), ("second", result.second)):
        rows = []
        for scheme, values in table.items():
            rows += [
                Row(f"{scheme}: {column}", float(value))
                for column, value in zip(COLUMNS, values, strict=True)
            ]
            steps = int(values[-1]).bit_length()
            rows.append(Row(f"{scheme}: steps", steps, "", "bits of the largest count"))
        sections[f"All schemes, {title} sentences"] = rows
    for name, table in result.energy.items():
        rows = [
            Row(f"{row['name']}: {term}", joules, "J", BYTE.source if term == "weights" else "")
            for row in table
            for term, joules in row["terms"].items()
        ]
        remarks = [Row(f"arithmetic: {ADD8.source}", None), Row(f"excludes {EXCLUDED}", None)]
        sections[f"Energy of a token at 45 nm, {name}"] = rows + remarks
    for name, entries in result.chips.items():
        sections[f"Energy of a token on chips, {name}"] = _chip_rows(entries)
    return sections


def _chip_rows(entries: list[dict[str, Any]]) -> list[Row]:
    rows = []
    for entry in entries:
        label = entry["platform"]
        rows.append(Row(label, entry["joules"], "J", "a token", entry["low"], entry["high"]))
        for term, (joules, source) in entry["terms"].items():
            rows.append(Row(f"{label}: {term}", joules, "J", source))
        for twin, spikes in entry["break_even"].items():
            rows.append(Row(f"{label}: breaks even with {twin}", spikes, "spikes/input"))
        rows += [Row(f"{label}: {told}", None) for told in entry["remarks"]]
    return rows


def figure(result: Result):
    """A sentence encoder in counted spikes.

    a, Fidelity against binary spikes an input: SpikingBrain's thresholds (mean over k), rotated
    inputs with a peak threshold, and ours: a fitted threshold and INT8 weights, at three, four and
    five steps. b, Steps that a bit-serial code needs for the same. c, Counts of all linear inputs
    at k = 3 and at four steps. d, Energy of a token at 45 nm; lines: the band of memory's price.
    """
    drawing, (a, b, c, d) = panels(2, 2, height_mm=120)
    sweep = [f"mean / {k:g}" for k in SWEEP]
    ours = ["three steps, ours, INT8", *OURS]
    rest = ["rotated, peak / 7", "rotated, peak / 15", "rotated, peak / 31"]
    groups = (("mean / k", sweep, BLUE, "o-"), ("rotated, peak", rest, ORANGE, "s-"))
    for label, names, colour, style in (*groups, ("ours, INT8", ours, GREEN, "D-")):
        values = np.array([result.first[name] for name in names])
        steps = [int(v).bit_length() for v in values[:, -1]]
        a.plot(values[:, 5], 1 - values[:, 0], style, color=colour, label=label)
        b.plot(steps, 1 - values[:, 0], style, color=colour, label=label)
    a.set(xlabel="binary spikes an input", ylabel="1 - cosine to the float model", yscale="log")
    b.set(xlabel="steps of the code", ylabel="1 - cosine to the float model", yscale="log")
    a.legend()
    for name, colour in zip(PRICED[:2], (BLUE, GREEN), strict=True):
        counts = result.histogram[name]
        (seen,) = np.nonzero(counts)
        c.plot(seen, counts[seen] / counts.sum(), ".", color=colour, label=name)
    c.set(xlabel="absolute count", ylabel="share of inputs", yscale="log")
    c.set_xscale("symlog", linthresh=1)
    c.set_xlim(-0.2, None)
    c.legend()
    _draw_energy(d, result)
    return drawing


def _draw_energy(ax, result: Result) -> None:
    found = {row["name"] for table in result.energy.values() for row in table}
    names = sorted(found, key=lambda n: ("alone" not in n, n.startswith("dense"), n))
    for k, ((scheme, table), colour) in enumerate(
        zip(result.energy.items(), (BLUE, GREEN, VERMILION), strict=True)
    ):
        y = [names.index(row["name"]) + 0.2 * (k - 1) for row in table]
        ax.plot([sum(row["terms"].values()) for row in table], y, "o", color=colour, label=scheme)
        for row, at in zip(table, y, strict=True):
            ax.plot(row["band"], [at, at], color=colour, linewidth=0.6)
    ax.set(xscale="log", xlabel="energy of a token (J)", yticks=range(len(names)))
    ax.set_yticklabels(names)
    ax.invert_yaxis()
    ax.legend(loc="lower left")


def verify() -> list[Check]:
    """The paper's figures are of its 7B model: the claim is that ours counts alike."""
    return checks(run(Config()))


def checks(result: Result) -> list[Check]:
    """What `verify` holds a result against."""
    first = result.first
    share = {"2": 0.989, "2.5": 0.976, "3": 0.951, "3.5": 0.916, "4": 0.877}
    ours = {k: float(first[f"mean / {k}"][7]) for k in share}
    rows = [
        Check(PAPER, f"k = {k}: counts <= 7, table 11", told, ours[k], 0.02)
        for k, told in share.items()
    ]
    spikes = float(first["mean / 3"][5])
    return [
        *rows,
        Check(PAPER, "k = 3: counts <= 7, text", 0.941, ours["3"], 0.01),
        Check(PAPER, "k = 3: binary spikes an input", 1.13, spikes, 0.15),
    ]
