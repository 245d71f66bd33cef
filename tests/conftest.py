"""Two tests run side by side on two cores: one thread each, of polars and of DuckDB, is faster than four that wait for one another."""

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("ERTE_THREADS", "1")
