"""One run of an experiment: a directory that may be killed at any moment and resumed."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.progress import track

from experiments.checkpoint import METRICS, Progress, append_metrics, describe, restore, save
from experiments.claims import Check
from experiments.npz import pack, unpack
from experiments.settings import dump_config
from experiments.store import LoadError, claimed, read_bytes, read_json, sha256, write_atomically

CONFIG, ARRAYS, VALUES = "config.toml", "arrays.npz", "values.json"
MANIFEST, CHECKS = "manifest.json", "checks.json"
PACKAGES = ("jax", "jaxlib", "equinox", "optax", "chex", "jaxtyping", "numpy", "scikit-learn")


class Interrupted(Exception):
    """A signal ended the run; all whole chunks are saved."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Experiment(NamedTuple):
    """An experiment as the host loop sees it; `of` makes one from its module.

    A module in `experiments/` or `experiments/papers/` is an experiment if it has `Config`, a
    frozen dataclass of scalars that needs the standard library only; `Result`, a NamedTuple of
    arrays, of groups of arrays by name, and of plain values; and either `run(config) -> Result` or
    `init`, `chunks`, `step` and `result` as below, whose work is saved after every chunk. It may
    have `summary`, `tables`, `figure` and `raster`, which `experiments.report` draws, `inputs` and
    `verify`. The first line of its docstring is what lists show.
    """

    name: str
    init: Callable[[Any], Any]  # config -> state, a pytree of arrays
    chunks: Callable[[Any], int]
    step: Callable[[Any, Any, int], tuple[Any, dict[str, float]]]  # a pure function
    result: Callable[[Any, Any], Any]  # config, state -> NamedTuple
    inputs: Callable[[Any], dict[str, str]]  # config -> digests of the data sets it reads
    verify: Callable[[], list[Check]]

    @classmethod
    def of(cls, name: str, module: ModuleType) -> "Experiment":
        """The stages of a module; one that has only `run` does all its work before no chunk."""
        extras = getattr(module, "inputs", lambda _: {}), getattr(module, "verify", list)
        if hasattr(module, "run"):
            return cls(name, module.run, lambda _: 0, None, lambda _, result: result, *extras)
        return cls(name, module.init, module.chunks, module.step, module.result, *extras)


def execute(experiment: Experiment, config: Any, directory: Path, console: Console) -> None:
    """Run, or go on with, an experiment; its directory then holds results and manifest.

    Each chunk ends with its metrics appended and the state checkpointed. Nothing is written before
    `init` has succeeded: what cannot start leaves nothing behind.

    Raises:
        Interrupted: on SIGINT or SIGTERM, after the chunk at work; at once on a second signal.
        LoadError: if a data set or a checkpoint cannot be trusted.
    """
    began = time.process_time(), time.perf_counter()
    with _Signals() as signals:
        fresh = experiment.init(config)
        kinds = describe(fresh) if experiment.chunks(config) else {}
        directory.mkdir(parents=True, exist_ok=True)
        with claimed(directory):
            text = dump_config(config, experiment.name).encode()
            write_atomically(directory / CONFIG, text)
            identity = sha256(text)
            state, done, cpu_before, wall_before = restore(directory, identity, fresh)
            used = lambda: (
                cpu_before + time.process_time() - began[0],
                wall_before + time.perf_counter() - began[1],
            )
            chunks = range(done, experiment.chunks(config))
            quiet = not console.is_terminal
            for chunk in track(chunks, experiment.name, console=console, disable=quiet):
                with signals.held():
                    state, metrics = experiment.step(config, state, chunk)
                    if (found := describe(state)) != kinds:
                        raise TypeError(f"step changed its state's arrays: {kinds} to {found}")
                    append_metrics(directory, chunk, metrics)
                    save(directory, identity, Progress(state, chunk + 1, *used()))
            result = experiment.result(config, state)
            checks = {"checks": [check.as_json() for check in experiment.verify()]}
            with signals.held():
                write_result(directory, result)
                write_atomically(directory / CHECKS, json.dumps(checks, indent=1).encode())
                write_manifest(directory, experiment, config, *used())


def write_result(directory: Path, result: Any) -> None:
    """Save a Result: arrays, and groups of arrays by name, as NPZ; plain values as JSON."""
    arrays, values = {}, {}
    for field, value in result._asdict().items():
        if isinstance(value, np.ndarray | np.generic | jax.Array):
            arrays[field] = np.asarray(value)
        elif isinstance(value, dict) and value and all(hasattr(v, "dtype") for v in value.values()):
            arrays |= {f"{field}/{name}": np.asarray(array) for name, array in value.items()}
        else:
            values[field] = value
    write_atomically(directory / ARRAYS, pack(arrays))
    write_atomically(directory / VALUES, json.dumps(values, indent=1).encode())


def read_result(directory: Path, kind: type) -> Any:
    """The saved Result of a run, as `kind`, the experiment's NamedTuple."""
    path = directory / ARRAYS
    fields: dict[str, Any] = read_json(directory / VALUES)
    for name, array in unpack(path, read_bytes(path)).items():
        field, grouped, member = name.partition("/")
        if grouped:
            fields.setdefault(field, {})[member] = array
        else:
            fields[field] = array
    if set(fields) != set(kind._fields):
        where = f"fields of {ARRAYS} and {VALUES}"
        raise LoadError(directory, where, ", ".join(kind._fields), ", ".join(fields) or "none")
    return kind(**fields)


def write_manifest(
    directory: Path, experiment: Experiment, config: Any, cpu_s: float, wall_s: float
) -> None:
    """Say what ran, on what, from what, to what; its presence means that the run is complete."""
    outputs = [directory / name for name in (ARRAYS, VALUES, CHECKS, METRICS)]
    manifest = {
        "experiment": experiment.name,
        "config": dataclasses.asdict(config),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu_s": round(cpu_s, 3),
        "wall_s": round(wall_s, 3),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()],
        "x64": jax.config.jax_enable_x64,
        "random_bits": jax.config.jax_default_prng_impl,
        "matmul_precision": jax.config.jax_default_matmul_precision,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "versions": dict(_versions()),
        "source": _source(),
        "inputs": experiment.inputs(config),
        "outputs": {p.name: sha256(p.read_bytes()) for p in outputs if p.exists()},
    }
    write_atomically(directory / MANIFEST, json.dumps(manifest, indent=1).encode())


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # an extra
            yield name, importlib.metadata.version(name)


def _source() -> dict[str, Any]:
    """Commit of the checkout this file lies in, if it is one and git is there."""
    root = Path(__file__).parents[1]

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (FileNotFoundError, subprocess.CalledProcessError):  # no git, or not one it may read
        return {"commit": None, "dirty": None}


class _Signals:
    """SIGINT and SIGTERM raise `Interrupted`: at once, or at the end of what is held together."""

    def __enter__(self) -> "_Signals":
        self._holding, self._received = False, None
        kinds = signal.SIGINT, signal.SIGTERM
        self._before = {signum: signal.signal(signum, self._arrived) for signum in kinds}
        return self

    def __exit__(self, *_) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _arrived(self, signum: int, _) -> None:
        if not self._holding or self._received is not None:
            raise Interrupted(signum)
        self._received = signum
        print("fepstack: stopping after this chunk; repeat to stop at once", file=sys.stderr)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let what is inside finish before a signal is acted on."""
        self._holding = True
        yield
        self._holding = False
        if self._received is not None:
            raise Interrupted(self._received)
