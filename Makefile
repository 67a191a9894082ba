# `make help` lists what there is. Needs python3 (3.11 or newer), make and pip's registry.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-host test-soak mutants check generate golden bench run

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make .venv with everything in it; quick when nothing changed

$(INSTALLED): pyproject.toml constraints.txt tools/typings.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Tidegate needs Python 3.11 or newer; name one: make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m tools.typings
	@touch $@

demo: setup ## control plane, two Envoys with agents, three members; ONCE=1 checks itself and ends
	$(BIN)/tidegate demo $(if $(ONCE),--once)

run: setup ## start the control plane (SQLite, loopback)
	$(BIN)/tidegate serve

test: setup ## all tests, with real Envoy and both databases
	$(BIN)/python -m pytest

test-host: setup ## what needs a host's privileges: namespaces, ICMP, containers; run it as root
	$(BIN)/python -m pytest tests/host

test-soak: setup ## minutes of changes under load, with and without a control plane that is killed
	$(BIN)/python -m pytest tests/soak -s

mutants: setup ## break the xDS server once for each rule it keeps: each must be seen by the rule's test
	$(BIN)/python -m tools.mutants

generate: setup ## lbaas/v1 from protos/
	$(BIN)/buf format --write protos
	$(BIN)/python -m tools.generate

golden: setup ## rewrite the expected outputs of the golden cases
	$(BIN)/python -m tests.golden.rewrite

bench: setup ## measure what has a budget
	$(BIN)/python -m benchmarks

check: check-protos check-style check-types check-layers check-files ## generated code, protos, style, types, layers, file sizes

.PHONY: check-protos check-style check-types check-layers check-files

check-protos: setup
	$(BIN)/python -m tools.generate --check
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code protos

check-style: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

check-types: setup
	$(BIN)/mypy

check-layers: setup
	$(BIN)/lint-imports --no-cache

check-files: setup
	$(BIN)/python -m tools.check_files
