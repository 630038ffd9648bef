"""Data sets are what they are said to be, wherever they come from."""

import gzip
import http.server
import json
import threading
from pathlib import Path

import numpy as np
import pytest

from experiments import data, store
from experiments.data import Published, published
from experiments.store import LoadError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 2, 2), np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)
PARTS = [IMAGES[:3], LABELS[:3], IMAGES[3:], LABELS[3:]]


def idx(array):
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


TINY = Published("Tiny", "tiny", 7, tuple(store.sha256(idx(a)) for a in PARTS), train=3, side=2)
HEAD = b"% about\n@RELATION tiny\n@ATTRIBUTE p1 real\n@ATTRIBUTE class {'1','3'}\n"


def arff(labels=LABELS):
    rows = (",".join(map(str, image.ravel())) for image in IMAGES)
    lines = (f"{row},'{label}'\r\n" for row, label in zip(rows, labels, strict=True))
    return HEAD + b"@DATA\n" + "".join(lines).encode()


def check(dataset):
    np.testing.assert_array_equal(dataset.train.inputs, IMAGES[:3].reshape(3, 4) / np.float32(255))
    np.testing.assert_array_equal(dataset.test.labels, LABELS[3:])
    assert dataset.train.inputs.dtype == np.float32
    assert dataset.test.labels.dtype == np.int32


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path, monkeypatch):
    """No folder named, no Debian package, an empty cache."""
    monkeypatch.delenv(data.FOLDER, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "DEBIAN", tmp_path / "debian")


@pytest.fixture
def server():
    """A server on loopback: (its address, answers by path as (status, body, announced length))."""
    answers, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, body, length = answers.get(self.path, (404, b"", 0))
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.01,)).start()
        address = f"http://127.0.0.1:{serving.server_address[1]}"

        def say(path, body, *, status=200, length=None):
            answers[path] = status, body, len(body) if length is None else length

        about = {"data_set_description": {"url": f"{address}/tiny.arff"}}
        say("/api/v1/json/data/7", json.dumps(about).encode())
        yield address, say, asked
        serving.shutdown()


def test_the_digits_and_their_split_are_pinned():
    digits = data.digits()
    assert digits.train.inputs.shape == (1437, 64)
    assert digits.test.inputs.shape == (360, 64)
    # of scikit-learn 1.9.1; its draw is NumPy's RandomState, whose streams are frozen
    assert digits.sha256 == "e1cebd129959f13cb121731a6914ea37619923a31c31a67b951674923d3584c3"


def test_the_split_is_fair_and_shares_no_sample():
    digits, other = data.digits(), data.digits(split=1)
    every = np.concatenate([digits.train.inputs, digits.test.inputs])
    assert (every.min(), every.max()) == (0, 1)
    assert len(np.unique(every, axis=0)) == len(every) == 1797  # no image occurs twice
    share = np.bincount(digits.test.labels) / np.bincount(digits.train.labels)
    np.testing.assert_allclose(share, 360 / 1437, rtol=0.05)  # one sample of about 36 a class
    assert not np.array_equal(digits.test.labels, other.test.labels)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_named_folder_is_read_before_any_other(tmp_path, monkeypatch, pack):
    folder = tmp_path / "mine" / "tiny"
    folder.mkdir(parents=True)
    for name, array in zip(data.FILES, PARTS, strict=True):
        suffix = ".gz" if pack is gzip.compress else ""
        (folder / (name + suffix)).write_bytes(pack(idx(array)))
    monkeypatch.setenv(data.FOLDER, str(tmp_path / "mine"))
    (tmp_path / "debian" / "tiny").mkdir(parents=True)  # empty: reading it would fail
    check(published(TINY, openml="http://127.0.0.1:9"))


def test_a_folder_with_a_file_missing_or_changed_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "debian" / "tiny"
    folder.mkdir(parents=True)
    for name, array in zip(data.FILES, PARTS, strict=True):
        (folder / name).write_bytes(idx(array))
    (folder / data.FILES[1]).write_bytes(idx(LABELS[2:]))
    with pytest.raises(LoadError, match=f"sha256 of {data.FILES[1]}.*Tiny as published"):
        published(TINY)
    (folder / data.FILES[1]).unlink()
    with pytest.raises(LoadError, match=f"{data.FILES[1]} or {data.FILES[1]}.gz in it"):
        published(TINY)


def test_a_download_is_verified_and_kept(tmp_path, server):
    address, say, asked = server
    say("/tiny.arff", arff())
    check(published(TINY, openml=address))
    check(published(TINY, openml=address))
    assert asked == ["/api/v1/json/data/7", "/tiny.arff"]
    kept = tmp_path / "cache" / "fepstack" / "datasets" / "tiny"
    assert {path.name for path in kept.iterdir()} == set(data.FILES)


ANSWERS = {
    "other samples": ({"body": arff(LABELS[::-1])}, "sha256 of train-labels"),
    "cut short": ({"body": arff()[:-9], "length": len(arff())}, "length|download of Tiny"),
    "a row cut": ({"body": arff()[:-9]}, "content"),
    "a pixel of 300": ({"body": arff() + b"300,0,0,0,1\n"}, "content.*300"),
    "no data": ({"body": HEAD}, "content.*@DATA"),
    "a page of HTML": ({"body": b"<html>moved</html>"}, "content.*@DATA"),
    "gone": ({"body": b"", "status": 404}, "404"),
    "broken": ({"body": b"", "status": 500}, "500"),
}


@pytest.mark.parametrize("answer, words", ANSWERS.values(), ids=ANSWERS)
def test_a_bad_download_is_refused_and_not_kept(tmp_path, server, answer, words):
    address, say, _ = server
    say("/tiny.arff", **answer)
    with pytest.raises(LoadError, match=words) as caught:
        published(TINY, openml=address)
    assert address in str(caught.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "about, words",
    [
        (b"{}", "description"),
        (b"not JSON", "description"),
        (b'{"data_set_description": {"url": "file:///etc/passwd"}}', "address.*web address"),
    ],
)
def test_a_bad_description_is_refused(server, about, words):
    address, say, _ = server
    say("/api/v1/json/data/7", about)
    with pytest.raises(LoadError, match=words):
        published(TINY, openml=address)


def test_offline_says_what_to_do():
    with pytest.raises(LoadError, match=r"a connection, or the IDX files in \$FEPSTACK_DATA/tiny"):
        published(TINY, openml="http://127.0.0.1:9")  # the discard port: refused


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(),
    reason="Debian's dataset-fashion-mnist is not installed",
)
def test_fashion_mnist_is_found_where_debian_puts_it(monkeypatch):
    monkeypatch.setattr(data, "DEBIAN", Path("/usr/share/datasets"))
    fashion = published(data.FASHION_MNIST)
    assert fashion.train.inputs.shape == (60_000, 784)
    assert list(fashion.test.labels[:5]) == [9, 2, 1, 1, 6]  # boot, pullover, trousers, ...
