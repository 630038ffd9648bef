"""Our work and a peer's, turn by turn in one run; the peer in an environment of its own.

A peer's script lies in `peers/`, is run by the peer's Python, and imports nothing of ours. It
prints one JSON line about itself, then for each line it reads, a number of repetitions n, one with
the CPU seconds that n repetitions took.
"""

import json
import os
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from experiments.store import Refusal

PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = Path(__file__).parents[2] / ".peers"

Work = Callable[[int], float]  # number of repetitions -> CPU seconds they took


class Pairs(NamedTuple):
    """Medians over pairs of turns."""

    ours_s: float  # CPU seconds a repetition
    peer_s: float
    ratio: float  # of the two turns of a pair, ours / peer


def python_of(peer: str) -> Path | None:
    """The Python of a peer's environment, if there is one.

    Raises:
        Refusal: if the one that the user named is not there.
    """
    variable = variable_of(peer)
    if named := os.environ.get(variable):
        if not Path(named).is_file():
            raise Refusal(f"{variable}: expected the path of a Python, found {named}")
        return Path(named)
    installed = ENVIRONMENTS / peer / ".installed"  # not there if an install broke off
    return ENVIRONMENTS / peer / "bin" / "python" if installed.is_file() else None


def variable_of(peer: str) -> str:
    """Environment variable by which a user names a peer's Python."""
    return f"FEPSTACK_PEER_{peer.upper()}"


@contextmanager
def peer_at_work(python: Path, script: str, *arguments: str) -> Iterator[tuple[dict, Work]]:
    """Run a peer's script: what it says about itself, and its work.

    Raises:
        Refusal: if the script fails, with the last line it printed.
    """
    command = [str(python), str(PEERS / script), *arguments]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    ) as process:

        def answer() -> Any:
            line = process.stdout.readline()
            if not line:
                said = process.stderr.read().strip().splitlines() or ["nothing"]
                raise Refusal(f"{script} of the peer ended early; it said: {said[-1]}")
            return json.loads(line)

        def work(repetitions: int) -> float:
            process.stdin.write(f"{repetitions}\n")
            process.stdin.flush()
            return answer()

        try:
            yield answer(), work
        finally:
            process.kill()


def interleave(ours: Work, peer: Work, *, pairs: int, repetitions: int) -> Pairs:
    """Ours, peer, ours, peer: what else the machine does then falls on both alike."""
    turns = [(ours(repetitions), peer(repetitions)) for _ in range(pairs)]
    median = lambda numbers: statistics.median(numbers)
    return Pairs(
        median(a for a, _ in turns) / repetitions,
        median(b for _, b in turns) / repetitions,
        median(a / b for a, b in turns),
    )
