"""The conversion benchmark tells how right both sides are, and times no peer that errs."""

import json
import sys

import pytest

from experiments.__main__ import main
from experiments.benchmarks import converted_network as bench
from experiments.benchmarks import pairing

PEER = """
import json, sys
import numpy as np
given, held, steps = sys.argv[1:]
work = dict(np.load(given))
assert work["W0"].shape == (12, 1, 3, 3) and work["b5"].shape == (10,)
np.savez(held, outputs=np.zeros((int(steps), len(work["x"]), 10)))
print(json.dumps({"version": "1.2"}), flush=True)
for line in sys.stdin:
    print(json.dumps(100.0 * int(line)), flush=True)
"""


@pytest.fixture
def short(monkeypatch, tmp_path):
    settings = {"PAIRS": 1, "REPETITIONS": 1, "EPOCHS": 1, "STEPS": 8, "KNOWN": 32, "BATCH": 16}
    for name, value in settings.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr(pairing, "ENVIRONMENTS", tmp_path)
    monkeypatch.delenv("FEPSTACK_PEER_SPIKINGJELLY", raising=False)


@pytest.fixture
def peer(short, monkeypatch, tmp_path):
    (tmp_path / "spikingjelly_conversion.py").write_text(PEER)
    monkeypatch.setattr(pairing, "PEERS", tmp_path)
    monkeypatch.setenv("FEPSTACK_PEER_SPIKINGJELLY", sys.executable)


@pytest.mark.slow
def test_without_a_peer_ours_is_timed_and_the_row_says_so(short, capsys):
    assert main(["bench", "converted_network", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["ours"] > 0
    assert row["peer"] is None
    assert "accuracy of ours at 4, 8, 8 steps" in row["note"]
    assert "make peers" in row["note"]


def test_a_peer_that_read_out_something_else_is_refused(peer, capsys):
    assert main(["bench", "converted_network"]) == 2
    assert "spikingjelly did other work: read-outs differ" in capsys.readouterr().err


def test_a_peer_that_agrees_is_timed_with_both_accuracies(peer, monkeypatch, capsys):
    monkeypatch.setattr(bench, "AGREEMENT", float("inf"))
    assert main(["bench", "converted_network", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["peer"] == 100.0
    assert row["peer_version"] == "spikingjelly 1.2"
    for name in ("ours", "spikingjelly", "ours from half a threshold"):
        assert f"accuracy of {name} at" in row["note"]
