# Everything a newcomer needs: `make demo` and `make test`. Python 3.11+ and make are enough to start.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help setup demo test check format bench faults model conformance fuzz lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## build .venv with everything in it (the other targets do this themselves)

$(VENV)/.ready: requirements.lock pyproject.toml compat/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Heliograph needs Python 3.11 or newer; \`$(PYTHON)\` is older. Try: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { \
	  echo "Python's venv module is missing; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV) (once, about 20 s)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . -e compat
	@touch $@

demo: setup ## live candles of all venues, simulated, through a server, on your screen (ARGS="--headless --duration 20")
	@$(BIN)/heliograph demo $(ARGS)

# Three at a time, since most of a test is waiting, but for the tests that kill processes and the venues' own clients: those need the machine.
APART := tests/conformance tests/faults/test_kills.py tests/faults/test_shared_feeds.py tests/faults/test_cluster_nodes.py \
  tests/faults/test_settlement_kills.py

test: setup ## the test suite (ARGS="-k name" to choose)
ifeq ($(strip $(ARGS)),)
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(APART:%=--ignore=%)
	@$(BIN)/python -m pytest $(APART)
else
	@$(BIN)/python -m pytest $(ARGS)
endif

check: setup ## lint, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup ## rewrite the sources in the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup ## the benchmark table, as ratios to the barest code, and bench/results.json
	@$(BIN)/python -m bench $(ARGS)

faults: setup ## the kill -9 tests, at full size
	@HELIOGRAPH_FAULTS=full $(BIN)/python -m pytest -m faults tests/faults -s $(ARGS)

model: setup ## every world of the settlement link, some minutes and 3 GB (ARGS="--group refuted --traces")
	@$(BIN)/python -m tests.settlement.link.model $(ARGS)

conformance: .venv-conformance/.ready ## the venues' own clients against the simulator
	@$(BIN)/python -m pytest -m conformance tests/conformance $(ARGS)

# ccxt has 800 modules, which each of eight processes would compile for itself where Python may not write bytecode.
.venv-conformance/.ready: requirements-conformance.lock | setup
	@$(PYTHON) -m venv --clear .venv-conformance
	@$(BIN)/uv pip install --quiet --compile-bytecode --python .venv-conformance/bin/python --require-hashes \
	  -r requirements-conformance.lock
	@touch $@

fuzz: .venv-fuzz/.ready ## every decoder under a coverage-guided fuzzer for a minute (ARGS="--seconds 600 --target okx")
	@.venv-fuzz/bin/python -m fuzz $(ARGS)

.venv-fuzz/.ready: requirements.lock requirements-fuzz.lock | setup
	@$(PYTHON) -m venv --clear .venv-fuzz
	@$(BIN)/uv pip install --quiet --python .venv-fuzz/bin/python --require-hashes -r requirements.lock -r requirements-fuzz.lock || { \
	  echo "atheris has wheels for Linux on x86-64 with Python 3.11 to 3.14; fuzz/README.md says what works without" >&2; exit 1; }
	@$(BIN)/uv pip install --quiet --python .venv-fuzz/bin/python --no-deps --no-build-isolation -e .
	@touch $@

lock: setup ## resolve the lock files again
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra embedded requirements.in pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  requirements-conformance.in -o requirements-conformance.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  requirements-fuzz.in -o requirements-fuzz.lock

clean: ## remove the environments and caches
	rm -rf $(VENV) .venv-conformance .venv-fuzz fuzz/corpus fuzz/crashes .mypy_cache .ruff_cache .pytest_cache .hypothesis
