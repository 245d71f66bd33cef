# Everything runs in .venv, which is made from requirements.lock by its hashes. Python 3.11 or newer and make are enough.
PYTHON ?= python3
HOME_OF_DATA ?= $(or $(ERTE_HOME),var)
BIN := .venv/bin

.PHONY: run test types tests up bench fuzz lock

# A simulated nation through the Airflow DAGs for three nights, then a table of what happened and where to look.
run: .venv/.installed
	$(BIN)/erte demo --home $(HOME_OF_DATA)

# Everything: ruff, mypy, unit and property tests, SQL, DAGs, end to end.
test: .venv/.installed
	$(BIN)/ruff check .
	$(MAKE) --no-print-directory --jobs 2 types tests

types:
	$(BIN)/mypy

tests:
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder

# Airflow's own web page and scheduler on the same home.
up: .venv/.installed
	$(BIN)/erte demo --up --home $(HOME_OF_DATA)

bench: .venv/.installed
	$(BIN)/python -m tests.bench

# Bytes that no sender would write, half a minute for each reader: rows or a refusal, never a crash, a hang or unbounded memory.
fuzz: .venv/.installed
	$(BIN)/python -m tests.fuzz --seconds 30

# Newest versions that pyproject.toml allows, with their hashes and no address; uv and setuptools build the environment.
lock: .venv/.installed
	printf 'setuptools>=75\nuv\n' | $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes \
	  --no-emit-index-url --no-header --all-extras --python-version 3.11 pyproject.toml - -o requirements.lock

# Bytecode is compiled once here: Airflow and Great Expectations import four times faster by it.
.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q pipelines dags
	touch $@
