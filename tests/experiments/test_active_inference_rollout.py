"""Agents are timed beside a peer's that want the same, or not at all."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import active_inference_rollout as bench
from experiments.benchmarks import pairing
from experiments.store import Refusal

CASE = bench.Case("t_maze", bench.t_maze, bench.exhaustive, 1, 2, 3)
STAND_IN = """
import json, sys
given, held = sys.argv[1:]
about = {"version": "1.2", "compile_s": 8.0, "temporaries": 2**20, "compilations": None}
print(json.dumps(about), flush=True)
for line in sys.stdin:
    print(json.dumps(100.0 * int(line)), flush=True)
"""


@pytest.fixture(scope="module")
def ours():
    return bench.prepare(CASE)


@pytest.fixture(scope="module")
def theirs(ours):
    """The life of a peer's agent that stays and sees nothing, with our own policies."""
    seen = tuple(jnp.array(o) for o in (3, 0, 0))  # at the start

    def stay(state, _):
        state, decision = ours.agent.step(state, seen, key=jax.random.key(0))
        prior = bench.advance(ours.agent.model, decision.belief, jnp.asarray(4))
        return state._replace(prior=prior), decision.policies

    live = jax.jit(lambda: jax.lax.scan(stay, ours.agent.init(), length=CASE.steps)[1])
    action = np.tile([4, 0], (CASE.steps, 1))
    observation = np.tile([3, 0, 0], (CASE.steps, 1))
    return {"action": action, "policies": np.asarray(live()), "observation": observation}


@pytest.mark.slow
def test_who_wants_the_same_does_the_same_work(ours, theirs):
    bench.check_same_work(CASE, ours.agent, theirs)
    theirs = {**theirs, "policies": theirs["policies"] + np.array([[0.0], [0.0], [0.01]])}
    with pytest.raises(Refusal, match="pymdp did other work in t_maze: .* 0.01 at step 2"):
        bench.check_same_work(CASE, ours.agent, theirs)


@pytest.mark.slow
def test_rows_are_rates_compilation_and_memory(monkeypatch, tmp_path, ours, theirs):
    (tmp_path / bench.SCRIPT).write_text(STAND_IN)
    monkeypatch.setattr(pairing, "PEERS", tmp_path)
    monkeypatch.setenv("FEPSTACK_PEER_PYMDP", sys.executable)
    monkeypatch.setattr(bench, "TURN_S", 0.0)
    monkeypatch.setattr(bench, "PAIRS", 1)
    monkeypatch.setattr(bench, "prepare", lambda case: ours)
    monkeypatch.setattr(bench.np, "load", lambda path: theirs)
    rate, compiled, memory = bench._rows(CASE)
    assert rate.peer == pytest.approx(2 * 3 / 100)  # two agents, three steps, 100 s
    assert rate.ratio == pytest.approx(rate.ours / rate.peer)
    assert rate.ours > 1
    assert (compiled.peer, compiled.unit) == (8.0, "CPU s")
    assert memory.peer == 1.0
    assert memory.ratio == pytest.approx(memory.ours)


def test_what_the_peer_is_told_is_the_whole_model():
    told = bench.task(CASE)
    task = json.loads(str(told["task"]))
    assert (task["A"], task["B"], task["horizon"], task["batch"]) == (3, 2, 1, 2)
    assert task["A_dependencies"] == [[0], [0, 1], [0, 1]]
    for name in ("A1", "B0", "C2", "D1"):
        assert told[name].dtype == np.float32
    pomdp = bench.t_maze().pomdp
    np.testing.assert_array_equal(told["A2"], pomdp.A[2].astype(np.float32))
    np.testing.assert_array_equal(told["C2"], pomdp.C[2].astype(np.float32))
