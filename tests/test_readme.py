"""What the README shows is what happens."""

import doctest
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_every_example_of_the_readme_prints_what_it_says():
    outcome = doctest.testfile(str(README), module_relative=False)
    assert outcome.attempted >= 15
    assert outcome.failed == 0
