"""HDF5 files of strangers as plain arrays, read by a child process that may die in our stead.

HDF5 libraries can crash, spin or open other files when a file is damaged or made to harm. So the
parent looks at the first bytes and the size; a child with limits on memory and time checks every
link, filter and declared size before it reads; and what it hands back is parsed as bytes alone.
"""

import json
import math
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

Tree = dict[str, Any]  # of arrays, strings and trees

SIGNATURE = b"\x89HDF\r\n\x1a\n"
LARGEST_FILE = 256 << 20  # bytes on disk
LARGEST_DATA = 512 << 20  # bytes unpacked
MEMORY = 3 << 30  # address space of the child, in bytes
SECONDS = 8  # of the child
OBJECTS, DEPTH = 20_000, 16
HEADER = 16 << 20  # bytes
FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, Fletcher-32, LZF: all inside h5py
# little-endian types in which arrays travel from the child
DTYPES = {"<f2", "<f4", "<f8", *(f"<{k}{n}" for k in "iu" for n in (2, 4, 8)), "|i1", "|u1", "|b1"}


class ReadError(ValueError):
    """A file was refused: where in it, what was expected and what was found."""

    def __init__(self, path: str | os.PathLike, field: str, expected: str, found: str):
        super().__init__(f"{path}: {field}: expected {expected}, found {found}")
        self.path, self.field, self.expected, self.found = str(path), field, expected, found


def read_tree(path: str | os.PathLike) -> Tree:
    """All groups and datasets of a file: dicts of arrays and strings.

    Raises:
        ReadError: whatever is wrong with the file.
    """
    refuse = lambda *said: ReadError(path, *said)
    try:
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):
            raise refuse("file", "a regular file", "something else")
        if facts.st_size > LARGEST_FILE:
            raise refuse("file", f"at most {LARGEST_FILE} bytes", f"{facts.st_size}")
        with open(path, "rb") as file:
            start = file.read(len(SIGNATURE))
    except OSError as error:
        raise refuse("file", "a readable file", error.strerror or str(error)) from error
    if start != SIGNATURE:
        raise refuse("signature", "that of HDF5", repr(start))
    with tempfile.TemporaryFile() as answer:
        _read_in_child(Path(path).absolute(), answer, refuse)
        answer.seek(0)
        line = answer.readline(HEADER)
        try:
            header = json.loads(line)
            error = header.get("error")
            if error is None:
                return _unpack(header["tree"], answer)
        except (ValueError, KeyError, RecursionError) as broken:
            raise refuse("file", "content that can be read", "an answer cut short") from broken
        raise refuse(*(str(part)[:500] for part in error))


def _read_in_child(path: Path, answer: Any, refuse: Any) -> None:
    environment = {"OPENBLAS_NUM_THREADS": "1", "HDF5_PLUGIN_PATH": os.devnull}
    for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT"):
        if name in os.environ:
            environment[name] = os.environ[name]
    command = [sys.executable, "-I", str(Path(__file__)), str(path)]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=SECONDS + 1,
        ).returncode
    except subprocess.TimeoutExpired as error:
        raise refuse("file", f"content read in {SECONDS} s", "no end") from error
    if ended < 0:
        name = signal.Signals(-ended).name
        raise refuse("file", "content that can be read", f"the reader killed by {name}")
    if ended:
        raise refuse("file", "content that can be read", f"the reader ended with {ended}")


def _unpack(listed: dict, data: Any) -> Tree:
    tree: Tree = {}
    for name, entry in listed.items():
        if isinstance(entry, dict):
            tree[name] = _unpack(entry, data)
        elif isinstance(entry, str):
            tree[name] = entry
        else:
            kind, shape = entry
            if kind == "strings":
                tree[name] = np.array(json.loads(data.readline(HEADER)), np.str_).reshape(shape)
                continue
            if kind not in DTYPES:
                raise ValueError(kind)
            size = math.prod(shape) * np.dtype(kind).itemsize
            content = data.read(size)
            tree[name] = np.frombuffer(bytearray(content), kind).reshape(shape)
    return tree


def write_tree(path: str | os.PathLike, tree: Tree) -> None:
    """Write dicts of arrays and strings as groups and datasets, with arrays compressed."""
    import h5py

    def write(group: Any, tree: Tree) -> None:
        for name, value in tree.items():
            if isinstance(value, dict):
                write(group.create_group(name), value)
            elif isinstance(value, str):
                group.create_dataset(name, data=value, dtype=h5py.string_dtype())
            elif value.dtype.kind == "U":
                data = value.astype(object)
                group.create_dataset(name, data=data, dtype=h5py.string_dtype())
            else:
                group.create_dataset(name, data=value, compression="gzip" if value.ndim else None)

    with h5py.File(path, "w") as file:
        write(file, tree)


class _Walk:
    """The child's side: everything in a file, checked before it is read."""

    def __init__(self):
        self.seen: set = set()
        self.bytes = 0
        self.arrays: list[bytes] = []

    def group(self, group: Any, where: str, depth: int) -> dict:
        import h5py

        if depth > DEPTH:
            raise _Refused(where, f"at most {DEPTH} groups deep", "more")
        self.visit(group, where)
        listed = {}
        for name in group:
            field = f"{where}/{name}"
            if len(name) > 1000 or "\x00" in name:
                raise _Refused(where, "names of at most 1000 characters", repr(name[:40]))
            link = group.get(name, getlink=True)
            if type(link) is not h5py.HardLink:
                raise _Refused(field, "no link to elsewhere", type(link).__name__)
            kind = group.get(name, getclass=True)
            if kind is h5py.Group:
                listed[name] = self.group(group[name], field, depth + 1)
            elif kind is h5py.Dataset:
                listed[name] = self.dataset(group[name], field)
            else:
                raise _Refused(field, "a group or a dataset", getattr(kind, "__name__", "?"))
        return listed

    def visit(self, thing: Any, where: str) -> None:
        import h5py

        address = h5py.h5o.get_info(thing.id).addr
        if address in self.seen:
            raise _Refused(where, "every object under one name", "a second name of one")
        self.seen.add(address)
        if len(self.seen) > OBJECTS:
            raise _Refused(where, f"at most {OBJECTS} objects", "more")

    def dataset(self, dataset: Any, where: str) -> str | list:
        import h5py

        self.visit(dataset, where)
        made = dataset.id.get_create_plist()
        if made.get_external_count() or dataset.is_virtual:
            raise _Refused(where, "data inside the file", "external storage")
        for i in range(made.get_nfilters()):
            if made.get_filter(i)[0] not in FILTERS:
                raise _Refused(where, "a filter of HDF5 itself", f"filter {made.get_filter(i)[0]}")
        shape, dtype = dataset.shape, dataset.dtype
        if shape is None:
            raise _Refused(where, "a shape", "none")
        text = h5py.check_string_dtype(dtype)
        size = math.prod(shape) * (256 if text else max(dtype.itemsize, 1))
        self.bytes += size
        if len(shape) > 8 or self.bytes > LARGEST_DATA:
            raise _Refused(where, f"at most {LARGEST_DATA} bytes", f"{shape} of {dtype}")
        if text:
            return self.text(dataset, where)
        travels = dtype.newbyteorder("<").str
        if travels not in DTYPES:
            raise _Refused(where, "real numbers or text", str(dtype))
        self.arrays.append(np.ascontiguousarray(dataset[()]).astype(travels).tobytes())
        return [travels, list(shape)]

    def text(self, dataset: Any, where: str) -> str | list:
        try:
            decoded = dataset.asstr("utf-8", "strict")[()]
        except UnicodeDecodeError as error:
            raise _Refused(where, "text in UTF-8", "other bytes") from error
        if isinstance(decoded, str):
            return decoded
        line = json.dumps([str(t) for t in np.ravel(decoded)]).encode() + b"\n"
        self.arrays.append(line)
        return ["strings", list(dataset.shape)]


class _Refused(Exception):
    """What the child found, as field, expected and found."""


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not on Windows, where only the time is limited
        pass
    else:
        unpacked = LARGEST_DATA + 2 * HEADER
        for limit, most in (
            (resource.RLIMIT_AS, MEMORY),
            (resource.RLIMIT_CPU, SECONDS),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, unpacked),
        ):
            resource.setrlimit(limit, (most, most))


def describe(path: str | os.PathLike, out: Any) -> None:
    """Write what is in a file, or what is wrong with it, as `read_tree` expects it."""
    import h5py

    walk = _Walk()
    try:
        with h5py.File(path, "r", locking=False) as file:
            header = {"tree": walk.group(file, "", 0)}
    except _Refused as refused:
        header, walk.arrays = {"error": refused.args}, []
    except Exception as error:  # whatever the library raises: the file is at fault
        header, walk.arrays = {"error": ("file", "readable content", repr(error))}, []
    out.write(json.dumps(header).encode() + b"\n")
    out.writelines(walk.arrays)


if __name__ == "__main__":
    _limit()
    describe(sys.argv[1], sys.stdout.buffer)
