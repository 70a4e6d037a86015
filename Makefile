# The desk's two commands are `make run` and `make test`. Everything they need is made in .venv on the first call;
# later calls find the stamp newer than the lock and install nothing.

SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
PY := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime-installed
TESTING := $(VENV)/.testing-installed

.PHONY: help run demo test test-faults lint format lock bench

help:
	@echo "make run    start the desk (first call: install, load sample prices, run the demo)"
	@echo "make demo   run the demo workflow once, print what it did, end"
	@echo "make test   every check and every test, on SQLite and on PostgreSQL + Redis"
	@echo "make test-faults  kill workers, broker and database at length, and print what it cost"
	@echo "make lint   the static checks alone"
	@echo "make format let ruff write the code's form"
	@echo "make lock   write requirements.txt and tests/requirements.txt anew from pyproject.toml"
	@echo "make bench  the measurements in benchmarks/"

run: $(RUNTIME)
	@exec $(PY) manage.py up

demo: $(RUNTIME)
	@exec $(PY) manage.py demo

test: $(TESTING)
	@exec $(PY) -m tests.harness

# What `make test` has of these is their short form. A scenario may take minutes here, so that standing still is told late.
test-faults: $(TESTING)
	@FAULTS=long exec $(PY) -m tests.harness --only tests -- tests/faults tests/executions/test_stateful.py -o faulthandler_timeout=900

lint: $(TESTING)
	@exec $(PY) -m tests.harness --only checks

format: $(TESTING)
	@$(PY) -m ruff check --fix --select I .
	@$(PY) -m ruff format .

# No index address and no path of the machine enters the locks: they are read with whatever index the reader has.
LOCKING := $(VENV)/bin/uv pip compile pyproject.toml --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate --quiet
lock: $(TESTING)
	$(LOCKING) --upgrade -o requirements.txt
	$(LOCKING) --upgrade --extra test -c requirements.txt -o tests/requirements.txt

bench: $(TESTING)
	@set -e; for measurement in benchmarks/*.py; do echo "== $$measurement"; $(PY) "$$measurement"; done

$(PY):
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "$(PYTHON) is not Python 3.11"; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "On Debian and Ubuntu: apt install python3.11-venv"; exit 1; }

$(RUNTIME): requirements.txt | $(PY)
	@echo "Installing the desk (a minute or two, once) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@echo "Compiling what searches compute with (once) ..."
	@$(PY) -m optimize.kernels
	@touch $@

$(TESTING): tests/requirements.txt $(RUNTIME)
	@echo "Installing what the tests need (once) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.txt
	@touch $@
