"""A timing is beside a peer's on the same work, or says why it is not."""

import json
import sys

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.benchmarks import pairing
from experiments.benchmarks import predictive_coding as pc

PEER = """
import json, sys
import numpy as np
given, held, compared, rule = sys.argv[1:]
np.savez(held, **{name: SHIFT + slope for name, slope in np.load("SLOPES").items()})
print(json.dumps({"version": "1.2"}), flush=True)
for line in sys.stdin:
    print(json.dumps(100.0 * int(line)), flush=True)
"""


SMALL = pc.Case(((2, 1, 3, 3), (10, 8)), (1, 4, 4), 1, (("fabricpc", "descent"),))


@pytest.fixture
def short(monkeypatch):
    """One pair of one step of a small network beside one peer."""
    for name, value in {"PAIRS": 1, "SETTLE_STEPS": 1, "CASES": {"small": SMALL}}.items():
        monkeypatch.setattr(pc, name, value)


@pytest.fixture
def peer(monkeypatch, tmp_path):
    """A peer in this Python that takes 100 s a step, its slopes ours and so much."""

    def stand_in(shift, source=PEER):
        slopes = pc.slopes

        def told(state):
            np.savez(tmp_path / "slopes.npz", **slopes(state))
            return slopes(state)

        monkeypatch.setattr(pc, "slopes", told)
        source = source.replace("SLOPES", str(tmp_path / "slopes.npz"))
        (tmp_path / "fabricpc_step.py").write_text(source.replace("SHIFT", str(shift)))
        monkeypatch.setattr(pairing, "PEERS", tmp_path)
        monkeypatch.setenv("FEPSTACK_PEER_FABRICPC", sys.executable)

    return stand_in


def test_a_missing_peer_is_said_in_the_row_and_on_stderr(short, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pairing, "ENVIRONMENTS", tmp_path)
    monkeypatch.delenv("FEPSTACK_PEER_FABRICPC", raising=False)
    assert main(["bench", "predictive_coding", "--json"]) == 0
    said = capsys.readouterr()
    (row,) = map(json.loads, said.out.splitlines())
    assert row["ours"] > 0
    assert row["peer"] is row["ratio"] is None
    for text in (row["note"], said.err):
        assert "make peers" in text
        assert "FEPSTACK_PEER_FABRICPC" in text


def test_a_peer_that_does_the_same_work_is_timed_beside_ours(short, peer, capsys):
    peer(0)
    assert main(["bench", "predictive_coding", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    names = ["name", "unit", "ours", "peer", "peer_version", "ratio", "runs"]
    assert list(row)[:7] == names
    assert row["peer"] == 100.0
    assert row["peer_version"] == "fabricpc 1.2"
    assert row["ratio"] == pytest.approx(row["ours"] / 100.0)
    assert row["runs"] == 1


def test_a_peer_that_does_other_work_is_refused(short, peer, capsys):
    peer(0.1)
    assert main(["bench", "predictive_coding"]) == 2
    assert "fabricpc met other slopes: W01's are 0.1 of" in capsys.readouterr().err


def test_a_peer_that_fails_is_told_with_its_last_words(short, peer, capsys):
    peer(0, "import fabricpc_is_broken")
    assert main(["bench", "predictive_coding"]) == 2
    assert "No module named 'fabricpc_is_broken'" in capsys.readouterr().err


def test_a_peer_named_where_there_is_none_is_refused(short, monkeypatch, capsys):
    monkeypatch.setenv("FEPSTACK_PEER_FABRICPC", "/nowhere/python")
    assert main(["bench", "predictive_coding"]) == 2
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
