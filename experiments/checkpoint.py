"""Checkpoints of a state between two chunks: found whole or not at all, whatever interrupts."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.npz import pack, unpack
from experiments.store import LoadError, read_bytes, read_json, sha256, write_atomically

KEPT = 2  # on disk: the newest, and one to fall back on
METRICS = "metrics.jsonl"


class Progress(NamedTuple):
    """How far a run has come."""

    state: Any  # pytree of arrays
    done: int  # chunks
    cpu_s: float  # over all sittings
    wall_s: float


class Note(NamedTuple):
    """What vouches for a checkpoint's arrays; its file is written after them."""

    identity: str  # of the experiment and its settings
    sha256: str  # of the arrays' file
    metrics_bytes: int  # length of the metrics up to here
    done: int
    cpu_s: float
    wall_s: float


def describe(state: Any) -> dict[str, str]:
    """Type and shape of every array of a state, by its path; a state holds nothing else.

    Raises:
        TypeError: if a leaf is not an array.
    """
    return {name: _shape(leaf) for name, leaf in _leaves(state)}


def append_metrics(directory: Path, chunk: int, metrics: dict[str, float]) -> None:
    """Add one line; numbers that JSON cannot say (NaN, infinities) become null."""
    plain = {name: float(value) for name, value in metrics.items()}
    plain = {name: value if math.isfinite(value) else None for name, value in plain.items()}
    with open(directory / METRICS, "a", encoding="utf-8") as file:
        file.write(json.dumps({"chunk": chunk, **plain}) + "\n")
        file.flush()
        os.fsync(file.fileno())


def save(directory: Path, identity: str, progress: Progress) -> None:
    """Checkpoint `progress`: first the arrays, then the note that vouches for them."""
    stem = directory / f"checkpoint-{progress.done:06d}"
    content = pack({name: _plain(leaf) for name, leaf in _leaves(progress.state)})
    write_atomically(stem.with_suffix(".npz"), content)
    size = (directory / METRICS).stat().st_size
    note = Note(identity, sha256(content), size, *progress[1:])
    write_atomically(stem.with_suffix(".json"), json.dumps(note._asdict()).encode())
    for old in sorted(directory.glob("checkpoint-*.json"))[:-KEPT]:
        old.unlink()
        old.with_suffix(".npz").unlink(missing_ok=True)


def restore(directory: Path, identity: str, fresh: Any) -> Progress:
    """The newest checkpoint that verifies, or `fresh` if there is none; metrics are cut to it.

    Args:
        directory: of the run.
        identity: of the experiment and its settings.
        fresh: the state as `init` makes it: what a checkpoint's arrays must look like.

    Raises:
        LoadError: if a checkpoint belongs to other settings or to another version of the state,
            or if there are checkpoints and none of them verifies.
    """
    damaged = None
    for path in sorted(directory.glob("checkpoint-*.json"), reverse=True):
        try:
            note, content = _read(path)
        except LoadError as error:
            damaged = damaged or error
            continue
        if note.identity != identity:
            raise LoadError(path, "identity", "this experiment and these settings", "others")
        state = _rebuild(path.with_suffix(".npz"), content, fresh)
        _cut(directory / METRICS, note.metrics_bytes)
        return Progress(state, note.done, note.cpu_s, note.wall_s)
    if damaged is not None:
        raise damaged
    (directory / METRICS).unlink(missing_ok=True)
    return Progress(fresh, 0, 0.0, 0.0)


def _read(path: Path) -> tuple[Note, bytes]:
    raw = read_json(path)
    for field, kind in Note.__annotations__.items():
        if type(raw.get(field)) is not kind:
            raise LoadError(path, field, f"a value of type {kind.__name__}", raw.get(field))
    note = Note(**{field: raw[field] for field in Note._fields})
    if path.stem != f"checkpoint-{note.done:06d}":
        raise LoadError(path, "done", "the number in the file's name", note.done)
    content = read_bytes(path.with_suffix(".npz"))
    if (found := sha256(content)) != note.sha256:
        raise LoadError(path.with_suffix(".npz"), "sha256", note.sha256[:12], found[:12])
    return note, content


def _rebuild(path: Path, content: bytes, fresh: Any) -> Any:
    arrays, leaves = unpack(path, content), dict(_leaves(fresh))
    for name in [*leaves, *arrays]:
        wanted = _shape(_plain(leaves[name])) if name in leaves else "nothing of that name"
        found = _shape(arrays[name]) if name in arrays else "nothing of that name"
        if wanted != found:
            raise LoadError(path, f"state{name}", wanted, found)
    state = [_like(leaf, arrays[name]) for name, leaf in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(fresh), state)


def _leaves(state: Any) -> Iterator[tuple[str, jax.Array]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        name = jax.tree_util.keystr(path)
        if not isinstance(leaf, jax.Array | np.ndarray):
            raise TypeError(f"state{name} must be an array to be saved, got {type(leaf).__name__}")
        yield name, leaf


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _like(leaf: Any, array: np.ndarray) -> jax.Array:
    if _is_key(leaf):
        return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf))
    return jax.numpy.asarray(array) if isinstance(leaf, jax.Array) else array


def _shape(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"


def _cut(path: Path, size: int) -> None:
    """Drop the metrics that came after the checkpoint."""
    found = path.stat().st_size if path.exists() else 0
    if found < size:
        raise LoadError(path, "size", f"at least {size} bytes", found)
    os.truncate(path, size)
