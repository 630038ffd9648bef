"""Settings that make no sense cost one clear line and exit code 2; nothing is written."""

from pathlib import Path

import pytest

WALK = str(Path(__file__).with_name("walk.py"))
DEEP = b"seed = " + b"[" * 10_000

FILES = {
    "unknown key": (b"sead = 1", ["sead", "seed, length, rate"]),
    "text for a whole number": (b'seed = "1"', ["seed", "whole number", "'1'"]),
    "fraction for a whole number": (b"seed = 1.5", ["seed", "whole number", "1.5"]),
    "truth for a whole number": (b"seed = true", ["seed", "whole number", "True"]),
    "text for a number": (b'rate = "fast"', ["rate", "number", "fast"]),
    "truth for a number": (b"rate = false", ["rate", "number", "False"]),
    "list for a number": (b"rate = [0.1]", ["rate", "number", "[0.1]"]),
    "table for a number": (b"[rate]\nx = 1", ["rate", "number", "{'x': 1}"]),
    "date for a number": (b"rate = 2026-11-24", ["rate", "number", "2026"]),
    "dotted key": (b"rate.x = 1", ["rate", "number"]),
    "not a number": (b"rate = nan", ["rate", "finite", "nan"]),
    "infinity": (b"rate = inf", ["rate", "finite", "inf"]),
    "minus infinity": (b"rate = -inf", ["rate", "finite", "-inf"]),
    "overflow to infinity": (b"rate = 1e400", ["rate", "finite", "inf"]),
    "whole number past floats": (b"rate = 1" + b"0" * 400, ["rate", "finite", "inf"]),
    "33 bits": (b"seed = 4294967296", ["seed", "32 bits", "4294967296"]),
    "65 bits": (b"seed = 18446744073709551616", ["seed", "32 bits", "18446744073709551616"]),
    "out of the experiment's range": (b"length = 0", ["length must be at least 1", "0"]),
    "duplicate key": (b"seed = 1\nseed = 2", ["TOML", "overwrite"]),
    "no value": (b"seed =", ["TOML", "Invalid value"]),
    "no syntax": (b"seed: 1", ["TOML", "line 1"]),
    "empty key": (b'"" = 1', ["one of seed"]),
    "line break in a key": (b'"se\\nd" = 1', ["se d", "one of seed"]),
    "deep nesting": (DEEP, ["TOML"]),
    "byte order mark": (b"\xef\xbb\xbfseed = 1", ["TOML", "line 1"]),
    "UTF-16": ("seed = 1".encode("utf-16"), ["byte 0", "UTF-8"]),
    "binary": (b"\x00\x01\x02\xff", ["byte 3", "UTF-8"]),
    "another experiment's": (b'experiment = "full_stack"', ["experiment", "walk", "full_stack"]),
}


@pytest.mark.parametrize("content, words", FILES.values(), ids=FILES)
def test_a_settings_file_is_refused_by_name_and_key(refused, tmp_path, content, words):
    path = tmp_path / "settings.toml"
    path.write_bytes(content)
    line = refused("run", WALK, "--config", path, "--out", tmp_path / "out")
    assert all(word in line for word in [str(path), *words]), line


FLAGS = {
    "unknown flag": (["--sead", "1"], ["--sead"]),
    "text for a whole number": (["--seed", "one"], ["--seed", "one"]),
    "no value": (["--seed"], ["--seed"]),
    "a word too many": (["further"], ["further"]),
    "not a number": (["--rate", "nan"], ["--rate", "finite", "nan"]),
    "33 bits": (["--seed", "4294967296"], ["--seed", "32 bits"]),
    "out of the experiment's range": (["--length", "0"], ["length must be at least 1", "0"]),
    "no settings file": (["--config", "nowhere.toml"], ["nowhere.toml", "nothing there"]),
    "directory as settings file": (["--config", "/"], ["/: file", "no file"]),
    "nothing to resume": (["--resume", "nowhere"], ["nowhere/config.toml", "nothing there"]),
    "two sources of settings": (["--resume", "a", "--config", "b"], ["--resume", "--config"]),
    "two directories": (["--resume", "a", "--out", "b"], ["--resume", "--out"]),
    "results in a file": (["--out", WALK], [WALK, "not empty"]),
    "results below a file": (["--out", WALK + "/x"], [WALK]),
    "results among others": (["--out", str(Path(WALK).parent)], ["not empty", "--out"]),
}


@pytest.mark.parametrize("flags, words", FLAGS.values(), ids=FLAGS)
def test_a_flag_is_refused_by_name(refused, flags, words):
    line = refused("run", WALK, "--no-cache", *flags)
    assert all(word in line for word in words), line


COMMANDS = {
    "no command": ([], ["list"]),
    "unknown command": (["walk"], ["walk", "list"]),
    "no experiment": (["run"], ["NAME"]),
    "unknown experiment": (["run", "fullstack"], ["fullstack", "full_stack"]),
    "no such file": (["run", "nowhere.py"], ["nowhere.py"]),
    "nothing to verify": (["verify", "nothing"], ["nothing", "bogacz_2017_food_size"]),
    "no such benchmark": (["bench", "nothing"], ["nothing", "predictive_coding"]),
    "report on nothing": (["report", "nowhere"], ["nowhere/manifest.json"]),
}


@pytest.mark.parametrize("words, told", COMMANDS.values(), ids=COMMANDS)
def test_a_command_is_refused_by_name(refused, words, told):
    line = refused(*words)
    assert all(word in line for word in told), line


@pytest.mark.parametrize(
    "source, words", [("def f(:", ["not a Python module"]), ("x = 1", ["class Config"])]
)
def test_a_file_that_is_no_experiment_is_refused(refused, tmp_path, source, words):
    path = tmp_path / "mine.py"
    path.write_text(source)
    line = refused("run", path)
    assert all(word in line for word in [str(path), *words]), line


def test_the_newest_run_is_asked_for_where_there_is_none(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no finished run below runs/" in refused("report")


def test_a_huge_settings_file_is_not_read(refused, tmp_path):
    path = tmp_path / "huge.toml"
    with open(path, "wb") as file:
        file.truncate(1 << 25)
    assert "size: expected at most" in refused("run", WALK, "--config", path)
