"""NIR files: equal to what the nir package writes and reads, for every kind of node; and damaged ones."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zlib

import h5py
import nir
import numpy as np
import pytest
from cli import ROOT
from fuzz import mutations
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nir_cases import differences, every_kind, fields

import spikestream as ss
from spikestream.errors import ModelError
from spikestream.files import nir_hdf5
from spikestream.files.apart import call_apart
from spikestream.files.careful_hdf5 import read_here
from spikestream.files.nir import graph_from, read_nir, write_nir
from spikestream.model.nir import Graph, Node
from spikestream.model.nir.kinds import KINDS

RECORDED = {  # from facts: nodes by kind
    "lif_norse": "Affine Input LIF Output",
    "lif_rockpool": "Input LIF Linear Output",
    "two_lif_neurons": "Input LIF LIF Linear Linear Output",
    "cnn_sinabs": "Affine Affine Conv2d Conv2d Conv2d Flatten IF IF IF IF IF Input Output SumPool2d SumPool2d",
    "braille_noDelay_bias_zero": "Affine Affine Affine CubaLIF CubaLIF Input Output",
    "braille_noDelay_noBias_subtract": "CubaLIF CubaLIF Input Linear Linear Linear Output",
}
FEW = settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SEEDS = st.integers(0, 2**32 - 1)


def of(theirs):
    return Node(type(theirs).__name__, fields(theirs))


def row(*sides):
    """Return a graph that sums, packed in a file of several pieces where it is large."""
    weight = np.arange(np.prod(sides), dtype=np.float32).reshape(sides)
    return Graph.row(Node("Input", {"shape": sides[1]}), Node("Linear", {"weight": weight}))


def test_every_kind_is_in_the_table():
    assert set(KINDS) | {"NIRGraph"} == {name for name in nir.ir.__all__ if name[0].isupper()} - {"NIRNode"}


@FEW
@given(seed=SEEDS, packed=st.sampled_from(["gzip", "lzf", None]))
def test_what_nir_writes_is_read_equal(tmp_path, seed, packed):
    theirs = every_kind(np.random.default_rng(seed))
    path = tmp_path / "theirs.nir"
    edges = [("Input", "Scale"), ("Scale", "a.b"), ("a.b", "Output")]
    metadata = {"text": "µ", "number": 3, "row": np.arange(3), "inner": {"x": 1.5}}
    nir.write(path, nir.NIRGraph(theirs | {"a.b": theirs["IF"]}, edges, metadata, type_check=False), packed)
    ours = read_nir(path)
    assert set(ours.nodes) == {*theirs, "a.b"}
    assert {kind: differences(ours.nodes[kind], node) for kind, node in theirs.items()} == {k: [] for k in theirs}
    assert sorted(ours.edges) == sorted(edges)
    assert ours.metadata["row"].tolist() == [0, 1, 2]
    assert {**ours.metadata, "row": 0} == {**metadata, "row": 0}


@FEW
@given(seed=SEEDS)
def test_what_is_written_is_read_equal_by_nir(tmp_path, seed):
    theirs = every_kind(np.random.default_rng(seed))
    ours = Graph(
        {kind: of(node) for kind, node in theirs.items()}, [("Input", "LIF")], {"text": "µ", "inner": {"x": [1, 2]}}
    )
    write_nir(tmp_path / "ours.nir", ours)
    found = nir.read(tmp_path / "ours.nir", type_check=False)
    assert list(found.nodes) == list(theirs)
    assert {kind: differences(ours.nodes[kind], found.nodes[kind]) for kind in theirs} == {k: [] for k in theirs}
    assert found.edges == [("Input", "LIF")]
    assert found.metadata["text"] == "µ"
    assert found.metadata["inner"]["x"].tolist() == [1, 2]
    assert nir.serialization.read_version(tmp_path / "ours.nir") == "1.0.8"


@pytest.mark.realdata
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_files_are_read_as_nir_reads_them_and_again_when_written(data, tmp_path, name):
    path = data / "emulator" / "nir" / f"{name}.nir"
    graph = ss.read_nir(path)
    assert " ".join(sorted(node.kind for node in graph.nodes.values())) == RECORDED[name]
    graph.shapes()
    theirs = nir.read(path, type_check=False)
    ss.write_nir(tmp_path / "again.nir", graph)
    again = nir.read(tmp_path / "again.nir", type_check=False)
    for found in (theirs, again):
        assert set(graph.edges) == set(found.edges)
        assert {one: differences(node, found.nodes[one]) for one, node in graph.nodes.items()} == {
            one: [] for one in found.nodes
        }
        assert set(graph.nodes) == set(found.nodes)


@pytest.mark.realdata
def test_what_nir_refuses_is_read(data):
    path = data / "emulator" / "nir" / "lif_rockpool.nir"
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(path)
    shapes = read_nir(path).shapes()
    assert shapes["1_LIFNeuronTorch"].given == (1,)
    assert shapes["output"].taken == (1, 1, 1)


def recurrent(one):
    """Return the inside of a recurrent layer."""
    kind, fields_ = one
    return {
        "input": Node("Input", {"shape": 3}),
        "lif": Node(kind, fields_),
        "w_rec": Node("Linear", {"weight": np.eye(3)}),
        "output": Node("Output", {"shape": 3}),
    }, [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]


def test_graphs_within_graphs_in_both_forms_of_files(tmp_path):
    nodes, edges = recurrent(("LI", {"tau": np.ones(3), "r": 1, "v_leak": 0}))
    around = {"i": Node("Input", {"shape": 3}), "o": Node("Output", {"shape": 3})}
    outer = [("i", "lif1"), ("lif1", "o")]
    nested = Graph(around | {"lif1": Graph(nodes, edges)}, outer)
    # Early exports of snnTorch: the names are joined already, but edges speak of the layer.
    write_nir(tmp_path / "nested.nir", nested)
    spread = {f"lif1.{name}": node for name, node in nodes.items()}
    joined = [(f"lif1.{a}", f"lif1.{b}") for a, b in edges]
    write_nir(tmp_path / "spread.nir", Graph(around | spread, joined))
    with h5py.File(tmp_path / "spread.nir", "a") as file:
        del file["node/edges"]
        file["node/edges"] = np.array(joined + outer, dtype=h5py.string_dtype())
    for name in ("nested", "spread"):
        flat = read_nir(tmp_path / f"{name}.nir").flat()
        assert set(flat.nodes) == {"i", "lif1.lif", "lif1.w_rec", "o"}
        assert set(flat.edges) == {
            ("i", "lif1.lif"),
            ("lif1.lif", "lif1.w_rec"),
            ("lif1.w_rec", "lif1.lif"),
            ("lif1.lif", "o"),
        }


def test_fields_that_older_files_leave_out(tmp_path):
    path = tmp_path / "old.nir"
    ones = {name: np.full(2, 2.0) for name in ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold")}
    with h5py.File(path, "w") as file:
        file["version"] = b"0.1"
        file["node/type"] = np.bytes_(b"NIRGraph")  # of fixed length
        file["node/edges"] = np.zeros((0, 2))
        for name, value in ones.items():
            file[f"node/nodes/cuba/{name}"] = value
        file["node/nodes/cuba/type"] = b"CubaLIF"
        file["node/nodes/cuba/input_type/input"] = [2]
    node = read_nir(path).nodes["cuba"]
    assert node.params["v_reset"].tolist() == [0, 0]
    assert node.params["w_in"].tolist() == [1, 1]


def test_shapes_that_a_file_needs_are_told_by_the_rest(tmp_path):
    weight = np.zeros((3, 2, 3, 3))
    conv = {"weight": weight, "bias": np.zeros(3), "stride": 1, "padding": 1, "dilation": 1, "groups": 1}
    graph = Graph.row(
        Node("Input", {"shape": (2, 6, 5)}), Node("Conv2d", conv), Node("Flatten", {"start_dim": 0}), Node("Output", {})
    )
    write_nir(tmp_path / "told.nir", graph)
    found = nir.read(tmp_path / "told.nir")
    assert tuple(found.nodes["1"].input_shape) == (6, 5)
    assert found.nodes["2"].input_type["input"].tolist() == [3, 6, 5]
    assert found.nodes["3"].output_type["output"].tolist() == [90]


@pytest.mark.parametrize("name", ["a/b", ".", "", "a\0b"])
def test_names_that_hdf5_takes_for_paths_are_refused(tmp_path, name):
    with pytest.raises(ModelError):
        write_nir(tmp_path / "x.nir", Graph({name: Node("Scale", {"scale": 1.0})}))
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, signal, sys
import numpy as np
import spikestream as ss
from spikestream.model.nir import Node
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
weight = np.random.default_rng(0).normal(size=(300, 300))
try:
    ss.write_nir(sys.argv[1], ss.Graph({"a": Node("Linear", {"weight": weight})}))
except ss.RecordingError as error:
    print(error)
"""


def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.nir"
    path.write_text("older")
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("x.nir", "older")]


def test_without_the_library_the_next_step_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    for call in (lambda: read_nir(tmp_path / "x.nir"), lambda: write_nir(tmp_path / "x.nir", row(2, 3))):
        with pytest.raises(ModelError, match=r"pip install 'spikestream\[nir\]'"):
            call()


def test_the_library_is_not_imported_before_it_is_needed():
    code = "import sys, spikestream as ss; ss.Graph; ss.read_nir; assert 'h5py' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def spoil(file, what):
    """Make of a good file one that lies."""
    nodes = file["node/nodes"]
    if what == "a link to a file":
        nodes["x"] = h5py.ExternalLink("/etc/hostname", "/")
    elif what == "a soft link":
        nodes["x"] = h5py.SoftLink("/node/nodes/0")
    elif what == "within itself":
        nodes["x"] = file["node"]
    elif what == "values elsewhere":
        nodes["1"].create_dataset("bias", (4,), "f4", external=[("/etc/hostname", 0, 16)])
    elif what == "a virtual set":
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
        nodes["1"].create_virtual_dataset("bias", layout)
    elif what == "huge":
        nodes["1"].create_dataset("bias", (2**40,), "f4", chunks=(2**20,), compression="gzip")
    elif what == "huge and full":
        nodes["1"].create_dataset("bias", data=np.zeros(2**25, np.float32), compression="gzip", compression_opts=9)
    elif what == "a huge piece":
        nodes["1"].create_dataset("bias", (4,), "f4", maxshape=(None,), chunks=(2**29,))
    elif what == "never written":
        nodes["1"].create_dataset("bias", (4,), "f4")
    elif what == "a missing piece":
        nodes["1"].create_dataset("bias", (8,), "f4", chunks=(4,))[:4] = 1
    elif what == "a record":
        nodes["1"]["bias"] = np.zeros(3, [("a", "f4"), ("b", "i4")])
    elif what == "a reference":
        nodes["1"]["bias"] = file["node"].ref
    elif what == "nothing":
        nodes["1"]["bias"] = h5py.Empty("f4")
    elif what == "a text":
        nodes["1"]["bias"] = "text"
    elif what == "a bomb":
        nodes["1"].create_dataset("bias", (8,), "f4", chunks=(8,), compression="gzip")
        nodes["1/bias"].id.write_direct_chunk((0,), zlib.compress(bytes(10**7))[:4000])
    elif what == "no kind":
        del nodes["1/type"]
    elif what == "a number for a kind":
        del nodes["1/type"]
        nodes["1/type"] = 3
    elif what == "edges of three":
        del file["node/edges"]
        file["node/edges"] = np.array([["0", "1", "0"]], dtype=h5py.string_dtype())


LIES = {
    "a link to a file": "link to elsewhere",
    "a soft link": "link to elsewhere",
    "within itself": "within itself",
    "values elsewhere": "in another file",
    "a virtual set": "in another file",
    "huge": "unpacks to more",
    "huge and full": "unpacks to more",
    "a huge piece": "too much",
    "never written": "expected 16",
    "a missing piece": "has 1 pieces, expected 2",
    "a record": "numbers or texts",
    "a reference": "numbers or texts",
    "nothing": "has no value",
    "a text": "has no field 'bias'",
    "a bomb": "inflates",
    "no kind": "type is missing",
    "a number for a kind": "type is missing",
    "edges of three": "pair of names",
}


@pytest.mark.parametrize("what", LIES)
def test_a_file_that_lies_is_one_error(tmp_path, what):
    path = tmp_path / "lies.nir"
    write_nir(path, row(4, 4))
    with h5py.File(path, "a") as file:
        spoil(file, what)
    with pytest.raises(ModelError, match=LIES[what]):
        graph_from(read_here(str(path)), str(path))


def test_a_large_array_in_several_pieces(tmp_path):
    graph = row(700, 300)
    write_nir(tmp_path / "x.nir", graph)
    with h5py.File(tmp_path / "x.nir") as file:
        assert file["node/nodes/1/weight"].id.get_num_chunks() > 4
    assert np.array_equal(read_nir(tmp_path / "x.nir").nodes["1"].params["weight"], graph.nodes["1"].params["weight"])


@pytest.mark.parametrize("packing", [{"shuffle": True, "compression": "gzip"}, {"fletcher32": True}, {}])
def test_other_packings(tmp_path, packing):
    path, values = tmp_path / "x.nir", np.arange(60.0).reshape(6, 10)
    write_nir(path, row(2, 3))
    with h5py.File(path, "a") as file:
        del file["node/nodes/1/weight"]
        file["node/nodes/1"].create_dataset("weight", data=values, chunks=(4, 4), **packing)
    assert np.array_equal(graph_from(read_here(str(path)), str(path)).nodes["1"].params["weight"], values)


@pytest.mark.parametrize("filters", [{"compression": "gzip"}, {"compression": "gzip", "shuffle": True}])
def test_a_piece_that_packing_left_as_it_is(tmp_path, filters):
    path, values = tmp_path / "x.nir", np.arange(6.0).reshape(2, 3)
    write_nir(path, row(2, 3))
    with h5py.File(path, "a") as file:
        del file["node/nodes/1/weight"]
        made = file["node/nodes/1"].create_dataset("weight", (2, 3), "f8", chunks=(2, 3), **filters)
        made.id.write_direct_chunk((0, 0), values.tobytes(), filter_mask=2 ** len(filters) - 1)
    assert np.array_equal(graph_from(read_here(str(path)), str(path)).nodes["1"].params["weight"], values)


def test_damaged_files_are_graphs_or_errors(tmp_path):
    path, bad = tmp_path / "good.nir", tmp_path / "bad.nir"
    nodes, edges = recurrent(("LI", {"tau": np.ones(3), "r": 1, "v_leak": 0}))
    write_nir(path, Graph(nodes, edges, {"text": "metadata"}))
    told = []
    for damaged in mutations(path.read_bytes(), 12, seed=5):
        bad.write_bytes(damaged)
        try:
            read_nir(bad).flat()
        except ModelError as error:
            told.append(str(error))
    assert len(told) >= 6
    assert all(str(bad) in one for one in told)


def crashing(name):
    os.kill(os.getpid(), signal.SIGSEGV)


def greedy(name):
    np.empty(2**32, np.uint8)  # never touched: no machine runs short of it
    return b""


@pytest.mark.parametrize(("function", "why"), [("crashing", "signal"), ("greedy", "Memory")])
def test_what_crashes_or_eats_memory_ends_apart(function, why):
    with pytest.raises(ModelError, match=why):
        call_apart(f"test_nir_files:{function}", "x.nir", cpu_s=6, memory=2**26)


def test_a_file_that_holds_up_the_library_is_an_error(tmp_path, monkeypatch):
    """Its heap has a part of no length, over which the library goes round for ever."""
    path = tmp_path / "x.nir"
    write_nir(path, row(2, 3))
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 24 : heap + 32] = bytes(8)
    path.write_bytes(content)
    monkeypatch.setattr(nir_hdf5, "LEAST_CPU_S", 1)
    with pytest.raises(ModelError, match="damaged"):
        read_nir(path)


@pytest.mark.parametrize("what", ["missing", "a folder", "empty", "text"])
def test_what_is_no_file_of_this_kind_is_an_error(tmp_path, what):
    path = tmp_path / "x.nir"
    if what == "a folder":
        path.mkdir()
    elif what != "missing":
        path.write_text("" if what == "empty" else "hello " * 1000)
    with pytest.raises(ModelError, match="cannot be read"):
        read_nir(path)


def test_the_python_in_the_docs(tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "nir.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "nir.md", "exec"), {})
    assert f"prints `{capsys.readouterr().out.strip()}`" in text


def test_the_docs_name_every_kind_and_field():
    table = (ROOT / "docs" / "nir.md").read_text().partition("## Nodes")[2].partition("\n## ")[0]
    for kind, known in KINDS.items():
        rows = [line for line in table.splitlines() if line.startswith("|")]
        (line,) = (row for row in rows if kind in row.split("|")[1].replace(",", "").split())
        assert all(name in line for name in known), kind


def test_only_a_graph_is_written(tmp_path):
    with pytest.raises(ModelError, match="a NIR graph is wanted, not NoneType"):
        write_nir(tmp_path / "x.nir", None)
    assert list(tmp_path.iterdir()) == []
