# One word each: demo, test, lint, bench, soak, clean. Each installs what it needs into .venv first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-spark test-torch test-newest lint bench bench-peers bench-serve soak soak-serve clean constraints

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SERVICES := .venv/.services
DBT := .venv-dbt/.installed
CLIENTS := .venv-clients/.installed
SPARK := .venv-spark/.installed
TORCH := .venv-torch/.installed
PEERS ?= dataframely dlt feast great_expectations pandera pointblank
SERVERS ?= bentoml kserve litserve mlflow mlserver ray_serve
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
COVERAGE := 90
MINUTES ?= 30
KILLS ?= 50
ARGS ?=

# Test processes run side by side: none of them may take all cores for its own threads. What failed is
# run once more, alone: beside others, a test that waits for processes of its own can starve.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

help:
	@echo "make demo    a year of flights through the whole loop"
	@echo "make test    every test, side by side, with coverage of lines and branches"
	@echo "make test-spark  transforms on Spark, in an environment of its own"
	@echo "make test-torch  models that are PyTorch modules, likewise"
	@echo "make test-newest  the quick part of the tests, on the newest versions of what we depend on"
	@echo "make lint    style, formatting, types, and the direction of imports"
	@echo "make bench   figures beside their limits and peers, which it installs in environments of"
	@echo "             their own (ARGS='validate --quick'; PEERS=feast, or PEERS= for none)"
	@echo "make bench-serve  the gateway beside other servers, and what each of its features costs"
	@echo "             (ARGS=--quick: three minutes; SERVERS='litserve mlflow', or SERVERS= for none)"
	@echo "make soak    streaming under kills, full disks and jumping clocks, then crash tests;"
	@echo "             half of MINUTES=$(MINUTES) each, with KILLS=$(KILLS) of gateways between"
	@echo "make soak-serve  production at half of its peak for MINUTES=60, with releases, kills and full"
	@echo "             disks; then every answer is looked for in the log, and memory must be flat"
	@echo "             (ARGS='--rate 200 --workers 1 --log strict --seed 7')"
	@echo "make clean   remove what these commands made"

demo: $(INSTALLED)
	rm -rf demo
	$(BIN)/onward demo $(ARGS)

test: $(INSTALLED) $(SERVICES) $(DBT) $(CLIENTS)
	$(BIN)/coverage erase
	rm -f .pytest_cache/v/cache/lastfailed
	$(ONE_THREAD) $(BIN)/pytest -n auto --dist worksteal --cov --cov-report term \
	  --cov-fail-under $(COVERAGE) $(ARGS) || \
	  { echo "what failed runs once more, alone:"; \
	    $(ONE_THREAD) $(BIN)/pytest --last-failed --last-failed-no-failures none $(ARGS); }

test-spark: $(INSTALLED) $(SPARK)
	.venv-spark/bin/python -m pytest tests/spark $(ARGS)

test-torch: $(INSTALLED) $(TORCH)
	.venv-torch/bin/python -m pytest tests/stages/train/test_torch_modules.py \
	  tests/docs/test_guide_models.py $(ARGS)

# What our pins keep from us: the newest versions that pyproject.toml allows, in an environment of
# their own. No part of CI: what breaks here was broken upstream, and waits for a maintainer.
NEWEST := tests/architecture tests/core tests/flow/test_loop.py tests/infra/lake tests/stages/serve/gateway
test-newest: $(SERVICES) $(CLIENTS)
	@[ -d .venv-newest ] || $(PYTHON) -m venv .venv-newest
	@echo "installing the newest versions into .venv-newest (minutes) …"
	@.venv-newest/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
	  --upgrade --upgrade-strategy eager --editable '.[demo,dev]'
	@echo "newer than our pins:"
	@same() { tr 'A-Z_' 'a-z-' | LC_ALL=C sort; }; \
	  .venv-newest/bin/python -m pip freeze --exclude-editable | same \
	  | LC_ALL=C comm -13 <(same < constraints.txt) - | sed 's/^/  /'
	$(ONE_THREAD) .venv-newest/bin/python -m pytest -n auto --dist worksteal $(NEWEST) $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(INSTALLED) bench-peers
	$(BIN)/python -m bench $(ARGS)

bench-serve: $(INSTALLED) $(SERVERS:%=.venv-peers/%/.installed)
	$(BIN)/python -m bench serve features $(ARGS)

bench-peers: $(PEERS:%=.venv-peers/%/.installed)

soak: $(INSTALLED) $(SERVICES)
	PYTHONPATH=tests $(BIN)/python -m soak.streaming --minutes $$((($(MINUTES) + 1) / 2))
	KILLS=$(KILLS) $(ONE_THREAD) $(BIN)/pytest -m crash -q tests/stages/serve/gateway/turn/test_log_crashes.py
	@end=$$((SECONDS + 30 * $(MINUTES))); round=0; \
	while ((SECONDS < end)); do \
	  round=$$((round + 1)); echo "round $$round"; \
	  $(ONE_THREAD) $(BIN)/pytest -m crash -q -n auto --kills 50 $(ARGS); \
	done

soak-serve: MINUTES = 60
soak-serve: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m soak.serving --minutes $(MINUTES) $(ARGS)

clean:
	rm -rf .venv .venv-clients .venv-dbt .venv-peers .venv-newest .venv-spark .venv-torch .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache \
	  dist demo bench/results
	find src tests bench -name __pycache__ -prune -exec rm -rf {} +

# The pins: what pyproject.toml resolves to today on the oldest Python it allows. They only limit
# versions, so one file serves every Python: what a newer one does not need is not installed.
constraints: $(INSTALLED)
	@echo "resolving …"
	@$(PIP) install --quiet --dry-run --ignore-installed --report .venv/report.json '.[demo,dev]'
	@$(BIN)/python .ci/constraints.py .venv/report.json > constraints.new
	@mv constraints.new constraints.txt
	@git --no-pager diff --stat -- constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Onward needs Python 3.11 or newer; name one with make PYTHON=python3.12" >&2; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	  sudo=; if [ "$$(id -u)" != 0 ]; then sudo=sudo; fi; \
	  echo "Python's venv module is missing: $$sudo apt-get install python3-venv" ; \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq python3-venv >/dev/null; \
	fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "installing into .venv (a minute or two the first time) …"
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

# dbt, whose pins do not live with ours, as a user would have it beside Onward.
$(DBT): .ci/dbt.txt | $(INSTALLED)
	@echo "installing dbt into .venv-dbt …"
	@$(PYTHON) -m venv --clear .venv-dbt
	@.venv-dbt/bin/python -m pip --disable-pip-version-check --no-input install --quiet -r $<
	@touch $@

# What we are measured beside, each with its own pins.
.venv-peers/%/.installed: bench/peers/%/pins.txt | $(INSTALLED)
	@echo "installing $* into .venv-peers/$* …"
	@$(PYTHON) -m venv --clear .venv-peers/$*
	@.venv-peers/$*/bin/python -m pip --disable-pip-version-check --no-input install --quiet -r $<
	@touch $@

# Other projects' clients of the Open Inference Protocol, which must understand the gateway.
$(CLIENTS): .ci/clients.txt | $(INSTALLED)
	@echo "installing Triton's and KServe's clients into .venv-clients …"
	@$(PYTHON) -m venv --clear .venv-clients
	@.venv-clients/bin/python -m pip --disable-pip-version-check --no-input install --quiet -r $<
	@touch $@

# Spark, and a jar with Iceberg's runtime for it, over what is in .venv.
$(SPARK): .ci/spark.txt | $(INSTALLED)
	@if ! command -v java >/dev/null; then \
	  sudo=; if [ "$$(id -u)" != 0 ]; then sudo=sudo; fi; \
	  echo "Java is missing: $$sudo apt-get install default-jre-headless"; \
	  $$sudo apt-get update -qq; \
	  $$sudo env DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends default-jre-headless >/dev/null; \
	fi
	@echo "installing Spark into .venv-spark (700 MB) …"
	@$(BIN)/python -m venv --clear .venv-spark
	@.venv-spark/bin/python -m pip --disable-pip-version-check --no-input install --quiet -r $<
	@ours=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	theirs=$$(.venv-spark/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	echo "import site; site.addsitedir('$$ours')" > "$$theirs/onward.pth"
	@touch $@

# PyTorch over what is in .venv, for the tests of models that are its modules.
$(TORCH): .ci/torch.txt | $(INSTALLED)
	@echo "installing PyTorch into .venv-torch (800 MB) …"
	@$(BIN)/python -m venv --clear .venv-torch
	@ours=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	theirs=$$(.venv-torch/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	echo "import site; site.addsitedir('$$ours')" > "$$theirs/onward.pth"
	@.venv-torch/bin/python -m pip --disable-pip-version-check --no-input install --quiet -r $<
	@touch $@

# Servers that tests start for themselves on free ports, as Debian packages them.
$(SERVICES): .ci/services.txt | $(INSTALLED)
	@missing=$$(for package in $$(grep -v '^#' $<); do \
	  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; \
	done); \
	if [ -n "$$missing" ]; then \
	  sudo=; if [ "$$(id -u)" != 0 ]; then sudo=sudo; fi; \
	  echo "servers for tests are missing: $$sudo apt-get install" $$missing; \
	  $$sudo apt-get update -qq; \
	  $$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	    apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
	@touch $@
