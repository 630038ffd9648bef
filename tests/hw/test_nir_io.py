"""NIR files come back as they went, and broken ones are refused with path, field and reason."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="the interop extra")
nir = pytest.importorskip("nir", reason="the interop extra")

import hw.operators as op  # noqa: E402
from hw.dense import MatMul  # noqa: E402
from hw.hdf5 import ReadError, describe, read_tree  # noqa: E402
from hw.interpret import Interpreter, Semantics  # noqa: E402
from hw.nir_io import read, write  # noqa: E402
from hw.program import Program  # noqa: E402


def everything():
    """Every primitive of NIR, a cycle, a nested graph, and metadata."""
    rng = np.random.default_rng(0)
    n = lambda *shape: rng.random(shape).astype(np.float32) + 0.5
    inner = nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array([4])}),
            "cuba": nir.CubaLIF(n(4), n(4), n(4), n(4), n(4) + 1, n(4) - 0.5, n(4)),
            "rec": nir.Linear(n(4, 4)),
            "output": nir.Output({"output": np.array([4])}),
        },
        [("input", "cuba"), ("cuba", "rec"), ("rec", "cuba"), ("cuba", "output")],
    )
    same = nir.Conv2d((3, 3), n(2, 2, 3, 3), 1, "same", 1, 1, n(2))
    nodes = {
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "conv": nir.Conv2d((8, 8), n(2, 1, 3, 3), (2, 2), (1, 1), (1, 1), 1, n(2)),
        "if": nir.IF(n(2, 4, 4), n(2, 4, 4) + 1, n(2, 4, 4) - 0.5),
        "sum": nir.SumPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0])),
        "same": same,
        "avg": nir.AvgPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
        "affine": nir.Affine(n(4, 8).astype(np.float64), n(4)),
        "scale": nir.Scale(n(4)),
        "delay": nir.Delay(n(4)),
        "lif": nir.LIF(n(4), n(4), n(4), n(4) + 1, n(4) - 0.5),
        "li": nir.LI(n(4), n(4), n(4)),
        "cubali": nir.CubaLI(n(4), n(4), n(4), n(4), n(4)),
        "i": nir.I(n(4)),
        "threshold": nir.Threshold(n(4)),
        "inner": inner,
        "output": nir.Output({"output": np.array([4])}),
    }
    chain = list(nodes)
    nodes["lif"].metadata = {"said": "kept", "number": np.array([1.5])}
    return nir.NIRGraph(nodes, list(zip(chain, chain[1:], strict=False)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nir")
    nir.write(folder / "given.nir", everything())
    return folder


def test_every_primitive_is_read_with_the_parameters_it_was_written_with(folder):
    made, found = everything(), read(folder / "given.nir")
    assert {type(n).__name__ for n in found.program.flat.nodes.values()} == (
        set(op.PRIMITIVES) - {"Conv1d"}
    )
    for name, node in made.nodes.items():
        if name == "inner":
            continue
        ours = found.program.nodes[name]
        for field, array in ours.arrays.items():
            np.testing.assert_array_equal(array, getattr(node, field))
            assert array.dtype == getattr(node, field).dtype
    assert found.metadata["lif"]["said"] == "kept"
    assert found.notes == ("/node/nodes/same: padding 'same' is written out as numbers",)
    assert found.program.shapes["output"] == (4,)


def tree_of(program):
    """All that a program holds, as plain data."""
    if isinstance(program, Program):
        return {k: tree_of(v) for k, v in program.nodes.items()}, sorted(program.edges)
    values = {
        k: (v.dtype.str, v.tolist()) if isinstance(v, np.ndarray) else v
        for k, v in vars(program).items()
    }
    return type(program).__name__, values


def test_what_is_written_reads_the_same_here_and_in_nir(folder):
    found = read(folder / "given.nir")
    write(folder / "ours.nir", found.program, found.metadata)
    again = read(folder / "ours.nir")
    assert tree_of(again.program) == tree_of(found.program)
    assert again.metadata["lif"]["number"] == found.metadata["lif"]["number"]
    theirs = nir.read(folder / "ours.nir")
    for name, node in everything().nodes.items():
        for field, value in vars(node).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(theirs.nodes[name], field), value)


def test_a_convolution_along_one_axis_survives(tmp_path):
    node = nir.Conv1d(9, np.ones((2, 1, 3)), 2, 1, 1, 1, np.zeros(2))
    nodes = {"input": nir.Input({"input": np.array([1, 9])}), "conv": node}
    nodes["output"] = nir.Output({"output": np.array([2, 5])})
    nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes, [("input", "conv"), ("conv", "output")]))
    found = read(tmp_path / "a.nir").program
    write(tmp_path / "b.nir", found)
    assert tree_of(read(tmp_path / "b.nir").program) == tree_of(found)
    assert nir.read(tmp_path / "b.nir").nodes["conv"].stride == 2


def test_a_recurrent_graph_spikes_as_its_equations_by_hand(folder, x64):
    """As in the Braille graph of the NIR paper: affine, current-based neurons with feedback."""
    rng, n, steps, dt = np.random.default_rng(5), 6, 80, 1e-4
    weight, bias = rng.normal(size=(n, 4)), rng.normal(size=n) / 4 + 0.5
    back = rng.normal(size=(n, n))
    shape = np.ones(n)
    cuba = nir.CubaLIF(2e-4 * shape, 3e-4 * shape, 2 * shape, 0.1 * shape, shape, 0 * shape, shape)
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "fc": nir.Affine(weight, bias),
        "lif": cuba,
        "rec": nir.Affine(back, 0 * bias),
        "output": nir.Output({"output": np.array([n])}),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]
    nir.write(folder / "recurrent.nir", nir.NIRGraph(nodes, edges))
    machine = Interpreter(read(folder / "recurrent.nir").program, Semantics(dt))
    x = (rng.random((steps, 4)) < 0.4).astype(float)
    run = lambda x: jax.lax.scan(machine.step, machine.init(), {"input": x})[1]
    found = np.asarray(jax.jit(run)(jnp.asarray(x))["output"])
    i, v, z = np.zeros(n), np.full(n, 0.1), np.zeros(n)
    for t in range(steps):
        i = i + dt / 2e-4 * (weight @ x[t] + bias + back @ z - i)
        v = v + dt / 3e-4 * (0.1 + 2 * i - v)
        z = (v > 1).astype(float)
        v[z > 0] = 0
        np.testing.assert_array_equal(found[t], z)
    assert found.sum() > 20


def test_what_nir_does_not_have_is_not_written(tmp_path):
    nodes = {"in": op.Input((2, 3)), "x": MatMul(np.ones((3, 3)))}
    with pytest.raises(ValueError, match="'x': NIR has no MatMul"):
        write(tmp_path / "a.nir", Program(nodes, (("in", "x"),)))


# --- files that are wrong in one way ------------------------------------------------------------
def put(path, value, **options):
    """An edit that replaces a dataset."""

    def edit(file):
        if path in file:
            del file[path]
        file.create_dataset(path, data=value, **options)

    return edit


def drop(path):
    return lambda file: file.__delitem__(path)


def bad(node, field, value):
    return put(f"node/nodes/{node}/{field}", np.asarray(value))


def external(file):
    del file["node/nodes/scale/scale"]
    made = [("/etc/hostname", 0, 32)]
    file.create_dataset("node/nodes/scale/scale", (4,), "f8", external=made)


def virtual(file):
    del file["node/nodes/scale/scale"]
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
    file.create_virtual_dataset("node/nodes/scale/scale", layout)


def link(kind):
    def edit(file):
        del file["node/nodes/scale"]
        file["node/nodes/scale"] = kind

    return edit


def nested(file):
    group = file["node/nodes"]
    for _ in range(20):
        group = group.create_group("deeper")


def twice(file):
    file["node/nodes/again"] = file["node/nodes/scale"]


def huge(file):
    del file["node/nodes/affine/weight"]
    file.create_dataset(
        "node/nodes/affine/weight", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression=1
    )


F, NAN, INF = np.float32, np.nan, np.inf
STRUCTURED = {
    **{
        f"{node}.{field} holds {value}": (bad(node, field, np.full(shape, value, F)), "finite")
        for value in (NAN, INF, -INF)
        for node, field, shape in (
            ("affine", "weight", (4, 8)),
            ("affine", "bias", (4,)),
            ("lif", "tau", (4,)),
            ("lif", "v_threshold", (4,)),
            ("delay", "delay", (4,)),
            ("scale", "scale", (4,)),
            ("conv", "weight", (2, 1, 3, 3)),
            ("threshold", "threshold", (4,)),
        )
    },
    "tau of zero": (bad("lif", "tau", np.zeros(4)), "tau must lie in"),
    "tau below zero": (bad("li", "tau", -np.ones(4)), "tau must lie in"),
    "tau in years": (bad("li", "tau", np.full(4, 1e12)), "tau must lie in"),
    "tau_syn of zero": (bad("cubali", "tau_syn", np.zeros(4)), "tau_syn must lie in"),
    "a delay into the future": (bad("delay", "delay", -np.ones(4)), "delay must lie in"),
    "a reset above threshold": (bad("lif", "v_reset", np.full(4, 99.0)), "above v_reset"),
    "a matrix with one axis": (bad("affine", "weight", np.ones(8)), "2 axes"),
    "a matrix of another width": (bad("affine", "weight", np.ones((4, 9))), r"shape \(9,\)"),
    "a bias of another length": (bad("affine", "bias", np.ones(5)), "bias must have shape"),
    "parameters of two shapes": (bad("lif", "r", np.ones(5)), "one shape"),
    "complex weights": (bad("scale", "scale", np.ones(4, complex)), "real numbers or text"),
    "a compound type": (
        bad("scale", "scale", np.zeros(4, [("a", "f4"), ("b", "f4")])),
        "real numbers or text",
    ),
    "text where numbers belong": (put("node/nodes/scale/scale", "four"), "expected numbers"),
    "truth where numbers belong": (bad("scale", "scale", np.ones(4, bool)), "real numbers"),
    "a stride of zero": (bad("conv", "stride", np.array([0, 1])), "stride must be"),
    "a stride below zero": (bad("conv", "stride", np.array([-1, 1])), "numbers from 0"),
    "a fractional stride": (bad("conv", "stride", np.array([1.5, 1])), "whole numbers"),
    "a padding by an unknown word": (put("node/nodes/conv/padding", "mirror"), "one of"),
    "a padding beyond reason": (bad("conv", "padding", np.array([1 << 40, 1])), r"2\^24"),
    "no groups": (bad("conv", "groups", 0), "groups must divide"),
    "a declared shape that is not met": (
        bad("conv", "input_shape", np.array([7, 7])),
        "takes input",
    ),
    "an input of no size": (bad("input", "shape", np.array([0, 8, 8])), "numbers from 1"),
    "an input of other shape": (bad("input", "shape", np.array([1, 8, 9])), "takes input"),
    "an output of other shape": (bad("output", "shape", np.array([5])), "takes input"),
    "a flattening of other shape": (bad("flat", "input_type", np.array([2, 2, 3])), "takes input"),
    "an unknown type": (put("node/nodes/lif/type", "Izhikevich"), "a primitive of NIR"),
    "a type in numbers": (put("node/nodes/lif/type", 3), "the name of a type"),
    "no type": (drop("node/nodes/lif/type"), "the name of a type"),
    "no weights": (drop("node/nodes/affine/weight"), "without"),
    "an unknown field": (put("node/nodes/scale/colour", 1.0), r"with \['colour'\]"),
    "no nodes": (drop("node/nodes"), "fields"),
    "no edges": (drop("node/edges"), "fields"),
    "no graph": (drop("node"), "/node: expected a group"),
    "an edge to nowhere": (
        put("node/edges", np.array([["input", "nowhere"]], object), dtype=h5py.string_dtype()),
        "'nowhere' is not one of",
    ),
    "an edge of three": (
        put("node/edges", np.array([["a", "b", "c"]], object), dtype=h5py.string_dtype()),
        "pairs of names",
    ),
    "edges as numbers": (put("node/edges", np.zeros((3, 2))), "pairs of names"),
    "external storage": (external, "external storage"),
    "a virtual dataset": (virtual, "external storage"),
    "a link inside": (link(h5py.SoftLink("/node/nodes/li")), "SoftLink"),
    "a link to another file": (link(h5py.ExternalLink("/etc/hostname", "/")), "ExternalLink"),
    "one object under two names": (twice, "a second name of one"),
    "groups without end": (nested, "groups deep"),
    "four terabytes declared": (huge, "bytes"),
    "text that is not UTF-8": (
        put("node/nodes/lif/type", np.bytes_(b"\xff\xfe"), dtype=h5py.string_dtype("utf-8")),
        "UTF-8",
    ),
}


def test_there_are_sixty_structured_faults():
    assert len(STRUCTURED) >= 60


@pytest.mark.parametrize("fault", STRUCTURED)
def test_a_structured_fault_is_refused_with_its_reason(folder, tmp_path, fault, monkeypatch):
    # without the child, which is there for faults that harm a reader: it takes a tenth of a second
    monkeypatch.setattr("hw.hdf5._read_in_child", lambda path, out, _: describe(path, out))
    edit, reason = STRUCTURED[fault]
    path = tmp_path / "bad.nir"
    path.write_bytes((folder / "given.nir").read_bytes())
    with h5py.File(path, "r+") as file:
        edit(file)
    with pytest.raises(ReadError, match=reason) as refused:
        read(path)
    assert str(path) in str(refused.value)
    assert refused.value.field
    assert refused.value.expected


@pytest.mark.parametrize("content", [b"", b"\x89HDF", b"PK\x03\x04" * 99, b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_hdf5_is_refused(tmp_path, content):
    path = tmp_path / "x.nir"
    path.write_bytes(content)
    with pytest.raises(ReadError):
        read(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ReadError, match="regular file"):
        read(tmp_path)
    with pytest.raises(ReadError, match="No such file"):
        read(tmp_path / "nothing.nir")


# --- files damaged at random --------------------------------------------------------------------
def damage(content, rng):
    """Flipped bits, overwritten, repeated, missing or cut bytes."""
    content = bytearray(content)
    at = lambda: int(rng.integers(8, len(content)))  # behind the signature
    kind = rng.integers(5)
    if kind == 0:
        for _ in range(rng.integers(1, 9)):
            content[at()] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        start, length = at(), int(rng.integers(1, 64))
        content[start : start + length] = rng.bytes(length)
    elif kind == 2:
        start, target, length = at(), at(), int(rng.integers(8, 512))
        content[target : target + length] = content[start : start + length]
    elif kind == 3:
        start, length = at(), int(rng.integers(1, 64))
        del content[start : start + length]
    else:
        del content[at() :]
    return bytes(content)


def survives(folder, tmp_path, number):
    """Read one damaged file: whether it was accepted."""
    path = tmp_path / f"{number}.nir"
    path.write_bytes(damage((folder / "given.nir").read_bytes(), np.random.default_rng(number)))
    try:
        program = read(path).program
    except ReadError:
        return False
    for node in program.flat.nodes.values():
        for name, array in node.arrays.items():
            assert np.isfinite(array).all()
            if name.startswith("tau"):
                assert (array > 0).all()
        if isinstance(node, op.Spiking):
            assert (node.v_threshold > node.v_reset).all()
    return True


def test_damaged_files_are_refused_or_hold_what_can_be(folder, tmp_path):
    accepted = sum(survives(folder, tmp_path, number) for number in range(10))
    assert accepted < 10  # the damage is real


@pytest.mark.slow
@pytest.mark.skipif("'slow' not in config.getoption('-m')", reason="two CPU minutes: -m slow")
@pytest.mark.timeout(900)
def test_six_hundred_damaged_files_are_refused_or_hold_what_can_be(folder, tmp_path):
    accepted, longest = 0, 0.0
    for number in range(600):
        began = time.monotonic()
        accepted += survives(folder, tmp_path, number)
        longest = max(longest, time.monotonic() - began)
    assert 0 < accepted < 600
    assert longest < 10  # the child's own limit is 8 s


def test_a_child_without_end_is_ended(tmp_path, monkeypatch):
    """A reader that spins is stopped, and the file refused."""
    monkeypatch.setattr("hw.hdf5.SECONDS", 0)
    monkeypatch.setattr("hw.hdf5.__file__", str(tmp_path / "spin.py"))
    (tmp_path / "spin.py").write_text("while True: pass")
    path = tmp_path / "x.nir"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(ReadError, match="no end"):
        read_tree(path)
