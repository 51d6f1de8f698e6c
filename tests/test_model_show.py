"""`spikestream model show` as its user calls it, and the picture looked up in what matplotlib was given to draw."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from cli import PATIENCE_S, ROOT, spikestream
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from spikestream.errors import ConfigError
from spikestream.model import Input, Model, Population, Projection, Rule
from spikestream.model.summary import summarise
from spikestream.plots.diagram import COLOURS, MOST_BOXES, diagram, effect_of, places_of


def documented():
    """Return the model of docs/model.md, and what the page says is printed of it."""
    text = (ROOT / "docs" / "model.md").read_text()
    (described,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (printed,) = re.findall(r"```\n\$ spikestream model show [^\n]*\n(.*?)```", text, re.DOTALL)
    return described, printed


def written(tmp_path, text, name="cortex.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_text_is_the_one_in_the_docs(tmp_path):
    described, printed = documented()
    written(tmp_path, described)
    done = spikestream("model", "show", "cortex.toml", cwd=tmp_path)
    assert done.stdout == printed
    assert done.stderr == ""


def test_json_is_one_object_that_adds_up(tmp_path):
    path = written(tmp_path, documented()[0])
    made = json.loads(spikestream("model", "show", path, "--json").stdout)
    assert (made["file"], made["kind"], made["axons"], made["outputs"]) == (str(path), "model", 2312, ["exc"])
    assert made["synapses"] == sum(p["synapses"] for p in made["projections"])
    assert made["memory_bytes"] == sum(p["memory_bytes"] for p in made["projections"])
    see = made["projections"][0]
    assert (see["held"], see["synapses"], see["memory_bytes"]) == ("dense", 231_200, 924_800)
    assert see["rules"][1] == {"kind": "normalise", "w_norm": 78.4}
    assert 0 <= see["weights_low"] < see["weights_mean"] < see["weights_high"] <= 0.3


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_picture_is_made_and_the_file_tells_what_it_is(tmp_path, suffix):
    path, picture = written(tmp_path, documented()[0], "a$b$.toml"), tmp_path / f"cortex.{suffix}"
    spikestream("model", "show", path, "--plot", picture, "-q")
    begin = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert picture.read_bytes().startswith(begin)
    assert sorted(os.listdir(tmp_path)) == ["a$b$.toml", picture.name]


def test_a_configuration_is_a_model_of_one_population(tmp_path):
    text = '[sensor]\nsize = "34x34"\n[network]\nneurons = 7\ntau_m_ms = 5\n[learn]\nrate_start = 0.1\n'
    made = json.loads(spikestream("model", "show", written(tmp_path, text), "--json").stdout)
    assert (made["kind"], made["axons"], made["neurons"]) == ("configuration", 578, 7)
    assert made["inputs"] == [{"name": "sensor", "size": 578, "shape": [2, 17, 17]}]
    assert made["populations"][0]["params"] == {"tau_m_ms": 5.0}
    see, inhibit = made["projections"]
    assert (see["synapses"], see["rules"]) == (578 * 7, [{"kind": "stdp", "rate_start": 0.1}])
    assert (inhibit["connect"], inhibit["synapses"], inhibit["weights_mean"]) == ("lateral", 42, -3.0)


@pytest.mark.parametrize("learn", ["enabled = false", 'rule = "none"'])
def test_a_configuration_that_does_not_learn_shows_no_rule(tmp_path, learn):
    text = f"[sensor]\nsamplerate_hz = 16000\n[network]\ninhibition = 0.0\n[learn]\n{learn}\n"
    made = json.loads(spikestream("model", "show", written(tmp_path, text), "--json").stdout)
    (hear,) = made["projections"]
    assert (made["axons"], hear["name"], hear["rules"]) == (192, "hear", [])


def test_the_size_of_a_sensor_comes_from_its_recording_or_from_the_command_line(tmp_path):
    shipped = spikestream("model", "show", "config/daemon.toml", cwd=ROOT).stdout
    assert "config/daemon.toml: a configuration of 578 axons and 200 neurons" in shipped
    live = written(tmp_path, '[sensor]\nuri = "blinker://"\n')
    assert "--size WxH" in spikestream("model", "show", live, code=2).stderr
    assert "of 578 axons" in spikestream("model", "show", live, "--size", "34x34").stdout
    shown = spikestream("model", "show", written(tmp_path, documented()[0]), "--size", "3x3", code=2)
    assert "--size is for a sensor" in shown.stderr


ERRORS = [
    ("", None, 2, "sensor.size"),
    ("[network]\nneurns = 3\n", None, 2, "did you mean 'network.neurons'"),
    ("[poplations.x]\nsize = 1\n", None, 2, "did you mean 'populations'"),
    ("something = 1\n", None, 2, "neither a model nor a configuration"),
    ("not toml at all", None, 2, "is not TOML"),
    ("[populations.x]\nsize = 1\nneuron = 3\n", None, 2, "populations.x.neuron cannot be 3"),
    ("[populations.x]\nsize = 1\n[sensor]\n", None, 2, "unknown key 'sensor'"),
    ("[populations.x]\nsize = 1\n", "x.txt", 2, "no picture is drawn into"),
    ("[populations.x]\nsize = 1\n", "nowhere/x.png", 3, "nowhere"),
]


@pytest.mark.parametrize(("text", "picture", "code", "told"), ERRORS)
def test_what_is_wrong_is_told_with_its_exit_code(tmp_path, text, picture, code, told):
    extra = ["--plot", tmp_path / picture] if picture else []
    done = spikestream("model", "show", written(tmp_path, text), *extra, code=code)
    assert done.stderr.startswith("error: ")
    assert told in done.stderr


def test_a_file_that_is_none_and_a_verb_without_its_parts(tmp_path):
    assert "No such file" in spikestream("model", "show", tmp_path / "x.toml", code=2).stderr
    assert "it is a folder" in spikestream("model", "show", tmp_path, code=2).stderr
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    assert "is not TOML" in spikestream("model", "show", tmp_path / "x.toml", code=2).stderr
    assert "error: model needs show, FILE\n" in spikestream("model", code=2).stderr
    assert "invalid choice: 'draw'" in spikestream("model", "draw", "x", code=2).stderr
    own = written(tmp_path, "[populations.x]\nsize = 1\n", "x.png")
    assert "both the model and its picture" in spikestream("model", "show", own, "--plot", own, code=2).stderr


def test_without_matplotlib_the_text_goes_on_and_the_picture_says_what_to_install(tmp_path):
    path = written(tmp_path, "[populations.x]\nsize = 1\n")
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from spikestream.cli import main\n"
        "print(main(['model', 'show', sys.argv[1]]), main(['model', 'show', sys.argv[1], '--plot', 'x.png']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=PATIENCE_S, cwd=tmp_path
    )
    assert done.stdout.endswith("0 2\n"), done
    assert "pip install 'spikestream[plots]'" in done.stderr


def test_neither_numba_nor_matplotlib_is_loaded_for_the_text_of_a_model(tmp_path):
    path = written(tmp_path, documented()[0])
    code = (
        "import sys\nfrom spikestream.cli import main\nmain(['model', 'show', sys.argv[1]])\n"
        "print('numba' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout.endswith("False False\n"), done


# What is measured.


def summed(*projections, size=4):
    model = Model([Input("a", shape=(1, 3, 3))], [Population("b", shape=(1, size // 2, 2))], projections)
    return summarise(model).projections


def test_weights_are_measured_over_synapses_also_where_they_are_shared():
    kernels = np.array([1.0, 2.0, 3.0, 100.0]).reshape(1, 1, 2, 2)
    shared = Projection("p", "a", "b", connect="conv", kernel=2, stride=2, padding=0, weights=kernels)
    (one,) = summarise(Model([Input("a", shape=(1, 2, 2))], [Population("b", shape=(1, 1, 1))], [shared])).projections
    assert (one.weights_low, one.weights_mean, one.weights_high) == (1, 26.5, 100)
    padded = Projection("p", "a", "b", connect="conv", kernel=2, padding=1, stride=2, weights=kernels)
    (one,) = summed(padded)
    used = [100, 3, 100, 2, 100, 1, 2, 3, 100]  # the corner sees one pixel, the edges two each, the middle four
    assert (one.synapses, one.weights_mean) == (9, pytest.approx(np.mean(used)))
    one_pixel = Model([Input("a", shape=(1, 1, 1))], [Population("b", shape=(1, 1, 1))], [padded])
    (one,) = summarise(one_pixel).projections  # only the last weight ever meets it
    assert (one.weights_low, one.weights_mean, one.weights_high) == (100, 100, 100)


def test_memory_counts_weights_and_what_lists_them():
    dense, listed, lateral = summed(
        Projection("d", "a", "b", weights=1.0),
        Projection("s", "a", "b", weights=1.0, connect="pairs", pre=[0, 1, 2], post=[0, 0, 0]),
        Projection("l", "b", "b", weights=-1.0, connect="lateral"),
    )
    assert (dense.memory_bytes, listed.memory_bytes, lateral.memory_bytes) == (9 * 4 * 4, 3 * 8 + 10 * 8, 4)


# The picture.

EIGHT = Model(
    [Input("retina", shape=(2, 34, 34)), Input("cochlea", 64)],
    [Population(name, 100, neuron=r"lif$\x$") for name in ("on", "off", "inh", "V1", "V2", "A1", "join", "out")],
    [
        Projection("see_on", "retina", "on", weights=(0, 1), rules=[Rule("pair")]),
        Projection("see_off", "retina", "off", weights=(0, 1)),
        Projection("hear", "cochlea", "A1", weights=1),
        Projection("drive", "on", "inh", weights=1),
        Projection("calm", "inh", "on", weights=-1),
        Projection("compete", "on", "on", connect="lateral", weights=-3),
        Projection("echo", "on", "on", connect="random", probability=0.1, weights=0.1),
        Projection("on_v1", "on", "V1", weights=1),
        Projection("off_v1", "off", "V1", weights=1),
        Projection("up", "V1", "V2", weights=1),
        Projection("seen", "V2", "join", weights=1),
        Projection("heard", "A1", "join", weights=1),
        Projection("far", "retina", "join", weights=(-1, 1)),
        Projection("say", "join", "out", weights=1),
    ],
    outputs=("out",),
)


def test_every_part_is_a_box_or_an_arrow_with_its_name():
    drawn = diagram(EIGHT)
    drawn.figure.canvas.draw()
    boxes = [patch for patch in drawn.patches if isinstance(patch, FancyBboxPatch)]
    arrows = [patch for patch in drawn.patches if isinstance(patch, FancyArrowPatch)]
    assert (len(boxes), len(arrows)) == (10, 14)
    told = [text.get_text() for text in drawn.texts]
    assert {one.name for one in (*EIGHT.inputs, *EIGHT.populations, *EIGHT.projections)} <= set(told)
    assert {"2,312 axons", r"100 lif$\x$"} <= set(told)
    legend = [text.get_text() for text in drawn.get_legend().get_texts()]
    assert legend == ["excites", "inhibits", "both", "learns"]


def test_arrows_are_told_apart_by_colour_head_and_width():
    looks = {}
    for name, weights, rules in (("excites", 1, []), ("inhibits", -1, []), ("both", (-1, 1), [Rule("pair")])):
        p = Projection("p", "a", "b", weights=weights, rules=rules)
        drawn = diagram(Model([Input("a", 1)], [Population("b", 1)], [p]))
        (arrow,) = (patch for patch in drawn.patches if isinstance(patch, FancyArrowPatch))
        looks[name] = (arrow.get_edgecolor(), type(arrow.get_arrowstyle()).__name__, arrow.get_linewidth())
        assert effect_of(p) == name
    assert len({look[0] for look in looks.values()}) == len({look[1] for look in looks.values()}) == 3
    assert looks["both"][2] > looks["excites"][2]
    assert effect_of(Projection("p", "a", "b", weights=1, receptor="g_inh")) == "inhibits"
    assert effect_of(Projection("p", "a", "b", weights=np.array([[-1, 0]]))) == "inhibits"
    assert set(looks) == set(COLOURS)


def overlap(one, other):
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1


def test_eight_populations_are_readable():
    drawn = diagram(EIGHT)
    drawn.figure.canvas.draw()
    inside = drawn.get_window_extent()
    boxes = [patch.get_window_extent() for patch in drawn.patches if isinstance(patch, FancyBboxPatch)]
    names = {text.get_text(): text.get_window_extent() for text in drawn.texts}
    labels = [names[p.name] for p in EIGHT.projections]
    for row in (boxes, labels):
        assert not [(a, b) for i, a in enumerate(row) for b in row[:i] if overlap(a, b)]
    assert not [label for label in labels for box in boxes if overlap(label, box)]
    for extent in (*boxes, *labels):
        assert inside.x0 <= extent.x0 < extent.x1 <= inside.x1
        assert inside.y0 <= extent.y0 < extent.y1 <= inside.y1
    assert all(text.get_fontsize() >= 7 for text in drawn.texts)


def test_columns_go_from_the_inputs_and_hold_what_no_input_reaches():
    places = places_of(EIGHT)
    x = {name: place[0] for name, place in places.items()}
    assert x["retina"] == x["cochlea"] == 0 < x["on"] == x["off"] == x["A1"] == x["join"] < x["V1"] < x["V2"]
    assert len(set(places.values())) == 10
    alone = Model([], [Population(name, 1) for name in "abc"], [Projection("p", "b", "c", weights=1)])
    assert {name: place[0] for name, place in places_of(alone).items()}["c"] > places_of(alone)["a"][0]
    diagram(alone).figure.canvas.draw()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ConfigError, match="models are drawn"):
        diagram("cortex.toml")
    many = Model([], [Population(f"p{k}", 1) for k in range(MOST_BOXES + 1)])
    with pytest.raises(ConfigError, match="no picture"):
        diagram(many)
