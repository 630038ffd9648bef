"""Figures are the same bytes every time, at the size and in the type that journals ask for."""

import numpy as np
import pytest

from experiments import figures


def draw():
    figure, axes = figures.panels(2, 2, height_mm=120)
    for ax in axes:
        ax.plot(np.arange(9), np.arange(9) ** 2, label="square", color=figures.BLUE)
        ax.set(xlabel="time (s)", ylabel="area (m²)")
        ax.legend()
    return figure


def test_equal_figures_are_equal_bytes_and_are_not_dated(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (figures.save(draw(), tmp_path / name / "f") for name in "ab")
    assert [path.name for path in first] == ["f.pdf", "f.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert b"CreationDate" not in first[0].read_bytes()
    assert b"/FontFile2" in first[0].read_bytes()  # TrueType; type 3 fonts cannot be edited


def test_panels_are_lettered_in_reading_order_and_measured_in_millimetres():
    figure, axes = figures.panels(2, 2, height_mm=120)
    assert [ax.get_title(loc="left") for ax in axes] == ["a", "b", "c", "d"]
    assert figure.get_size_inches() * 25.4 == pytest.approx([183, 120])
    _, (alone,) = figures.panels(1, 1, height_mm=50, width_mm=89)
    assert alone.get_title(loc="left") == ""


def test_the_style_holds_while_an_experiment_draws():
    _, (ax,) = figures.panels(1, 1, height_mm=50)
    (line,) = ax.plot([0, 1])
    assert line.get_linewidth() == figures.STYLE["lines.linewidth"]
    line.set_label("line")
    assert not ax.legend().get_frame_on()
    assert 5 <= ax.xaxis.label.get_size() <= 7
    assert not ax.spines["top"].get_visible()
