"""NIR files as programs and back, without loss; what a file leaves out is said, never guessed.

Layout and defaults are those of nir 1.0, Pedersen et al. (2024), Nature Communications 15, 8122.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

import hw.operators as op
from hw.hdf5 import ReadError, Tree, read_tree, write_tree
from hw.program import Program

VERSION = "1.0"  # of the format that is written
GRAPH = "NIRGraph"
# fields of a file by type: those that hold whole numbers, per axis or one
WINDOWS = ("stride", "padding", "dilation", "kernel_size")
PADDINGS = ("valid", "same")
OPTIONAL = {"v_reset", "w_in", "input_shape", "input_type", "bias"}


@dataclass(frozen=True)
class NIRFile:
    """What a file holds.

    Attributes:
        program: its graph.
        version: of the format, as written.
        metadata: by flat name of a node ("" for the graph itself), as it came.
        notes: what the reader filled in or read in one of several ways.
    """

    program: Program
    version: str
    metadata: Mapping[str, Tree]
    notes: tuple[str, ...]


def read(path: str | os.PathLike) -> NIRFile:
    """Read a file of a stranger.

    Raises:
        ReadError: whatever is wrong with it: path, field, expected and found.
    """
    tree = read_tree(path)
    reader = _Reader(path)
    if not isinstance(tree.get("node"), dict):
        raise ReadError(path, "/node", "a group", "none")
    version = tree.get("version", "")
    if not isinstance(version, str):
        raise ReadError(path, "/version", "text", "numbers")
    node = reader.node(tree["node"], "/node", "")
    if not isinstance(node, Program):
        raise ReadError(path, "/node/type", GRAPH, type(node).__name__)
    return NIRFile(node, version, reader.metadata, tuple(reader.notes))


def write(
    path: str | os.PathLike, program: Program, metadata: Mapping[str, Tree] | None = None
) -> None:
    """Write a program, so that `read` gives the same again.

    Raises:
        ValueError: for an operator that NIR does not have.
    """
    tree = {"version": VERSION, "node": _tree(program, "", metadata or {})}
    write_tree(path, tree)


class _Reader:
    """Turns groups into operators, and remembers what it had to decide."""

    def __init__(self, path: str | os.PathLike):
        self.path, self.notes, self.metadata = path, [], {}

    def node(self, tree: Tree, where: str, name: str) -> op.Operator | Program:
        kind = tree.get("type")
        if not isinstance(kind, str):
            raise self.refuse(f"{where}/type", "the name of a type", "none")
        if isinstance(tree.get("metadata"), dict):
            self.metadata[name] = tree["metadata"]
        given = {k: v for k, v in tree.items() if k not in ("type", "metadata")}
        try:
            if kind == GRAPH:
                return self.graph(given, where, name)
            if kind in ("Input", "Output"):
                (shape,) = self.take(given, where, "shape")
                return op.PRIMITIVES[kind](self.sizes(shape, f"{where}/shape"))
            if kind not in op.PRIMITIVES:
                raise self.refuse(f"{where}/type", "a primitive of NIR", repr(kind[:40]))
            return self.operator(op.PRIMITIVES[kind], given, where)
        except ReadError:
            raise
        except (ValueError, OverflowError) as error:
            raise self.refuse(where, "a node that can be", str(error)) from error

    def graph(self, given: Tree, where: str, name: str) -> Program:
        nodes, edges = self.take(given, where, "nodes", "edges")
        if not isinstance(nodes, dict) or not all(isinstance(n, dict) for n in nodes.values()):
            raise self.refuse(f"{where}/nodes", "a group of nodes", "something else")
        if isinstance(edges, np.ndarray) and edges.size == 0:
            edges = np.zeros((0, 2), np.str_)
        if not (isinstance(edges, np.ndarray) and edges.dtype.kind == "U" and edges.ndim == 2):
            raise self.refuse(f"{where}/edges", "pairs of names", "something else")
        if edges.shape[1] != 2:
            raise self.refuse(f"{where}/edges", "pairs of names", f"shape {edges.shape}")
        inner = lambda part: f"{name}.{part}" if name else part
        parts = {k: self.node(n, f"{where}/nodes/{k}", inner(k)) for k, n in nodes.items()}
        return Program(parts, tuple((str(a), str(b)) for a, b in edges))

    def operator(self, kind: type[op.Operator], given: Tree, where: str) -> op.Operator:
        names = [_in_file(kind, f.name) for f in fields(kind)]
        lacks = [n for n in names if n not in given and n not in OPTIONAL]
        if lacks or set(given) - set(names):
            odd = sorted(set(given) - set(names))
            raise self.refuse(where, f"fields {names}", f"without {lacks}, with {odd}")
        values = {}
        for field, name in zip(fields(kind), names, strict=True):
            at = f"{where}/{name}"
            if name in given:
                values[field.name] = self.value(kind, name, given[name], at)
        return kind(**self.complete(kind, values, where))

    def value(self, kind: type[op.Operator], name: str, value: Any, at: str) -> Any:
        axes = getattr(kind, "axes", 2)
        if name == "padding" and isinstance(value, str):
            if value not in PADDINGS:
                raise self.refuse(at, f"one of {PADDINGS} or numbers", repr(value[:40]))
            return value
        if not isinstance(value, np.ndarray):
            raise self.refuse(at, "numbers", "text" if isinstance(value, str) else "a group")
        if name in ("input_shape", "input_type"):
            return self.sizes(value, at)
        if name in WINDOWS:
            sizes = self.sizes(value, at, least=0)
            return sizes * axes if len(sizes) == 1 else sizes
        if name in ("groups", "start_dim", "end_dim"):
            (number,) = self.sizes(value, at, least=-8)
            return number
        return value

    def complete(self, kind: type[op.Operator], values: dict, where: str) -> dict:
        """Fill in what a file may leave out, and say so."""
        if "v_threshold" in values and "v_reset" not in values:
            values["v_reset"] = np.zeros_like(values["v_threshold"])
            self.notes.append(f"{where}: v_reset is not in the file, taken as 0")
        if issubclass(kind, op.CubaLI):
            like = values["v_leak"]
            if "w_in" not in values:
                self.notes.append(f"{where}: w_in is not in the file, taken as 1")
            w_in = values.get("w_in", np.ones_like(like))
            values["w_in"] = w_in if w_in.ndim else np.full(like.shape, w_in)
        if issubclass(kind, op.Convolution):
            if "bias" not in values:
                raise self.refuse(f"{where}/bias", "numbers", "none")
            values["padding"] = self.padding(kind, values, where)
        if kind is op.Affine and "bias" not in values:
            raise self.refuse(f"{where}/bias", "numbers", "none")
        return values

    def padding(self, kind: type[op.Operator], values: dict, where: str) -> tuple[int, ...]:
        padding = values["padding"]
        if padding == "valid":
            return (0,) * kind.axes
        if padding != "same":
            return padding
        kernel = values["weight"].shape[2:]
        span = [d * (k - 1) for d, k in zip(values["dilation"], kernel, strict=True)]
        if set(values["stride"]) != {1} or any(n % 2 for n in span):
            raise self.refuse(f"{where}/padding", "stride 1 and an odd window for 'same'", "others")
        self.notes.append(f"{where}: padding 'same' is written out as numbers")
        return tuple(n // 2 for n in span)

    def sizes(self, value: Any, at: str, *, least: int = 1) -> tuple[int, ...]:
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu" or value.ndim > 1:
            raise self.refuse(at, "whole numbers", str(getattr(value, "dtype", "text")))
        numbers = tuple(int(n) for n in np.atleast_1d(value))
        if not numbers or len(numbers) > 8 or min(numbers) < least or max(numbers) > 1 << 24:
            raise self.refuse(at, f"1 to 8 numbers from {least} to 2^24", str(numbers)[:60])
        return numbers

    def take(self, given: Tree, where: str, *names: str) -> list:
        if set(given) != set(names):
            raise self.refuse(where, f"fields {sorted(names)}", str(sorted(given))[:200])
        return [given[name] for name in names]

    def refuse(self, field: str, expected: str, found: str) -> ReadError:
        return ReadError(self.path, field, expected, found)


def _in_file(kind: type[op.Operator], name: str) -> str:
    """Name of a field in a file."""
    if name == "given_shape":
        return "input_type" if kind is op.Flatten else "input_shape"
    return name


def _tree(node: op.Operator | Program, name: str, metadata: Mapping[str, Tree]) -> Tree:
    extra = {"metadata": metadata[name]} if name in metadata else {}
    if isinstance(node, Program):
        inner = lambda part: f"{name}.{part}" if name else part
        nodes = {k: _tree(n, inner(k), metadata) for k, n in node.nodes.items()}
        edges = np.array(node.edges, np.str_).reshape(-1, 2)
        return {"type": GRAPH, "nodes": nodes, "edges": edges, **extra}
    kind = type(node).__name__
    if kind not in op.PRIMITIVES:
        raise ValueError(f"{name!r}: NIR has no {kind}")
    values = {_in_file(type(node), f.name): getattr(node, f.name) for f in fields(node)}
    numbers = {
        k: v if isinstance(v, np.ndarray) else np.asarray(v, np.int64)
        for k, v in values.items()
        if v is not None
    }
    if isinstance(node, op.Conv1d):  # nir holds one number, not one an axis
        for field in ("stride", "padding", "dilation", "input_shape"):
            if field in numbers:
                numbers[field] = numbers[field].reshape(())
    return {"type": kind, **numbers, **extra}
