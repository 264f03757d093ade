# `make run` and `make test` do all their set-up themselves; `make` alone lists every command.

.DEFAULT_GOAL := help
.PHONY: help run test lint format types bench lock upgrade environment environment-dev \
	dashboard dashboard-try dashboard-test screenshots

BIN := .venv/bin
# More than two cores need: most tests wait for something, a death, a deadline or another process.
WORKERS := 3

# One run of pytest, so one closing line: fast folders first, slow ones last, all others between.
FAST := tests/house tests/unit tests/models tests/api tests/manager
SLOW := tests/conformance tests/crash
FOUND := $(filter-out %/__pycache__,$(patsubst %/,%,$(wildcard tests/*/)))
TESTS := $(foreach folder,$(FAST),$(filter $(folder),$(FOUND))) \
	$(filter-out $(FAST) $(SLOW),$(FOUND)) \
	$(foreach folder,$(SLOW),$(filter $(folder),$(FOUND)))

COMPILE := UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes

help: ## list the commands
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1@\2/p' Makefile | awk -F@ '{printf "%-14s %s\n", $$1, $$2}'

run: environment dashboard-try ## set up and run everything on http://127.0.0.1:8000
	@$(BIN)/python scripts/run_local.py

test: environment-dev lint types dashboard-test ## set up, lint, check types, run every test (ARGS='-k name' for some)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(strip $(TESTS) $(ARGS))

dashboard: environment ## build the dashboard, which `/` serves
	@scripts/dashboard.sh build

screenshots: environment-dev dashboard ## pictures of each page of the dashboard, into build/screenshots
	CAPATAZ_SCREENSHOTS=build/screenshots $(BIN)/python -m pytest -q tests/browser/test_pictures.py $(ARGS)

lint: environment-dev ## check format and lint
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

types: environment-dev ## check types
	$(BIN)/mypy

format: environment-dev ## format, and mend what the linter can mend
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .

bench: environment-dev ## measure (ARGS for the benchmark's own arguments)
	$(BIN)/python -m bench.run $(ARGS)

lock: environment-dev ## compile requirements*.in, keeping every version that still fits
	$(COMPILE) $(ARGS) requirements.in -o requirements.txt
	$(COMPILE) $(ARGS) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) $(ARGS) dashboard/node.in -o dashboard/node.txt

upgrade: ## compile requirements*.in with the newest versions
	@$(MAKE) lock ARGS=--upgrade

environment:
	@scripts/environment.sh

environment-dev:
	@scripts/environment.sh dev

dashboard-try: environment
	@scripts/dashboard.sh try

dashboard-test: environment-dev
	@scripts/dashboard.sh test
