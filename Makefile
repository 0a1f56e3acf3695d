# Two commands do all set-up on a fresh clone: `make study` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PIP := -m pip install --quiet --disable-pip-version-check
OUT ?= runs

.PHONY: help docs docs-claims docs-evidence docs-figures notebooks setup study test test-slow test-long test-extras test-docs \
  test-notebooks test-oldest test-newest test-minimal test-wheel test-all coverage lint bench clean

help:
	@echo "make setup         install everything into $(VENV)"
	@echo "make study         the sharing study at scale tiny: offline, on a CPU, in minutes"
	@echo "make test          the tests (two cores, no network, no GPU)"
	@echo "make test-slow     the slow ones: kill and resume, two-process DDP and FSDP, SLURM"
	@echo "make test-long     the longest ones: every study, every pair of layouts, every kind of compiled block"
	@echo "make test-extras   Weights & Biases and Trackio, for real and offline"
	@echo "make test-docs     the documentation: built, without a warning, and read by a browser from disk"
	@echo "make test-notebooks  the notebooks, from top to bottom"
	@echo "make test-oldest   the tests with the oldest dependencies that pyproject.toml admits"
	@echo "make test-newest   the tests with the newest ones, whatever constraints.txt says"
	@echo "make test-minimal  what plans and prints, without torch and the other heavy packages"
	@echo "make test-wheel    a wheel, installed and run outside of any checkout"
	@echo "make test-all      all of these, lint and coverage"
	@echo "make coverage      how much of the package the tests run, child processes included"
	@echo "make lint          ruff, codespell and mypy"
	@echo "make docs          the documentation: build/docs/index.html"
	@echo "make docs-claims   docs/claims.md and docs/studies.md from the study files"
	@echo "make docs-evidence docs/evidence/README.md from the bundles and the text beside it"
	@echo "make docs-figures  the pictures of the documentation"
	@echo "make notebooks     the notebooks run again, with their outputs kept"
	@echo "make bench         speed and memory of the operators, the data, decoding and start-up"
	@echo "make test PYTHON=python3.13 VENV=.venv-3.13    with another Python"

setup: $(STAMP)

# torch comes first and pinned: a plain torch pulls gigabytes of CUDA onto machines without a GPU.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) -c constraints.txt torch
	$(BIN)/python $(PIP) -c constraints.txt -e ".[dev]"
	@touch $@

study: setup
	$(BIN)/decaystudy run-study sharing --scale tiny --evaluate --out $(OUT)

test: setup
	$(BIN)/python -m pytest -n 2

test-slow: setup
	$(BIN)/python -m pytest -m "slow and not long"

test-long: setup
	$(BIN)/python -m pytest -m long

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

# Data files of child processes are put together; nothing of this slows `make test` down.
coverage: setup
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# `coverage` runs the tests of `make test`, so that these are not run twice.
test-all: lint coverage test-slow test-long test-extras test-docs test-notebooks test-oldest test-minimal test-wheel

# Each of the following has an environment of its own, so that none changes what the others test.
test-extras: $(VENV)-extras/.ready
	$(VENV)-extras/bin/python -m pytest -m extras -rs tests/training/test_extras.py

$(VENV)-extras/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-extras
	$(VENV)-extras/bin/python $(PIP) -c constraints.txt torch
	$(VENV)-extras/bin/python $(PIP) -c constraints.txt -e ".[wandb,trackio]" pytest
	@touch $@

test-notebooks: $(VENV)-docs/.ready
	$(VENV)-docs/bin/python -m pytest -m extras -rs tests/notebooks

notebooks: $(VENV)-docs/.ready
	$(VENV)-docs/bin/python notebooks/run.py

test-docs: $(VENV)-docs/.ready
	$(VENV)-docs/bin/python -m pytest -m extras -rs tests/docs/test_site.py

docs: $(VENV)-docs/.ready
	$(VENV)-docs/bin/python -m sphinx -q -W --keep-going -n docs build/docs
	@echo "build/docs/index.html"

$(VENV)-docs/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python $(PIP) -c constraints.txt torch
	$(VENV)-docs/bin/python $(PIP) -c constraints.txt -e ".[docs,notebooks]" pytest
	@touch $@

test-oldest: $(VENV)-oldest/.ready
	$(VENV)-oldest/bin/python -m pytest -n 2

$(VENV)-oldest/.ready: pyproject.toml constraints.txt .ci/oldest.py
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python .ci/oldest.py > $(VENV)-oldest/constraints.txt
	$(VENV)-oldest/bin/python $(PIP) -c $(VENV)-oldest/constraints.txt torch
	$(VENV)-oldest/bin/python $(PIP) -c $(VENV)-oldest/constraints.txt -e ".[evaluate]" pytest pytest-xdist
	@touch $@

test-newest: $(VENV)-newest/.ready
	$(VENV)-newest/bin/python -m pytest -n 2

$(VENV)-newest/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python $(PIP) --upgrade --upgrade-strategy eager -e ".[evaluate]" pytest pytest-xdist
	@touch $@

test-minimal: $(VENV)-minimal/.ready
	$(VENV)-minimal/bin/python .ci/minimal.py

$(VENV)-minimal/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-minimal
	$(VENV)-minimal/bin/python $(PIP) -c constraints.txt "jsonargparse[signatures]" numpy pyyaml scipy
	$(VENV)-minimal/bin/python $(PIP) --no-deps -e .
	@touch $@

test-wheel:
	PYTHON=$(PYTHON) bash .ci/wheel

docs-claims: setup
	$(BIN)/python docs/make_claims.py
	$(BIN)/python docs/make_studies.py

docs-evidence: setup
	$(BIN)/python docs/make_evidence.py --figures

docs-figures: setup
	$(BIN)/python docs/make_figures.py

bench: setup
	$(BIN)/python benchmarks/ops.py
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/startup.py
	@echo 'on a machine with a GPU also: python benchmarks/train.py and ops_cuda.py'

clean:
	rm -rf $(VENV) $(VENV)-* build *.egg-info .coverage* .pytest_cache .ruff_cache .mypy_cache
