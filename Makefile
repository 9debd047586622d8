# Two commands on a fresh machine: `make demo` shows what Frostline does, `make test` checks it.
#
# Both create .venv with the first Python 3.11-3.13 found (or PYTHON=/path/to/python) and install
# the pinned versions of constraints.txt; they do so again when those or pyproject.toml change.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# An import of TensorFlow takes twice as long without .pyc files.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
COMMA := ,
BIN := $(VENV)/bin
PINS := pyproject.toml constraints.txt
PYTEST_ARGS ?=
TEST_JOBS ?= 2
TRACES ?= $(wildcard ../shared/gpu-h200/*/)

# With an NVIDIA driver, on Linux or under WSL, TensorFlow comes with CUDA and trials hold a GPU.
# NVIDIA= (empty) on the command line leaves the GPU alone.
NVIDIA ?= $(wildcard /proc/driver/nvidia/version /usr/lib/wsl/lib/libnvidia-ml.so.1)
ON_GPU := $(if $(strip $(NVIDIA)),yes)
INSTALLED := $(VENV)/.installed$(if $(ON_GPU),-gpu)
INSTALLED_DEV := $(INSTALLED)-dev

.PHONY: help setup demo docs test coverage lint chaos fuzz sentences matrix bench bench-script bench-noise bench-growth bench-overhead bench-fit bench-attribution bench-held-out bench-gpu-traces bench-gpu-memory clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED_DEV)  ## create .venv and install Frostline with its development tools

demo: $(INSTALLED)  ## sweep a small model on this machine, on its GPU if it has one; results in demo-out/
	@echo "$(if $(ON_GPU),this machine has an NVIDIA driver: measuring on a GPU,no NVIDIA driver here: measuring on CPU cores)"
	$(BIN)/frostline sweep studies/demo.toml --out demo-out

lint: $(INSTALLED_DEV)  ## format, lint, types and import walls only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint  ## the linters and all tests
	$(BIN)/pytest -n $(TEST_JOBS) --dist loadfile $(PYTEST_ARGS)

coverage: $(INSTALLED_DEV)  ## the tests again, with the lines and branches that none of them ran
	$(BIN)/pytest --cov --cov-branch --cov-report=term:skip-covered $(PYTEST_ARGS)

bench: bench-script bench-noise bench-growth bench-overhead bench-fit bench-attribution bench-held-out  ## all benchmarks; comparisons go to bench/results.json; takes hours on 2 cores
	$(BIN)/python bench/results.py

bench-script: $(INSTALLED_DEV)  ## against the script that people write, and every prefix of ResNet50; half an hour
	$(BIN)/python bench/against_script.py
	$(BIN)/python bench/prefixes.py

bench-noise: $(INSTALLED_DEV)  ## 600 controls: how often is a copy told from the baseline; half an hour
	$(BIN)/python bench/noise.py

bench-growth: $(INSTALLED_DEV)  ## time and memory against layers, trials and events; half an hour
	$(BIN)/python bench/growth.py

bench-overhead: $(INSTALLED_DEV)  ## cost of a trial compared with bare Ray tasks and Ray Tune; minutes
	$(BIN)/python bench/overhead.py $(OVERHEAD_ARGS)
	$(BIN)/python bench/event_cost.py

bench-fit: $(INSTALLED_DEV) demo  ## step time compared with model.fit, on the demo's sweep; minutes
	$(BIN)/python bench/fit_agreement.py demo-out

bench-attribution: $(INSTALLED_DEV)  ## reading a million events compared with framework_op_stats; minutes
	$(BIN)/python bench/attribution_speed.py --out bench-out/attribution

bench-held-out: $(INSTALLED_DEV)  ## predicted against measured speedups on real models; hours
	$(BIN)/python bench/held_out.py --out bench-out $(STUDIES)
	$(BIN)/python bench/frozen_gradients.py $$(dirname bench-out/*/manifest.json)

bench-gpu-traces: $(INSTALLED_DEV)  ## predictions from recorded GPU sweeps: TRACES="OUT ..."; seconds
	$(BIN)/python bench/gpu_traces.py $(TRACES)

bench-gpu-memory: $(INSTALLED_DEV)  ## predicted memory of recorded GPU sweeps: TRACES="OUT ..."; a minute
	$(BIN)/python bench/gpu_memory.py $(TRACES)

chaos: $(INSTALLED_DEV)  ## sweeps whose processes, nodes and head are killed and stopped; SEEDS="1 2 3"
	$(BIN)/python tests/chaos.py $(SEEDS) $(CHAOS_ARGS)

fuzz: $(INSTALLED_DEV)  ## damaged sweeps, studies and commands by the thousand; FUZZ_ARGS="--count 5000"
	$(BIN)/python tests/fuzz.py $(FUZZ_ARGS)

sentences: $(INSTALLED_DEV)  ## every sentence about 10,000 drawn sweeps, against their tables; an hour on 2 cores
	$(BIN)/python tests/sentences.py $(SENTENCES_ARGS)

matrix: $(INSTALLED_DEV)  ## short sweeps over every kind of model; MODELS="ResNet50 residual"; hours on 2 cores
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[hub]'
	$(BIN)/python bench/matrix.py $(MODELS)

docs: $(INSTALLED_DEV)  ## the documentation as a site, in site/; a link that leads nowhere ends it
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:  ## remove .venv, caches and the demo's results
	rm -rf $(VENV) demo-out site .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

$(BIN)/python:
	@python=$${PYTHON:-}; \
	if [ -z "$$python" ]; then \
	  for each in python3 python3.13 python3.12 python3.11; do \
	    if "$$each" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	        2>/dev/null; then python=$$each; break; fi; \
	  done; \
	fi; \
	if [ -z "$$python" ]; then \
	  echo "make: Frostline needs Python 3.11, 3.12 or 3.13, and none of them is on the PATH;" \
	    "install one or set PYTHON=/path/to/python" >&2; exit 1; \
	fi; \
	echo "creating $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make: no virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; \
	  exit 1; }

$(INSTALLED): $(PINS) | $(BIN)/python
	@echo "installing$(if $(ON_GPU), with CUDA); the first time takes minutes, TensorFlow is large"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.$(if $(ON_GPU),[gpu])'
	@touch $@

# Also installs everything of `$(INSTALLED)`.
$(INSTALLED_DEV): $(PINS) | $(BIN)/python
	@echo "installing$(if $(ON_GPU), with CUDA); the first time takes minutes, TensorFlow is large"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev$(if $(ON_GPU),$(COMMA)gpu)]'
	@touch $(INSTALLED) $@
