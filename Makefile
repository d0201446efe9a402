# make demo         try revscript out, without any server of yours (DEMO="..." for its options)
# make check test   what every change must pass
# make bench soak   figures, and the long trials
# make golden       rewrite the golden files; the diff is the review
# make clean        remove what the other targets made

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install -qq --disable-pip-version-check
PYTEST := $(BIN)/pytest -n 2 --dist loadgroup

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: demo test check bench soak golden clean

demo: .venv/.demo
	$(BIN)/revscript demo $(DEMO)

test: .venv/.dev
	tests/install-servers.sh
	$(PYTEST) -m "not soak" $(TESTS)

check: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports

bench: .venv/.dev
	tests/install-servers.sh
	@set -e; for file in benchmarks/[!_]*.py; do \
		[ -e "$$file" ] || continue; \
		name=$$(basename "$$file" .py); echo "== $$name"; $(BIN)/python -m "benchmarks.$$name"; \
	done

soak: .venv/.dev
	tests/install-servers.sh
	$(PYTEST) -m soak --timeout 0 $(TESTS)

golden: .venv/.dev
	REWRITE_GOLDEN=1 $(BIN)/pytest -q tests/golden

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp older than pyproject.toml means that the dependencies may have changed.
.venv/.demo: pyproject.toml | $(BIN)/pip
	$(PIP) -e '.[demo]'
	touch $@

.venv/.dev: pyproject.toml | $(BIN)/pip
	$(PIP) -e '.[dev]'
	touch .venv/.demo $@

# Not bin/python as the target: Debian leaves that behind when python3-venv is missing.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit("revscript needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
