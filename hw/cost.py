"""Pricing: joules and seconds from a ledger and a platform's figures, itemised."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hw.ledger import Ledger
from hw.platforms import KINDS, Constant, Platform

DRAWN = ("static", "management")  # terms of time, not of events
DOMINANT = 0.5  # a share of static power above this is warned of


class Item(NamedTuple):
    """One line of a bill: so many events at so much each."""

    term: str
    count: float  # events; seconds for static power
    joules: float
    low: float | None  # band of `joules` as the source states it
    high: float | None
    constant: Constant


class Refusal(NamedTuple):
    """A term that happened and cannot be priced."""

    term: str
    platform: str
    reason: str


class Bill(NamedTuple):
    """What a workload costs on a platform, and what the sum leaves out."""

    platform: str
    boundary: str
    items: tuple[Item, ...]
    refusals: tuple[Refusal, ...]
    warning: str = ""

    @property
    def joules(self) -> float | int:
        """Sum over all items."""
        return sum(item.joules for item in self.items)

    @property
    def low(self) -> float | None:
        """Lower end of the sum's band; items without one enter at their value."""
        return self._end("low")

    @property
    def high(self) -> float | None:
        """Upper end of the sum's band; None if an item's low end is all that is published."""
        return self._end("high")

    @property
    def static_share(self) -> float:
        """Share of what is drawn whatever happens, static power and management, in the sum."""
        total = self.joules
        static = sum(item.joules for item in self.items if item.term in DRAWN)
        return static / total if total else 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the sum must know."""
        notes = tuple(f"excludes {r.term}: {r.reason}" for r in self.refusals)
        if bare := sorted({i.term for i in self.items if i.low is None and i.high is None}):
            notes += (f"no published band: {', '.join(bare)}",)
        if open_ended := sorted(
            {i.term for i in self.items if i.low is not None and i.high is None}
        ):
            notes += (f"a minimum, no published maximum: {', '.join(open_ended)}",)
        if self.static_share > DOMINANT:
            notes += (f"static power is {self.static_share:.0%} of the sum",)
        if self.warning:
            notes += (self.warning,)
        return notes

    def _end(self, side: str) -> float | None:
        ends = [getattr(item, side) for item in self.items]
        other = [item.low if side == "high" else item.high for item in self.items]
        if all(end is None for end in ends):
            return None
        if any(end is None and far is not None for end, far in zip(ends, other, strict=True)):
            return None
        return sum(
            item.joules if end is None else end for item, end in zip(self.items, ends, strict=True)
        )


def price(
    counts: Mapping[str, float | int], platform: Platform, *, duration_s: float | None
) -> Bill:
    """Itemised energy of counted events.

    Args:
        counts: by kind, as in `Ledger` or "mac"; see `totals`.
        platform: whose figures to use.
        duration_s: how long it took, for static power; None if that is not known.

    Returns: a bill on which everything that happened is an item, absorbed by one, or refused.

    Raises:
        ValueError: for a kind that does not exist, or a negative or non-finite count or duration.
    """
    given = dict(counts) if duration_s is None else {**counts, "duration_s": duration_s}
    for kind, count in given.items():
        if kind not in (*KINDS, "duration_s"):
            raise ValueError(f"count of {kind!r}: kind must be one of {KINDS}")
        if not (np.isfinite(count) and count >= 0):
            raise ValueError(f"count of {kind!r} must be finite and not negative, got {count}")
    items, refusals = (), ()
    for kind, count in counts.items():
        if kind in platform.prices:
            items += (_item(kind, count, platform.prices[kind]),)
        elif count and kind not in platform.absorbed:
            reason = platform.refusal or f"no published energy per {kind} on this platform"
            refusals += (Refusal(kind, platform.name, reason),)
    static = platform.refusal or "no published static power within this account"
    if platform.static is not None and duration_s is not None:
        items += (_item("static", duration_s, platform.static),)
    elif platform.static is not None:
        refusals += (Refusal("static", platform.name, "no published duration of a step"),)
    elif not platform.absorbed_static:
        refusals += (Refusal("static", platform.name, static),)
    if platform.management is not None and duration_s is not None:
        items += (_item("management", duration_s, platform.management),)
    elif platform.management is not None:
        told = "no published duration of a step"
        refusals += (Refusal("management", platform.name, told),)
    return Bill(platform.name, platform.boundary, items, refusals, platform.warning)


def totals(ledger: Ledger) -> dict[str, int]:
    """Counts of a ledger over all its steps and cores, by kind that can be priced."""
    counts = {k: int(np.sum(c)) for k, c in ledger._asdict().items()}
    return {k: counts[k] for k in KINDS if k in counts}


def event_energy(ledger: Ledger, platform: Platform) -> Float[Array, ""]:
    """Joules of a ledger's priced events alone, to differentiate: `price` without static power."""
    counts = ledger._asdict()
    return sum(c.value * jnp.sum(counts[k]) for k, c in platform.prices.items() if k in counts)


def _item(term: str, count: float | int, constant: Constant) -> Item:
    end = lambda bound: None if bound is None else count * bound
    return Item(
        term, count, count * constant.value, end(constant.low), end(constant.high), constant
    )
