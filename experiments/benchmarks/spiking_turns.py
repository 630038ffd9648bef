"""Spiking benchmarks: ours beside every peer that is at hand, turn by turn on one core."""

import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from experiments.benchmarks.pairing import (
    Work,
    interleave,
    peer_at_work,
    python_of,
    variable_of,
)
from experiments.claims import Timing


class Peer(NamedTuple):
    """A peer, the script that makes it do the work, and the script's arguments."""

    name: str
    script: str
    arguments: tuple[str, ...]


class Task(NamedTuple):
    """What is timed: its name, the unit of a repetition, and what came out of ours."""

    name: str
    unit: str
    came_out: str


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and those that it starts, on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def beside(
    task: Task, ours: Work, peers: tuple[Peer, ...], *, pairs: int, repetitions: int
) -> list[Timing]:
    """One row a peer; what came out on both sides is in the note.

    A peer says about itself its version, and in `came_out` what its work gave.
    """
    rows, absent = [], []
    for name, script, arguments in peers:
        python = python_of(name)
        if python is None:
            absent.append(f"no {name} here: `make peers`, or ${variable_of(name)}=/path/to/python")
            continue
        with peer_at_work(python, script, *arguments) as (about, theirs):
            timed = interleave(ours, theirs, pairs=pairs, repetitions=repetitions)
        note = f"ours {task.came_out}; {name} {about['came_out']}"
        version = f"{name} {about['version']}"
        rows.append(
            Timing(
                task.name, task.unit, timed.ours_s, timed.peer_s, version, timed.ratio, pairs, note
            )
        )
    if absent:
        alone = statistics.median(ours(repetitions) for _ in range(pairs)) / repetitions
        note = "; ".join([f"ours {task.came_out}", *absent])
        rows.append(Timing(task.name, task.unit, alone, None, "", None, pairs, note))
    return rows
