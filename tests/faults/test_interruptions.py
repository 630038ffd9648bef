"""A run may be killed at any moment and resumed: the results do not differ in a bit."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.__main__ import main

ROOT = Path(__file__).parents[2]
WALK = str(Path(__file__).with_name("walk.py"))
LENGTH = 300
FLAGS = ["--length", str(LENGTH), "--pause-s", "0.004"]  # time enough to be hit


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "walk"
    assert main(["run", WALK, "--no-cache", "--out", str(directory), *FLAGS]) == 0
    return directory


def begin(directory):
    how = ["--resume", str(directory)]
    if not (directory / "config.toml").exists():
        how = ["--out", str(directory), *FLAGS]
    command = [sys.executable, "-m", "experiments", "run", WALK, "--no-cache", *how]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def reach(process, directory, chunk):
    """Wait until a run has done so many chunks."""
    while not any(int(p.stem[-6:]) >= chunk for p in directory.glob("checkpoint-*.json")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)


def agree(directory, undisturbed):
    for name in ("arrays.npz", "metrics.jsonl"):
        assert (directory / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_kills_change_no_bit(kills, tmp_path, undisturbed):
    moments = random.Random(2017)
    directory = tmp_path / "walk"
    for chunk in sorted(moments.sample(range(1, LENGTH - 40), kills)):
        with begin(directory) as process:
            reach(process, directory, chunk)
            time.sleep(moments.uniform(0, 0.01))  # anywhere in a chunk or a save
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not (directory / "manifest.json").exists()
    assert main(["run", WALK, "--no-cache", "--resume", str(directory)]) == 0
    agree(directory, undisturbed)
    assert not list(directory.glob(".*.tmp")), "files half-written when killed are swept up"


@pytest.mark.slow
def test_two_runs_do_not_share_a_directory(tmp_path, refused):
    directory = tmp_path / "walk"
    with begin(directory) as process:
        reach(process, directory, 1)
        process.send_signal(signal.SIGSTOP)  # at work, but writing nothing
        line = refused("run", WALK, "--no-cache", "--resume", directory)
        process.kill()
    assert f"{directory}: another run is at work here" in line


@pytest.mark.parametrize(
    "signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_polite_signal_ends_after_the_chunk_and_says_how_to_go_on(tmp_path, undisturbed, signum):
    directory = tmp_path / "walk"
    with begin(directory) as process:
        reach(process, directory, 20)
        process.send_signal(signum)
        said = process.stderr.read()
    assert process.returncode == 128 + signum
    assert f"--resume {directory}" in said
    assert "Traceback" not in said
    assert main(["run", WALK, "--no-cache", "--resume", str(directory)]) == 0
    agree(directory, undisturbed)
