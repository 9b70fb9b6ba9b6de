# Every target calls the `sluice` command line, which holds the logic, in containers or without: RUNTIME=docker or native chooses.
.DEFAULT_GOAL := help
SHELL := /bin/bash

MONTHS ?= 1
LIVE ?= 1
# make knows AS as the name of the assembler.
ifeq ($(origin AS),default)
AS :=
endif
# Arguments reach the commands through the environment, so that no quote or dollar sign in them is ever interpreted.
override export Q := $(value Q)
export MONTHS S FROM TO SPEED LATE DUPLICATES CORRUPT INVALID COPIES SEED STREAMS AS STREAM WHAT DATE N EVENTS

SLUICE := infra/sluice
PYTEST := infra/bootstrap dev && .venv/bin/python -m pytest
# $(call option,LATE) is `--late "$LATE"` where LATE is given, and nothing where it is not.
option = $(if $($(1)),--$(shell echo $(1) | tr A-Z a-z) "$$$(1)")
RANGE = --from "$$FROM" --to "$$TO"
DISTURBANCES := SPEED LATE DUPLICATES CORRUPT INVALID COPIES SEED STREAMS

.PHONY: help up down clean status logs replay load transform backfill rebuild-warehouse reconcile sql peek quarantine lake airflow doctor
.PHONY: test test-unit test-integration test-faults test-year test-e2e test-docs test-browser test-compose screenshots bench-sink bench-backfill bench-load bench-transform lint format

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-19s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

up: ## Install, start and fill everything; MONTHS=0..12 of 2013 at first (1), LIVE=0: no producer, RUNTIME=docker|native, PROFILE=scale
	@$(SLUICE) up --months "$$MONTHS" $(if $(filter 0,$(LIVE)),--no-live,--live)

down: ## Stop everything; data stays
	@$(SLUICE) down

clean: ## Stop everything and delete its data; asks, unless FORCE=1
	@$(SLUICE) clean $(if $(FORCE),--force)

status: ## Show every service with its state, port and memory; exit code 0 only if all are healthy
	@$(SLUICE) status

logs: ## Show the last lines of all logs; S=service follows one
	@$(SLUICE) logs $(if $(S),"$$S")

replay: ## Send FROM=2013-02-01 TO=2013-02-03 again; SPEED= LATE=share[:hours] DUPLICATES= CORRUPT= INVALID= COPIES= SEED= STREAMS=a,b
	@$(SLUICE) replay $(RANGE) $(foreach name,$(DISTURBANCES),$(call option,$(name)))

load: ## Load what the lake has into the warehouse now
	@$(SLUICE) load

transform: ## Rebuild the marts of what was loaded now
	@$(SLUICE) transform

backfill: ## Make FROM=2013-01-01 TO=2013-01-31 again from the lake, and prove it; STREAM=a,b WHAT=raw|marts|all DRY_RUN=1
	@$(SLUICE) backfill $(RANGE) $(call option,STREAM) $(call option,WHAT) $(if $(filter-out 0,$(DRY_RUN)),--dry-run)

rebuild-warehouse: ## Make the warehouse again from the lake alone, and compare the marts; asks, unless FORCE=1
	@$(SLUICE) rebuild-warehouse $(if $(FORCE),--force)

reconcile: ## Prove that Kafka, lake and warehouse agree, per stream and date; exit code 0 only if they do
	@$(SLUICE) reconcile

sql: ## Run Q="select …" and print CSV; AS=loader, transformer or postgres instead of reader
	@$(SLUICE) sql $(call option,AS) -- "$$Q"

peek: ## Show events of the lake as JSON: STREAM=flights.departed [DATE=2013-01-01] [N=10]
	@$(SLUICE) peek $(call option,DATE) $(if $(N),-n "$$N") -- "$$STREAM"

quarantine: ## What did not fit its contract: A="list", A="show --stream flights.departed", A="replay", A="discard …"
	@$(SLUICE) quarantine $(A)

lake: ## Look into the lake and prove it: A="status", A="verify", A="gap …" (A="gap --help")
	@$(SLUICE) lake $(A)

airflow: ## Run Airflow's own command line: A="dags list"
	@$(SLUICE) airflow $(A)

doctor: ## Say what this machine has and lacks, and the mend of each
	@$(SLUICE) doctor

test: lint test-unit test-integration test-e2e test-docs ## Run every check and test

test-unit: ## Run the tests that need no server
	@$(PYTEST) tests/unit

test-integration: ## Run the tests on a Kafka, MinIO and Postgres of their own, and the shortest of the fault tests
	@$(PYTEST) tests/integration tests/faults -m "not thorough"

test-faults: ## Kill, suspend and starve the sink in every way there is a test for, and build a disturbed year (30 minutes)
	@$(PYTEST) tests/faults tests/integration/test_exactness.py

test-year: ## Bring in a disturbed year as it comes, compare its marts with the truth, and print what late events cost
	@$(PYTEST) tests/integration/test_exactness.py -m thorough

test-e2e: ## Run the tests on a whole platform of their own, and on one with Celery's workers, where there is a Redis
	@$(PYTEST) tests/e2e
	@.venv/bin/python -m pytest -rs tests/workers

test-docs: ## Type every command of the README and the tutorial into a checkout of their own, and compare what they print
	@$(PYTEST) -x tests/docs

test-browser: ## Look at the dashboard of a platform of the tests' own in a Chromium; SLUICE_ENV_FILE=.env takes the running one
	@$(PYTEST) tests/browser

test-compose: ## Run the tests on a whole platform in containers of their own; they need Docker
	@$(PYTEST) tests/compose

screenshots: ## Take the README's pictures of the running platform, in a Chromium, into docs/pictures
	@infra/bootstrap dev && .venv/bin/python docs/screenshots.py

bench-sink: ## Measure the sink beside others, and its bounds, on servers of its own, into bench/results (15 minutes); EVENTS=480000 for a quick try
	@infra/bootstrap dev && .venv/bin/python -m bench.sink $(if $(EVENTS),--events "$$EVENTS")
	@.venv/bin/python -m bench.sink.bounds

bench-load: ## Measure the load beside others, on servers of its own, into bench/results (20 minutes); EVENTS=200000 for a quick try
	@infra/bootstrap dev && .venv/bin/python -m bench.load $(if $(EVENTS),--events "$$EVENTS")

bench-transform: ## Measure a transform by touched dates and by history, on a Postgres of its own, into bench/results (8 minutes)
	@infra/bootstrap dev && .venv/bin/python -m bench.transform

bench-backfill: ## Measure backfills of 1 to 366 dates, and the year from empty topics to the marts, into bench/results (20 minutes)
	@infra/bootstrap dev && .venv/bin/python -m bench.backfill

lint: ## Run all static checks
	@infra/bootstrap dev && infra/lint

format: ## Format the Python sources and mend what a formatter can
	@infra/bootstrap dev && .venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .
