"""Settings of an experiment: plain scalars, checked one by one, as TOML in both directions."""

import dataclasses
import json
import math
import tomllib
from pathlib import Path
from typing import Any

from experiments.store import LoadError, Refusal, read_text

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes"}


def expected(kind: type, value: Any) -> str | None:
    """What a setting of this kind must be, if `value` is not that."""
    if type(value) is not kind:
        return KINDS[kind]
    if kind is int and not -(2**31) <= value < 2**31:
        return "a whole number of 32 bits"  # what jax's default integers hold
    if kind is float and not math.isfinite(value):
        return "a finite number"
    return None


def check_config(config: Any) -> None:
    """Refuse settings that no experiment can mean, before its own checks are relied on."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if (wanted := expected(field.type, value)) is not None:
            raise Refusal(f"--{field.name.replace('_', '-')}: expected {wanted}, found {value}")


def load_config(path: Path, kind: type, experiment: str) -> Any:
    """Settings from a TOML file; what it leaves out keeps its default.

    Args:
        path: the file.
        kind: the experiment's Config.
        experiment: its name; a file that names another in its key `experiment` is refused.

    Raises:
        LoadError: naming the key at fault, what is allowed there, and what came.
        Refusal: if the Config itself refuses the values.
    """
    try:
        table = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LoadError(path, "syntax", "TOML", error) from error
    if (named := table.pop("experiment", experiment)) != experiment:
        raise LoadError(path, "experiment", repr(experiment), repr(named))
    kinds = {field.name: field.type for field in dataclasses.fields(kind)}
    for key, value in table.items():
        if key not in kinds:
            raise LoadError(path, key, f"one of {', '.join(kinds)}", "an unknown setting")
        if kinds[key] is float and type(value) is int:
            value = table[key] = float(value) if abs(value) < 2**63 else math.inf
        if (wanted := expected(kinds[key], value)) is not None:
            raise LoadError(path, key, wanted, repr(value))
    try:
        return kind(**table)
    except ValueError as error:
        raise Refusal(f"{path}: {error}") from error


def dump_config(config: Any, experiment: str) -> str:
    """The TOML that `load_config` reads back."""
    table = {"experiment": experiment, **dataclasses.asdict(config)}
    # JSON's scalars are TOML's, but for one control character
    lines = (f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in table.items())
    return "".join(lines).replace("\x7f", "\\u007f")


def differences(ours: Any, theirs: Any) -> str:
    """The settings in which two Configs differ, as text; empty if they agree."""
    pairs = zip(*(dataclasses.asdict(config).items() for config in (ours, theirs)), strict=True)
    return ", ".join(f"{k} is {a}, not {b}" for (k, a), (_, b) in pairs if a != b)
