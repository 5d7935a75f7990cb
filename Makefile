# make bench   create .venv, install the project, run the pipeline benchmark
# make test    lint, types and the quick tests; test-all adds the slow ones
# make clean   remove what these made (results stay)
#
# PYTHON=... chooses the interpreter (3.11 or later), BENCH_ARGS=... what `make bench` passes to `chaindp run`,
# PYTEST_ARGS=... what the tests are run with besides their marker.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
# By interpreter, so that another PYTHON makes another environment instead of being ignored.
VENV_STAMP := $(VENV)/.created$(if $(PYTHON),-$(subst /,_,$(PYTHON)))
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
# A file's tests share builds and runs, so they stay in one process; the files are spread over one process a core.
PYTEST_ARGS ?= --numprocesses auto --maxprocesses 8 --dist loadfile
BENCH_ARGS ?= --workload erc20 --levels 0-5 --backend merkleize=opencl

.PHONY: help bench test test-all lint browser opencl-driver clean
# The steps of a target install into one environment.
.NOTPARALLEL:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

bench: $(RUN_STAMP) $(if $(findstring opencl,$(BENCH_ARGS)),opencl-driver)
ifeq ($(origin BENCH_ARGS),file)
	@if .ci/opencl-driver --check $(VENV); then \
	    set -x; $(BIN)/chaindp run $(BENCH_ARGS); \
	else \
	    echo "chaindp: level 5 needs an OpenCL device, and none was found: running levels 0 to 4" >&2; \
	    set -x; $(BIN)/chaindp run --workload erc20 --levels 0-4; \
	fi
else
	$(BIN)/chaindp run $(BENCH_ARGS)
endif

test: lint browser opencl-driver
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

test-all: lint browser opencl-driver
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

browser:
	@.ci/browser

opencl-driver: $(RUN_STAMP)
	@.ci/opencl-driver $(VENV)

clean:
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The entry points are written at installation, so a change of pyproject.toml installs again.
$(RUN_STAMP): pyproject.toml $(VENV_STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[opencl,fpga]'
	@touch $@

$(DEV_STAMP): pyproject.toml $(VENV_STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(RUN_STAMP)

$(VENV_STAMP):
	@.ci/make-venv '$(PYTHON)' $(VENV)
	@touch $@
