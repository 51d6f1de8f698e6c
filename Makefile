# make setup | demo | test | lint | types | check | bench | fuzz | torture | peers | clean
# Everything that is installed lands in .venv/; `make PYTHON=python3.12 setup` chooses the interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP ?= $(BIN)/python -m pip
ARGS ?=
SOAK ?=

CODE := $(wildcard spikestream tests plugins benchmarks examples recordings config)
PLUGINS := plugins/blinker plugins/stereo plugins/quadratic plugins/camera
BENCHMARKS := $(shell grep -ls 'from common import.*finish' benchmarks/*.py)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test lint types check bench fuzz torture peers clean

setup: $(VENV)/setup.stamp

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("spikestream needs Python 3.11, 3.12 or 3.13, $(PYTHON) is %d.%d: make PYTHON=python3.12 ..." % v)'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "$(PYTHON) cannot make environments: install its venv package (Debian: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/setup.stamp: pyproject.toml $(PLUGINS:%=%/pyproject.toml) | $(BIN)/python
	$(PIP) install -q -e '.[dev]'
	$(PIP) install -q $(PLUGINS:%=-e %)
	@touch $@

# Other people's decoders, for tests only: see [project.optional-dependencies] in pyproject.toml.
$(VENV)/oracles.stamp: $(VENV)/setup.stamp
	$(PIP) install -q -e '.[oracles]'
	@touch $@

demo: setup
	$(BIN)/spikestream demo

# Three workers for two cores, since many tests wait for a sound or a process; a file goes to one of them, so that what it
# compiles is not compiled in all; files come in the order of conftest.py, which begins with the longest.
# make test ARGS='-k aedat' runs a part of them, in one.
test: $(VENV)/oracles.stamp
	$(BIN)/python -m pytest $(or $(ARGS),-q -n 3 --dist loadfile --no-loadscope-reorder)

lint: setup
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: setup
	$(BIN)/mypy
	$(BIN)/mypy $(PLUGINS:%=%/src)

check: lint types test

bench: $(VENV)/oracles.stamp
	@test -n "$(BENCHMARKS)" || echo "there are no benchmarks"
	@for one in $(BENCHMARKS); do echo "== $$one"; $(BIN)/python $$one --quick || exit 1; done

# Damaged files of every format: 100,000 mutations each, and an hour of search guided by coverage; see docs/fuzzing.md.
# make fuzz ARGS='--formats es,evt3 --cases 1000 --minutes 1' is a part of it.
fuzz: $(VENV)/oracles.stamp
	$(PIP) install -q -e '.[fuzz]'
	PYTHONPATH=tests $(BIN)/python -m fuzzing $(ARGS)

# Daemons killed at random moments under load, and one that suffers everything else for two hours;
# make torture ARGS='--kills 20 --terms 10' SOAK='--minutes 3' is the short form.
torture: setup
	$(BIN)/python benchmarks/torture.py $(ARGS)
	$(BIN)/python benchmarks/soak.py $(SOAK)

# Systems that benchmarks compare with and that cannot live in .venv/.
peers: setup
	@if [ -f benchmarks/peers.sh ]; then bash benchmarks/peers.sh; else echo "no benchmark needs a peer of its own environment"; fi

clean:
	rm -rf $(VENV) .peers .fuzz build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
