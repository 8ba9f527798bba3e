# Two commands: make demo, make test. Everything else is for maintainers.
PY ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# what is used is compiled when it is first imported, and kept, whatever the shell says: that is the smaller part
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q --no-compile -c constraints.txt
# uv takes a third of pip's work or less; it reads none of pip's settings, so where they name another index pip does it all
UV := $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt
INSTALL = @if [ -x $(BIN)/uv ]; then $(UV) $(1) || $(PIP) $(1); else $(PIP) $(1); fi

.PHONY: demo test smoke lint types unit clean

# torch first and pinned: an unpinned request would bring gigabytes of GPU libraries
$(VENV)/.core: pyproject.toml constraints.txt
	@echo "creating $(VENV) (about a minute)"
	@$(PY) -m venv $(VENV) || { echo "python venv is missing; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) torch
	@$(BIN)/python -m pip config list | grep -q '\.index-url=' || $(PIP) uv || echo "no uv: pip takes longer"
	$(call INSTALL,-e .)
	@touch $@

$(VENV)/.test: $(VENV)/.core
	$(call INSTALL,-e '.[test]')
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
