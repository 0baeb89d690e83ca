# Every target does its own set-up. Start with: make up
.DEFAULT_GOAL := help
.PHONY: help up down engine test test-kubernetes test-engine test-fast test-loopback test-unit check lint format lock upgrade bench bench-check docs golden release clean

# Else every process of the tests compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The stamps show which set of packages a virtual environment has.
USER_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
PRESET ?= rapidocr

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

up: ## Do all the set-up and bring an environment up: make up [PRESET=rapidocr]
	@$(MAKE) --no-print-directory -j2 $(USER_STAMP) engine
	$(BIN)/devenv up $(PRESET) --relock

down: $(USER_STAMP) ## Remove that environment's container (its volumes stay)
	$(BIN)/devenv down $(PRESET)

engine: ## Make sure that a Docker Engine with buildx answers
	@tools/engine.sh

test: $(DEV_STAMP) engine ## Do all the set-up and run every test
	tools/test-tools.sh
	tools/beside.sh "$(MAKE) check test-loopback" "$(MAKE) test-engine"

check: lint test-unit ## The checks before a commit: ruff, mypy --strict, the quick tests

test-fast: test-unit test-loopback ## All tests that need no engine

test-unit: $(DEV_STAMP) ## Unit and golden tests
	$(BIN)/pytest tests/unit tests/golden -n 2

test-loopback: $(DEV_STAMP)
	tools/test-tools.sh loopback
	$(BIN)/pytest tests/integration -m 'not engine'

test-engine: $(DEV_STAMP) engine ## The tests that need an engine
	tools/test-tools.sh
	$(BIN)/pytest tests/e2e tests/integration -m engine

test-kubernetes: $(DEV_STAMP) engine ## Try environments on a real cluster, which is built here: root, Debian 12, 15 GB, half an hour
	$(BIN)/python -m pip install --quiet grpcio
	DEVENV_TEST_KUBERNETES=1 $(BIN)/pytest tests/kubernetes

lint: $(DEV_STAMP) ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV_STAMP) ## Let ruff rewrite
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format .

lock: $(DEV_STAMP) ## Re-lock the shipped presets
	$(BIN)/python tools/relock.py --upgrade

upgrade: | $(VENV)/bin/python ## Take the newest packages for the tests, and write tools/constraints.txt
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]'
	$(BIN)/python -m pip freeze --quiet --exclude-editable > tools/constraints.txt
	@touch $(DEV_STAMP) $(USER_STAMP)

golden: $(DEV_STAMP) ## Rewrite the golden files, and the templates' digest in the shipped locks
	$(BIN)/python tools/relock.py
	$(BIN)/pytest tests/golden tests/unit/checkpoint/test_text.py --update-golden

bench: $(DEV_STAMP) engine ## Measure; prints the tables of docs/benchmarks.md
	tools/test-tools.sh
	$(BIN)/python -m benchmarks

bench-check: $(DEV_STAMP) engine ## Measure for some minutes, and say what is slower than docs/benchmarks.md has it
	tools/test-tools.sh
	$(BIN)/python -m benchmarks --check --rounds 3

docs: $(DEV_STAMP) ## Rewrite the generated reference
	$(BIN)/python tools/reference.py

release: $(DEV_STAMP) engine ## Build sdist and wheel into dist/, and bring rapidocr up with the wheel alone
	tools/release.sh $(PYTHON)

clean: ## Remove what was built in this checkout
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 …" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tools/python-venv.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)

# Python compiles what it imports: compiling all of every package takes as long as the downloads. uv takes seconds; where it is
# not there, or does not find the packages because pip's settings name the mirror, pip installs them.
$(USER_STAMP): pyproject.toml | $(VENV)/bin/python
	@echo "Installing devenv into $(VENV) …"
	@{ command -v uv && uv pip install --quiet --python $(BIN)/python --editable .; } >/dev/null 2>&1 || \
		$(BIN)/python -m pip install --quiet --no-compile --only-binary :all: --disable-pip-version-check --editable .
	@touch $@

# Tests run with the package versions with which they last passed. New releases come in by 'make upgrade', not in CI.
$(DEV_STAMP): pyproject.toml tools/constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint tools/constraints.txt --editable '.[dev]'
	@touch $@ $(USER_STAMP)
