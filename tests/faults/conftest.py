from pathlib import Path

import pytest

from experiments.__main__ import main

WALK = str(Path(__file__).with_name("walk.py"))


@pytest.fixture
def refused(capsys, tmp_path):
    """Run a command that must fail as a user's error does; returns its one line."""

    def contents():
        return {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}

    def run(*arguments):
        before = contents()
        code = main([str(word) for word in arguments])
        said = capsys.readouterr()
        assert code == 2, said
        assert contents() == before, "something was written"
        assert said.out == ""
        lines = said.err.splitlines()
        assert len(lines) == 1, said.err
        assert lines[0].startswith("fepstack: ")
        assert "Traceback" not in lines[0]
        return lines[0]

    return run


@pytest.fixture
def walk(tmp_path, capsys):
    """Run the walk with some flags in a fresh directory; returns the directory."""

    def run(*flags, out="walked"):
        assert main(["run", WALK, "--no-cache", "--out", str(tmp_path / out), *flags]) == 0
        capsys.readouterr()
        return tmp_path / out

    return run
