# `make` alone prints this help; every target does its own set-up in .venv.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV_VERSION := 0.13.9
export DO_NOT_TRACK := 1
export DAGSTER_DISABLE_TELEMETRY := yes
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export RUNTIME__DLTHUB_TELEMETRY := false

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-tryton dev lint format lock clean benchmark proof foreign-env tryton-env

help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements.lock pyproject.toml
	@echo "setting up $(VENV) (once; a minute or two on a fresh machine)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v == (3, 11) else f"Tieout needs Python 3.11, {VENV} has {v}: make clean, then make PYTHON=python3.11 ...".replace("{VENV}", "$(VENV)"))'
	@$(BIN)/python -m uv --version 2>/dev/null | grep -q ' $(UV_VERSION)' || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/python -m uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/python -m uv pip install --quiet --no-deps --python $(BIN)/python -e .
	@touch $@

setup: $(READY) ## install everything into .venv and compile the dbt manifest
	@$(BIN)/python -m orchestration.manifest

demo: setup ## the whole loop against local sandboxes, with a report at the end (STACK=tryton: a real Tryton in every role; STACK=mixed)
	@$(BIN)/tieout demo $(if $(STACK),--stack $(STACK))

test: setup ## all tests (under 10 minutes on 2 cores)
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not benchmark and not slow and not tryton" tests

test-tryton: setup ## the tests against a real Tryton server (a minute more for its own environment)
	@$(BIN)/python -m platforms.tryton.server prepare
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "tryton and not slow" tests

dev: setup ## Dagster UI on http://127.0.0.1:3000 against the sandboxes
	@$(BIN)/tieout dev

lint: setup ## ruff, mypy, import-linter, sqlfluff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/sqlfluff lint --disable-progress-bar -p 2 dbt_project/models

format: setup ## rewrite Python and SQL in the house style
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	@$(BIN)/sqlfluff fix --disable-progress-bar dbt_project/models

lock: $(READY) ## resolve the dependencies again (hashes, no addresses)
	@$(BIN)/python -m uv pip compile --quiet --python-version 3.11 --all-extras --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock
	@$(BIN)/python -m uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate platforms/tryton/server/requirements.in -o platforms/tryton/server/requirements.lock

foreign-env: setup ## install the clients written by others that the tests drive
	@tests/platforms/foreign/prepare.sh
	@tests/platforms/foreign/prepare-tap-mavenlink.sh

tryton-env: setup ## install a real Tryton into .venv-tryton and prepare a firm's books for it
	@$(BIN)/python -m platforms.tryton.server prepare

benchmark: setup ## measure ingestion, build, plan and dispatch on the medium firm, and print it
	@$(BIN)/python -m tests.benchmarks

proof: setup ## exactly-one over 50 seeds with faults, and 50 kills (tens of minutes)
	@$(BIN)/python -m pytest -m slow tests/end_to_end tests/platforms/tryton -s

clean: ## remove the environment, the demo's state and every build product
	@rm -rf .venv .venv-foreign .venv-tap-mavenlink .venv-tryton .tieout .tieout-* build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dbt_project/target dbt_project/logs tests/platforms/foreign/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
