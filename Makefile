# make run | test | up | bench | lock          (needs Python 3.11 or newer, and make)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export ERTE_HOME ?= var

.PHONY: run test up bench lock clean

$(VENV)/.ready: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: $(VENV)/.ready
	@$(BIN)/erte demo

test: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal

up: $(VENV)/.ready
	@$(BIN)/erte demo --up

bench: $(VENV)/.ready
	@$(BIN)/python -m tests.bench

lock:
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--all-extras --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) bench
