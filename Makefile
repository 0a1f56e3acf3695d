# Two commands do all set-up on a fresh clone: `make study` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
OUT ?= runs

.PHONY: help setup study test test-slow lint bench clean

help:
	@echo "make setup      install everything into $(VENV)"
	@echo "make study      the sharing study at scale tiny: offline, on a CPU, in minutes"
	@echo "make test       the tests (two cores, no network, no GPU)"
	@echo "make test-slow  the slow proofs: kill and resume, two-process DDP and FSDP, SLURM"
	@echo "make lint       ruff and mypy"
	@echo "make bench      speed and memory of the operators, the data and decoding"

setup: $(STAMP)

# torch comes first and pinned: a plain torch pulls gigabytes of CUDA onto machines without a GPU.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

study: setup
	$(BIN)/decaystudy run-study sharing --scale tiny --evaluate --out $(OUT)

test: setup
	$(BIN)/python -m pytest -n 2

test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python benchmarks/ops.py
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/decode.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache
