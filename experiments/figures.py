"""House style of all figures, and the one way to save them; experiments draw on what it gives."""

import io
from pathlib import Path

import numpy as np

from experiments.store import write_atomically

MM_PER_INCH = 25.4
DPI = 300
# Okabe & Ito's palette as printed by Wong (2011), Nature Methods 8:441: safe for colour blindness
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"

# 5-7 pt sans, thin lines, no grid: Nature's guide to preparing figures. DejaVu Sans comes with
# matplotlib, so that a figure has the same bytes wherever it is drawn.
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 6,
    "axes.labelsize": 6,
    "axes.titlesize": 6,
    "xtick.labelsize": 5.5,
    "ytick.labelsize": 5.5,
    "legend.fontsize": 5.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.minor.size": 1,
    "ytick.minor.size": 1,
    "lines.linewidth": 0.9,
    "lines.markersize": 2.5,
    "patch.linewidth": 0.5,
    "hatch.linewidth": 0.5,
    "image.cmap": "viridis",
    "pdf.fonttype": 42,  # TrueType, which editors can read
}


def panels(rows: int, columns: int, *, height_mm: float, width_mm: float = 183.0):
    """A figure of lettered panels in the house style.

    The style stays set for the process, because it must hold while an experiment draws.

    Args:
        rows: of panels.
        columns: of panels.
        height_mm: of the whole figure, in millimetres.
        width_mm: 183 for a page, 89 for a column.

    Returns:
        The figure, and its axes as a list in reading order.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(STYLE)
    size = width_mm / MM_PER_INCH, height_mm / MM_PER_INCH
    figure = Figure(figsize=size, layout="constrained")
    axes = list(np.ravel(figure.subplots(rows, columns)))
    if len(axes) > 1:
        for letter, ax in zip("abcdefghijklmnopqrstuvwxyz", axes, strict=False):
            ax.set_title(letter, loc="left", fontweight="bold", fontsize=8, pad=4)
    return figure, axes


def save(figure, stem: Path) -> list[Path]:
    """Write `stem`.pdf and `stem`.png; equal figures give equal bytes."""
    paths = []
    for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
        paths.append(stem.with_suffix(f".{kind}"))
        write_atomically(paths[-1], buffer.getvalue())
    return paths
