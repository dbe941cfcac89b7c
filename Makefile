# Everything on a fresh machine with Python 3.11+, make, a C++ compiler and Node 20+.
#   make demo     the main job, on the real default model
#   make test     every check
#   make parity   the same numbers from transformers, TransformerLens, gguf and llama.cpp, live
#   make bench    figures as ratios in one run, against the same yardsticks

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python

.PHONY: setup demo test lint types layers unit docs parity bench format clean

setup: $(VENV)/dev.stamp $(VENV)/model.stamp

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Cutaway needs Python 3.11 or newer; set PYTHON=python3.12, say.")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip

$(VENV)/dev.stamp: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --editable '.[dev]'
	@touch $@

$(VENV)/yardsticks.stamp: pyproject.toml $(VENV)/dev.stamp
	$(PY) -m pip install --quiet --editable '.[dev,yardsticks]'
	@touch $@

# Not a file that make could date: `pull` looks itself whether the model is here and whole.
$(VENV)/model.stamp: $(VENV)/dev.stamp
	$(BIN)/cutaway pull
	@touch $@

demo: setup
	$(BIN)/cutaway trace "The robots will bring peace. The robots will bring"

test: setup lint types layers unit

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

layers: $(VENV)/dev.stamp
	$(BIN)/lint-imports

unit: setup
	$(PY) -m pytest -m "not yardstick" -n auto --dist loadfile

docs: setup
	$(PY) scripts/make_docs.py

parity: setup $(VENV)/yardsticks.stamp
	$(PY) -m pytest -m yardstick -W ignore

bench: setup $(VENV)/yardsticks.stamp
	$(PY) -m benchmarks

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
