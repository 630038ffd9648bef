"""Which experiments and benchmarks there are, read from their source without importing it."""

import ast
import dataclasses
import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from experiments.store import Refusal

ROOT = Path(__file__).parent


def experiments() -> dict[str, Path]:
    """Every module of this package and of its papers that has a Config."""
    return _having({"Config"}, ROOT, ROOT / "papers")


def verifiable() -> dict[str, Path]:
    """Every experiment that holds its numbers against published ones."""
    return _having({"Config", "verify"}, ROOT, ROOT / "papers")


def benchmarks() -> dict[str, Path]:
    """Every benchmark."""
    return _having({"bench"}, ROOT / "benchmarks")


def find(name: str, among: Mapping[str, Path]) -> Path:
    """The file of a name, or of an experiment of one's own, given as a path to a .py file."""
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise Refusal(f"{name}: no such file")
        return Path(name)
    if name not in among:
        raise Refusal(f"no {name!r} here; there are: {', '.join(among)}")
    return among[name]


def headline(path: Path) -> str:
    """First line of a module's docstring."""
    return (ast.get_docstring(_parse(path)) or "").split("\n")[0]


def config_class(path: Path) -> type:
    """An experiment's Config alone, so that flags are checked before jax is imported.

    A Config uses the standard library only and so runs without the rest of its module.
    """
    tree = _parse(path)
    tree.body = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Config"]
    if not tree.body:
        raise Refusal(f"{path}: an experiment needs a class Config")
    module = ModuleType(f"{path.stem} settings")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # tyro finds the docstrings of fields through it
    vars(module).update(dataclass=dataclasses.dataclass)
    exec(compile(tree, str(path), "exec"), vars(module))
    return module.Config


def load_module(path: Path) -> ModuleType:
    """The module itself, with all that it imports."""
    if path.is_relative_to(ROOT):
        name = path.relative_to(ROOT.parent).with_suffix("")
        return importlib.import_module(".".join(name.parts))
    spec = importlib.util.spec_from_file_location(f"{path.stem} (file)", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _having(names: set[str], *folders: Path) -> dict[str, Path]:
    paths = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return {path.stem: path for path in paths if names <= _names(path)}


def _names(path: Path) -> set[str]:
    # every command reads every file: a search is a hundred times faster than a parser
    return set(re.findall(r"^(?:class|def) (\w+)", path.read_text(encoding="utf-8"), re.M))


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise Refusal(f"{path}: not a Python module: {error}") from error
