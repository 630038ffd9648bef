"""What an experiment says: rows of a table, checks against a source, timings beside a peer."""

import math
from typing import NamedTuple


class Row(NamedTuple):
    """One line of a result table; without a value it is a remark."""

    label: str
    value: float | None
    unit: str = ""
    source: str = ""
    low: float | None = None  # band, where there is one
    high: float | None = None


class Check(NamedTuple):
    """One number of ours beside a published one."""

    paper: str
    quantity: str
    published: float
    ours: float
    tolerance: float  # absolute, in the quantity's unit

    @property
    def passed(self) -> bool:
        """Whether ours lies within the tolerance; never where a number is not finite."""
        return math.isfinite(self.ours) and abs(self.ours - self.published) <= self.tolerance

    def as_json(self) -> dict[str, str | float | bool | None]:
        """As plain data; what JSON cannot say (NaN, infinities) is null."""
        ours = self.ours if math.isfinite(self.ours) else None
        return {**self._asdict(), "ours": ours, "passed": self.passed}


class Timing(NamedTuple):
    """One figure of ours beside a peer's, on the same work in the same run."""

    name: str
    unit: str
    ours: float | None
    peer: float | None  # None: no peer is at hand, and `note` says so
    peer_version: str
    ratio: float | None  # ours / peer, median over the pairs
    runs: int  # pairs
    note: str = ""


PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}
PREFIXED = {"J", "s", "W", "Hz"}  # units that are read with SI prefixes


def readable(row: Row) -> tuple[str, str, str]:
    """A row's value, band and unit, in the prefix that suits the value.

    A band is empty where there is none, and has "?" for an upper end that is not published. A row
    without a value gives three empty cells.
    """
    if row.value is None:
        return "", "", ""
    power = 0
    if row.unit.split("/")[0] in PREFIXED and row.value and math.isfinite(row.value):
        power = min(9, max(-15, 3 * math.floor(math.log10(abs(row.value)) / 3)))
    number = lambda value: f"{value / 10.0**power:.4g}"
    band = ""
    if row.low is not None:
        band = f"{number(row.low)} – " + ("?" if row.high is None else number(row.high))
    return number(row.value), band, PREFIXES[power] + row.unit
