# Two commands are all a newcomer needs: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
MODEL ?= bert
PUBMED ?=

.PHONY: help quickstart check test test-all clean

help:
	@echo "make quickstart [MODEL=bert|gpt] [PUBMED=\"files…\"]   the whole way, from PubMed XML to a Hugging Face model, on a CPU"
	@echo "make test                                            format, lint, types and all tests that are not slow"
	@echo "make test-all                                        the same with the long matrices"
	@echo "make check                                           format, lint and types only"

# The stamps are newer than what they were made from, so that a changed pin, dependency or C++ source installs again.
$(VENV)/installed: constraints.txt pyproject.toml setup.py $(wildcard csrc/*)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "megatron-bio needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[hf]"
	touch $@

# megatron-core is a peer to compare with; its own dependencies need CUDA and are not used.
$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps megatron-core
	touch $@

quickstart: $(VENV)/installed
	$(BIN)/python examples/quickstart/run.py --model $(MODEL) $(if $(PUBMED),--pubmed $(PUBMED))

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup -m "not slow and not gpu"

test-all: check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup -m "not gpu"

clean:
	rm -rf build runs .pytest_cache .mypy_cache .ruff_cache
