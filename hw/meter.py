"""Joules of work on the processor at hand, by its own counter where it has one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

POWERCAP = Path("/sys/class/powercap")  # where Linux shows the counters of RAPL


class Reading(NamedTuple):
    """What a counter said; joules is None where there is none, and `reason` says why."""

    joules: float | None
    seconds: float
    source: str
    reason: str = ""


class _Counter(NamedTuple):
    name: str
    path: Path
    wraps_uj: int

    def microjoules(self) -> int:
        return int((self.path / "energy_uj").read_text())


def metered(work: Callable[[], None], *, powercap: Path = POWERCAP) -> Reading:
    """Do the work and read the packages' energy counters around it.

    The joules are of whole packages with all that runs on them meanwhile; the counters wrap, which
    is allowed for once: work must be shorter than a wrap, minutes at full load.

    Args:
        work: what to do.
        powercap: folder of the counters.
    """
    counters, reason = _counters(powercap)
    began = time.perf_counter()
    before = [counter.microjoules() for counter in counters]
    work()
    after = [counter.microjoules() for counter in counters]
    seconds = time.perf_counter() - began
    if not counters:
        return Reading(None, seconds, "", reason)
    spent = sum(
        (b - a) % c.wraps_uj if b < a else b - a
        for a, b, c in zip(before, after, counters, strict=True)
    )
    names = ", ".join(counter.name for counter in counters)
    return Reading(spent * 1e-6, seconds, f"RAPL: {names}")


def _counters(powercap: Path) -> tuple[list[_Counter], str]:
    """Counters of whole packages, or why there are none."""
    zones = sorted(powercap.glob("intel-rapl:[0-9]*")) if powercap.is_dir() else []
    zones = [zone for zone in zones if zone.name.count(":") == 1]  # parts of a package have two
    if not zones:
        return [], f"no RAPL counter under {powercap}"
    found = []
    for zone in zones:
        try:
            name = (zone / "name").read_text().strip()
            wraps = int((zone / "max_energy_range_uj").read_text())
            counter = _Counter(name, zone, wraps + 1)
            counter.microjoules()
        except (OSError, ValueError) as error:
            return [], f"RAPL counter {zone.name} cannot be read: {error}"
        found.append(counter)
    return found, ""
