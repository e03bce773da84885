# Everything runs through these targets, here and in CI. Each prepares .venv itself where it is missing or stale.
PYTHON ?= python3
BIN := .venv/bin
LOCKED := .venv/.locked
READY := .venv/.ready

# Workflows are tested in the SDK's sandbox, which imports their modules for every run: without bytecode it would
# compile them every time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

$(LOCKED): requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12 …")'
	@echo "setting up .venv with $$($(PYTHON) --version) (once; about a minute)"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@echo "  installing $$(grep -c '^[a-z].*==' requirements/dev.lock) pinned packages"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $(LOCKED)

$(READY): $(LOCKED) pyproject.toml
	@echo "  installing the connector itself"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)
	@echo "  ready"

setup: $(READY) ## Prepare .venv (the other targets do this by themselves)

demo: $(READY) ## Send three messages through a whole local stack, show what became of each, exit
	@$(BIN)/connector demo

dev: $(READY) ## Keep the whole stack up until Ctrl-C: Temporal with its UI, sandbox, worker, endpoint
	@$(BIN)/connector dev

# Stories mostly wait, so more processes than cores pay.
test: $(READY) ## Run every test
	@$(BIN)/python -m pytest -n 4 --dist worksteal

test-postgresql: $(READY) ## Run every story once more, on PostgreSQL
	@$(BIN)/python -m pytest -n 3 --dist worksteal tests/scenarios --database postgresql

check: $(READY) ## Format, lint, types, import rules, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports
	@$(BIN)/connector contracts --check

SENDS ?= 2000
SEED ?= 1
POLICY ?= at_most_once
chaos: $(READY) ## Break a real stack while it sends, and let the outbox judge (SENDS=, SEED=, POLICY=)
	@$(BIN)/python -m tests.chaos --sends $(SENDS) --seed $(SEED) --policy $(POLICY)

RECIPIENTS ?= 20000
KILLS ?= 5
chaos-broadcast: $(READY) ## Kill the worker again and again during a broadcast (RECIPIENTS=, KILLS=, SEED=)
	@$(BIN)/python -m tests.broadcast_chaos --recipients $(RECIPIENTS) --kills $(KILLS) --seed $(SEED)

bench: $(READY) ## All benches in one table: ratios, actions, history, rows
	@$(BIN)/python -m bench
bench-sends: $(READY) ## Measure cached sends against a bare workflow, with 1, 2 and 4 worker processes (ARGS=)
	@$(BIN)/python -m bench.sends $(ARGS)
bench-costs: $(READY) ## Count what a send costs: actions, history events and bytes, database rows
	@$(BIN)/python -m bench.costs $(ARGS)
bench-broadcast: $(READY) ## Measure a broadcast against a loop that keeps no record (ARGS="--recipients 50000 …")
	@$(BIN)/python -m bench.broadcast $(ARGS)
bench-suppressions: $(READY) ## Import a million suppressions: rows/s against a bare insert, and memory
	@$(BIN)/python -m bench.suppression_import
bench-events: $(READY) ## Measure the intake and the drain of webhooks: one table of ratios
	@$(BIN)/python -m bench.events
bench-kills: $(READY) ## Flood a stack with webhooks and kill its processes meanwhile: nothing acknowledged may be lost
	@$(BIN)/python -m bench.kills

bench-templates: $(READY) ## Measure rewriting and fingerprinting a template against a C tree parser
	@$(BIN)/python -m bench.templates
bench-growth: $(READY) ## Measure how the time of reading strangers' text grows with its length
	@$(BIN)/python -m bench.growth

DOCUMENTS ?= 100000
fuzz-templates: $(READY) ## Check the search for images on mutated documents (DOCUMENTS=, SEED=)
	@$(BIN)/python -m tests.images.fuzz --documents $(DOCUMENTS) --seed $(SEED)

histories: $(READY) ## Record the runs of all stories for this version, to be replayed by every later one
	@$(BIN)/python -m tests.histories.recording

fuzz-api: $(READY) ## Ask the admin API whatever its description allows (FUZZ_EXAMPLES=)
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100} $(BIN)/python -m pytest tests/scenarios/test_api.py -k whatever_is_asked

screenshots: $(READY) ## Look at our runs in the Temporal UI with Chromium (apt-get install chromium); pictures in artefacts/
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/browser.lock
	@$(BIN)/python -m pytest tests/browser

COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet
lock: $(READY) ## Write the locks anew from pyproject.toml (needs uv)
	$(COMPILE) -o requirements/runtime.lock
	$(COMPILE) --extra dev -o requirements/dev.lock
	$(COMPILE) --extra browser -c requirements/dev.lock -o requirements/browser.lock
	echo 'hatchling>=1.33' | $(COMPILE:pyproject.toml=-) -o requirements/build.lock

.PHONY: test-postgresql histories chaos-broadcast bench bench-sends bench-costs bench-broadcast help setup demo dev test check chaos bench-events bench-kills bench-suppressions bench-templates bench-growth fuzz-api fuzz-templates screenshots lock
