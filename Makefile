# Two commands: make demo, make test. Everything else is for maintainers.
PY ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: demo test smoke lint types unit clean

# torch first and pinned: an unpinned request would bring gigabytes of GPU libraries
$(VENV)/.core: pyproject.toml constraints.txt
	@echo "creating $(VENV) (about a minute)"
	@$(PY) -m venv $(VENV) || { echo "python venv is missing; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) torch
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.core
	@$(PIP) -e '.[test]'
	@touch $@

demo: $(VENV)/.core
	@$(BIN)/grokscope run modular-addition --members 4 --store runs/demo --report runs/demo/report.html

# types beside the tests: some of them wait for processes of their own
test: lint
	@$(MAKE) --no-print-directory -j 2 types unit

# every paper's smallest preset, one seed, in a store that goes away
smoke: $(VENV)/.core
	@store=$$(mktemp -d) && trap 'rm -rf "$$store"' EXIT && $(BIN)/grokscope reproduce all --preset smoke --store "$$store"

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

unit: $(VENV)/.test
	$(BIN)/python -m pytest -q -n 2

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
