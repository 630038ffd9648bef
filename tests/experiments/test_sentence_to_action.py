"""From sentences to actions: each stage beside its float twin, on a small encoder and on MiniLM."""

import jax
import numpy as np
import pytest

from experiments import sentence_to_action as demonstration
from experiments.dialogues import (
    ASK,
    ASKED,
    RIGHT,
    WRONG,
    comparison,
    exact_mind,
    model_of,
    play,
    populations,
    spiking_mind,
)
from experiments.figures import save
from experiments.requests import INTENTS, TESTED_FRAMES, TESTED_HINTS, TESTED_WORDINGS, requests
from experiments.sentence_prices import (
    ACCOUNTS,
    OURS,
    at_45_nm,
    circuit_load,
    dense_load,
    even_rows,
    priced,
)
from experiments.sentence_stages import Classifier, probabilities
from experiments.sentence_to_action import Config
from experiments.spike_prices import GPUS
from snn import pretrained
from snn.adaptive_neurons import FittedNeuron
from snn.rotation import Hadamard
from snn.transformer import converter, spiking
from tests.snn import encoders

# two intents that are easily taken for one another, and one that is not
CONFUSION = np.array([[0.75, 0.25, 0.05], [0.2, 0.7, 0.05], [0.05, 0.05, 0.9]])
VAGUE, CLEAR = [0.55, 0.4, 0.05, 0.0], [0.97, 0.02, 0.01, 0.0]


@pytest.fixture(scope="module")
def dialogues():
    """The exact mind, and both minds in sixteen dialogues: all vague, all clear, and between."""
    exact = exact_mind(model_of(CONFUSION))
    share = np.linspace(0, 1, 16)[:, None, None]
    heard = ((1 - share) * np.array(VAGUE) + share * np.array(CLEAR)).repeat(3, axis=1)
    heard = heard.astype(np.float32)
    return exact, play(spiking_mind(exact.model, 256), exact, heard), play(exact, exact, heard)


@pytest.fixture(scope="module")
def small():
    """The whole chain on a Transformer of random weights, whose tokens are sums of letters."""
    encoder = encoders.encoder()

    def tokenise(sentences):
        words = [[sum(map(ord, word)) % 10 for word in s.split()][:12] for s in sentences]
        ids = np.array([w + [0] * (12 - len(w)) for w in words], np.int32)
        return pretrained.Tokens(ids, np.arange(12) < np.array([[len(w)] for w in words]))

    def twin(seed):
        rotation = lambda n: Hadamard.random(n, key=jax.random.key(seed + n))
        return spiking(encoder, converter(FittedNeuron(31), rotation=rotation))

    settings = {"hidden": 16, "epochs": 2, "settle_steps": 4, "neurons": 16}
    config = Config(seeds=2, dialogues=16, turns=2, **settings)
    return config, demonstration.chain(config, encoder, [twin(0), twin(1)], tokenise)


@pytest.mark.slow
def test_spikes_follow_their_float_twins_through_all_stages_of_every_run(small):
    _, result = small
    assert result.cosine.shape == (2, 176)
    assert (result.cosine[0] != result.cosine[1]).any()  # other rotations
    assert 0.99 < result.cosine.mean() < 1  # five signed bits a value, training-free
    assert ((0 < result.naming) & (result.naming < 0.02)).all()  # half of 2^-7 at each label
    assert (result.deposit > 0.9).all()
    mean, largest = result.variation.T
    assert ((0 < mean) & (mean < 8 / 40)).all()  # intents / spikes of a window
    assert (mean < largest).all()
    np.testing.assert_allclose(result.confusion.sum(axis=0), 1)


@pytest.mark.slow
def test_the_rate_is_picked_on_development_sentences(small):
    _, result = small
    assert result.developed.shape == (len(demonstration.RATES), 3)
    best = int(np.argmax(result.developed.mean(axis=1)))
    assert result.rate == demonstration.RATES[best]


@pytest.mark.slow
def test_every_stage_has_both_accounts_of_spikes_and_of_the_dense_twin(small):
    prices = {(p["stage"], p["name"]): p for p in small[1].prices}
    for stage in demonstration.STAGES:
        operations, ours, bare, dense = (prices[stage, name] for name in ACCOUNTS)
        assert 0 < operations["joules"] < ours["low"] < ours["joules"] < ours["high"]
        assert 0 < bare["joules"] < dense["low"] < dense["high"]
        chips = [p for (s, name), p in prices.items() if s == stage and "Loihi" in name]
        assert len(chips) == 2
        assert all(p["joules"] > ours["joules"] and p["source"] for p in chips)
        for p in (operations, ours, *chips):
            assert sum(joules for joules, _ in p["terms"].values()) == pytest.approx(p["joules"])
            assert all(source for _, source in p["terms"].values())
            assert p["break_even"]


@pytest.mark.slow
def test_report_shows_all_stages(small, tmp_path):
    config, result = small
    assert len(demonstration.summary(config, result)) > 20
    sections = demonstration.tables(config, result)
    assert len(sections) == 2 + 3 * len(demonstration.STAGES)
    assert all(sections.values())
    paths = save(demonstration.figure(result), tmp_path / "chain")
    assert all(path.stat().st_size > 10_000 for path in paths)


def test_at_break_even_the_spikes_take_what_the_dense_twin_does():
    """Scaled to as many spikes, the bill is the twin's."""
    spikes = dense_load(100, 50, 5000, 2)._replace(spikes=60.0, events=3000.0, steps=4)
    dense = dense_load(100, 50, 4000, 2)
    operations, ours, bare, twin = (
        priced("stage", entry, spikes, dense, 1.0) for entry in at_45_nm(spikes, dense)
    )
    assert bare["break_even"] == twin["break_even"] == {}
    for found, name, rival in (
        (operations, "dense INT8, operations alone", bare),
        (ours, "dense INT8", twin),
    ):
        even = found["break_even"][name]
        scaled = spikes._replace(events=even * spikes.weights)
        again = at_45_nm(scaled, dense)[0 if found is operations else 1]
        assert again["joules"] == pytest.approx(rival["joules"])
    twins = {"dense INT8", "dense FP16", *(gpu.name for gpu in GPUS)}
    assert set(ours["break_even"]) == twins | {f"{twin}, events alone" for twin in twins}
    # with as many outputs to double and scale, silence itself is dearer
    heavy = spikes._replace(outputs=1e9)
    never = priced("stage", at_45_nm(heavy, dense)[1], heavy, dense, 1.0)
    assert never["break_even"]["dense INT8"] == 0
    told = {row.label: row.source for row in even_rows([operations, ours, never])}
    assert told[f"stage: {OURS} breaks even with dense INT8"].startswith("never")


def test_no_part_shares_a_sentence_with_another_and_all_have_all_intents():
    split = requests()
    assert len({s for part in split for s in part.sentences}) == sum(len(p.intents) for p in split)
    for part in split:
        assert len(part.sentences) == len(part.intents)
        assert len(set(np.bincount(part.intents, minlength=len(INTENTS)))) == 1  # equally often


def test_test_sentences_share_no_wording_hint_or_frame_with_those_that_were_picked_on():
    split = requests()
    told = " ".join(s for part in split[:-1] for s in part.sentences).lower()
    wordings = [" ".join(w.split()) for text in TESTED_WORDINGS.values() for w in text.split(";")]
    hints = [h for text in TESTED_HINTS.values() for h in " ".join(text.split()).split(". ")]
    assert (len(wordings), len(hints)) == (5 * len(INTENTS), 7 * len(INTENTS))
    assert not [w for w in (*wordings, *hints) if w.rstrip(".").lower() in told]
    openings = [frame.split("{}")[0].lower() for frame in TESTED_FRAMES]
    assert not [o for o in openings if o in told]


def test_class_probabilities_are_bayes_rule_under_the_gaussian_energy():
    outputs, precision = np.array([[0.9, 0.2, -0.1]]), 3.0
    found = probabilities(Classifier(None, lambda x: x, precision), outputs)
    likelihood = [np.exp(-precision / 2 * np.sum((np.eye(3)[c] - outputs) ** 2)) for c in range(3)]
    np.testing.assert_allclose(found[0], likelihood / np.sum(likelihood), rtol=1e-5)  # float32


def test_deeds_are_right_wrong_or_not_done():
    taken = np.asarray(model_of(CONFUSION).A[1])
    for intent in range(3):
        assert taken[ASKED, intent, 0] == 1
        for deed in range(3):
            assert taken[RIGHT if deed == intent else WRONG, intent, 1 + deed] == 1


@pytest.mark.slow
def test_a_robot_asks_when_in_doubt_and_acts_when_sure(dialogues):
    _, (_, _), (exact, _) = dialogues
    vague, clear = exact.turns.did[0], exact.turns.did[-1]
    assert (vague[0], clear[0]) == (ASK, 1)
    assert exact.questions[0] > exact.questions[-1] == 0


def test_the_spiking_mind_does_as_the_exact_one(dialogues):
    _, (spiking, spikes), (exact, _) = dialogues
    told = comparison(spiking, np.zeros(16, int))
    # of 640 spikes in a window three populations miscount one or two each, and have half a spike
    # of pseudo-count each
    assert told["largest total variation"] <= 3 * 2.5 / 640
    assert told["same action"] >= 0.95  # between vague and clear one dialogue is near a tie
    assert spikes.shape == (16, 3, 50, 3, 256)
    own = comparison(exact, np.zeros(16, int))
    assert (own["same action"], own["largest total variation"]) == (1, 0)
    assert own["most given away"] == 0
    # an error of the belief moves what a deed promises by its share of 8 nats, for two actions
    assert told["most given away"] <= 2 * 2 * 8 * 3 * 2.5 / 640


def test_dialogues_end_with_the_first_deed(dialogues):
    _, (spiking, _), _ = dialogues
    for d, questions in enumerate(spiking.questions):
        assert (spiking.turns.did[d, :questions] == ASK).all()
        assert spiking.reached[d].sum() == min(questions + 1, 3)
        last = spiking.turns.did[d, questions] - 1 if questions < 3 else -1
        assert spiking.acted[d] == last


def test_events_are_spikes_times_synapses(dialogues):
    _, (_, spikes), _ = dialogues
    ran, rasters = populations(CONFUSION, 256, spikes[0])
    load = circuit_load(ran, rasters)
    fired = spikes[0].sum(axis=(1, 2, 3)).mean()
    assert load.spikes == pytest.approx(fired + 3 + 3)  # three units hear, three send messages
    # hearing reaches all neurons, a neuron all messages, a message its own population
    assert load.events == pytest.approx(3 * 768 + 3 * fired + 3 * 256)


@pytest.mark.parametrize(
    "settings",
    [{"neurons": 0}, {"settle_rate": 1.5}, {"turns": 23}, {"seed": -1}, {"seeds": 0}],
)
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Config(**settings)


@pytest.mark.slow
def test_every_stage_in_spikes_is_its_float_twin():
    """One run of the five, with half its dialogues."""
    try:
        pretrained.minilm()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    config = Config(seeds=1, dialogues=128)
    result = demonstration.run(config)
    assert [check for check in demonstration.checks(config, result) if not check.passed] == []
    assert result.cosine.mean() >= 0.998  # target of five signed bits
    assert result.chains[demonstration.SPIKES]["decisions"][0] >= 128
    assert result.agreement[0] >= 0.9  # utterances of one intent sound alike, and may all be ties
