# Every command of the project, from a machine that has Python 3.11, g++ and make.
#   make test   set everything up and run the tests
#   make demo   set everything up and run one model on two runtimes
#   make help   the rest

TORCH ?= cpu#    cpu | gpu
ARGS ?=#         for `make demo ARGS=--once`, `make test-fast ARGS=tests/routing`

PYTHON ?= $(or $(shell command -v python3.11),python3)
BIN := .venv/bin
UV := $(BIN)/uv

# uv takes what pip would use, if the environment names it.
comma := ,
space := $() $()
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(subst $(space),$(comma),$(strip $(PIP_FIND_LINKS)))
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif
export UV_PYTHON_DOWNLOADS := never
# Progress for a person, silence for a log.
QUIET := $(shell [ -t 2 ] || echo --quiet)

TORCH_LOCK := serving/torch_server/requirements$(if $(filter gpu,$(TORCH)),.gpu).lock
# Where no folder of wheels holds the CPU build, uv knows the index that does.
TORCH_BACKEND := $(if $(UV_FIND_LINKS)$(filter gpu,$(TORCH)),,--torch-backend cpu)

.DEFAULT_GOAL := help
.PHONY: help setup store test test-fast test-peers fuzz bench-overload bench-policies bench-plan bench-loadgen bench-stages bench-peers check lint format demo up lock k8s-validate clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

# -- environments -------------------------------------------------------------------------------
# .venv        the gateway and the tools: neither torch nor tensorflow
# .venv-torch  the torch server, training and export
# .venv-tf     the TensorFlow stand-in and export

setup: .venv/ready .venv-torch/ready-$(TORCH) .venv-tf/ready ## the three environments, from the lock files
	@:

SYNC = $(UV) pip sync $(QUIET) --require-hashes

.venv/ready: tests/requirements.lock pyproject.toml | $(UV)
	@echo 'setup: .venv (the gateway and the tools)'
	@$(SYNC) --python $(BIN)/python tests/requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

.venv-torch/ready-$(TORCH): $(TORCH_LOCK) | $(UV)
	@echo 'setup: .venv-torch (PyTorch, $(TORCH))'
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python .venv-torch
	@$(SYNC) $(TORCH_BACKEND) --python .venv-torch/bin/python $(TORCH_LOCK)
	@pwd > .venv-torch/lib/python3.11/site-packages/tandem.pth
	@rm -f .venv-torch/ready-* && touch $@

.venv-tf/ready: serving/tf_serving/requirements.lock | $(UV)
	@echo 'setup: .venv-tf (TensorFlow)'
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python .venv-tf
	@$(SYNC) --python .venv-tf/bin/python $<
	@pwd > .venv-tf/lib/python3.11/site-packages/tandem.pth
	@touch $@

# Debian's python3 brings no pip before python3-venv is installed. Its archive has pip as a wheel,
# which needs no installing: it is unpacked into .venv and used once, to install the pinned uv.
$(UV):
	@echo 'setup: uv'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Tandem needs Python 3.11: make PYTHON=...")'
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv .venv; else \
	  $(PYTHON) -m venv --without-pip .venv && mkdir -p .venv/pip && cd .venv/pip && \
	  { apt-get download -qq python3-pip-whl 2>/dev/null || \
	    { apt-get update -qq && apt-get download -qq python3-pip-whl 2>/dev/null; } || \
	    { echo 'setup: this Python has no pip; install python3-venv' >&2; exit 1; }; } && \
	  dpkg -x python3-pip-whl_*.deb . && mv usr/share/python-wheels/pip-*.whl pip.whl; fi
	@awk '/^[^ ]/ { keep = /^uv==/ } keep' tests/requirements.lock > .venv/uv.txt
	@PYTHONPATH=.venv/pip/pip.whl $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r .venv/uv.txt

# -- lock files ---------------------------------------------------------------------------------
# One per environment, complete, with hashes. Pins move only with `make lock ARGS=--upgrade` or `ARGS='-P name'`.

COMPILE = $(UV) pip compile --quiet --generate-hashes --no-annotate \
  --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11 $(ARGS)

# 1: the lock file, 2: what goes into it
compile = $(COMPILE) $(2) --output-file $(1) && $(FOLD) $(1) > $(1).new && mv $(1).new $(1)

# Several hashes a line, so that a diff shows packages.
FOLD = awk '{ sub(/ \\$$/, "") } \
  /^ +--hash/ { sub(/^ +/, ""); printf "%s%s", (n++ % 4 ? " " : " \\\n    "), $$0; next } \
  { n = 0; printf "%s%s", (NR > 1 ? "\n" : ""), $$0 } END { print "" }'

lock: | $(UV) ## resolve the dependencies again
	@$(call compile,tests/requirements.lock,pyproject.toml --group dev)
	@$(call compile,gateway/requirements.lock,pyproject.toml -c tests/requirements.lock)
	@$(call compile,serving/torch_server/requirements.lock,--group torch $(TORCH_BACKEND))
	@UV_FIND_LINKS= $(call compile,serving/torch_server/requirements.gpu.lock,--group torch)
	@$(call compile,serving/tf_serving/requirements.lock,--group tensorflow)

# -- work ---------------------------------------------------------------------------------------

store: setup ## build the models that are not built yet, and pass them through the parity gate
	@$(BIN)/python -m serving.export build

test: setup store ## set everything up and run every test
	@$(BIN)/pytest $(ARGS)

test-peers: setup store ## the real Triton, MLServer and TorchServe behind us, KServe's clients before us; installed first
	@tests/peers/install.sh
	@tests/clients/install.sh
	@$(BIN)/pytest -m peers tests/contracts tests/clients $(ARGS)

fuzz: ## search for bytes that break a codec, by coverage (ARGS='-max_total_time=60', 300 s at most without)
	@tests/clients/install.sh
	@.venv-clients/bin/python -m tests.codecs.fuzz -max_total_time=300 -timeout=5 $(ARGS)

test-fast: setup ## the tests that take no second
	@$(BIN)/pytest -m 'not slow and not e2e' $(ARGS)

bench-overload: setup store ## 0.5 to 3 times of what a server can do, beside two peers (ARGS=--save)
	@loadtests/peers/install.sh mosec litserve
	@$(BIN)/python -m loadtests.bench_overload $(ARGS)

bench-policies: setup store ## our policy of batching and those of others, before the same backend (ARGS=--save)
	@$(BIN)/python -m loadtests.bench_policies $(ARGS)

bench-plan: setup store ## what tandem plan predicts, and what is then measured (ARGS=--save)
	@$(BIN)/python -m loadtests.bench_plan $(ARGS)

bench-loadgen: setup store ## the highest rate that MLPerf's load generator calls valid (ARGS=--save)
	@$(BIN)/python -m loadtests.bench_loadgen $(ARGS)

bench-stages: setup store ## where the gateway's CPU goes, stage by stage, by a profiler (ARGS=--save)
	@$(BIN)/python -m loadtests.bench_stages $(ARGS)

lint: setup ## formatting, ruff, types, layers
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench-peers: setup store ## Tandem beside seven other servers, each installed first; half an hour (ARGS=--no-save)
	@loadtests/peers/install.sh
	@$(BIN)/python -m loadtests.peers $(ARGS)

check: lint test ## what CI runs

format: setup ## lay the code out and repair what can be
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

demo: setup ## one model on two runtimes under real traffic, and the comparison (ARGS=--once)
	@$(BIN)/tandem demo $(ARGS)

up: store ## the demo's stack, without traffic
	@$(BIN)/tandem up $(ARGS)

k8s-validate: setup ## render and check docker-compose.yml, the Dockerfiles and k8s/
	@$(BIN)/pytest tests/deploy $(ARGS)

clean: ## remove environments, caches and built models
	rm -rf .venv .venv-torch .venv-tf .tandem .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf model_store/.build model_store/*/[0-9]*
