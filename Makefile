# The platform's targets call the command line in cli/, which holds the logic. RUNTIME=docker|native: with or without containers.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# What is given on the command line, as opposed to the environment, which may hold anything.
GIVEN := $(strip $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name))))
export GIVEN
# AS is the assembler's name, in make by default and in the shell of who builds for another machine. NAME is the host's in WSL.
# A shell that has FORCE for another program has not confirmed what a target deletes, nor asked for Spark if it has ENGINE.
ifneq ($(origin AS),command line)
AS :=
endif
ifneq ($(origin NAME),command line)
NAME :=
endif
ifneq ($(origin FORCE),command line)
FORCE :=
endif
ifneq ($(origin ENGINE),command line)
ENGINE :=
endif
# Arguments reach the commands through the environment, so that the shell interprets no quote or dollar sign in them.
override Q := $(value Q)
override SAMPLE := $(value SAMPLE)
override FILE := $(value FILE)
override CHECK := $(value CHECK)
override NAME := $(value NAME)
export Q SAMPLE FILE CHECK NAME
export MINUTES MONTHS ENGINE S FROM TO SPEED LATE DUPLICATES CORRUPT INVALID COPIES SEED STREAMS AS STREAM STAGE WHAT DATE N EVENTS FORMAT

# bash reads BASH_ENV before the first line of a script, and Python the others before that of a program.
unexport BASH_ENV PYTHONHOME PYTHONPATH PYTHONSTARTUP

SLUICE := infra/sluice
PYTEST := infra/bootstrap dev && .venv/bin/python -m pytest
# $(call option,LATE) is `--late "$LATE"` if LATE is given, otherwise empty. $(call flag,DRY_RUN) is `--dry-run` if DRY_RUN is given
# and is not a no. `.variables` refuses what is neither a yes nor a no.
dashed = --$(shell echo $(1) | tr A-Z_ a-z-)
option = $(if $($(1)),$(call dashed,$(1)) "$$$(1)")
no = $(filter 0 n N no No NO off Off OFF false False FALSE,$($(1)))
flag = $(if $($(1)),$(if $(call no,$(1)),,$(call dashed,$(1))))
RANGE = --from "$$FROM" --to "$$TO"
SEND_OPTIONS := SPEED LATE DUPLICATES CORRUPT INVALID SEED
REPLAY_OPTIONS := $(SEND_OPTIONS) COPIES STREAMS

TARGETS := help up down clean status logs new-stream send new-mart replay load transform backfill rebuild-warehouse reconcile lakehouse compare-engines sql peek quarantine drop-stream lake contract airflow dbt learn check hint solution reset report new-exercise doctor \
    test test-all test-unit test-exercises test-faults test-year test-browser test-compose test-spark soak docs screenshots bench-sink bench-backfill bench-load bench-transform bench-reconcile bench-engines bench-freshness lint format
.PHONY: $(TARGETS) .variables

# A misnamed variable would be ignored. Each target's help text names those that it takes.
ifneq ($(GIVEN),)
$(filter $(TARGETS),$(or $(MAKECMDGOALS),help)): .variables
endif
.variables:
	@GOALS="$(filter $(TARGETS),$(or $(MAKECMDGOALS),help))" awk -f infra/variables.awk $(firstword $(MAKEFILE_LIST))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-19s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

up: ## Install and start everything, with initial data; MONTHS=0..12 of 2013 (1), LIVE=0: no producer, OBSERVE=1: Prometheus, ENGINE=spark: a Spark cluster, RUNTIME=docker|native, PROFILE=scale; FORCE=1 drops marts without a model
	@$(SLUICE) up $(call option,MONTHS) $(if $(call no,LIVE),--no-live,--live) $(call flag,OBSERVE) $(call option,ENGINE) $(call flag,FORCE)

down: ## Stop everything; keep the data
	@$(SLUICE) down

clean: ## Stop everything and delete its data; asks for confirmation unless FORCE=1
	@$(SLUICE) clean $(call flag,FORCE)

status: ## Show the state, port and memory of every service; exit code 0 only if all are healthy
	@$(SLUICE) status

logs: ## Show the last lines of all logs; S=service follows one
	@$(SLUICE) logs $(if $(S),"$$S")

new-stream: ## Infer a stream's contract, examples and staging model: NAME=quakes.reported SAMPLE=file.jsonl|json|geojson|csv|parquet; FORCE=1 replaces them
	@$(SLUICE) new-stream --sample "$$SAMPLE" $(call flag,FORCE) -- "$$NAME"

send: ## Send such a file to a stream's topic: STREAM=quakes.reported FILE=…; SPEED= LATE=share[:hours] DUPLICATES= CORRUPT= INVALID= SEED=
	@$(SLUICE) send --stream "$$STREAM" --file "$$FILE" $(foreach name,$(SEND_OPTIONS),$(call option,$(name)))

new-mart: ## Write a mart, its tests and a unit test, to be edited: NAME=agg_quakes_daily STREAM=quakes.reported; PLAIN=1: not incremental
	@$(SLUICE) new-mart $(call option,STREAM) $(call flag,PLAIN) -- "$$NAME"

replay: ## Replay FROM=2013-02-01 TO=2013-02-03, optionally inject faults; SPEED= LATE=share[:hours] DUPLICATES= CORRUPT= INVALID= COPIES= SEED= STREAMS=a,b
	@$(SLUICE) replay $(RANGE) $(foreach name,$(REPLAY_OPTIONS),$(call option,$(name)))

load: ## Load everything that Kafka has now into the warehouse
	@$(SLUICE) load

transform: ## Rebuild the marts of all stale dates
	@$(SLUICE) transform

backfill: ## Reprocess FROM=2013-01-01 TO=2013-01-31 (the loaded dates) from the lake and verify the result; STREAM=a,b WHAT=raw|marts|all DRY_RUN=1; CANCEL=1 cancels one that has dates left, FORCE=1 replaces it
	@$(SLUICE) backfill $(RANGE) $(call option,STREAM) $(call option,WHAT) $(call flag,DRY_RUN) $(call flag,CANCEL) $(call flag,FORCE)

rebuild-warehouse: ## Rebuild the warehouse from the lake alone and compare the marts; asks for confirmation unless FORCE=1
	@$(SLUICE) rebuild-warehouse $(call flag,FORCE)

reconcile: ## Verify that Kafka, lake and warehouse agree; exit code 0 only if they do; WAIT=1: when nothing is in flight, FULL=1: read everything again, ENGINE=spark: Spark's warehouse and the lake
	@$(SLUICE) reconcile $(call flag,WAIT) $(call flag,FULL) $(call option,ENGINE)

lakehouse: ## Load the lake into Spark's warehouse and build, test and publish its marts; needs ENGINE=spark
	@$(SLUICE) lakehouse

compare-engines: ## Compare the marts of Postgres and Spark by date, FROM=2013-01-01 TO=2013-01-31; exit code 0 only if all rows are equal
	@$(SLUICE) compare-engines $(RANGE)

sql: ## Run Q="select …" and print the results; FORMAT=csv|table|json (csv) AS=reader|loader|transformer|postgres (reader)
	@$(SLUICE) sql $(call option,AS) $(call option,FORMAT) -- "$$Q"

peek: ## Show events of the lake as JSON: STREAM=flights.departed [DATE=2013-01-01] [N=10]
	@$(SLUICE) peek $(call option,DATE) $(if $(N),-n "$$N") -- "$$STREAM"

quarantine: ## List, show, replay or discard invalid records: A="list", A="show --stream flights.departed", A="replay", A="discard …"
	@$(SLUICE) quarantine $(A)

drop-stream: ## Delete everything of the stream NAME=, whose contract was removed; lists it and asks for confirmation unless FORCE=1
	@$(SLUICE) drop-stream $(call flag,FORCE) -- "$$NAME"

lake: ## Inspect and verify the lake: A="status", A="verify", A="find …", A="gap …" (A="gap --help")
	@$(SLUICE) lake $(A)

contract: ## Exchange contracts with other tools: A="export flights.departed --format odcs|json-schema|avro|asyncapi", A="import FILE"
	@$(SLUICE) contract $(A)

airflow: ## Run Airflow's own command line: A="dags list"
	@$(SLUICE) airflow $(A)

dbt: ## Run dbt's own command line under the transforms' lock: A="build --selector transform --full-refresh"
	@$(SLUICE) dbt $(A)

learn: ## List the exercises; N=1 starts one
	@$(SLUICE) learn $(if $(N),-- "$$N")

check: ## Grade an exercise: N=1, by default the one named last; WATCH=1: again whenever a file is saved
	@$(SLUICE) check $(call flag,WATCH) $(if $(N),-- "$$N")

hint: ## Show the next hint of an exercise: N=1; it costs a point
	@$(SLUICE) hint $(if $(N),-- "$$N")

solution: ## Show a solution of an exercise: N=1; ends its points, asks for confirmation unless FORCE=1
	@$(SLUICE) solution $(call flag,FORCE) $(if $(N),-- "$$N")

reset: ## Bring an exercise back to its start: N=1; asks for confirmation unless FORCE=1
	@$(SLUICE) reset $(call flag,FORCE) -- "$$N"

report: ## Write your results to answers/report.json and a page: NAME="…" (git's user.name); CHECK=answers/report.json verifies a report
	@$(SLUICE) report $(call option,NAME) $(call option,CHECK)

new-exercise: ## Begin an exercise from the template: NAME=late-bags STAGE=ask|fix|extend|build
	@$(SLUICE) new-exercise $(call option,STAGE) -- "$$NAME"

doctor: ## Check prerequisites, with a hint for each failed check
	@$(SLUICE) doctor

# Generated examples are the same in each run of `test` and `test-all`, so that what fails there is of the change; those of
# `test-unit` and `test-faults` are new each time. Interleavings are new in every run: one that fails
# is a fault of the platform, whatever the change, and the summary has the seed that repeats it.
# Suites run beside each other (tests/conftest.py). Most of the slower ones launch a whole platform: three at a time would
# exceed two cores.
TESTS := tests/unit tests/integration tests/faults tests/acceptance tests/e2e tests/workers tests/docs tests/exercises

test: lint ## Run all checks, all unit tests, and one test per promise on real servers (15 minutes, 9 once installed)
	@$(PYTEST) --numprocesses 3 --hypothesis-profile ci $(TESTS) -m "essential and not thorough"

test-all: test ## Run make test, then every test except those of the targets below (50 minutes)
	@$(PYTEST) --numprocesses 2 --hypothesis-profile ci --durations 20 $(TESTS) -m "not essential and not thorough"

test-unit: ## Run the tests that need no server, with new generated examples each time
	@$(PYTEST) --numprocesses 2 tests/unit

test-exercises: ## Test every exercise, its solution and its wrong answers on a separate platform (25 minutes); SLUICE_ENV_FILE=.env uses the running one
	@$(PYTEST) tests/exercises

test-faults: ## Run all fault tests of the sink and the load (25 minutes)
	@$(PYTEST) tests/faults

test-year: ## Load a year with injected faults incrementally, compare its marts with the truth, and print the cost of late events
	@$(PYTEST) tests/integration/test_exactness.py -m thorough

test-spark: ## Test the Spark cluster and its warehouse on a separate platform (50 minutes)
	@$(PYTEST) tests/spark

soak: ## Run a separate platform under load, with random faults (`MINUTES=60`), compare it with the truth, and bound its growth; SEED= repeats a run
	@infra/bootstrap dev && .venv/bin/python -m tests.soak $(call option,MINUTES) $(call option,SEED)

test-browser: ## Test the dashboard in Chromium on a separate platform; SLUICE_ENV_FILE=.env uses the running one
	@$(PYTEST) tests/browser

test-compose: ## Run the tests on a complete platform in containers; needs Docker
	@$(PYTEST) tests/compose

docs: ## Serve the documentation at http://127.0.0.1:8000
	@infra/bootstrap dev && NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs serve --strict --dev-addr 127.0.0.1:8000

screenshots: ## Take the README's screenshots of the running platform with Chromium, into docs/pictures
	@infra/bootstrap dev && .venv/bin/python docs/screenshots.py

bench-sink: ## Benchmark the sink against alternatives, and its limits, on separate servers, into bench/results (45 minutes); EVENTS=480000 for a quick run
	@infra/bootstrap && .venv/bin/python -m bench.sink $(if $(EVENTS),--events "$$EVENTS")
	@.venv/bin/python -m bench.sink.bounds

bench-load: ## Benchmark the load against alternatives, on separate servers, into bench/results (30 minutes); EVENTS=200000 for a quick run
	@infra/bootstrap && .venv/bin/python -m bench.load $(if $(EVENTS),--events "$$EVENTS")

bench-transform: ## Benchmark a transform by stale dates and by history, on a separate Postgres, into bench/results (8 minutes)
	@infra/bootstrap && .venv/bin/python -m bench.transform

bench-backfill: ## Benchmark backfills of 1 to 366 dates, and a year from empty topics to the marts, into bench/results (20 minutes)
	@infra/bootstrap && .venv/bin/python -m bench.backfill

bench-reconcile: ## Benchmark reconciliations of real rows by what was verified before, on separate servers (10 minutes); EVENTS=200000 for a quick run
	@infra/bootstrap && .venv/bin/python -m bench.reconcile $(if $(EVENTS),--events "$$EVENTS")

bench-engines: ## Benchmark Postgres and Spark on a year and on copies of it, on separate servers, into bench/results (90 minutes)
	@infra/bootstrap dev && infra/bootstrap spark && .venv/bin/python -m bench.engines

bench-freshness: ## Benchmark how soon records are readable in each place, at 1,000 and 20,000 events/s, into bench/results (30 minutes)
	@infra/bootstrap && .venv/bin/python -m bench.freshness

lint: ## Run all static checks
	@infra/bootstrap dev && infra/lint

format: ## Format the Python sources and apply automatic fixes
	@infra/bootstrap dev && .venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .
