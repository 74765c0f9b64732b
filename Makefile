# The one task file: people, CI and the documentation all call these targets.
# Every target first creates or refreshes .venv from requirements.lock; nothing is written outside this folder.

PYTHON ?= python3
ARGS   ?=
TESTS_AT_ONCE ?= 3

VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := $(VENV)/.extras
UV    := $(shell command -v uv 2>/dev/null)

# Each server is many processes, and without its .pyc files each of them compiles the product again: half a second.
unexport PYTHONDONTWRITEBYTECODE

export PIP_NO_CACHE_DIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_NO_CACHE := 1
export TMPDIR := $(CURDIR)/.tmp
$(shell mkdir -p "$(TMPDIR)")

ifneq ($(UV),)
  INSTALL = "$(UV)" pip install --quiet --python $(BIN)/python
  CREATE  = $(PYTHON) -m venv --clear --without-pip $(VENV)
else
  INSTALL = $(BIN)/python -m pip install --quiet
  CREATE  = $(PYTHON) -m venv --clear $(VENV)
endif

.DEFAULT_GOAL := help
.PHONY: help demo serve test check bench turns replays fuzz soak chaos format lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  ARGS=\"...\" is handed on, for example: make test ARGS=\"-k transaction\""

demo: $(READY)  ## start a server on loopback, phone it and show the conversation
	@$(BIN)/offhook demo $(ARGS)

serve: $(READY)  ## take calls with config/offhook.yaml
	@$(BIN)/offhook serve $(ARGS)

test: check  ## all checks, then all tests
	$(BIN)/python -m pytest --numprocesses $(TESTS_AT_ONCE) --dist worksteal -m "not alone" $(ARGS) || test $$? -eq 5
	$(BIN)/python -m pytest -m alone $(ARGS) || test $$? -eq 5

check: $(EXTRAS)  ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## measure delays, capacity and memory on this machine
	@$(BIN)/python -m tests.bench $(ARGS)

turns: $(READY)  ## measure turn-taking on telephone sound: ARGS="--part dev --by kind"
	@$(BIN)/python -m tests.turns $(ARGS)

replays: $(READY)  ## how many times faster than real time recorded calls are replayed: ARGS="--calls 100 --profile"
	@$(BIN)/python -m tests.bench.replay_bench $(ARGS)

fuzz: $(READY)  ## wounded traffic on every port for ten minutes: ARGS="--seconds 600 --seed 1"
	@$(BIN)/python -m tests.fuzz $(ARGS)

soak: $(READY)  ## many calls for long on one core: ARGS="--calls 100 --minutes 10"
	@$(BIN)/python -m tests.bench.soak $(ARGS)

chaos: $(READY)  ## kill workers and switches under calls: ARGS="--kills 200 --seed 1"
	@$(BIN)/python -m tests.bench.chaos $(ARGS)

format: $(READY)  ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(READY)  ## pin the newest versions that pyproject.toml allows
	rm -rf $(VENV)/lock
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet --upgrade --editable '.[dev]'
	( head -n 1 requirements.lock; \
	  $(VENV)/lock/bin/python -m pip freeze --exclude-editable \
	  | sed "s/^\(uvloop==.*\)$$/\1; sys_platform != 'win32'/" ) > $(TMPDIR)/requirements.lock
	mv $(TMPDIR)/requirements.lock requirements.lock
	$(VENV)/lock/bin/python -m pip install --quiet --requirement requirements.lock --editable '.[dev,all,peers]'
	( head -n 1 requirements-extras.lock; \
	  $(VENV)/lock/bin/python -m pip freeze --exclude-editable \
	  | grep --invert-match --line-regexp --fixed-strings --file requirements.lock \
	  | grep --invert-match '^uvloop==' ) > $(TMPDIR)/requirements-extras.lock
	mv $(TMPDIR)/requirements-extras.lock requirements-extras.lock
	rm -rf $(VENV)/lock

clean:  ## remove everything that make created
	rm -rf $(VENV) $(TMPDIR) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is newer than what it was made from, so an unchanged environment costs nothing. It holds the folder's
# path: the scripts of a virtual environment stop working when the folder is moved or copied.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
$(READY): anew
endif
.PHONY: anew

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Offhook needs Python 3.11 or newer, $(PYTHON) is older: run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "preparing $(VENV) (once; again when pyproject.toml or requirements.lock change)"
	@test -f $@ && test "$$(cat $@)" = "$(CURDIR)" && test -x $(BIN)/python || $(CREATE)
	@$(INSTALL) --requirement requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@printf '%s\n' "$(CURDIR)" > $@

# What the tests of optional providers need beside it; who only makes calls need not wait for it.
$(EXTRAS): $(READY) requirements-extras.lock
	@$(INSTALL) --requirement requirements-extras.lock
	@touch $@
