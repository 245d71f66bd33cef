"""How the tests run: what two side by side have of the machine, and in what order."""

import os

import pytest

# One thread each, of polars and of DuckDB, is faster on two cores than four that wait for one another.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("ERTE_THREADS", "1")

SLOWEST = ("test_dags", "test_flow", "test_warehouse", "test_spine_nights", "test_merge", "test_doubted", "test_verify", "test_hard_nights",
           "test_outranked", "test_mending", "test_simulate", "test_learned_iins", "test_fhir_documents", "test_feedback", "test_bulk_data",
           "test_risk", "test_noticed", "test_annex", "test_resends", "test_laws", "test_hold", "test_senders", "test_hl7")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest modules first: a worker takes a module whole (its homes are made once), and the short ones fill the end."""
    rank = {name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(SLOWEST)))
