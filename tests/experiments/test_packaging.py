"""The front door: versions are pinned by name alone, and a machine without Python is told so."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = [ROOT / "constraints.txt", *(ROOT / "experiments" / "benchmarks" / "peers").glob("*.txt")]
PIN = re.compile(
    r"([a-z0-9-]+)==([0-9][0-9a-z.]*)( ; (python_full_version|sys_platform|platform_machine) .*)?"
)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_locks_hold_names_and_versions_alone(path):
    lines = path.read_text().splitlines()
    assert lines
    assert [line for line in lines if not PIN.fullmatch(line)] == []


def test_every_requirement_of_a_fresh_checkout_is_pinned():
    pinned = {PIN.fullmatch(line)[1] for line in LOCKS[0].read_text().splitlines()}
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [line for extra in extras.values() for line in extra]
    names = {re.match(r"[A-Za-z0-9-]+", line)[0].lower() for line in wanted}
    assert names - pinned == set()


def test_what_is_cited_is_what_is_built():
    assert f"\nversion: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.fixture
def bare(tmp_path):
    """A copy of what `make` reads in a folder with a space, and a path without any Python."""
    folder, path = tmp_path / "a b", tmp_path / "bin"
    folder.mkdir()
    path.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    for tool in ("rm", "touch"):
        (path / tool).symlink_to(shutil.which(tool))
    return folder, path


def make(folder, path, *words):
    command = [shutil.which("make"), *words]
    return subprocess.run(
        command, cwd=folder, env={"PATH": str(path)}, capture_output=True, text=True
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("command", ["demo", "test"])
def test_a_machine_without_python_is_told_what_to_install(bare, command):
    done = make(*bare, command)
    assert done.returncode != 0
    assert "No Python >= 3.11" in done.stderr
    assert not (bare[0] / ".venv").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_an_install_that_was_broken_off_is_repeated(bare):
    folder, path = bare
    log = folder / "log"
    python = path / "python3.13"  # stands in: probes succeed, the first install fails
    python.write_text(
        "#!/bin/sh\n"
        'if [ "$2" = venv ]; then\n'
        '  /bin/mkdir -p "$4/bin"; /bin/cp "$0" "$4/bin/python"\n'
        "fi\n"
        f'echo "$*" >> "{log}"\n'
        f'if [ "$2" = pip ] && [ ! -e "{path}/works" ]; then exit 1; fi\n'
    )
    python.chmod(0o755)
    assert make(folder, path, "test").returncode != 0
    (path / "works").touch()
    for _ in range(2):
        assert make(folder, path, "test").returncode == 0
    words = [line.split()[1] for line in log.read_text().splitlines() if line.startswith("-m")]
    assert words == ["venv", "pip", "venv", "pip", "pip", "pytest", "pytest"]
