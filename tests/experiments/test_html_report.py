"""A report is one page that says what the run's directory says, and needs nothing else."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from experiments import registry, report
from experiments.claims import Check, Row
from experiments.run import Experiment, execute
from snn.events import raster

walk = registry.load_module(Path(__file__).parents[1] / "faults" / "walk.py")
CONFIG = walk.Config(length=4)


class Page(HTMLParser):
    """Text, tags and attributes of a page; raises where a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words, self.scripts = [], [], [], {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in {"meta", "img", "br", "path"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] == "script":
            name = self.seen[-1][1].get("id", "")
            self.scripts[name] = self.scripts.get(name, "") + text
        elif self.open and self.open[-1] != "style":
            self.words.append(text.strip())


def written(directory, **parts):
    """The page of a walk whose module has these further functions."""
    checks = [Check("<Paper> & Co", "mass", 2.0, 2.1, 0.2), Check("Paper", "charge", 1, 3, 0.5)]
    experiment = Experiment.of("walk", walk)._replace(verify=lambda: checks)
    execute(experiment, CONFIG, directory, Console(quiet=True))
    words = "Walkers <b>& more.\n\nMuch more."
    module = SimpleNamespace(__name__=__name__, __doc__=words, Result=walk.Result, **parts)
    *_, path = report.write(directory, module, CONFIG)
    return path.read_text()


def spikes():
    rng = np.random.default_rng(0)
    return {
        "value": rng.integers(-1, 2, (40, 7)).astype(np.int8),
        "error </script>": (rng.random((40, 3)) < 0.1).astype(np.int8),
    }


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return written(
        tmp_path_factory.mktemp("runs") / "walk",
        summary=lambda config, result: [Row("reach", 4.2e-8, "J", "Table <1>", 1e-8, 9e-8)],
        tables=lambda config, result: {"Bill & more": [Row("spike", 1e-12, "J", "Davies")]},
        raster=lambda config, result: spikes(),
    )


def test_nothing_is_fetched_and_all_of_it_is_closed(text):
    for tag, attributes in Page(text).seen:
        assert tag not in {"link", "iframe", "object", "embed"}
        for name in ("src", "href", "srcset", "data"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp|https?://", text)


def test_everything_the_run_says_is_on_the_page(text):
    words = Page(text).words
    for told in (
        *("Walk", "Walkers <b>& more."),
        *("reach", "42", "10 – 90", "nJ", "Table <1>"),
        *("Bill & more", "spike", "Davies"),
        *("<Paper> & Co", "2.1", "passed", "failed"),
        *("spread", "chunk squared", "pause s", "jax"),
    ):
        assert any(told in word for word in words), told
    assert "Much more." not in text


def test_a_function_imported_for_the_work_is_no_part_of_the_page(tmp_path):
    assert "Spikes" not in Page(written(tmp_path / "walk", raster=raster)).words


def test_the_raster_holds_every_spike_with_its_sign(text):
    data = json.loads(Page(text).scripts["spikes"])
    assert data["steps"] == 40
    for told, (name, array) in zip(data["populations"], spikes().items(), strict=True):
        assert (told["name"], told["size"]) == (name, array.shape[1])
        events = np.frombuffer(base64.b64decode(told["spikes"]), "<u2").reshape(-1, 2)
        back = np.zeros_like(array)
        back[events[:, 0], events[:, 1] >> 1] = 1 - 2 * (events[:, 1] & 1).astype(np.int8)
        np.testing.assert_array_equal(back, array)


def test_a_page_stays_below_its_limit_whatever_the_raster(tmp_path):
    dense = {"all": np.ones((70_000, 30), np.int8)}
    text = written(tmp_path / "walk", raster=lambda config, result: dense)
    assert 0.95 * report.LARGEST_BYTES < len(text.encode()) <= report.LARGEST_BYTES
    shown = json.loads(Page(text).scripts["spikes"])["steps"]
    assert f"{30 * shown} spikes in {shown} steps" in text
    assert "the rest is in its arrays" in text


def test_a_figure_says_in_words_what_it_shows(tmp_path):
    def figure(result):
        """Where the walkers end.

        Each dot is "one" walker.
        """
        from experiments.figures import panels

        drawing, (ax,) = panels(1, 1, height_mm=40)
        ax.plot(result.position, ".")
        return drawing

    text = written(tmp_path / "walk", figure=figure)
    (image,) = [attributes for tag, attributes in Page(text).seen if tag == "img"]
    assert image["alt"] == 'Where the walkers end. Each dot is "one" walker.'
    png = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert png == (tmp_path / "walk" / "figure.png").read_bytes()
