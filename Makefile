# Every command sets up what it needs. Python 3.11 or later and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Many tests wait more than they work: more of them side by side than the machine has processors.
WORKERS ?= 6
TESTS = -m pytest --ignore tests/containers --numprocesses $(WORKERS) --dist worksteal
RUN_STAMP := $(VENV)/.run
DEV_STAMP := $(VENV)/.dev
EXTENSION := tools/build_scan.py eventbus/wire/_scan.c eventbus/wire/_values.h
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start hundreds of processes; without the compiled files each one compiles again what it loads.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help architecture asyncapi commands nsq demo demo-containers test test-busy coverage test-containers test-all fast lint fmt type imports contracts docs bench fuzz soak audit lock clean

help: ## show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "eventbus needs Python 3.11 or later; set PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): requirements/run.lock pyproject.toml $(EXTENSION) | $(BIN)/python
	$(BIN)/pip install --quiet --require-hashes -r requirements/run.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): requirements/dev.lock pyproject.toml $(EXTENSION) | $(BIN)/python
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(RUN_STAMP)

demo: $(RUN_STAMP) ## run the order scenario in one process and print its ledger
	@$(BIN)/python -m demo $(ARGS)

nsq: ## nsqd, nsqlookupd, nsqadmin and the nsq utilities into .cache/nsq
	@sh tools/get-nsq.sh

test: $(DEV_STAMP) asyncapi lint type imports ## lint, types, walls and all tests
	@sh tools/get-nsq.sh 0
	@sh tools/get-promtool.sh
	@$(BIN)/python $(TESTS) $(ARGS)

coverage: $(DEV_STAMP) asyncapi ## all tests again, traced: which lines none of them runs; below 90 % it fails, and it takes twice the time
	@sh tools/get-nsq.sh 0
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run $(TESTS) $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=90

test-busy: $(DEV_STAMP) asyncapi ## all tests beside six busy processes; how fast the machine is decides none of them
	@sh tools/get-nsq.sh 0
	@sh tools/beside-busy.sh 6 $(BIN)/python $(TESTS) $(ARGS)

NODE_STAMP := tools/asyncapi/node_modules/.package-lock.json
asyncapi: $(NODE_STAMP) # official schemas and tools of others, for tests; without npm these are skipped

$(NODE_STAMP): tools/asyncapi/package-lock.json
	@! command -v npm >/dev/null || npm ci --prefix tools/asyncapi --silent --no-audit --no-fund --ignore-scripts

test-containers: $(DEV_STAMP) ## the scenario in containers, with parts killed and stopped; needs docker compose
	@$(BIN)/python -m pytest tests/containers -v $(ARGS)

demo-containers: $(RUN_STAMP) ## run the order scenario in containers, print its ledger, take all down
	@$(BIN)/python -m demo.containers $(ARGS)

test-all: ## the tests on every Python from 3.11 to 3.13 that this machine has
	@sh tools/test-all.sh

fast: $(DEV_STAMP) ## the unit tests alone
	@$(BIN)/python -m pytest tests/unit -q $(ARGS)

lint: $(DEV_STAMP) ## format and lint, checked
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .

fmt: $(DEV_STAMP) ## format and lint, mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

type: $(DEV_STAMP) ## mypy --strict
	@$(BIN)/mypy

imports: $(DEV_STAMP) ## the walls between the parts
	@$(BIN)/lint-imports

commands: $(DEV_STAMP) ## write docs/commands anew, after a change of a help text
	@$(BIN)/python tools/command_pages.py

architecture: $(DEV_STAMP) ## draw docs/architecture.svg anew, after a part came, went or leans on another one anew
	@$(BIN)/python tools/architecture.py

contracts: $(DEV_STAMP) ## publish the contracts of the services' events, after a change of theirs
	@$(BIN)/eventbus contracts publish

docs: $(DEV_STAMP) ## the docs site into dist/docs, which needs no network; llms.txt and the Markdown of all pages with it
	@$(BIN)/pip install --quiet --require-hashes -r requirements/docs.lock
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "$(BIN)/python -m http.server --bind 127.0.0.1 --directory dist/docs"

bench: $(DEV_STAMP) nsq ## benchmarks beside peers; ARGS="--json FILE --plot FILE" writes rows and plot
	@$(BIN)/pip install --quiet --require-hashes -r requirements/bench.lock
	@$(BIN)/python -m benchmarks $(ARGS)

fuzz: $(DEV_STAMP) ## throw bytes at the decoder and at its extension in C, random owners and views and histories of deploys at the contracts; SECONDS=60 PAIRS=20000 HISTORIES=200 BODIES=100000
	@$(BIN)/python -m tests.fuzz.decoder --seconds $(or $(SECONDS),60)
	@$(BIN)/python -m tests.fuzz.scan --bodies $(or $(BODIES),100000)
	@$(BIN)/python -m tests.fuzz.sanitized --bodies $(or $(BODIES),100000)
	@$(BIN)/python -m tests.contracts.pairs --pairs $(or $(PAIRS),20000)
	@$(BIN)/python -m tests.contracts.histories $(or $(HISTORIES),200)

simulate: $(DEV_STAMP) ## the scenario's services in simulated time: all schedules of two faults for one order, then by chance for five; SECONDS=1800 CHANCES=100000
	@$(BIN)/python -m tests.simulation --seconds $(or $(SECONDS),1800) --chances $(or $(CHANCES),100000) $(ARGS)

soak: $(DEV_STAMP) ## services as processes, 46 faults from outside, and a ledger that must balance; MINUTES=30 DATABASE=sqlite|postgresql
	@sh tools/get-nsq.sh 0
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30) --database $(or $(DATABASE),sqlite) $(ARGS)

audit: $(DEV_STAMP) ## known holes in dependencies, risky code, committed secrets; what is known is explained
	@$(BIN)/pip install --quiet --require-hashes -r requirements/audit.lock
	@mkdir -p .cache
	@sh tools/audit.sh

lock: $(DEV_STAMP) ## resolve the dependencies anew; the lock files record hashes and no address
	@sh tools/lock.sh

clean: ## remove what the commands made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .hypothesis .coverage dist
