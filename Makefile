# `make help` lists what can be done. Two commands are enough on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# One numeric thread a process: Ray's tasks own the CPUs, and tests compare bytes.
export OMP_NUM_THREADS ?= 1
# Without stored bytecode every Ray worker compiles its libraries again: 22 s instead of 8 for TensorFlow alone.
unexport PYTHONDONTWRITEBYTECODE

# A file's tests share what they made; the longest files come first (tests/conftest.py), whatever their number of tests.
LONG := --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run serve test check fast lint bench bench-serve bench-overload bench-swaps bench-accuracy lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/pyvenv.cfg:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

.venv/.run: .venv/pyvenv.cfg requirements.lock pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.run requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

run: .venv/.run ## the demo: 150 styles, raw export -> released forecast and report
	$(BIN)/python -m jobs.demo demo/raw --company demo/company
	$(BIN)/python -m jobs.pipeline experiment=demo

serve: .venv/.run ## what was released, over HTTP: pages and API at http://localhost:8000
	$(BIN)/python -m jobs.serve experiment=demo

test: .venv/.dev ## everything: style, types, import rules, all tests
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow and not deep and not ray"
	$(BIN)/python -m pytest -q -n auto $(LONG) -m "(slow or deep) and not ray" --durations=12
	$(BIN)/python -m pytest -q -n 2 $(LONG) -m "ray and not alone" --durations=12
	$(BIN)/python -m pytest -q -m alone --durations=12

check: .venv/.dev ## style, types, import rules, fast tests (under two minutes)
	@$(MAKE) --no-print-directory lint fast

lint: .venv/.dev ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy demand features models evaluation jobs serve_app tests
	$(BIN)/lint-imports

fast: .venv/.dev ## the fast tests
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow and not deep and not ray"

bench: .venv/.dev ## seconds and memory by stage and model, Ray's overhead, beside mlforecast + LightGBM
	$(BIN)/python -m tests.bench

bench-serve: .venv/.dev ## requests a second by ingress, beside an empty deployment in the same mode
	$(BIN)/python -m tests.bench.serve

bench-overload: .venv/.dev ## ten times what the service can answer: how it refuses, and how soon it is well again
	$(BIN)/python -m tests.bench.overload

bench-swaps: .venv/.dev ## 20,000 requests while the champion moves 20 times: how many fail, mix two releases or come late
	$(BIN)/python -m tests.bench.swaps

# BENCH: a folder with tasks, a scorer and the peers' results (run.py); KEEP: where the runs are kept. Ratios are shown,
# not judged.
BENCH ?= ../shared/bench
KEEP ?= storage/accuracy
bench-accuracy: .venv/.dev ## the public tasks beside their best peers, then the ensemble without each of its members
	$(BIN)/python $(BENCH)/run.py --against best --limit 9 --keep $(KEEP)
	$(BIN)/python -m tests.bench.ablation $(KEEP)/storage

lock: .venv/pyvenv.cfg ## resolves the pinned dependencies anew, with hashes and without addresses
	$(BIN)/uv pip compile pyproject.toml --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev -c requirements.lock --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade -q -o requirements-dev.lock

clean: ## removes what runs have made (storage/, demo/), not the environment
	rm -rf storage demo
