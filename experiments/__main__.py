"""Command line: list, run, verify, bench and report.

Help, lists and bad flags are answered without importing jax.
"""

import contextlib
import dataclasses
import io
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from experiments.claims import Check, Row, Timing, readable
from experiments.registry import (
    benchmarks,
    config_class,
    experiments,
    find,
    headline,
    load_module,
    verifiable,
)
from experiments.settings import check_config, differences, load_config
from experiments.store import LoadError, Refusal, read_json, user_cache

PROGRAM = "fepstack"
# module: the extra that brings it
EXTRAS = {
    "matplotlib": "figures",
    "sklearn": "data",
    "diffrax": "ode",
    **dict.fromkeys(("nir", "h5py", "gymnasium", "yaml"), "interop"),
    **dict.fromkeys(("safetensors", "tokenizers"), "transformer"),
}
Switch = Annotated[bool, tyro.conf.FlagCreatePairsOff]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
Name = tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="[NAME]")]]


@dataclasses.dataclass(frozen=True)
class List:
    """List the experiments."""


@dataclasses.dataclass(frozen=True)
class Run:
    """Run an experiment; `run NAME --help` shows its settings.

    Attributes:
        name: as `list` shows it, or the path of a .py file of your own.
    """

    name: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="NAME")]]


@dataclasses.dataclass(frozen=True)
class Verify:
    """Rerun what reproduces a paper or an oracle; exit code 1 if a number fails.

    Attributes:
        name: one experiment; all that can be verified, if none is named.
        json: one JSON object a row instead of a table.
    """

    name: Name = None
    json: Switch = False


@dataclasses.dataclass(frozen=True)
class Bench:
    """Time our code beside a peer's, on the same work in the same run.

    Attributes:
        name: one benchmark; all of them, if none is named.
        json: one JSON object a row instead of a table.
    """

    name: Name = None
    json: Switch = False


@dataclasses.dataclass(frozen=True)
class Report:
    """Redraw the figures and the HTML report of a run from its saved results alone.

    Attributes:
        directory: of the run; the newest below runs/, if none is named.
    """

    directory: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="[DIR]")]] = None


@dataclasses.dataclass(frozen=True)
class Machinery:
    """How the run is carried out.

    Attributes:
        config: TOML file of settings; flags override it.
        out: directory of the run, new or empty; runs/NAME-TIME, if none is named.
        resume: directory of an interrupted run to go on with, by its own settings.
        no_cache: do not keep compiled programs in the user's cache directory.
    """

    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    out: Folder = None
    resume: Folder = None
    no_cache: Switch = False


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments[:1] == ["run"] and arguments[1:2] not in ([], ["-h"], ["--help"]):
            return run(arguments[1], arguments[2:])
        command = parse(List | Run | Verify | Bench | Report, arguments, PROGRAM)
        return COMMANDS[type(command)](command)
    except Refusal as error:
        return complain(error)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # a full disk, a directory that may not be written
        return complain(error)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        extra = EXTRAS[error.name]
        return complain(f"{error.name} is not installed: pip install '{PROGRAM}[{extra}]'")
    except KeyboardInterrupt:
        return 130


def complain(what: object) -> int:
    """Print one line on stderr; returns the exit code of a user's error."""
    print(f"{PROGRAM}: {what}", file=sys.stderr)
    return 2


def parse(kind: Any, arguments: list[str], program: str, default: Any = None) -> Any:
    """Flags to a dataclass by tyro; a bad flag becomes a `Refusal`."""
    said, given = io.StringIO(), {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=arguments, prog=program, **given)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
    # tyro draws a box: its first paragraph is the error, the rest is help on the flag
    text = " ".join(re.sub(r"[^\x20-\x7e]+", " ", said.getvalue()).split())
    text = re.split(r" (?:Argument helptext|Perhaps you meant|Similar|For full helptext)", text)[0]
    titles = "Parsing error|Value error|Unrecognized options|Required options|Missing subcommand"
    text = re.sub(f"^({titles}) ", "", text).removeprefix("Error parsing settings: ")
    raise Refusal(f"{text}; see {program} --help")


def show_list(_: List) -> int:
    """Print every experiment with its summary."""
    table = Table("name", "what it shows", box=None)
    for name, path in experiments().items():
        table.add_row(name, headline(path))
    console().print(table)
    return 0


def run(name: str, arguments: list[str]) -> int:
    """Run one experiment into a directory, draw its figures, write its report."""
    path = find(name, experiments())
    config, how = choose(path, arguments)
    directory = how.resume or how.out or Path("runs", time.strftime(f"{path.stem}-%Y%m%d-%H%M%S"))
    if how.resume is None and directory.exists():
        if not directory.is_dir() or any(directory.iterdir()):
            raise Refusal(f"{directory} exists and is not empty: name another --out")
    if not how.no_cache:
        keep_compiled()
    module = load_module(path)

    from experiments.report import write
    from experiments.run import CONFIG, Experiment, Interrupted, execute, read_result

    screen = console()
    config = module.Config(**dataclasses.asdict(config))
    try:
        execute(Experiment.of(path.stem, module), config, directory, screen)
        if hasattr(module, "summary"):
            rows = module.summary(config, read_result(directory, module.Result))
            screen.print(row_table(rows))
        for written in write(directory, module, config):
            screen.print(str(written), soft_wrap=True)
    except Interrupted as stop:
        further = "nothing was saved"
        if (directory / CONFIG).exists():
            further = f"go on with: {PROGRAM} run {name} --resume {directory}"
        print(f"{PROGRAM}: stopped by {stop}; {further}", file=sys.stderr)
        return 128 + stop.signum
    return 0


def choose(path: Path, arguments: list[str]) -> tuple[Any, Machinery]:
    """Settings and machinery of a run, from its flags and files; jax is not imported."""
    kind = config_class(path)
    both = dataclasses.make_dataclass(
        "Both",
        [
            ("settings", tyro.conf.OmitArgPrefixes[kind], dataclasses.field(default=kind())),
            ("run", tyro.conf.OmitArgPrefixes[Machinery], dataclasses.field(default=Machinery())),
        ],
        frozen=True,
    )
    both.__doc__ = headline(path)
    program = f"{PROGRAM} run {path.stem}"
    chosen = parse(both, arguments, program)
    how = chosen.run
    if how.resume is not None and not (how.config is None and how.out is None):
        raise Refusal("--resume goes on by the settings saved there; leave out --config and --out")
    source = how.config if how.resume is None else how.resume / "config.toml"
    if source is not None:
        saved = load_config(source, kind, path.stem)
        chosen = parse(both, arguments, program, both(settings=saved))
        if how.resume is not None and (differing := differences(saved, chosen.settings)):
            raise Refusal(f"{source}: cannot resume with other settings: {differing}")
    check_config(chosen.settings)
    return chosen.settings, how


def keep_compiled() -> None:
    """Let jax keep compiled programs in the user's cache directory, where it can be written."""
    import jax

    folder = user_cache() / "compiled"
    with contextlib.suppress(OSError):  # a home that is read-only: compile afresh
        folder.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder))


def verify(command: Verify) -> int:
    """Print each verified number beside the published one."""
    checks: list[Check] = []
    for module in modules(command.name, verifiable()):
        checks += module.verify()
    if command.json:
        for check in checks:
            print(json.dumps(check.as_json()))
    else:
        table = Table("paper", "quantity", "published", "ours", "tolerance", "", box=None)
        for c in checks:
            numbers = (f"{n:.6g}" for n in (c.published, c.ours, c.tolerance))
            table.add_row(c.paper, c.quantity, *numbers, "passed" if c.passed else "FAILED")
        console().print(table)
    return 0 if all(check.passed for check in checks) else 1


def bench(command: Bench) -> int:
    """Print each timing beside the peer's; a missing peer is said."""
    timings: list[Timing] = []
    for module in modules(command.name, benchmarks()):
        timings += module.bench()
    for timing in timings:
        if timing.note:
            print(f"{PROGRAM}: {timing.name}: {timing.note}", file=sys.stderr)
        if command.json:
            print(json.dumps(timing._asdict()))
    if not command.json:
        table = Table("name", "unit", "ours", "peer", "version", "ours/peer", "runs", box=None)
        for t in timings:
            number = lambda n: "-" if n is None else f"{n:.4g}"
            cells = number(t.ours), number(t.peer), t.peer_version, number(t.ratio), str(t.runs)
            table.add_row(t.name, t.unit, *cells)
        console().print(table)
    return 0


def rebuild(command: Report) -> int:
    """Draw a run's figures and report again, from its directory alone."""
    from experiments.report import write
    from experiments.run import CONFIG, MANIFEST

    directory = command.directory
    if directory is None:
        done = sorted(Path("runs").glob(f"*/{MANIFEST}"), key=lambda p: p.stat().st_mtime)
        if not done:
            raise Refusal("no finished run below runs/; name a run directory")
        directory = done[-1].parent
    name = read_json(directory / MANIFEST).get("experiment")
    known = experiments()
    if name not in known:
        raise LoadError(directory / MANIFEST, "experiment", f"one of {', '.join(known)}", name)
    module = load_module(known[name])
    config = load_config(directory / CONFIG, module.Config, name)
    for path in write(directory, module, config):
        console().print(str(path), soft_wrap=True)
    return 0


def modules(name: str | None, among: dict[str, Path]) -> list[ModuleType]:
    """The named module, or all."""
    paths = among.values() if name is None else [find(name, among)]
    return [load_module(path) for path in paths]


def row_table(rows: list[Row]) -> Table:
    """Rows as the terminal shows them."""
    heads = "", "value", "band", "unit", "source"
    columns = zip(*((row.label, *readable(row), row.source) for row in rows), strict=True)
    told = {head: cells for head, cells in zip(heads, columns, strict=True) if any(cells)}
    table = Table(*told, box=None)
    for cells in zip(*told.values(), strict=True):
        table.add_row(*cells)
    return table


def console() -> Console:
    """A terminal as wide as it is; where nobody watches, lines as long as they need to be."""
    return Console(width=None if sys.stdout.isatty() else 160)


COMMANDS = {List: show_list, Verify: verify, Bench: bench, Report: rebuild}

if __name__ == "__main__":
    sys.exit(main())
