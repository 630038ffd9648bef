"""The command line answers at once, says what it did, and reports failures by its exit code."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments import __main__ as command_line
from experiments import registry, settings
from experiments.__main__ import main
from experiments.claims import Check
from experiments.papers import bogacz_2017_food_size as bogacz

ROOT = Path(__file__).parents[2]
EXPERIMENTS = registry.experiments()
PAPER = "bogacz_2017_food_size"

QUICK = """
import sys
from experiments import __main__ as command_line
from experiments.__main__ import main
asked = [[], ["list"], ["verify"], ["bench"], ["report"], ["run"]]
asked += [["run", name] for name in sys.argv[1:]]
for words in asked:
    try:
        main([*words, "--help"])
        sys.exit(f"{words} --help did not stop")
    except SystemExit as stop:
        assert not stop.code, stop
main(["list"])
for flags in (["--rate", "x"], ["--rat", "1"], ["--seeds", "0"], ["--config", "nowhere"]):
    assert main(["run", "full_stack", *flags]) == 2
slow = {"jax", "numpy", "matplotlib", "sklearn", "fep", "snn", "hw"} & set(sys.modules)
assert not slow, slow
"""


@pytest.mark.parametrize(
    "names",
    [("full_stack", PAPER), pytest.param(tuple(EXPERIMENTS), marks=pytest.mark.slow)],
    ids=["two", "all"],
)
def test_help_lists_and_bad_flags_are_answered_without_importing_jax(names):
    command = [sys.executable, "-c", QUICK, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in names:
        assert f"usage: fepstack run {name}" in done.stdout
    for path in EXPERIMENTS.values():
        assert registry.headline(path) in done.stdout
    assert "--settle-rate FLOAT" in done.stdout


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_settings_seen_without_importing_an_experiment_are_its_own(name):
    seen, real = (
        registry.config_class(EXPERIMENTS[name]),
        registry.load_module(EXPERIMENTS[name]).Config,
    )
    told = lambda kind: [(f.name, f.type, f.default) for f in dataclasses.fields(kind)]
    assert told(seen) == told(real)
    assert seen.__doc__ == real.__doc__
    assert dataclasses.asdict(seen()) == dataclasses.asdict(real())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_settings_survive_being_written_and_read(tmp_path, name):
    kind = registry.load_module(EXPERIMENTS[name]).Config
    (tmp_path / "config.toml").write_text(settings.dump_config(kind(), name))
    assert settings.load_config(tmp_path / "config.toml", kind, name) == kind()


def test_texts_survive_being_written_and_read(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Kind:
        text: str = 'a "b" \\ \n\t\x01\x7f é 😀'
        small: float = 1e-300
        flag: bool = True

    (tmp_path / "config.toml").write_text(settings.dump_config(Kind(), "kind"), encoding="utf-8")
    assert settings.load_config(tmp_path / "config.toml", Kind, "kind") == Kind()


def test_flags_override_a_settings_file(tmp_path, capsys):
    (tmp_path / "mine.toml").write_text("duration = 1.0\ndt = 0.1")
    flags = ["--config", str(tmp_path / "mine.toml"), "--dt", "0.5", "--no-cache"]
    assert main(["run", PAPER, *flags, "--out", str(tmp_path / "out")]) == 0
    saved = settings.load_config(tmp_path / "out" / "config.toml", bogacz.Config, PAPER)
    assert saved == bogacz.Config(duration=1.0, dt=0.5)


def test_a_run_prints_its_table_and_the_paths_of_what_it_drew(tmp_path, capsys):
    out = tmp_path / "a b" / "é"
    assert main(["run", PAPER, "--no-cache", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "size by descent at time 5" in said
    for name in ("figure.pdf", "figure.png", "report.html"):
        assert str(out / name) in said.splitlines()
        assert (out / name).stat().st_size > 0


def test_a_report_is_redrawn_byte_for_byte_from_the_run_alone(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", PAPER, "--no-cache", "--out", str(out)]) == 0
    drawn = ("figure.pdf", "figure.png", "report.html")
    before = {name: (out / name).read_bytes() for name in drawn}
    for name in drawn:
        (out / name).unlink()
    assert main(["report", str(out)]) == 0
    assert {name: (out / name).read_bytes() for name in drawn} == before


def test_verify_prints_one_object_a_number_and_fails_if_one_fails(capsys, monkeypatch):
    only = {PAPER: command_line.verifiable()[PAPER]}  # all of them take hours at full size
    monkeypatch.setattr(command_line, "verifiable", lambda: only)
    assert main(["verify", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) >= 5
    for row in rows:
        assert list(row) == ["paper", "quantity", "published", "ours", "tolerance", "passed"]
        assert row["passed"] is True
    good, bad = Check("p", "q", 1.0, 1.0, 0.1), Check("p", "q", 1.0, float("nan"), 0.1)
    monkeypatch.setattr(bogacz, "verify", lambda: [good, bad])
    assert main(["verify", PAPER, "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["ours"], row["passed"]) for row in rows] == [(1.0, True), (None, False)]
    assert main(["verify", PAPER]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_a_number_passes_within_its_tolerance_only():
    assert Check("p", "q", 2.0, 2.25, 0.25).passed
    assert not Check("p", "q", 2.0, 2.26, 0.25).passed
    assert not Check("p", "q", 2.0, float("inf"), float("inf")).passed


def test_only_the_command_line_keeps_compiled_programs_and_can_be_told_not_to(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = "jax_compilation_cache_dir"
    before = getattr(jax.config, name)
    try:
        assert main(["run", PAPER, "--no-cache", "--out", str(tmp_path / "a")]) == 0
        assert getattr(jax.config, name) == before
        assert main(["run", PAPER, "--out", str(tmp_path / "b")]) == 0
        assert getattr(jax.config, name) == str(tmp_path / "cache" / "fepstack" / "compiled")
    finally:
        jax.config.update(name, before)


@pytest.mark.slow
def test_a_missing_extra_is_named_and_costs_no_results(tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["run", PAPER, "--no-cache", "--out", str(out)]) == 2
    assert "pip install 'fepstack[figures]'" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["report", str(out)]) == 0
