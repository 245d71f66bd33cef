"""How the tests run: what two side by side have of the machine, and in what order."""

import os

import pytest

# One thread each, of polars and of DuckDB, is faster on two cores than four that wait for one another.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("ERTE_THREADS", "1")

SLOWEST = ("test_dags", "test_mending", "test_flow", "test_warehouse", "test_merge", "test_resends", "test_hard_nights",
           "test_doubted", "test_spine_nights", "test_outranked", "test_feedback", "test_bulk_data", "test_verify", "test_hold",
           "test_laws", "test_simulate", "test_annex", "test_hl7", "test_expect", "test_risk", "test_fhir")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest modules first: a worker takes a module whole (its homes are made once), and the short ones fill the end."""
    rank = {name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(SLOWEST)))
