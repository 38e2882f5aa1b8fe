# Two commands matter: `make demo` (set up, and break a head node) and `make test` (set up, and run every test).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint check-types bench soak golden clean

demo: $(VENV)/installed
	$(BIN)/ftrun scenarios/head_node.yaml

test: lint
	tests/prepare
	$(BIN)/python -m pytest -m "not kubernetes"
	$(BIN)/python -m pytest -m kubernetes

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Ratios measured in one run; nothing here passes or fails.
# Start-up is compared with Chaos Toolkit's.
bench: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet chaostoolkit
	for file in tests/benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python -m tests.benchmarks.$$(basename $$file .py) || exit 1; done

# Ten minutes of known outages, and ten without any.
soak: $(VENV)/installed-dev
	$(BIN)/python -m tests.benchmarks.outages --minutes 10

# Write the golden files of the tests again; look at the difference before you commit it.
golden: $(VENV)/installed-dev
	FTRUN_GOLDEN=write $(BIN)/python -m pytest -q tests/reports tests/cli

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: on Debian, apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
