"""A run is its settings carried out: same settings, same bytes, however it is cut."""

import json
import math
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from experiments import checkpoint, registry, run, store
from experiments.checkpoint import Progress
from experiments.claims import Row, readable
from experiments.run import Experiment, Interrupted, execute

walk = registry.load_module(Path(__file__).parents[1] / "faults" / "walk.py")
QUIET = Console(quiet=True)


def carry_out(directory, config):
    execute(Experiment.of("walk", walk), config, directory, QUIET)
    return run.read_result(directory, walk.Result)


def test_equal_settings_give_equal_bytes_and_others_do_not(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        carry_out(tmp_path / name, walk.Config(seed=seed))
    read = lambda name, file: (tmp_path / name / file).read_bytes()
    for file in ("arrays.npz", "metrics.jsonl", "values.json"):
        assert read("a", file) == read("b", file)
    assert read("a", "arrays.npz") != read("c", "arrays.npz")


def test_a_run_is_its_steps_one_after_another(tmp_path):
    config = walk.Config(length=7)
    state = walk.init(config)
    for chunk in range(7):
        state, metrics = walk.step(config, state, chunk)
    found = carry_out(tmp_path, config)
    np.testing.assert_array_equal(found.position, state.position)
    np.testing.assert_array_equal(found.by_half["right"], state.position[32:])
    assert found.length == 7
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1]) == {"chunk": 6, **metrics}
    assert len(lines) == 7


def test_an_experiment_of_one_function_is_run_by_the_same_loop(tmp_path):
    class Result(NamedTuple):
        square: np.ndarray

    short = SimpleNamespace(run=lambda config: Result(np.array(config.seed**2)))
    execute(Experiment.of("short", short), walk.Config(seed=5), tmp_path, QUIET)
    assert run.read_result(tmp_path, Result).square == 25
    assert not (tmp_path / "metrics.jsonl").exists()


def test_what_cannot_start_leaves_nothing_behind(tmp_path):
    def init(config):
        raise store.LoadError("data", "file", "a file", "none")

    broken = Experiment.of("walk", walk)._replace(init=init)
    with pytest.raises(store.LoadError):
        execute(broken, walk.Config(), tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()


def test_the_manifest_names_what_ran_and_digests_what_came_out(tmp_path):
    inputs = {"digits": "e1ce"}
    experiment = Experiment.of("walk", walk)._replace(inputs=lambda config: inputs)
    execute(experiment, walk.Config(seed=9), tmp_path, QUIET)
    manifest = store.read_json(tmp_path / "manifest.json")
    assert manifest["experiment"] == "walk"
    assert manifest["config"]["seed"] == 9
    assert manifest["inputs"] == inputs
    assert manifest["versions"]["jax"] == jax.__version__
    assert manifest["cpu_s"] >= 0
    outputs = {"arrays.npz", "values.json", "checks.json", "metrics.jsonl"}
    assert set(manifest["outputs"]) == outputs
    for name, digest in manifest["outputs"].items():
        assert store.sha256((tmp_path / name).read_bytes()) == digest


def test_two_checkpoints_are_kept(tmp_path):
    carry_out(tmp_path, walk.Config(length=6))
    stems = sorted(path.stem for path in tmp_path.glob("checkpoint-*"))
    assert stems == ["checkpoint-000005"] * 2 + ["checkpoint-000006"] * 2


def test_a_state_comes_back_as_it_was_saved(tmp_path):
    state = {
        "key": jax.random.key(1, impl="rbg"),
        "keys": jax.random.split(jax.random.key(2), 3),
        "half": jnp.array([1.5, math.nan], jnp.bfloat16).astype(jnp.float16),
        "nested": (jnp.arange(3, dtype=jnp.int8), [np.array(True)]),
    }
    (tmp_path / checkpoint.METRICS).write_text("")
    checkpoint.save(tmp_path, "i", Progress(state, 4, 1.5, 2.5))
    back = checkpoint.restore(tmp_path, "i", jax.tree.map(lambda a: a, state))
    assert back[1:] == (4, 1.5, 2.5)
    assert jax.tree.structure(back.state) == jax.tree.structure(state)
    for name in ("key", "keys"):
        assert back.state[name].dtype == state[name].dtype
        draw = lambda key: jax.random.bits(key if key.ndim == 0 else key[1])
        assert draw(back.state[name]) == draw(state[name])
    for a, b in zip(*map(jax.tree.leaves, (state["nested"], back.state["nested"])), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    np.testing.assert_array_equal(back.state["half"], state["half"], strict=True)


def test_a_state_that_is_no_array_or_changes_its_type_is_refused(tmp_path):
    experiment = Experiment.of("walk", walk)
    number = experiment._replace(
        init=lambda config: 3.0, step=lambda config, state, chunk: (state, {})
    )
    with pytest.raises(TypeError, match="must be an array to be saved, got float"):
        execute(number, walk.Config(), tmp_path / "a", QUIET)
    grows = experiment._replace(
        init=lambda config: jnp.zeros(2), step=lambda config, state, chunk: (jnp.zeros(3), {})
    )
    with pytest.raises(TypeError, match=r"float32 \(2,\).*float32 \(3,\)"):
        execute(grows, walk.Config(), tmp_path / "b", QUIET)


def test_metrics_that_json_cannot_say_are_null(tmp_path):
    checkpoint.append_metrics(tmp_path, 0, {"a": math.nan, "b": -math.inf, "c": np.float32(0.5)})
    line = (tmp_path / checkpoint.METRICS).read_text()
    assert line == '{"chunk": 0, "a": null, "b": null, "c": 0.5}\n'


def test_a_second_signal_stops_at_once(tmp_path):
    done = []

    def step(config, state, chunk):
        signal.raise_signal(signal.SIGINT)
        done.append("first")
        if config.seed:
            signal.raise_signal(signal.SIGINT)
            done.append("second")
        return state, {}

    experiment = Experiment.of("walk", walk)._replace(step=step)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        execute(experiment, walk.Config(), tmp_path / "polite", QUIET)
    assert (tmp_path / "polite" / "checkpoint-000001.npz").exists()
    with pytest.raises(Interrupted):
        execute(experiment, walk.Config(seed=1), tmp_path / "hasty", QUIET)
    assert not list((tmp_path / "hasty").glob("checkpoint-*"))
    assert done == ["first", "first"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    "row, words",
    [
        (Row("a", 0.98123), ("0.9812", "", "")),
        (Row("a", 4.2e-8, "J", low=1e-8, high=9.9e-8), ("42", "10 – 99", "nJ")),
        (Row("a", 1234.5, "W"), ("1.234", "", "kW")),
        (Row("a", 3e-20, "J"), ("3e-05", "", "fJ")),
        (Row("a", 2.3e-6, "J/inference"), ("2.3", "", "µJ/inference")),
        (Row("a", 2.3e-6, "bits"), ("2.3e-06", "", "bits")),
        (Row("a", 0.0, "J"), ("0", "", "J")),
        (Row("a", math.nan, "s"), ("nan", "", "s")),
        (Row("a", 3e-6, "J", low=3e-6), ("3", "3 – ?", "µJ")),
        (Row("a remark", None, "J", "why"), ("", "", "")),
    ],
)
def test_rows_read_in_the_prefix_that_suits_them(row, words):
    assert readable(row) == words
