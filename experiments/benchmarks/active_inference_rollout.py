"""Agents that plan in discrete worlds, beside pymdp: throughput, compilation, memory.

The same model, world and objective on both sides: exhaustive planning on the mean field, or
sophisticated planning; information summed over modalities, the best action taken. One of the peer's
agents is followed through its life, and our policy posterior must be its own at every step, or no
time is reported. In sophisticated planning the peer is compared without pruning, and timed with it.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.pairing import interleave, peer_at_work, python_of, variable_of
from experiments.claims import Timing
from experiments.environments.grids import cue_chaining, generalised_t_maze, grid_world
from experiments.environments.world import World
from experiments.store import Refusal
from fep.active_inference.agent import Agent, BestAction, rollout
from fep.active_inference.belief import advance
from fep.active_inference.model import Model
from fep.active_inference.planning import Exhaustive, Factorised, PerModality
from fep.active_inference.sophisticated import (
    OutcomeBranches,
    SoftBackup,
    Sophisticated,
    possible_outcomes,
)

PEER, SCRIPT = "pymdp", "pymdp_rollout.py"
PAIRS = 7
TURN_S = 0.3  # CPU seconds of a turn of ours, about; long against the clock's grain
# float32 on both sides: an expected free energy of some 10 nats errs by 1e-6 of itself, times gamma
AGREEMENT = 2e-3


class Case(NamedTuple):
    """A world, how far the agents plan in it, how many there are and how long they live."""

    name: str
    world: Callable[[], World]
    planner: Callable[[Model, int], Any]
    horizon: int
    batch: int
    steps: int


def t_maze() -> World:
    """Five cells, two contexts, five actions: the arms, their junction, the start and the cue."""
    return World(generalised_t_maze(("A.A", "#S#", "#a#")).pomdp, rewards={})


def grid() -> World:
    """49 cells, five actions, nine moves in ten succeed."""
    return World(grid_world((7, 7)).pomdp, rewards={})


def exhaustive(_: Model, horizon: int) -> Factorised:
    """All sequences of actions, on the mean field."""
    return Factorised(Exhaustive(horizon, PerModality()))


def sophisticated(model: Model, horizon: int) -> Sophisticated:
    """All outcomes and what would then be believed; each choice made with precision one."""
    branches = OutcomeBranches(possible_outcomes(model))
    return Sophisticated(horizon, branches, SoftBackup(1.0), PerModality())


GAMMA = {exhaustive: 16.0, sophisticated: 1.0}  # precision of policies; the peer's search has 1
BATCHES = 1, 64, 1024
CASES = (
    *(Case(f"t_maze_depth_2_batch_{b}", t_maze, exhaustive, 2, b, 20) for b in BATCHES),
    *(Case(f"t_maze_depth_3_batch_{b}", t_maze, exhaustive, 3, b, 20) for b in BATCHES),
    *(Case(f"grid_depth_4_batch_{b}", grid, exhaustive, 4, b, 10) for b in BATCHES[:2]),
    *(Case(f"cue_chaining_depth_4_batch_{b}", cue_chaining, exhaustive, 4, b, 10) for b in (1, 64)),
    Case("sophisticated_t_maze_batch_64", t_maze, sophisticated, 2, 64, 20),
)


def bench() -> list[Timing]:
    """Agent-steps per CPU second, CPU seconds of compilation, temporaries, second compilations."""
    with jax.default_device(jax.devices("cpu")[0]):
        return [row for case in CASES for row in _rows(case)]


class Ours(NamedTuple):
    """Our side of a case, ready to run."""

    agent: Agent
    live: Callable[[Any], Any]  # key -> life of all agents
    compile_s: float
    temporaries: int  # bytes


def prepare(case: Case) -> Ours:
    """Build, trace and compile; nothing that JAX has kept from other cases helps."""
    world = case.world()
    model = world.pomdp.model()
    planner = case.planner(model, case.horizon)
    agent = Agent(model, planner, selection=BestAction(), gamma=GAMMA[case.planner])
    arrays, rest = eqx.partition((agent, world), eqx.is_array)

    def live(arrays, key):
        one = lambda key: rollout(*eqx.combine(arrays, rest), case.steps, key)[1]
        if case.batch == 1:
            return one(key)
        return jax.vmap(one)(jax.random.split(key, case.batch))

    jax.clear_caches()
    began = time.process_time()
    compiled = jax.jit(live).lower(arrays, jax.random.key(0)).compile()
    compile_s = time.process_time() - began
    temporaries = compiled.memory_analysis().temp_size_in_bytes
    return Ours(agent, partial(compiled, arrays), compile_s, temporaries)


def second_call(case: Case) -> int:
    """Compilations of a second call of `rollout`, as a user makes it."""
    ours, world = prepare(case), case.world()
    counted: list[str] = []

    def count(event, _, **more):
        if "backend_compile" in event:
            counted.append(event)

    call = lambda i: jax.block_until_ready(rollout(ours.agent, world, case.steps, keys[i]))
    keys = jax.random.split(jax.random.key(0))
    call(0)
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        call(1)
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    return len(counted)


def _rows(case: Case) -> Iterator[Timing]:
    ours = prepare(case)
    keys = list(jax.random.split(jax.random.key(1), 64))

    def work(repetitions: int) -> float:
        began = time.process_time()
        for i in range(repetitions):
            jax.block_until_ready(ours.live(keys[i % len(keys)]))
        return time.process_time() - began

    repetitions = max(1, round(TURN_S / (work(3) / 3)))
    made = case.batch * case.steps  # agent-steps a repetition
    python = python_of(PEER)
    if python is None:
        seconds = statistics.median(work(repetitions) for _ in range(PAIRS)) / repetitions
        note = f"no {PEER} here: `make peers`, or ${variable_of(PEER)}=/path/to/python"
        yield _row(case, "", "agent-steps/CPU s", made / seconds, None, "", PAIRS, note)
        return
    with tempfile.TemporaryDirectory() as folder:
        given, held = Path(folder, "given.npz"), Path(folder, "held.npz")
        np.savez(given, **task(case))
        with peer_at_work(python, SCRIPT, str(given), str(held)) as (about, peer):
            check_same_work(case, ours.agent, dict(np.load(held)))
            peer_s = peer(1)
            timed = _interleave(work, peer, repetitions, peer_s)
    version = f"{PEER} {about['version']}"
    rate = made / timed.ours_s, made / timed.peer_s
    yield _row(case, "", "agent-steps/CPU s", *rate, version, PAIRS, ratio=1 / timed.ratio)
    yield _row(case, "_compile", "CPU s", ours.compile_s, about["compile_s"], version, 1)
    mib = ours.temporaries / 2**20, about["temporaries"] / 2**20
    yield _row(case, "_temporaries", "MiB", *mib, version, 1)
    if about["compilations"] is not None:
        again = float(second_call(case)), float(about["compilations"])
        yield _row(case, "_second_call", "compilations", *again, version, 1)


def _interleave(ours, peer, repetitions: int, peer_s: float):
    """Pairs of turns of about equal length: a slow peer repeats its work less often."""
    fewer = max(1, round(TURN_S / max(peer_s, 1e-9)))
    scaled = lambda n: peer(fewer) * n / fewer
    return interleave(ours, scaled, pairs=PAIRS, repetitions=repetitions)


def _row(case, what, unit, ours, peer, version, runs, note="", ratio=None) -> Timing:
    name = f"active_inference_{case.name}{what}"
    if ratio is None and peer:
        ratio = ours / peer
    return Timing(name, unit, ours, peer, version, ratio, runs, note)


def task(case: Case) -> dict[str, np.ndarray]:
    """What the peer is told: arrays in float32, and the rest as JSON."""
    pomdp = case.world().pomdp
    told = {
        **{name: len(getattr(pomdp, name)) for name in "ABCD"},
        **{n: [list(d) for d in getattr(pomdp, n)] for n in ("A_dependencies", "B_dependencies")},
        **{"horizon": case.horizon, "batch": case.batch, "steps": case.steps},
        **{"gamma": GAMMA[case.planner], "searched": case.planner is sophisticated},
    }
    arrays = {
        f"{name}{i}": array.astype(np.float32)
        for name in "ABCD"
        for i, array in enumerate(getattr(pomdp, name))
    }
    return {**arrays, "task": np.array(json.dumps(told))}


def check_same_work(case: Case, agent: Agent, theirs: dict[str, np.ndarray]) -> None:
    """Follow the peer's agent: see and do what it did, and want the same at every step."""

    @jax.jit
    def follow(state, observation, action):
        after, decision = agent.step(state, tuple(observation), key=jax.random.key(0))
        prior = advance(agent.model, decision.belief, action)
        return after._replace(prior=prior), decision.policies

    sizes = agent.model.num_controls
    state = agent.init()
    for t in range(case.steps):
        chosen = int(np.ravel_multi_index(theirs["action"][t].astype(int), sizes))
        seen = jnp.asarray(theirs["observation"][t], jnp.int32)
        state, policies = follow(state, seen, jnp.asarray(chosen))
        gap = float(np.max(np.abs(policies - theirs["policies"][t])))
        if not gap <= AGREEMENT:
            told = f"its policy posterior differs by {gap:.2g} at step {t}"
            raise Refusal(f"{PEER} did other work in {case.name}: {told}")
