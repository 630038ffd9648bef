"""A timing is beside a peer's on the same work, or says why it is not."""

import json
import sys

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.benchmarks import pairing
from experiments.benchmarks import predictive_coding_step as pc

PEER = """
import json, sys
import numpy as np
given, held, compared = sys.argv[1:]
work = dict(np.load(given))
np.savez(held, **{name: work[name] + SHIFT for name in work})
print(json.dumps({"version": "1.2"}), flush=True)
for line in sys.stdin:
    print(json.dumps(100.0 * int(line)), flush=True)
"""


@pytest.fixture
def short(monkeypatch):
    """One pair of one step, and a rate so small that weights stay where they are."""
    for name, value in {"PAIRS": 1, "REPETITIONS": 1, "RATE": 1e-12, "SETTLE_STEPS": 1}.items():
        monkeypatch.setattr(pc, name, value)


@pytest.fixture
def peer(monkeypatch, tmp_path):
    """A peer in this Python that takes 100 s a step, its weights shifted by so much."""

    def stand_in(shift, source=PEER):
        (tmp_path / "fabricpc_step.py").write_text(source.replace("SHIFT", str(shift)))
        monkeypatch.setattr(pairing, "PEERS", tmp_path)
        monkeypatch.setenv("FEPSTACK_PEER_FABRICPC", sys.executable)

    return stand_in


def test_a_missing_peer_is_said_in_the_row_and_on_stderr(short, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pairing, "ENVIRONMENTS", tmp_path)
    monkeypatch.delenv("FEPSTACK_PEER_FABRICPC", raising=False)
    assert main(["bench", "predictive_coding_step", "--json"]) == 0
    said = capsys.readouterr()
    (row,) = map(json.loads, said.out.splitlines())
    assert row["ours"] > 0
    assert row["peer"] is row["ratio"] is None
    for text in (row["note"], said.err):
        assert "make peers" in text
        assert "FEPSTACK_PEER_FABRICPC" in text


def test_a_peer_that_does_the_same_work_is_timed_beside_ours(short, peer, capsys):
    peer(0)
    assert main(["bench", "predictive_coding_step", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    names = ["name", "unit", "ours", "peer", "peer_version", "ratio", "runs"]
    assert list(row)[:7] == names
    assert row["peer"] == 100.0
    assert row["peer_version"] == "fabricpc 1.2"
    assert row["ratio"] == pytest.approx(row["ours"] / 100.0)
    assert row["runs"] == 1


def test_a_peer_that_does_other_work_is_refused(short, peer, capsys):
    peer(1e-3)
    assert main(["bench", "predictive_coding_step"]) == 2
    assert "fabricpc did other work: W1 differs by 0.001" in capsys.readouterr().err


def test_a_peer_that_fails_is_told_with_its_last_words(short, peer, capsys):
    peer(0, "import fabricpc_is_broken")
    assert main(["bench", "predictive_coding_step"]) == 2
    assert "No module named 'fabricpc_is_broken'" in capsys.readouterr().err


def test_a_peer_named_where_there_is_none_is_refused(short, monkeypatch, capsys):
    monkeypatch.setenv("FEPSTACK_PEER_FABRICPC", "/nowhere/python")
    assert main(["bench", "predictive_coding_step"]) == 2
    said = capsys.readouterr().err
    assert "FEPSTACK_PEER_FABRICPC" in said
    assert "/nowhere/python" in said


def test_turns_alternate_and_medians_are_of_pairs():
    order = []
    ours = iter([1.0, 9.0, 2.0])
    theirs = iter([2.0, 3.0, 8.0])

    def turn(name, seconds):
        def work(repetitions):
            order.append((name, repetitions))
            return repetitions * next(seconds)

        return work

    found = pairing.interleave(turn("a", ours), turn("b", theirs), pairs=3, repetitions=4)
    assert order == [("a", 4), ("b", 4)] * 3
    assert found == (2.0, 3.0, 0.5)  # ratios 1/2, 3, 1/4


def test_the_batch_and_the_start_are_what_both_sides_are_told():
    work = pc.problem(np.random.default_rng(1))
    shapes = {name: array.shape for name, array in work.items()}
    assert shapes == {
        **{"W1": (300, 784), "W2": (300, 300), "W3": (10, 300)},
        **{"x": (256, 784), "y": (256, 10)},
    }
    assert (work["y"].sum(axis=1) == 1).all()
