"""NPZ archives as bytes: written the same every time, read only as far as they can be trusted."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from experiments.store import LoadError


def pack(arrays: dict[str, np.ndarray]) -> bytes:
    """An uncompressed NPZ archive; equal arrays under equal names give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, whenever it is written
            with archive.open(entry, "w", force_zip64=True) as file:
                npy.write_array(file, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def unpack(path: Path, content: bytes) -> dict[str, np.ndarray]:
    """Arrays of an archive as `pack` writes them, checked before anything is allocated.

    Entries must be stored uncompressed, so no small file can ask for much memory; each must be as
    long as the shape in its header says; Python objects are refused.

    Args:
        path: where `content` came from, for messages.
        content: the archive.

    Raises:
        LoadError: naming the entry at fault.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if (declared := sum(e.file_size for e in entries)) > len(content):
                raise LoadError(path, "entries", f"{len(content)} bytes at most", declared)
            return {e.filename.removesuffix(".npy"): _read(path, archive, e) for e in entries}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
        text = str(error) or type(error).__name__
        raise LoadError(path, "content", "an NPZ archive", text) from error


def _read(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise LoadError(path, entry.filename, "stored bytes", "compressed ones")
    body = archive.read(entry)  # checks the CRC
    file = io.BytesIO(body)
    version = npy.read_magic(file)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = header(file)
    if dtype.hasobject:
        raise LoadError(path, entry.filename, "plain numbers", "Python objects")
    if (size := len(body) - file.tell()) != math.prod(shape) * dtype.itemsize:
        raise LoadError(path, entry.filename, f"as many bytes as {dtype} {shape} takes", size)
    array = np.frombuffer(body, dtype, offset=file.tell())
    return array.reshape(shape, order="F" if fortran else "C")
