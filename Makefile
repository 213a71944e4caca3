# Every target makes the environment that it needs, once, from nothing but Python >= 3.11.
#
#   make demo TORCH='torch==2.11.0'    with another torch (on Linux, PyPI's torch brings CUDA)
#   make demo PY=python3               with an environment of your own: nothing is installed

PYTHON ?= python3
TORCH  ?= torch==2.13.0
VENV   := .venv
ENGINES := vllm==0.33.0 sglang==0.5.23
HEADERS := flashinfer-python==0.7.2.post1
TRANSFORMERS := transformers==5.17.0

empty :=
space := $(empty) $(empty)

.DEFAULT_GOAL := help
.PHONY: help demo test lint codegen bench clean \
        test-null test-interp test-compile test-device test-peers test-adapters test-readme

ifeq ($(origin PY), undefined)
PY   := $(VENV)/bin/python
RUN  := $(VENV)/.run
DEV  := $(VENV)/.dev
HUGGINGFACE := $(VENV)/.transformers
endif

PIP    = $(VENV)/bin/python -m pip install -qq --disable-pip-version-check
PYTEST = $(PY) -m pytest -q -p no:cacheprovider
SIDE_BY_SIDE = $(PYTEST) -n auto

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: $(RUN) ## run all three plans on a generated trace, compare with the oracle, draw one step
	@$(PY) -m metaplan demo

test: test-null test-readme test-interp test-compile test-device test-peers test-adapters ## every test suite, each in its own process
	@echo "make test: every suite passed"

lint: $(DEV) ## ruff, pyright, the drift of kernels/ and of docs/coverage.md
	@echo "ruff, pyright, metaplan codegen --check, bench.coverage --check"
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m pyright --pythonpath $(PY)
	@$(PY) -m metaplan codegen --check
	@$(PY) -m bench.coverage --check

codegen: $(DEV) ## render the shipped plans into kernels/
	@$(PY) -m metaplan codegen

bench: $(DEV) ## measure our plans and our loop (needs a GPU); docs/performance.md names the other benches
	@mkdir -p build
	@$(PY) -m bench.plans --seconds 300 --out build/plans.jsonl
	@$(PY) -m bench.loops.idle --seconds 170 --out build/loops_idle.jsonl

test-null: $(DEV)
	@echo "tests/null tests/oracle tests/loop: meaning, without triton"
	@$(SIDE_BY_SIDE) tests/null tests/oracle tests/loop

test-readme: $(DEV) $(HUGGINGFACE)
	@echo "tests/readme: every example in README.md and docs/"
	@$(PYTEST) tests/readme

test-interp: $(DEV)
	@echo "tests/interp: kernels under the Triton interpreter"
	@TRITON_INTERPRET=1 $(SIDE_BY_SIDE) tests/interp

test-compile: $(DEV)
	@echo "tests/compile: kernels for every target, without a device"
	@$(SIDE_BY_SIDE) --dist loadfile tests/compile

test-device: $(DEV) $(HUGGINGFACE)
	@if $(PY) -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
	  echo "tests/device: kernels on the GPU" && $(PYTEST) tests/device; \
	else \
	  echo "tests/device: not run, torch sees no GPU here"; \
	fi

test-peers: $(DEV)
	@echo "tests/peers: beside the sources of $(ENGINES) $(HEADERS)"
	@$(PY) tests/peers/fetch.py $(ENGINES) $(HEADERS)
	@TRITON_INTERPRET=1 PYTHONPATH=$(subst $(space),:,$(foreach e,$(ENGINES),.engines/$(subst ==,-,$(e)))) $(SIDE_BY_SIDE) tests/peers

test-adapters: $(DEV) $(HUGGINGFACE)
	@echo "tests/adapters: beside $(TRANSFORMERS)"
	@$(SIDE_BY_SIDE) tests/adapters

clean: ## remove what make made: .venv, .engines
	rm -rf $(VENV) .engines

$(VENV)/.run: pyproject.toml
	@echo "environment: $(VENV) with $(TORCH), once; this takes some minutes"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "metaplan needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) '$(TORCH)' -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "environment: adding the development tools"
	@$(PIP) '$(TORCH)' -e '.[demo,dev]'
	@touch $@

$(VENV)/.transformers: $(VENV)/.dev
	@echo "environment: adding $(TRANSFORMERS)"
	@$(PIP) '$(TORCH)' '$(TRANSFORMERS)' -e '.[transformers]'
	@touch $@
