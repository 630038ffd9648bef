"""Files that survive crashes and distrust what they read: atomic writes, one kind of error."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LARGEST_BYTES = 2 << 30  # above this size a foreign file is not read
LARGEST_TEXT = 16 << 20  # the same for text


class Refusal(Exception):
    """What was asked for cannot be done; the text says why, in one line."""

    def __init__(self, text: str):
        super().__init__(" ".join(text.split()))


class LoadError(Refusal):
    """A file that cannot be trusted: which, where in it, what was expected, what came."""

    def __init__(self, path: Path | str, field: str, expected: str, found: object):
        self.path, self.field, self.expected, self.found = path, field, expected, found
        super().__init__(f"{path}: {field}: expected {expected}, found {str(found)[:200]}")


def read_bytes(path: Path, *, largest: int = LARGEST_BYTES) -> bytes:
    """Whole content of a regular file of at most `largest` bytes."""
    if not path.is_file():
        kind = "something that is no file" if path.exists() else "nothing there"
        raise LoadError(path, "file", "a readable file", kind)
    if (size := path.stat().st_size) > largest:
        raise LoadError(path, "size", f"at most {largest} bytes", size)
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadError(path, "file", "a readable file", error.strerror) from error


def read_text(path: Path) -> str:
    """Whole content of a UTF-8 file."""
    content = read_bytes(path, largest=LARGEST_TEXT)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LoadError(path, f"byte {error.start}", "UTF-8 text", "other bytes") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object a file holds."""
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise LoadError(path, "content", "JSON", error) from error
    if not isinstance(value, dict):
        raise LoadError(path, "content", "a JSON object", type(value).__name__)
    return value


def write_atomically(path: Path, content: bytes) -> None:
    """The whole content or none: written aside, flushed to disk, renamed over `path`."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames and new names in a directory outlive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Hold a directory alone; the system lets go of it when the process ends, however it ends.

    What a killed process has left half-written is swept up.

    Raises:
        Refusal: if another process holds it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(f"{directory}: another run is at work here") from None
        for left in directory.glob(".*.tmp"):
            left.unlink()
        yield
    finally:
        os.close(descriptor)


def user_cache() -> Path:
    """The user's cache directory of this program, as the XDG base directory rules place it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fepstack"


def sha256(content: bytes) -> str:
    """Hex digest that names a content."""
    return hashlib.sha256(content).hexdigest()
