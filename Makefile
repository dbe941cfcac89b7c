# Everything on a fresh machine with Python 3.11+, make, a C++ compiler and Node 20+.
#   make demo     the main job, on the real default model
#   make test     every check
#   make parity   the same numbers from transformers, TransformerLens, gguf and llama.cpp, live
#   make bench    figures as ratios in one run, against the same yardsticks

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python

.PHONY: setup native sanitize page browser demo test lint types layers unit page-check page-test e2e docs parity bench bench-quick format clean

setup: $(VENV)/dev.stamp native $(VENV)/model.stamp page

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Cutaway needs Python 3.11 or newer; set PYTHON=python3.12, say.")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip

# CUTAWAY_PURE: the step below compiles, and again only what changed.
$(VENV)/dev.stamp: pyproject.toml | $(PY)
	CUTAWAY_PURE=1 $(PY) -m pip install --quiet --editable '.[dev]'
	@touch $@

$(VENV)/yardsticks.stamp: pyproject.toml $(VENV)/dev.stamp
	CUTAWAY_PURE=1 $(PY) -m pip install --quiet --editable '.[dev,yardsticks]'
	@touch $@

# The native kernels, compiled into src/. Without a compiler the package works in NumPy alone.
native: build/native/made.stamp

CMAKE := $(BIN)/cmake -G Ninja -S native -DPython_EXECUTABLE=$(abspath $(PY)) -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja)

build/native/made.stamp: $(VENV)/dev.stamp native/CMakeLists.txt $(wildcard native/*.cpp native/*.hpp)
	@mkdir -p $(@D)
	@if command -v $${CXX:-c++} >/dev/null; then \
	  $(CMAKE) -B $(@D) -DCUTAWAY_INTO=src/cutaway/kernels >$(@D)/configured.txt \
	    || { cat $(@D)/configured.txt; exit 1; }; \
	  $(BIN)/ninja -C $(@D) --quiet; \
	else echo "No C++ compiler: Cutaway works without its native kernels, and is slower (Debian: apt install g++)."; fi
	@touch $@

# The kernels' tests on a module that stops at any access beyond an array and any undefined operation. The sanitizers
# must be in the process before Python is, and libstdc++ with them.
SANITIZERS := address,undefined
PRELOAD = $(shell $${CXX:-c++} -print-file-name=libasan.so) $(shell $${CXX:-c++} -print-file-name=libstdc++.so)

sanitize: $(VENV)/dev.stamp
	@mkdir -p build/sanitize
	@if [ "$$(uname)" = Linux ] && command -v $${CXX:-c++} >/dev/null; then set -e; \
	  $(CMAKE) -B build/sanitize -DCUTAWAY_INTO=build/sanitize/module -DCUTAWAY_SANITIZE=$(SANITIZERS) >build/sanitize/configured.txt \
	    || { cat build/sanitize/configured.txt; exit 1; }; \
	  $(BIN)/ninja -C build/sanitize --quiet; \
	  CUTAWAY_SANITIZED="$$(ls $(CURDIR)/build/sanitize/module/_native*.so)" PYTHONPATH=tests/support/sanitized \
	  LD_PRELOAD="$(PRELOAD)" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  $(PY) -m pytest --capture=sys tests/property/test_native_quants.py tests/property/test_native_kernels.py; \
	else echo "The sanitizers' run needs Linux and a C++ compiler; skipped."; fi

# Not a file that make could date: `pull` looks itself whether the model is here and whole.
$(VENV)/model.stamp: $(VENV)/dev.stamp
	$(BIN)/cutaway pull
	@touch $@

# The page, built into the package. Sources newer than the build make it again.
STATIC := src/cutaway/server/static/index.html

page: $(STATIC)

web/node_modules/.stamp: web/package-lock.json
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' || { echo "the page needs Node 20 or newer"; exit 1; }
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(STATIC): web/node_modules/.stamp web/index.html web/package.json $(shell find web/src web/public -type f) $(wildcard web/*.ts web/*.js)
	cd web && npm run --silent build
	@touch $@

# A browser for the checks: Debian's package when root, a sentence elsewhere.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
	  || { echo "the browser checks need Chromium: install it (Debian: apt install chromium) and run again"; exit 1; }

demo: setup
	$(BIN)/cutaway trace "The robots will bring peace. The robots will bring"
	@if [ -t 0 ] && [ -t 1 ] && [ -z "$$CI" ]; then $(BIN)/cutaway serve; else echo "To see it as a page: $(BIN)/cutaway serve"; fi

test: setup lint types layers unit sanitize page-check page-test e2e

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

layers: $(VENV)/dev.stamp
	$(BIN)/lint-imports

unit: setup
	$(PY) -m pytest -m "not yardstick" -n auto --dist loadfile

page-check: web/node_modules/.stamp
	cd web && npm run --silent check

page-test: web/node_modules/.stamp
	cd web && npm run --silent test

e2e: setup browser
	cd web && npm run --silent e2e

docs: setup
	$(PY) scripts/make_docs.py

parity: setup $(VENV)/yardsticks.stamp
	$(PY) -m pytest -m yardstick -W ignore

bench: setup browser $(VENV)/yardsticks.stamp
	$(PY) -m benchmarks

# The figures that a change is most likely to move, in two minutes.
bench-quick: setup $(VENV)/yardsticks.stamp
	$(PY) -m benchmarks speed --quick

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist src/*.egg-info src/cutaway/kernels/_native*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
