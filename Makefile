# Each target is a thin line. What needs .venv makes it first, inside this folder.
.DEFAULT_GOAL := help
.PHONY: help rehearse messages test quick check lint scan check-build prove soak coverage bench fidelity picture schemas smoke build deploy requirements clean

BIN := .venv/bin
READY := .venv/.ready
SCANNER := .venv-scan/.ready
TESTED := .venv/.tested
# All that a test may read; a folder is newer when something in it was deleted.
SOURCES := $(shell find *.md *.toml setup.py Makefile template.yaml .ci .github benchmarks docs drydock_cli drydock_files events \
  functions layers rehearsal requirements/* statemachines tests tools -not -name '*.pyc' -not -name __pycache__)
# What a file's tests share is made once.
PYTEST := $(BIN)/pytest --numprocesses auto --dist loadfile
UV_COMPILE := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --no-strip-extras --custom-compile-command "make requirements"

# What is drawn by chance is drawn anew every time, unless the same SEED is given again.
ifndef SEED
SEED := $(shell date +%s)
endif

# Every process that the tests start would compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

# The build and the linters neither call home nor need an account.
export SAM_CLI_TELEMETRY := 0
deploy build check lint scan: export AWS_DEFAULT_REGION ?= ap-northeast-1

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 14

rehearse: $(READY) ## Patch the default fleet on the embedded account
	@$(BIN)/drydock rehearse

messages: $(READY) ## Print every message that people would get in the rehearsed nights (FLEETS="FILE …" for others)
	@$(BIN)/python -m tools.messages $(FLEETS)

test: $(READY) ## Run the tests (about five minutes on two cores)
	@$(PYTEST)
	@touch $(TESTED)

quick: $(READY) ## Run those that need no embedded account (a minute)
	@$(PYTEST) tests/unit tests/rules tests/properties

check: lint scan check-build $(TESTED) ## All that continuous integration checks (tests: when something changed since they passed)

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/cfn-lint template.yaml
	@$(BIN)/sam validate --lint
	@$(BIN)/python tools/check_asl.py

scan: $(SCANNER)
	@LOG_LEVEL=ERROR .venv-scan/bin/checkov --config-file .checkov.yaml

check-build: $(READY)
	@$(BIN)/python tools/build.py --check

$(TESTED): $(READY) $(SOURCES)
	@$(MAKE) --no-print-directory test

# Their items are moto's, which are slower than the account's own, and held to AWS by moto's tests.
prove soak: export DRYDOCK_DYNAMODB ?= moto

prove: $(READY) ## What takes longer: scale, ten thousand inputs, the whole crash matrix (SAMPLE=N: N tests, N cases, a twentieth of the inputs, no scale)
	@echo "make prove SEED=$(SEED)$(if $(SAMPLE), SAMPLE=$(SAMPLE))"
	@$(if $(SAMPLE),DRYDOCK_DRAWN=$(SAMPLE):$(SEED)) $(BIN)/pytest --numprocesses auto -m prove $(if $(SAMPLE),-k 'not test_scale')
	@DRYDOCK_EXAMPLES=$(if $(SAMPLE),500,10000) DRYDOCK_SEED=$(SEED) $(BIN)/pytest --numprocesses auto --hypothesis-seed $(SEED) tests/properties
	@$(BIN)/python -m rehearsal.proof.soak --seed $(SEED) $(if $(SAMPLE),--sample $(SAMPLE) --lost $(SAMPLE) --pairs $(SAMPLE))

soak: $(READY) ## The crash matrix alone: everything that can happen to every changing call of every flow, a run each
	@$(BIN)/python -m rehearsal.proof.soak --seed $(SEED)

coverage: $(READY) ## Run the tests and print the lines, and the pairs of a call and a moment, that they cover (BEFORE=FOLDER compares)
	@rm -rf .covered
	@mkdir -p .covered/pairs
	@DRYDOCK_PAIRS=$(CURDIR)/.covered/pairs $(BIN)/coverage run -m pytest --numprocesses auto --dist loadfile $(TESTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/python tools/covered.py .covered $(BEFORE)

bench: $(READY) ## Compare with what Drydock replaces, and measure the embedded account (JSON=FILE for programs, WRITE=1 writes the tables into docs/benchmarks.md)
	@$(BIN)/python -m benchmarks $(if $(JSON),--json $(JSON)) $(if $(WRITE),--write)
	@$(BIN)/python -m benchmarks.account
	@$(BIN)/python -m benchmarks.account --at-once

schemas: $(READY) ## Write the schemas of what --json prints, and docs/shapes.md
	@$(BIN)/python -m tools.schemas

fidelity: $(READY) ## Write what is known of AWS into the pages (SMOKE=smoke.json takes up what a real account answered)
	@$(BIN)/python tools/fidelity.py $(SMOKE)

picture: $(READY) ## Draw the picture of a report at the top of the README (needs Chromium)
	@$(BIN)/python -m tools.picture

smoke: $(READY) ## Ask a real account what only it can tell (INSTANCE=i-… YES=1; STACK=…, DEPLOYED=1, REMOVE=1)
	@$(BIN)/python -m tools.smoke $(if $(INSTANCE),--instance $(INSTANCE)) $(if $(STACK),--stack $(STACK)) \
	  $(if $(DEPLOYED),--deployed) $(if $(REMOVE),--remove) $(if $(YES),--yes)

build: $(READY) ## Build what is deployed (needs Python 3.13)
	@$(BIN)/python tools/build.py

deploy: build ## Build and deploy, asking what is not in samconfig.toml
	@$(BIN)/sam deploy --guided

requirements: $(READY) ## Compile the requirement files anew (add UPGRADE=1 for the newest versions)
	@$(UV_COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --extra rehearse requirements/development.in \
	  --output-file requirements/development.txt
	@$(UV_COMPILE) requirements/layer.in --constraint requirements/development.txt --output-file layers/drydock/requirements.txt
	@$(UV_COMPILE) $(if $(UPGRADE),--upgrade) requirements/scan.in --output-file requirements/scan.txt

clean: ## Remove all that make made
	rm -rf .venv .venv-scan .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis .covered drydock-reports ./*.egg-info

$(READY): tools/set_up requirements/development.txt pyproject.toml
	@tools/set_up

$(SCANNER): tools/set_up requirements/scan.txt
	@tools/set_up scan
