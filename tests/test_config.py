"""The configuration: every key typed, checked and in the manual, and whatever is wrong says what is allowed."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import events

from spikestream.batch import no_spikes
from spikestream.building import build
from spikestream.config import HOUR_US, Config, from_tables, read_config, read_pipelines, to_tables, with_value
from spikestream.errors import ConfigError, ModelError, PluginError
from spikestream.stages.carfac import Carfac
from spikestream.stages.hear import Cochlea
from spikestream.stages.network import Network
from spikestream.stages.readout import Readout

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "config.md").read_text(encoding="utf-8")
SECTIONS = [field.name for field in dataclasses.fields(Config)]
KEYS = [
    (section, field.name)
    for section in SECTIONS
    if section not in ("filter", "model")
    for field in dataclasses.fields(getattr(Config(), section))
]
SIZED = ["sensor.size=8x6"]


def toml(tmp_path, text):
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(*sets, path=None):
    with pytest.raises(ConfigError) as caught:
        read_config(path, sets)
    return caught.value


# The manual


def manual():
    """Return {section: {key: (unit, default)}} of docs/config.md."""
    found = {}
    for name, text in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S):
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| `([^|]+)` \| [^|]+ \|$", text, re.M)
        assert len(rows) == len(re.findall(r"^\| `", text, re.M)), name
        found[name] = {key: (unit, default) for key, unit, default in rows}
    return found


def test_the_manual_has_every_section_and_key_in_order_and_nothing_else():
    assert list(manual()) == SECTIONS
    for section, keys in manual().items():
        expected = ["filter"] if section == "filter" else [key for name, key in KEYS if name == section]
        assert list(keys) == expected


def test_the_manual_has_the_defaults():
    for section, keys in manual().items():
        if section == "model":
            continue
        written = {key: tomllib.loads(f"value = {default}")["value"] for key, (_, default) in keys.items()}
        tables = written if section == "filter" else {section: written}
        assert from_tables(tables) == Config()
        for key, value in written.items():
            default = getattr(Config(), key) if section == "filter" else getattr(getattr(Config(), section), key)
            assert type(value) is type(list(default) if isinstance(default, tuple) else default), key


def test_the_manual_names_all_choices():
    assert manual()["readout"]["windows"][0] == "`grid`, `marked`, `voice`"
    for unknown, words in (
        ("network.neuron=x", "lif"),
        ("learn.rule=x", "stdp, none"),
        ("readout.windows=x", "grid, marked, voice"),
    ):
        with pytest.raises(ConfigError) as caught:
            build(read_config(None, [*SIZED, unknown]))
        section, key = unknown.partition("=")[0].split(".")
        assert caught.value.allowed == words == manual()[section][key][0].replace("`", "")


def test_the_example_in_the_manual_works(tmp_path):
    text, several, _ = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
    made = read_config(toml(tmp_path, text))
    assert (made.sensor.uri, made.network.neurons, len(made.publish.urls)) == ("lobby.aedat4", 400, 2)
    door, ear = read_pipelines(toml(tmp_path, several), (), lambda made: {}).values()
    assert (door.sensor.uri, ear.sensor.uri, ear.publish.pipeline) == ("door.aedat4", "microphone://", "ear")


# Defaults


def test_an_empty_file_is_the_default_and_that_builds(tmp_path):
    assert read_config(toml(tmp_path, "")) == read_config(None) == from_tables({}) == Config()
    made = build(Config(), (346, 260))
    assert list(made.stages) == ["filter", "address", "network", "readout"]
    assert made.stages["filter"].size == (32, 24)  # 11 x 11 pixels become one
    assert made.stages["network"].weights.shape == (32 * 24 * 2, 200)
    made(events(0, 20_000, [(5, 345, 259, True)]))
    assert made.config.sensor.size == "346x260"


def test_the_defaults_of_the_stages_are_those_of_the_configuration():
    made, network, readout = build(Config(), (32, 32)), Network(2048, 200), Readout(200)
    assert made.stages["network"]._engine._params == network._engine._params
    assert [getattr(made.stages["network"], key) for key in ("tick_us", "rule", "learning")] == [1_000, "stdp", True]
    keys = ("window_us", "windows", "memory", "kept", "learning")
    assert [getattr(made.stages["readout"], key) for key in keys] == [getattr(readout, key) for key in keys]


def test_every_key_reaches_the_pipeline():
    plain = build(read_config(None, SIZED))
    changed = {
        "tick_us": 500, "seed": 3, "tau_m_ms": 21.0, "v_thresh": 0.3, "v_reset": 0.1, "v_floor": 5.0,
        "tau_refrac_ms": 3.0, "inhibition": 2.0, "theta_plus": 0.2, "tau_theta_ms": 9.0, "w_max": 0.9, "w_norm": 1.1,
        "theta_half": 4.0, "theta_shared": 0.5,
    }  # fmt: skip
    for key, value in changed.items():
        made = build(read_config(None, [*SIZED, f"network.{key}={value}"]))
        network = made.stages["network"]
        assert (network.tick_us if key == "tick_us" else getattr(network._engine._params, key)) == value
        assert made.config.network == dataclasses.replace(Config().network, **{key: value})
    assert set(changed) | {"neurons", "neuron", "reset"} == {key for name, key in KEYS if name == "network"}
    learn = {"tau_plus_ms": 31.0, "rate_start": 0.1, "rate_end": 0.01, "wins_half": 11.0, "lesson_ms": 7.0}
    for key, value in learn.items():
        made = build(read_config(None, [*SIZED, f"learn.{key}={value}"]))
        assert getattr(made.stages["network"]._engine._params, key) == value
    for key, value in {"windows": "marked", "window_us": 7_000, "memory": 0.5, "kept": 2}.items():
        assert getattr(build(read_config(None, [*SIZED, f"readout.{key}={value}"])).stages["readout"], key) == value
    frozen = build(
        read_config(None, [*SIZED, "learn.enabled=false", "learn.rule=none", "network.neurons=7", "filter=[]"])
    )
    assert [frozen.stages[name].learning for name in ("network", "readout")] == [False, False]
    assert (frozen.stages["network"].rule, frozen.stages["network"].weights.shape) == ("none", (8 * 6 * 2, 7))
    assert plain.stages["network"].weights.shape == (8 * 6 * 2, 200)


def test_the_size_comes_from_the_configuration_else_from_the_sensor():
    assert build(read_config(None, SIZED), (100, 100)).stages["address"].size == (8, 6)
    assert build(Config(), (10, 12)).stages["address"].size == (10, 12)
    with pytest.raises(ConfigError, match="size of the sensor is not known"):
        build(Config())
    with pytest.raises(ConfigError, match="'8 by 6' is not a sensor size"):
        build(read_config(None, ["sensor.size=8 by 6"]))


# The ear


class Strange:
    """The ear of a plugin, which tells what it was given."""

    def __init__(self, samplerate_hz, bands=64, low_hz=None, high_hz=None, gain_control=None):
        self.axons, self.given = bands, {"low_hz": low_hz, "high_hz": high_hz, "gain_control": gain_control}

    def __call__(self, batch):
        return no_spikes(batch.start, batch.stop)


def deaf(samplerate_hz, bands=64):
    raise ZeroDivisionError("a plugin's own mistake")


def endless(samplerate_hz, bands=64):
    raise MemoryError


def picky(samplerate_hz, bands=64):
    raise ConfigError("only at full moon", key="hear.bands")


def bare(samplerate_hz, bands=64):
    return object()


def axonless(samplerate_hz, bands=64):
    ear = Strange(samplerate_hz)
    ear.axons = "many"
    return ear


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Install a distribution whose stages are those above, one that is not there, and a number."""
    folder = tmp_path / "strange-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    rows = [f"{name} = {__name__}:{name}" for name in ("Strange", "deaf", "endless", "picky", "bare", "axonless")]
    rows += ["missing = strange_nowhere:Ear", "number = math:pi"]
    (folder / "entry_points.txt").write_text("\n".join(["[spikestream.stages]", *rows]))
    monkeypatch.syspath_prepend(str(tmp_path))


def ear(*sets, samplerate_hz=16_000):
    return build(read_config(None, ["network.neurons=3", *sets]), samplerate_hz=samplerate_hz).stages["hear"]


def test_the_ear_is_chosen_by_the_name_of_its_stage():
    assert type(ear()) is type(ear("hear.stage=hear")) is Cochlea
    assert type(ear("hear.stage=carfac")) is Carfac
    assert list(build({"hear": {"stage": "carfac"}}, samplerate_hz=16_000).stages) == ["hear", "network", "readout"]


def test_an_ear_of_the_configuration_s_defaults_has_its_own():
    assert ear().params == Cochlea(16_000).params
    assert ear("hear.stage=carfac").options == Carfac(16_000).options
    assert ear(samplerate_hz=8_000).params == Cochlea(8_000).params


def test_every_key_of_hearing_reaches_the_ear_or_is_refused_by_one_that_has_no_such_thing():
    made = ear("hear.bands=32", "hear.low_hz=80", "hear.high_hz=5000", "hear.gain_control=false", "hear.off=true")
    changed = {"bands": 32, "low_hz": 80.0, "high_hz": 5_000.0, "gain_control": False, "off": True}
    assert made.params == dataclasses.replace(Cochlea(16_000).params, **changed)
    made = ear("hear.stage=carfac", "hear.bands=32", "hear.low_hz=80", "hear.high_hz=5000", "hear.gain_control=false")
    del changed["off"]
    assert made.options == dataclasses.replace(Carfac(16_000).options, **changed)
    assert ear("hear.stage=contrast", "hear.even=0.5").options.even == 0.5
    with pytest.raises(ConfigError, match="even"):
        ear("hear.even=0.5")
    assert set(changed) | {"stage", "off", "even"} == {key for name, key in KEYS if name == "hear"}


@pytest.mark.usefixtures("plugin")
def test_the_ear_of_a_plugin_gets_what_differs_from_the_defaults_and_no_more():
    assert ear("hear.stage=Strange").given == {"low_hz": None, "high_hz": None, "gain_control": None}
    made = ear("hear.stage=Strange", "hear.bands=9", "hear.high_hz=900", "hear.gain_control=false")
    assert (made.axons, made.given) == (9, {"low_hz": None, "high_hz": 900.0, "gain_control": False})


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("sets", "error", "words"),
    [
        (["hear.stage=carfak"], PluginError, "unknown stage 'carfak'; did you mean 'carfac'?"),
        (["hear.stage="], PluginError, "unknown stage ''"),
        (["hear.stage=network"], ConfigError, "the ear 'network' cannot be made with bands"),
        (["hear.stage=filter"], ConfigError, "the ear 'filter' cannot be made with bands"),
        (["hear.stage=number"], ConfigError, "the ear 'number' cannot be made"),
        (["hear.stage=carfac", "hear.off=true"], ConfigError, "unknown option 'off' of CARFAC"),
        (["hear.stage=carfac", "hear.high_hz=7900"], ConfigError, "do not fit a sample rate of 16,000 Hz"),
        (["hear.stage=carfac", "hear.bands=7"], ConfigError, "bands = 7 is out of range"),
        (["hear.stage=Strange", "hear.off=true"], ConfigError, "the ear 'Strange' cannot be made with bands, off"),
        (["hear.stage=picky"], ConfigError, "only at full moon"),
        (["hear.stage=deaf"], PluginError, "'deaf' cannot be made: ZeroDivisionError: a plugin's own mistake"),
        (["hear.stage=endless"], PluginError, "'endless' cannot be made: MemoryError"),
        (["hear.stage=bare"], PluginError, "'bare' cannot be made: AttributeError"),
        (["hear.stage=axonless"], PluginError, "'axonless' is no ear: it cannot be called, or has 'many' axons"),
        (["hear.stage=missing"], PluginError, "stage 'missing' of strange does not load"),
    ],
)
def test_what_is_no_ear_is_told_apart_from_one_that_breaks(sets, error, words):
    with pytest.raises(error) as caught:
        ear(*sets)
    assert words in str(caught.value)


def test_a_mapping_builds_as_a_configuration_does():
    assert build({"sensor": {"size": "8x6"}}).config == read_config(None, SIZED)


# What is not understood


@pytest.mark.parametrize(
    ("setting", "text", "nearest"),
    [
        ("netwrok.neurons=3", "unknown section 'netwrok'", "network"),
        ("filters=[]", "unknown section 'filters'", "filter"),
        ("network.neuron_count=3", "unknown key 'network.neuron_count'", "network.neuron"),
        ("network.wmax=3", "unknown key 'network.wmax'", "network.w_max"),
        ("learn.rate_stat=3", "unknown key 'learn.rate_stat'", "learn.rate_start"),
        ("publish.url=x", "unknown key 'publish.url'", "publish.urls"),
        ("zzzzzz.q=3", "unknown section 'zzzzzz'", ""),
        ("neurons=3", "'neurons' is said without its section", "network.neurons"),
        ("neuronz=3", "unknown section 'neuronz'", "network.neuron"),
        ("network.zzzzzzzzzzzzzzzz=3", "unknown key 'network.zzzzzzzzzzzzzzzz'", ""),
    ],
)
def test_an_unknown_name_says_which_is_nearest(setting, text, nearest, tmp_path):
    error = refused(setting)
    assert (error.what, error.nearest, error.exit_code) == (text, nearest, 2)
    assert (f"did you mean '{nearest}'?" in str(error)) == bool(nearest)
    name, _, value = setting.partition("=")
    assert refused(path=toml(tmp_path, f"{name} = {value if value[0] in '[3' else repr(value)}")).what == text


def test_a_key_of_several_sections_that_is_said_without_one_names_them_all():
    error = refused("tau_m_ms=3")
    assert (error.what, error.nearest) == ("'tau_m_ms' is said without its section", "")
    assert error.allowed == "network.tau_m_ms, classifier.tau_m_ms"


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ("network.neurons=many", "int"),
        ("network.neurons=1.0", "int"),
        ("network.neurons=true", "int"),
        ("network.neurons=[3]", "int"),
        ("network.seed=9223372036854775808", "int"),
        ("network.neurons=4\nseed=5", "int"),
        ("network.tau_m_ms=soon", "float"),
        ("network.tau_m_ms=true", "float"),
        ("network.tau_m_ms=nan", "float"),
        ("network.tau_m_ms=-inf", "float"),
        ("network.tau_m_ms=1e999", "float"),
        ("network.tau_m_ms=1" + "0" * 400, "float"),
        ("network.tau_m_ms=1" + "0" * 5_000, "float"),
        ("learn.enabled=1", "bool"),
        ("learn.enabled=True", "bool"),
        ("publish.urls=3", "a list of texts"),
        ("publish.urls=[3]", "a list of texts"),
        ("publish.urls={a=1}", "a list of texts"),
        ("filter=3", '[{kind = "…", …}, …]'),
        ("filter=[3]", '[{kind = "…", …}, …]'),
        ('filter={kind="flip"}', '[{kind = "…", …}, …]'),
        ("filter.kind=flip", '[{kind = "…", …}, …]'),
        ("network=3", "network.KEY=VALUE"),
        ("batch.length_us=0", "1 to 3,600,000,000"),
        ("batch.length_us=-5", "1 to 3,600,000,000"),
        ("checkpoint.every_s=0", "numbers above 0"),
        ("checkpoint.every_s=-1", "numbers above 0"),
        ("checkpoint.keep=0", "1 to 1,000"),
        ("log.topics=[]", "patterns such as main.network.spikes, main.> or *"),
        ("log.topics=a b", "patterns such as main.network.spikes, main.> or *"),
        ("log.segment_bytes=1", "65,536 to 1,073,741,824"),
        ("log.max_bytes=1000", "4 log.segment_bytes or more"),
        ("log.max_age_s=-1", "0 or more"),
        ("log.sync_s=1e9", "0 to 3,600"),
        ("publish.pipeline=a.b", "letters, digits, - and _"),
        ("publish.pipeline=", "letters, digits, - and _"),
    ],
)
def test_a_value_that_cannot_be_says_what_can(setting, allowed):
    error = refused(setting)
    assert error.allowed == allowed
    assert error.key == setting.partition("=")[0] or error.key == "filter"


def test_texts_in_a_file_may_be_numbers_but_nothing_else(tmp_path):
    assert read_config(toml(tmp_path, "[sensor]\nspeed = 2\n")).sensor.speed == "2"
    assert read_config(toml(tmp_path, "[sensor]\nspeed = 2.5\n")).sensor.speed == "2.5"
    for value in ("true", "[]", "2024-01-01", "{}"):
        assert refused(path=toml(tmp_path, f"sensor.speed = {value}")).allowed == "str"


@pytest.mark.parametrize("text", ["network.neurons", "=3", "network.=3", ".neurons=3", "a.b.c=3", "", "."])
def test_what_is_no_setting_says_what_one_looks_like(text):
    assert refused(text).allowed == "section.key=value, e.g. network.neurons=400"


def test_a_section_may_not_stand_where_a_value_does():
    assert "'network' is no section" in str(refused("network=3", "network.neurons=4"))


@pytest.mark.parametrize("sets", [["network.tick_us=1000", "readout.window_us=1500"], ["network.tick_us=700"]])
def test_windows_are_a_whole_number_of_ticks(sets):
    made = read_config(None, [*SIZED, *sets])
    with pytest.raises(ConfigError, match="is no multiple of tick_us") as caught:
        build(made)
    assert caught.value.key == "readout.window_us"
    build(with_value(made, "readout", windows="marked"))


# --set


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("network.neurons=400", 400),
        (" network.neurons = 400 ", 400),
        ("network.neurons=1_000", 1_000),
        ("network.neurons=0x10", 16),
        ("network.tau_m_ms=20", 20.0),
        ("network.tau_m_ms=2e1", 20.0),
        ("learn.enabled=false", False),
        ("learn.rule=none", "none"),
        ('learn.rule="none"', "none"),
        ("learn.rule='none'", "none"),
        ("sensor.uri=a=b.aedat", "a=b.aedat"),
        ("sensor.uri=blinker://?hz=5", "blinker://?hz=5"),
        ("sensor.uri=", ""),
        ("sensor.uri=2024_01_01", "2024_01_01"),
        ("sensor.uri=2024-01-01", "2024-01-01"),
        ("sensor.uri=0x10", "0x10"),
        ("sensor.uri=true", "true"),
        ('sensor.uri="a # b"', "a # b"),
        ("sensor.speed=1e3", "1e3"),
        ("sensor.speed=max", "max"),
        ("publish.urls=tcp://127.0.0.1:1", ("tcp://127.0.0.1:1",)),
        ('publish.urls=["a", "b"]', ("a", "b")),
    ],
)
def test_a_setting_is_read_as_the_key_wants_it(text, value):
    section, key = text.partition("=")[0].strip().split(".")
    got = getattr(getattr(read_config(None, [text]), section), key)
    assert (got, type(got)) == (value, type(value))


def test_filters_are_set_as_a_list():
    made = read_config(None, ['filter=[{kind="flip", horizontal=true}, {kind="downsample"}]'])
    assert made.filter == ({"kind": "flip", "horizontal": True}, {"kind": "downsample"})
    assert read_config(None, ["filter=[]"]).filter == ()


def test_the_last_of_equal_settings_holds():
    assert read_config(None, ["network.seed=1", "network.seed=2"]).network.seed == 2


# Files


def test_base_then_file_then_settings(tmp_path):
    base = {
        "network": {"neurons": 1, "seed": 1, "tick_us": 100},
        "filter": [{"kind": "flip"}],
        "learn": {"rule": "none"},
    }
    path = toml(tmp_path, "[network]\nseed = 2\ntick_us = 200\n[readout]\nkept = 5")
    made = read_config(path, ["network.tick_us=300"], base)
    network = dataclasses.replace(Config().network, neurons=1, seed=2, tick_us=300)
    assert made == dataclasses.replace(
        Config(),
        network=network,
        filter=({"kind": "flip"},),
        learn=dataclasses.replace(Config().learn, rule="none"),
        readout=dataclasses.replace(Config().readout, kept=5),
    )
    assert base["network"] == {"neurons": 1, "seed": 1, "tick_us": 100}
    assert read_config(toml(tmp_path, "filter = []"), [], base).filter == ()
    assert read_config(None, [], to_tables(made)) == made


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[network\nneurons = 3", "is not TOML"),
        (b"network.neurons = \xff", "is not TOML"),
        (b"a = 1\na = 2", "is not TOML"),
        (b"[network]\nneurons = 3\n[network]", "is not TOML"),
        (b"a = " + b"[" * 50_000, "is not TOML"),
        (b"network.seed = " + b"1" * 10_000, "is not TOML"),
        (b"network.neurons = 2024-01-01", "cannot be"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(content, words, tmp_path):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    assert words in str(refused(path=path))
    if words == "is not TOML":
        assert "broken.toml" in str(refused(path=path))


@pytest.mark.parametrize("name", ["missing.toml", ""])
def test_a_file_that_cannot_be_read_is_named(name, tmp_path):
    assert f"cannot read the configuration {tmp_path / name}" in str(refused(path=tmp_path / name))


# There and back

FILTERS = st.sampled_from(
    [{"kind": "flip", "horizontal": True}, {"kind": "hot_pixel", "pixels": [[1, 2]]}, {"kind": "downsample"}]
)


NOT_ANY = (("publish", "pipeline"), ("address", "polarity"), ("checkpoint", "keep"), ("restart", "policy"))


@st.composite
def tables(draw):
    """Draw tables with some keys of each section, values of the right type."""
    texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
    values = {
        bool: st.booleans(),
        int: st.integers(1, 2**63 - 1),
        float: st.floats(1e-3, 1e12),
        str: texts.filter(lambda text: "\0" not in text),
        tuple[str, ...]: st.lists(texts, max_size=3),
        tuple[int, ...]: st.lists(st.integers(1, 1_000), min_size=1, max_size=3),
        tuple[float, ...]: st.lists(st.floats(1e-3, 1e12), max_size=3),
    }
    made = {}
    for section, key in draw(st.lists(st.sampled_from(KEYS), unique=True)):
        wanted = get_type_hints(type(getattr(Config(), section)))[key]
        drawn = draw(st.integers(1, HOUR_US) if key in ("length_us", "tick_us") else values[wanted])
        # Not any text, nor any number.
        if section != "log" and (section, key) not in NOT_ANY:
            made.setdefault(section, {})[key] = drawn
    if draw(st.booleans()):
        made["filter"] = draw(st.lists(FILTERS, max_size=3))
    return made


@given(tables())
@settings(deadline=None)
def test_a_configuration_survives_tables(made):
    once = from_tables(made)
    assert from_tables(to_tables(once)) == once
    for section, keys in made.items():
        for key, value in keys.items() if section != "filter" else ():
            assert getattr(getattr(once, section), key) == (tuple(value) if isinstance(value, list) else value)


def test_tables_hold_copies():
    given_tables = {"network": {"seed": 1}, "filter": [{"kind": "flip"}]}
    made = read_config(None, ["network.seed=2"], given_tables)
    assert given_tables == {"network": {"seed": 1}, "filter": [{"kind": "flip"}]}
    given_tables["filter"][0]["kind"] = "crop"
    to_tables(made)["filter"][0]["kind"] = "crop"
    assert made.filter == ({"kind": "flip"},)


# Whatever comes


ODD = st.sampled_from(
    [
        "0",
        "-1",
        "nan",
        "inf",
        "1e300",
        "-1e300",
        "1e-300",
        str(2**63 - 1),
        str(-(2**63)),
        "1e15",
        "true",
        "x",
        "[]",
        '""',
        "1.5",
    ]
)
HUGE = {"neurons", "kept"}  # as large as memory, which is not tried here


@given(st.lists(st.tuples(st.sampled_from(KEYS), ODD), min_size=1, max_size=3))
@settings(deadline=None, max_examples=500)
def test_odd_values_build_a_pipeline_that_runs_or_are_refused(chosen):
    chosen = [((section, key), value) for (section, key), value in chosen if key not in HUGE or len(value) < 5]
    with suppress(ConfigError, PluginError, ModelError):  # an unknown ear, no placement
        made = read_config(None, ["sensor.size=4x4", "network.neurons=3", *(f"{s}.{k}={v}" for (s, k), v in chosen)])
        built = build(made, (4, 4))
        built(events(0, 20_000, [(t, t % 4, 1, True) for t in range(0, 20_000, 100)]))


@given(st.text(max_size=40), st.text(alphabet="network.lear=1[]{}\"'\n #,tue-", max_size=40))
@settings(deadline=None, max_examples=500)
def test_any_text_is_a_setting_or_refused(one, other):
    for text in (one, other, f"network.{other}", f"network.neurons={other}"):
        with suppress(ConfigError):
            read_config(None, [text])


@given(st.binary(max_size=60), st.text(alphabet="[network]\nuros=1\"'.#{}, tfale", max_size=80))
@settings(deadline=None, max_examples=300)
def test_any_file_is_a_configuration_or_refused(tmp_path_factory, raw, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    for content in (raw, text.encode()):
        path.write_bytes(content)
        with suppress(ConfigError):
            read_config(path)


@pytest.mark.parametrize("neurons", [10**15, 2**63 - 1])
def test_too_many_neurons_for_any_memory_are_refused(neurons):
    with pytest.raises(ConfigError, match="do not fit the memory") as caught:
        build(read_config(None, [*SIZED, f"network.neurons={neurons}"]))
    assert caught.value.key == "network.neurons"


def test_what_is_refused_is_told_in_two_lines():
    assert str(refused("network.neurons=x")) == "network.neurons cannot be 'x'\n  allowed: int"
