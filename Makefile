PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint docs install clean

demo: install  ## make a small video data set, train on it with and without multigrid, test both
	$(BIN)/python projects/multigrid/demo.py

test: install  ## all tests, on a CPU, without data or network
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8

lint: install  ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install  ## the documentation site, in build/site
	$(BIN)/python -m sphinx -c docs -b html -q -W --keep-going . build/site
	@echo "open build/site/docs/index.html"

install: .venv/installed

.venv/installed: setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed: make PYTHON=python3.11 ..." if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch .venv/installed

clean:
	rm -rf .venv demo_output build
