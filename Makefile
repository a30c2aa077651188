# `make verify` and `make test` work from a clean clone with nothing installed but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: verify test lint bench clean

verify: $(VENV)/.ready
	$(BIN)/python -m paper_checks --data digits --out reports

test: $(VENV)/.ready-test
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.ready-test
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only -p no:xdist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	@echo "setting up $(VENV) (once; about a minute)"
	$(PIP) -e . -c tests/constraints.txt
	@touch $@

$(VENV)/.ready-test: pyproject.toml tests/constraints.txt | $(VENV)/bin/python
	@echo "setting up $(VENV) for the tests (once; about a minute)"
	$(PIP) -e ".[test]" -c tests/constraints.txt
	@touch $@ $(VENV)/.ready

clean:
	rm -rf $(VENV) reports figures/out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
