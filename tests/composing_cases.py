"""Neurons and rules from the docs, installed as plugins, and the ways to break them that the laws must see.

Run as a script with a folder, it prints as JSON which laws each broken one breaks; as plain Python, which is quick.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from spikestream import checks
from spikestream.checks import composing
from spikestream.checks import rules as rules_of
from spikestream.errors import PluginError

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "composing.md").read_text(encoding="utf-8")


def on_page(words: str) -> str:
    """Return the one block of Python in the docs that holds these words."""
    (found,) = (code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if words in code)
    return found


FORM = {law.name for law in composing.FORM}
NEURON, RULE = on_page("A leaky neuron"), on_page("A spike that comes in")
RANDOM = "+ np.float32(np.random.random())"

NEURONS: dict[str, tuple[str, str, str]] = {  # name: laws, what is replaced, by what
    "no_receptors": ("complete *", 'RECEPTORS = ("v",)\n', ""),
    "empty_receptors": ("complete *", 'RECEPTORS = ("v",)', "RECEPTORS = ()"),
    "odd_receptor": ("complete *", 'RECEPTORS = ("v",)', 'RECEPTORS = ("g",)'),
    "odd_learned": ("complete *", 'LEARNED = ("theta",)', 'LEARNED = ("thesis",)'),
    "thawed": ("complete *", "frozen=True", "frozen=False"),
    "short": ("complete *", "n: int, adapting: bool, out: Array", "n: int, out: Array"),
    "short_rest": ("complete *", "ticks: int, adapting: int, tick_us", "adapting: int, tick_us"),
    "array_coefficient": ("coefficients *", "1e-30, 0)))", "1e-30, 0)))._replace(zero=np.array(['0']))"),
    "infinite": ("coefficients *", "params.v_thresh, params.theta_plus, 1e-30", "params.v_thresh, np.inf, 1e-30"),
    "one_row_more": ("arrays *", "State(np.zeros(neurons, f)", "State(np.zeros(neurons + 3, f)"),
    "twice_the_rows": ("arrays *", "np.zeros(neurons, f))", "np.zeros(2 * neurons, f))"),
    "whole_receptor": ("arrays *", "State(np.zeros(neurons, f)", "State(np.zeros(neurons, int)"),
    "itself_twice": (
        "nothing-shared *",
        "State(np.zeros(neurons, f), np.zeros(neurons, f))",
        "State(*[np.zeros(neurons, f)] * 2)",
    ),
    "deaf": ("fires", "v_thresh: float = 15.0", "v_thresh: float = 1e15"),
    "backwards": ("who-fired", "j in range(len(s.v)):\n        if", "j in range(len(s.v) - 1, -1, -1):\n        if"),
    "scribbles": ("who-fired", "out[count] = j", "out[count] = j\n            out[count + 1] = 7"),
    "noise": ("same-again any-grouping goes-on any-time", "s.v[j] * c.decay_m", f"s.v[j] * c.decay_m {RANDOM}"),
    "a_clock": ("any-time", "c.v_thresh + s.theta[j]:", "c.v_thresh + s.theta[j] + (n % 7 if n < 0 else 0):"),
    "float_ticks": ("any-time", "s.v[j] > c.v_thresh", "np.float64(n + 1) != np.float64(n) and s.v[j] > c.v_thresh"),
    "creeping": ("no-subnormals", "v if abs(v) > c.tiny else c.zero", "v"),
    "restless": ("gap", "def rest", "def unrest"),
    "wrong_rest": ("gap", "np.exp(-adapting", "np.exp(-3 * adapting"),
    "unasked": (
        "learning-off",
        "        if adapting:\n            s.theta[j] *= c.decay_theta",
        "        s.theta[j] = s.theta[j] * c.decay_theta + c.tiny * c.v_thresh",
    ),
}
RULES: dict[str, tuple[str, str, str]] = {
    "no_rates": ("complete *", 'RATES = ("a_plus", "a_minus")\n', ""),
    "odd_rates": ("complete *", '"a_plus", "a_minus")\n', '"a_plus", "a_mine")\n'),
    "short": (
        "complete *",
        "on_pre(c: Coeffs, s: State, g: int, j: int, k: int,",
        "on_pre(c: Coeffs, s: State, g: int, j: int,",
    ),
    "text_coefficient": ("coefficients *", "1e-30, 1, 0)))", "1e-30, 1, 0)))._replace(zero='0')"),
    "half_the_rows": ("arrays *", "np.zeros(groups, f)", "np.zeros(groups // 2, f)"),
    "one_for_all": ("nothing-shared *", "State(np.zeros(groups, f))", "State(ONE)\n\n\nONE = np.zeros(24, np.float32)"),
    "lazy": (
        "learns",
        "a_plus: float = 0.01\n    a_minus: float = 0.002",
        "a_plus: float = 0.0\n    a_minus: float = 0.0",
    ),
    "infinite": ("learns bounds", "c.a_plus * s.x[g], c.w_max)", "c.a_plus * s.x[g] / c.zero, c.w_max / c.zero)"),
    "noise": ("same-again any-grouping goes-on", "w + c.a_plus", f"w {RANDOM} * c.a_plus"),
    "a_clock": ("any-time", "s.x[g] * c.decay_plus", "s.x[g] * c.decay_plus + (n < 0)"),
    "creeping": ("no-subnormals", "x if x > c.tiny else c.zero", "x"),
    "restless": ("gap", "tau_plus_ms: float = 20.0", "tau_plus_ms: float = 20_000.0"),
    "over": ("bounds", "min(w + c.a_plus * s.x[g], c.w_max)", "w + c.a_plus * s.x[g]"),
    "under": ("bounds", "max(w - c.a_minus, c.w_min)", "w - c.a_minus"),
}


def install(folder: Path, name: str, source: str, group: str, value: str = "") -> None:
    """Put a distribution of one module on the path, as pip would, with an entry point of its own name."""
    meta = folder / f"{name}-1.5.dist-info"
    meta.mkdir(parents=True)
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (meta / "entry_points.txt").write_text(f"[spikestream.{group}]\n{name} = {value or name}\n")
    (folder / f"{name}.py").write_text(source)


def broken_of(kind: str, name: str) -> str:
    """Return the source of a broken neuron or rule."""
    source, (_, old, new) = (NEURON, NEURONS[name]) if kind == "neuron" else (RULE, RULES[name])
    assert source.count(old) == 1, name
    return source.replace(old, new)


def breaches(suite: Iterator[checks.Check], laws: str) -> dict[str, list[str]]:
    """Return what was seen against each law that is broken, of those of form, which are quick, and of ``laws``."""
    seen = {}
    for law, check in suite:
        if "*" in laws or law.replace(" ", "-") in laws.split() or law in FORM:
            try:
                check()
            except PluginError as error:
                seen[law] = error.details[0]
    return seen


def main(folder: Path) -> None:
    """Print what the suites say of each broken module, and of whole ones."""
    sys.path.insert(0, str(folder))
    answer = {}
    for kind, source, cases in (("neuron", NEURON, NEURONS), ("rule", RULE, RULES)):
        install(folder, f"{kind}_whole", source, f"{kind}s")
        install(folder, f"{kind}_hidden", source, "stages")
        for name in cases:
            install(folder, f"{kind}_{name}", broken_of(kind, name), f"{kind}s")
        importlib.invalidate_caches()
        suite = getattr(checks, kind)
        for name, laws in {"whole": "*", "hidden": "*", **{name: case[0] for name, case in cases.items()}}.items():
            answer[f"{kind}-{name}"] = breaches(suite(importlib.import_module(f"{kind}_{name}")), laws)
    whole = rules_of.Network.from_model
    rules_of.Network.from_model = lambda model, learning=True: whole(model)  # a network that learns whatever it is told
    answer["rule-untold"] = breaches(checks.rule(importlib.import_module("rule_whole")), "learning-off")
    print(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
