"""Files that cannot be trusted are refused by path and field, before they can do harm."""

import gzip
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from experiments import data, npz, store
from experiments.__main__ import main
from experiments.store import LoadError

WALK = str(Path(__file__).with_name("walk.py"))


def refuses(action, path, *words):
    with pytest.raises(LoadError) as caught:
        action()
    line = str(caught.value)
    assert "\n" not in line
    assert all(word in line for word in [str(path), *words]), line


# NPZ archives


def zipped(*entries, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(header, body=b"", magic=b"\x93NUMPY\x01\x00"):
    text = (header + " " * 200)[:117] + "\n"
    return magic + len(text).to_bytes(2, "little") + text.encode() + body


def pickled():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}]), allow_pickle=True)
    return buffer.getvalue()


GOOD = npz.pack({"a": np.arange(6.0)})
HUGE = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (200000000000,)}", b"12345678")
ARCHIVES = {
    "empty": (b"", ["zip"]),
    "no archive": (b"not a zip at all", ["zip"]),
    "first half": (GOOD[: len(GOOD) // 2], ["zip"]),
    "flipped bit": (GOOD.replace(np.float64(3).tobytes(), np.float64(3.5).tobytes()), ["CRC"]),
    "Python objects": (zipped(("a.npy", pickled())), ["a.npy", "Python objects"]),
    "compressed": (
        zipped(("a.npy", bytes(range(256))), compression=zipfile.ZIP_DEFLATED),
        ["a.npy", "stored bytes"],
    ),
    "bomb": (
        zipped(("a.npy", bytes(10**7)), compression=zipfile.ZIP_DEFLATED),
        ["bytes at most", "10000000"],
    ),
    "declares a terabyte": (zipped(("a.npy", HUGE)), ["a.npy", "(200000000000,)"]),
    "no array": (zipped(("a.npy", b"hello")), ["magic"]),
    "header is code": (zipped(("a.npy", npy("__import__('os')"))), ["NPZ"]),
    "negative size": (
        zipped(("a.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"))),
        ["a.npy", "(-1,)"],
    ),
    "unknown version": (zipped(("a.npy", npy("{}", magic=b"\x93NUMPY\x09\x00"))), ["NPZ"]),
}


@pytest.mark.parametrize("content, words", ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_is_refused_before_it_is_believed(tmp_path, content, words):
    refuses(lambda: npz.unpack(tmp_path / "a.npz", content), tmp_path / "a.npz", *words)


def test_no_byte_of_an_archive_can_be_lost_unnoticed():
    for cut in range(0, len(GOOD), 7):
        with pytest.raises(LoadError):
            npz.unpack(Path("a.npz"), GOOD[:cut])


def test_archives_give_back_what_they_were_given():
    arrays = {
        "scalar": np.float32(2.5),
        "empty": np.zeros((0, 3)),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "file": np.array([True, False]),
        "group/member": np.arange(5, dtype=np.uint16)[::2],
    }
    back = npz.unpack(Path("a.npz"), npz.pack(arrays))
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array, strict=name != "scalar")
    with np.load(io.BytesIO(npz.pack(arrays)), allow_pickle=False) as by_numpy:
        assert set(by_numpy) == set(arrays)


# IDX files

IMAGES = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(range(8))
FILES = {
    "empty": (b"", ["magic"]),
    "text": (b"P5 28 28", ["magic", "50352032"]),
    "floats": (IMAGES.replace(b"\0\0\x08", b"\0\0\x0d"), ["type", "0x0d"]),
    "no axis": (bytes([0, 0, 8, 0]), ["rank", "0"]),
    "too many axes": (bytes([0, 0, 8, 9]) + bytes(40), ["rank", "9"]),
    "sizes cut": (IMAGES[:10], ["rank"]),
    "too short": (IMAGES[:-1], ["length", "24 bytes", "23"]),
    "too long": (IMAGES + b"\0", ["length", "24 bytes", "25"]),
    "declares 64 exabytes": (bytes([0, 0, 8, 3]) + b"\xff" * 12, ["length", "4294967295"]),
    "gzip cut": (gzip.compress(IMAGES)[:-6], ["length", "a part"]),
    "gzip damaged": (gzip.compress(IMAGES)[:12] + b"\xff" * 20, ["gzip"]),
    "gzip bomb": (gzip.compress(bytes(data.LARGEST_IDX + 1)), ["length", "at most"]),
}


@pytest.mark.parametrize("content, words", FILES.values(), ids=FILES)
def test_an_idx_file_is_refused_before_it_is_believed(tmp_path, content, words):
    path = tmp_path / "images"
    path.write_bytes(content)
    refuses(lambda: data.idx(path), path, *words)


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    with open(tmp_path / "images", "wb") as file:
        file.truncate(data.LARGEST_IDX + 1)
    refuses(lambda: data.idx(tmp_path / "images"), tmp_path, "size", "at most")


# run directories


def note(directory):
    return sorted(directory.glob("checkpoint-*.json"))[-1]


def edited(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def state(directory, change):
    """Change the newest checkpoint's arrays, and let its note vouch for them."""
    path = note(directory).with_suffix(".npz")
    content = npz.pack(change(npz.unpack(path, path.read_bytes())))
    path.write_bytes(content)
    edited(note(directory), sha256=store.sha256(content))


def setting(directory, old, new):
    path = directory / "config.toml"
    path.write_text(path.read_text().replace(old, new))


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A finished walk of five chunks."""
    directory = tmp_path_factory.mktemp("walks") / "walked"
    assert main(["run", WALK, "--no-cache", "--out", str(directory)]) == 0
    return directory


@pytest.fixture
def copy(walked, tmp_path):
    return Path(shutil.copytree(walked, tmp_path / "copy"))


OTHERS = {
    "other settings": (lambda d: setting(d, "seed = 0", "seed = 1"), ["identity"]),
    "another experiment": (lambda d: setting(d, "walk", "full_stack"), ["experiment", "walk"]),
    "a leaf less": (
        lambda d: state(d, lambda a: {k: a[k] for k in list(a)[:-1]}),
        ["state.position", "float32 (64,)", "nothing of that name"],
    ),
    "a leaf more": (
        lambda d: state(d, lambda a: a | {".speed": a[".position"]}),
        ["state.speed", "nothing of that name"],
    ),
    "another shape": (
        lambda d: state(d, lambda a: a | {".position": np.zeros(63, np.float32)}),
        ["state.position", "float32 (64,)", "float32 (63,)"],
    ),
    "another precision": (
        lambda d: state(d, lambda a: {k: v.astype(np.float64) for k, v in a.items()}),
        ["state.key", "uint32 (2,)", "float64 (2,)"],
    ),
    "metrics cut": (
        lambda d: (d / "metrics.jsonl").write_text(""),
        ["metrics.jsonl", "size", "at least"],
    ),
}


@pytest.mark.parametrize("damage, words", OTHERS.values(), ids=OTHERS)
def test_a_run_is_not_resumed_from_what_is_not_its_own(refused, copy, damage, words):
    damage(copy)
    line = refused("run", WALK, "--no-cache", "--resume", copy)
    assert all(word in line for word in [str(copy), *words]), line


def test_a_run_is_not_resumed_with_other_flags(refused, copy):
    line = refused("run", WALK, "--no-cache", "--resume", copy, "--seed", 3)
    assert "seed is 0, not 3" in line


DAMAGE = {
    "arrays cut": lambda n: n.with_suffix(".npz").write_bytes(b"PK"),
    "arrays gone": lambda n: n.with_suffix(".npz").unlink(),
    "arrays of another chunk": lambda n: shutil.copy(
        sorted(n.parent.glob("checkpoint-*.npz"))[0], n.with_suffix(".npz")
    ),
    "note empty": lambda n: n.write_text(""),
    "note no object": lambda n: n.write_text("[1]"),
    "note without digest": lambda n: n.write_text("{}"),
    "note of another type": lambda n: edited(n, done="five"),
    "note of another chunk": lambda n: edited(n, done=4000),
    "note of deep nesting": lambda n: n.write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_costs_a_chunk_and_not_a_bit(walked, copy, damage, capsys):
    damage(note(copy))
    assert main(["run", WALK, "--no-cache", "--resume", str(copy)]) == 0
    for name in ("arrays.npz", "metrics.jsonl"):
        assert (copy / name).read_bytes() == (walked / name).read_bytes()


def test_two_damaged_checkpoints_are_one_too_many(refused, copy):
    for path in copy.glob("checkpoint-*.npz"):
        path.write_bytes(b"PK")
    line = refused("run", WALK, "--no-cache", "--resume", copy)
    assert "checkpoint-000005.npz: sha256" in line


PAPER = "bogacz_2017_food_size"
REPORTS = {
    "manifest gone": ("manifest.json", None, ["nothing there"]),
    "manifest cut": ("manifest.json", "{", ["JSON"]),
    "manifest a list": ("manifest.json", "[]", ["a JSON object", "list"]),
    "another experiment": ("manifest.json", '{"experiment": "cat"}', [PAPER, "cat"]),
    "nameless": ("manifest.json", "{}", [PAPER, "None"]),
    "settings gone": ("config.toml", None, ["nothing there"]),
    "arrays gone": ("arrays.npz", None, ["nothing there"]),
    "arrays cut": ("arrays.npz", "PK", ["NPZ"]),
    "a field too many": ("values.json", '{"mass": 1}', ["fields", "mass"]),
    "values no text": ("values.json", b"\xff", ["UTF-8"]),
}


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    directory = tmp_path_factory.mktemp("papers") / "paper"
    assert main(["run", PAPER, "--no-cache", "--out", str(directory)]) == 0
    return directory


@pytest.mark.parametrize("name, content, words", REPORTS.values(), ids=REPORTS)
def test_a_report_is_not_drawn_from_a_damaged_run(refused, paper, tmp_path, name, content, words):
    copy = Path(shutil.copytree(paper, tmp_path / "copy"))
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused("report", copy)
    assert all(word in line for word in [str(copy), name, *words]), line
