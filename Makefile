# Each target is a thin line. What needs .venv makes it first, inside this folder.
.DEFAULT_GOAL := help
.PHONY: help rehearse test check lint scan soak properties bench build deploy requirements clean

BIN := .venv/bin
READY := .venv/.ready
SCANNER := .venv-scan/.ready
TESTED := .venv/.tested
SOURCES := $(shell find template.yaml events functions layers rehearsal benchmarks statemachines tests -type f -not -name '*.pyc')
UV_COMPILE := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --no-strip-extras --custom-compile-command "make requirements"

# The build and the linters neither call home nor need an account.
export SAM_CLI_TELEMETRY := 0
deploy build check lint scan: export AWS_DEFAULT_REGION ?= ap-northeast-1

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 14

rehearse: $(READY) ## Patch the default fleet on the embedded account
	@$(BIN)/drydock rehearse

test: $(READY) ## Run the tests
	@$(BIN)/pytest --numprocesses auto
	@touch $(TESTED)

check: lint scan $(TESTED) ## All that continuous integration checks (tests: when something changed since they passed)
	@$(BIN)/python tools/build.py --check

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/cfn-lint template.yaml
	@$(BIN)/sam validate --lint
	@$(BIN)/python tools/check_asl.py

scan: $(SCANNER)
	@LOG_LEVEL=ERROR .venv-scan/bin/checkov --config-file .checkov.yaml

$(TESTED): $(READY) $(SOURCES)
	@$(MAKE) --no-print-directory test

soak: $(READY) ## Disturb every changing call of every flow in every way, a run each (half an hour on two cores)
	@$(BIN)/python -m rehearsal.proof.soak

properties: $(READY) ## Refuse ten thousand broken inputs, and admit five thousand valid ones
	@DRYDOCK_EXAMPLES=10000 $(BIN)/pytest --numprocesses auto tests/properties

bench: $(READY) ## Compare with what Drydock replaces, and measure the embedded account
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.account
	@$(BIN)/python -m benchmarks.account --at-once

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
	rm -rf .venv .venv-scan .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis ./*.egg-info

$(READY): tools/set_up requirements/development.txt pyproject.toml
	@tools/set_up

$(SCANNER): tools/set_up requirements/scan.txt
	@tools/set_up scan
