"""One self-contained HTML page a run, drawn from the run's directory alone."""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from experiments.checkpoint import METRICS
from experiments.claims import Row, readable
from experiments.figures import save
from experiments.run import CHECKS, MANIFEST, read_result
from experiments.store import read_json, read_text, write_atomically

TEMPLATE = Path(__file__).with_name("report.html")
LARGEST_BYTES = 2_000_000  # of the page; what the rest of it leaves is the raster's
LARGEST_INDEX = 2**15  # of steps and units: both go into 16 bits, a unit together with its sign


def write(directory: Path, module: ModuleType, config: Any) -> list[Path]:
    """Draw the figure and the page of a run; returns their paths.

    Uses what the experiment's module has of `figure(result)`, `summary(config, result)`,
    `tables(config, result)` (rows by title) and `raster(config, result)` (spikes by population).
    """
    result = read_result(directory, module.Result)
    manifest = read_json(directory / MANIFEST)
    checks = read_json(directory / CHECKS)["checks"]
    metrics = _read_metrics(directory / METRICS)
    paths, above, below = [], [], []
    if _defines(module, "summary"):
        above.append(_section("Result", _rows(module.summary(config, result))))
    if _defines(module, "figure"):
        paths += save(module.figure(result), directory / "figure")
        above.append(_section("Figure", _picture(paths[-1], module.figure.__doc__ or "")))
    if checks:
        below.append(_section("Against published numbers", _checks(checks)))
    if _defines(module, "tables"):
        tables: Mapping[str, Sequence[Row]] = module.tables(config, result)
        below += [_section(title, _rows(rows)) for title, rows in tables.items()]
    if metrics:
        below.append(_section("Along the run", _courses(metrics)))
    below.append(_section("Settings", _pairs(manifest.pop("config"))))
    below.append(_section("Provenance", _pairs(manifest)))
    template = TEMPLATE.read_text(encoding="utf-8")
    if _defines(module, "raster"):
        left = LARGEST_BYTES - sum(len(text.encode()) for text in (template, *above, *below))
        above.append(_section("Spikes", _raster(module.raster(config, result), left)))
    words = {
        "title": escape(str(manifest["experiment"]).replace("_", " ").capitalize()),
        "lede": escape((module.__doc__ or "").split("\n")[0]),
        "body": "\n".join(above + below),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: words[found[1]], template)
    write_atomically(directory / "report.html", page.encode())
    return [*paths, directory / "report.html"]


def _defines(module: ModuleType, name: str) -> bool:
    """Whether the name is the module's own, not that of something it imports for its work."""
    return getattr(getattr(module, name, None), "__module__", None) == module.__name__


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def _table(heads: Mapping[str, str], rows: Iterable[Sequence[str]]) -> str:
    """A table of HTML cells; `heads` gives each column's title its CSS class."""

    def line(tag: str, cells: Iterable[str]) -> str:
        pairs = zip(heads.values(), cells, strict=True)
        return "".join(f'<{tag} class="{kind}">{cell}</{tag}>' for kind, cell in pairs)

    body = "\n".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{line('th', heads)}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>\n{body}\n</tbody></table></div>'


def _rows(rows: Sequence[Row]) -> str:
    kinds = {"": "", "value": "number", "band": "number band", "unit": "", "source": "source"}
    columns = zip(*((row.label, *readable(row), row.source) for row in rows), strict=True)
    told = {head: cells for head, cells in zip(kinds, columns, strict=True) if any(cells)}
    lines = ([escape(cell) for cell in line] for line in zip(*told.values(), strict=True))
    return _table({head: kinds[head] for head in told}, lines)


def _checks(checks: Sequence[dict[str, Any]]) -> str:
    kinds = {"paper": "", "quantity": "", "published": "number", "ours": "number"}
    kinds |= {"tolerance": "number", "": ""}

    def cells(check: dict[str, Any]) -> list[str]:
        numbers = [_number(check[name]) for name in ("published", "ours", "tolerance")]
        outcome = "passed" if check["passed"] else "failed"
        mark = f'<span class="{outcome}">{outcome}</span>'
        return [escape(check["paper"]), escape(check["quantity"]), *numbers, mark]

    return _table(kinds, map(cells, checks))


def _picture(path: Path, caption: str) -> str:
    text = escape(" ".join(caption.split()))
    image = base64.b64encode(path.read_bytes()).decode()
    source = f"data:image/png;base64,{image}"
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'


def _courses(metrics: Mapping[str, Sequence[float | None]]) -> str:
    """Each metric's first and last value, and its course between them as a line."""

    def cells(name: str, values: Sequence[float | None]) -> list[str]:
        known = [(x, y) for x, y in enumerate(values) if y is not None]
        low, high = min(y for _, y in known), max(y for _, y in known)
        wide, tall = max(1, len(values) - 1), (high - low) or 1.0
        points = " ".join(f"{100 * x / wide:.2f},{(high - y) / tall * 20:.2f}" for x, y in known)
        path = f'<path d="M {points}"/>'
        line = f'<svg class="line" viewBox="0 0 100 20" preserveAspectRatio="none">{path}</svg>'
        return [escape(name), _number(known[0][1]), line, _number(known[-1][1])]

    told = {name: values for name, values in metrics.items() if any(v is not None for v in values)}
    kinds = {"": "", "first": "number", " ": "", "last": "number"}
    return _table(kinds, (cells(*course) for course in told.items()))


def _read_metrics(path: Path) -> dict[str, list[float | None]]:
    courses: dict[str, list[float | None]] = {}
    if path.exists():
        for line in read_text(path).splitlines():
            for name, value in json.loads(line).items():
                courses.setdefault(name, []).append(value)
    courses.pop("chunk", None)
    return courses


def _pairs(values: Mapping[str, Any]) -> str:
    lines = ([escape(name.replace("_", " ")), _plain(value)] for name, value in values.items())
    return _table({"": "", " ": ""}, lines).replace("<thead>", "<thead hidden>")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "<br>".join(f"{escape(k)} {_plain(v)}" for k, v in value.items()) or "–"
    if isinstance(value, list):
        return "<br>".join(map(_plain, value)) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escape(str(value)) if value not in (None, "") else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _raster(populations: Mapping[str, np.ndarray], largest: int) -> str:
    """An interactive raster of at most about `largest` bytes; later steps are left out."""
    steps = min(LARGEST_INDEX, *(len(spikes) for spikes in populations.values()))
    count = sum(np.count_nonzero(spikes[:steps], axis=1) for spikes in populations.values())
    # two 16-bit numbers a spike, in base 64, and as much as 4 kB around them
    fits = 4 * 4 / 3 * np.cumsum(count) < largest - 4096
    shown = int(np.sum(fits))
    data = {
        "steps": shown,
        "populations": [
            {"name": name, "size": spikes.shape[1], "spikes": _events(spikes[:shown])}
            for name, spikes in populations.items()
        ],
    }
    note = f"{int(np.sum(count[:shown]))} spikes in {shown} steps"
    if shown < steps:
        note += f" (the run has {steps}; the rest is in its arrays)"
    text = json.dumps(data).replace("<", "\\u003c")
    return (
        f'<figure><canvas tabindex="0" role="img" data-raster="spikes" aria-label="{note}">'
        f"</canvas><output></output><figcaption>{note}. Blue: positive, orange: negative. "
        "Wheel or + and − zoom, drag or arrows move, 0 or a double click shows all."
        f'</figcaption></figure><script type="application/json" id="spikes">{text}</script>'
    )


def _events(spikes: np.ndarray) -> str:
    """Step and unit of every spike as little-endian 16-bit numbers, a unit's last bit its sign."""
    step, unit = np.nonzero(spikes)
    negative = spikes[step, unit] < 0
    events = np.stack([step, 2 * unit + negative], axis=1)
    return base64.b64encode(events.astype("<u2").tobytes()).decode()
