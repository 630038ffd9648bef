"""Joules are those of the counters, over a wrap too; without a counter that is said."""

import pytest

from hw.meter import metered


def zone(folder, name, energy, wraps=1000):
    path = folder / name
    path.mkdir()
    (path / "name").write_text("package-0\n")
    (path / "energy_uj").write_text(f"{energy}\n")
    (path / "max_energy_range_uj").write_text(f"{wraps}\n")
    return path / "energy_uj"


def test_packages_are_summed_and_their_parts_are_not(tmp_path):
    a = zone(tmp_path, "intel-rapl:0", 100)
    b = zone(tmp_path, "intel-rapl:1", 990)
    part = zone(tmp_path, "intel-rapl:0:0", 5)

    def work():
        a.write_text("350")
        b.write_text("10")  # wrapped at 1000
        part.write_text("500")

    reading = metered(work, powercap=tmp_path)
    assert reading.joules == pytest.approx((250 + 21) * 1e-6)
    assert reading.source == "RAPL: package-0, package-0"
    assert reading.seconds > 0


def test_where_there_is_no_counter_the_work_is_done_and_the_reason_given(tmp_path):
    done = []
    reading = metered(lambda: done.append(1), powercap=tmp_path / "none")
    assert done == [1]
    assert reading.joules is None
    assert "no RAPL counter" in reading.reason


def test_a_counter_that_cannot_be_read_is_no_counter(tmp_path):
    zone(tmp_path, "intel-rapl:0", "nonsense")
    reading = metered(lambda: None, powercap=tmp_path)
    assert reading.joules is None
    assert "intel-rapl:0 cannot be read" in reading.reason
