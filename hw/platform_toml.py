"""Platforms of one's own, from TOML: every number with unit, evidence and source, or refused.

A table of constants holds, for each term, an inline table:

    name = "My chip"
    boundary = "one core"
    [prices]
    synaptic_event = { value = 12, unit = "pJ", quantity = "energy per SOP", node = "28 nm",
                       evidence = "measured", source = "my bench, 2026", low = 10, high = 14 }

with the tables `prices`, `capacity`, `envelope`, `send`, `receive` and `barrier`, the constants
`static` and `tick`, the reasons `absorbed`, `instant` and `boundless`, and `mesh`.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from hw.platforms import (
    ENVELOPES,
    EVENTS,
    KINDS,
    LIMITS,
    Capacity,
    Constant,
    Mesh,
    Platform,
    Serial,
    Tick,
)

PREFIXES = {"a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3}
PREFIXES |= {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
PREFIXED = ("J", "s", "W", "Hz")  # units that may carry a prefix
TABLES = ("prices", "capacity", "envelope", "send", "receive", "barrier", "mesh")
REASONS = ("absorbed", "instant", "boundless")
SINGLE = ("name", "boundary", "absorbed_static", "refusal", "static", "tick", "learns")


def load_platform(text: str, *, where: str = "platform") -> Platform:
    """The platform that a TOML text describes.

    Args:
        text: in TOML.
        where: what to call it in errors: the path of its file, say.

    Raises:
        ValueError: naming the field, what was expected and what came.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: expected TOML, {error}") from error
    if odd := sorted(set(given) - {*TABLES, *REASONS, *SINGLE}):
        raise ValueError(f"{where}: unknown field {odd[0]!r}, expected one of {(*SINGLE, *TABLES)}")
    for name in ("name", "boundary"):
        if not isinstance(given.get(name), str) or not given[name]:
            raise ValueError(f"{where}: {name} must be text, got {given.get(name)!r}")
    read = _Tables(given, where)
    capacity = read.table("capacity", LIMITS)
    boundless, learns = read.reasons("boundless"), given.get("learns", False)
    try:
        return Platform(
            given["name"],
            given["boundary"],
            prices=read.table("prices", KINDS),
            absorbed=read.reasons("absorbed"),
            static=read.one("static"),
            absorbed_static=given.get("absorbed_static", ""),
            clock=_clock(read),
            mesh=_mesh(given.get("mesh"), where),
            capacity=Capacity(**capacity, learns=learns, boundless=boundless),
            refusal=given.get("refusal", ""),
            envelope=read.table("envelope", ENVELOPES),
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


class _Tables:
    def __init__(self, given: Mapping[str, Any], where: str):
        self.given, self.where = given, where

    def table(self, name: str, allowed: tuple[str, ...]) -> dict[str, Constant]:
        return {k: self.constant(f"{name}.{k}", v) for k, v in self.raw(name, allowed).items()}

    def reasons(self, name: str) -> dict[str, str]:
        table = self.raw(name, None)
        for key, reason in table.items():
            if not isinstance(reason, str) or not reason:
                raise ValueError(f"{self.where}: {name}.{key} must be a reason, got {reason!r}")
        return table

    def one(self, name: str) -> Constant | None:
        return self.constant(name, self.given[name]) if name in self.given else None

    def raw(self, name: str, allowed: tuple[str, ...] | None) -> dict[str, Any]:
        table = self.given.get(name, {})
        if not isinstance(table, dict):
            raise ValueError(f"{self.where}: {name} must be a table, got {table!r}")
        for key in table:
            if allowed is not None and key not in allowed:
                raise ValueError(f"{self.where}: {name}.{key} must be one of {allowed}")
        return table

    def constant(self, field: str, given: Any) -> Constant:
        names = {f.name: f for f in fields(Constant)}
        if not isinstance(given, dict):
            raise ValueError(f"{self.where}: {field} must be a table of a constant, got {given!r}")
        if odd := sorted(set(given) - set(names)):
            raise ValueError(f"{self.where}: {field} has {odd[0]!r}, expected {tuple(names)}")
        for name in ("value", "unit", "quantity", "node", "evidence", "source"):
            number = name == "value"
            if not isinstance(given.get(name), int | float if number else str) or (
                isinstance(given.get(name), bool)
            ):
                kind = "a number" if number else "text"
                raise ValueError(
                    f"{self.where}: {field}.{name} must be {kind}, got {given.get(name)!r}"
                )
        unit, scale = _base(given["unit"])
        numbers = {k: given[k] * scale for k in ("value", "low", "high") if k in given}
        try:
            return Constant(**{**given, **numbers, "unit": unit})
        except ValueError as error:
            raise ValueError(f"{self.where}: {field}: {error}") from error


def _base(unit: str) -> tuple[str, float | int]:
    for base in PREFIXED:
        if unit.endswith(base) and unit[: -len(base)] in PREFIXES:
            return base, PREFIXES[unit[: -len(base)]]
    return unit, 1


def _clock(read: _Tables) -> Tick | Serial | None:
    tick = read.one("tick")
    serial = [name for name in ("send", "receive", "barrier") if name in read.given]
    if tick is not None and serial:
        raise ValueError(f"{read.where}: tick and {serial[0]} cannot both be given")
    if tick is not None:
        return Tick(tick)
    if not serial:
        return None
    keys = read.raw("barrier", None)
    if bad := [key for key in keys if not key.isdigit() or int(key) < 1]:
        raise ValueError(f"{read.where}: barrier.{bad[0]} must be a number of tiles")
    barrier = {int(k): read.constant(f"barrier.{k}", v) for k, v in keys.items()}
    latency: Callable[[str], dict] = lambda name: read.table(name, EVENTS)
    return Serial(latency("send"), latency("receive"), barrier, read.reasons("instant"))


def _mesh(given: Any, where: str) -> Mesh | None:
    if given is None:
        return None
    expected = {"width": int, "height": int, "cores_per_tile": int, "source": str}
    if not isinstance(given, dict) or set(given) != set(expected):
        raise ValueError(f"{where}: mesh must hold {tuple(expected)}, got {given!r}")
    for name, kind in expected.items():
        if type(given[name]) is not kind:
            raise ValueError(f"{where}: mesh.{name} must be {kind.__name__}, got {given[name]!r}")
    return Mesh(**given)
