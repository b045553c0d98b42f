# What people do here. `make help` lists it.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RECIPE ?= edgeprune.toml

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-boards test test-pure test-micro test-device nightly whole lint format release lock \
	test-lowest bench bench-fashion bench-mltk bench-surgery bench-scoring bench-overhead bench-emulated bench-sensitivity coverage wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## the environment in .venv, from the lock file

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "edgeprune needs Python 3.11, 3.12 or 3.13: install one (Debian/Ubuntu: apt-get install python3 python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv: install it (Debian/Ubuntu: apt-get install $(notdir $(PYTHON))-venv)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## the main job on the MNIST digits: train, prune three ways, export, verify, measure
	$(BIN)/python -m examples.mnist.demo

demo-boards: setup ## the demo's speed road for three targets at once, two of them emulated
	$(BIN)/edgeprune targets emulate --setup
	$(BIN)/python -m examples.mnist.boards train
	$(MAKE) --no-print-directory release RECIPE=examples/mnist/boards.toml \
		TARGET="host raspberry-pi-4 raspberry-pi-5"
	$(BIN)/python -m examples.mnist.boards table $(ARGS)

test: setup ## lint, then every test but the slow rings
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -m "not nightly and not whole" -n 2 --dist loadfile $(ARGS)

test-pure: setup ## the tests that load no framework
	$(BIN)/python -m pytest -m pure $(ARGS)

test-micro: setup ## the tests that need the extra for microcontrollers, which this installs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e ".[micro]"
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m pytest tests/export/test_micro.py $(ARGS)

test-device: setup ## the tests over ssh, adb and in the emulated ARM, which this sets up (90 MB of downloads)
	$(BIN)/edgeprune targets emulate --setup
	$(BIN)/python tests/device/adb_parts.py || echo "the tests over adb are skipped"
	$(BIN)/python -m pytest -m "device and not nightly" tests/device $(ARGS)

nightly: setup ## the slow ring
	$(BIN)/python -m pytest -m nightly $(ARGS)

whole: setup ## every architecture and other people's models on the whole road (an hour and more)
	$(BIN)/python -m pytest -m whole $(ARGS)

lint: setup ## ruff, mypy --strict, the floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## write it as ruff would
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## the claims of speed, asserted (x86-64)
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m benchmarks.speed

bench-fashion: setup ## the demo's three roads on Fashion-MNIST
	$(BIN)/python -m benchmarks.fashion

bench-surgery: setup ## what trace, zero and strip cost beside Keras' own clone
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m benchmarks.surgery

bench-scoring: setup ## what scoring costs beside an epoch of training
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m benchmarks.scoring

bench-overhead: setup ## what timing through edgeprune adds to a bare loop around the interpreter
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m benchmarks.overhead

bench-emulated: setup ## instructions on two ARM cores, held to earlier counts (half an hour)
	$(BIN)/edgeprune targets emulate --setup
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m benchmarks.emulated

bench-sensitivity: setup ## docs/sensitivity.md: scores, plans and recovery beside their peers (hours; ARGS=--quick)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e ".[benchmarks]"
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m benchmarks.sensitivity $(ARGS)

coverage: setup ## docs/coverage.md: what is followed of keras.applications (half an hour)
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m benchmarks.coverage --write

release: setup ## make release RECIPE=edgeprune.toml TARGET="host raspberry-pi-4"
	$(BIN)/edgeprune run $(RECIPE) $(addprefix --target ,$(TARGET))

bench-mltk: setup ## which of 17 models of Keras 2 open, and how exactly
	$(BIN)/python -m benchmarks.mltk

wheel: setup ## the wheel, in dist/
	$(BIN)/python -m build --no-isolation --wheel

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate -o requirements.lock --quiet
	echo "backports-strenum<1.3" | uv pip compile pyproject.toml --constraint /dev/stdin --extra dev \
		--resolution lowest-direct --no-config --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements-lowest.lock --quiet

test-lowest: ## the tests at the declared lower bounds (Python 3.11)
	test -x .venv-lowest/bin/python || python3.11 -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --require-hashes -r requirements-lowest.lock
	.venv-lowest/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	.venv-lowest/bin/python -m pytest -m "not nightly and not whole" -n 2 --dist loadfile $(ARGS)

clean: ## what was built here; the environment stays
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
