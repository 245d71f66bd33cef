"""The house keeps its shape: imports point one way, stages are pure, nothing personal has a way out."""

import ast
from pathlib import Path

import pytest

from pipelines import contracts

ROOT = Path(__file__).parents[1]
STAGES = {"intake", "identity", "risk", "consent", "referral", "indicators", "simulate"}
MAY_IMPORT = {
    **{stage: {stage, "contracts"} for stage in STAGES},
    "simulate": {"simulate", "contracts", "intake", "identity"},  # it writes what the layouts say senders write
    "contracts": {"identity"},  # the check digit of the IIN is the one rule a contract borrows
    "errors": set(),
    "settings": set(),
    "retry": set(),
    "expect": {"contracts"},
    "store": {"store", "contracts", "settings", "errors", "indicators"},
    "night": STAGES | {"night", "store", "contracts", "settings", "errors", "expect"},
    "flow": {"night", "store", "settings"},
    "demo": {"flow", "settings", "store", "simulate", "errors"},
    "cli": {"flow", "night", "store", "settings", "errors", "simulate", "demo"},
}
IMPURE = {"airflow", "duckdb", "os", "random"}
FILES = sorted((ROOT / "pipelines").rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{a.name}" if node.module == "pipelines" else node.module for a in node.names}
    return names


def room(path: Path) -> str:
    return path.relative_to(ROOT / "pipelines").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    if room(path) == "__init__":
        return
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("pipelines.")}
    assert rooms <= MAY_IMPORT[room(path)] | {room(path)}


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in STAGES], ids=lambda p: str(p.relative_to(ROOT)))
def test_stages_hold_no_connection_and_ask_no_clock_and_no_environment(path):
    assert not {name.split(".")[0] for name in imported(path)} & IMPURE
    text = path.read_text("utf-8")
    assert not any(call in text for call in ("date.today(", "datetime.now(", "time.time(", "environ"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_error_is_swallowed_and_no_row_goes_through_python(path):
    text = path.read_text("utf-8")
    assert "except Exception" not in text
    assert "map_elements" not in text
    assert "logging." not in text or "%s" not in text


def test_no_identified_column_is_declared_outside_the_identified_schema():
    leaks = [
        (table, column)
        for table, contract in contracts.LAKE.items()
        for column, degree in contracts.describe_degree(contract).items()
        if degree == "identified" and not table.startswith("identified.")
    ]
    assert leaks == []


def test_sql_is_one_select_a_file_with_its_grain_first():
    for path in sorted((ROOT / "sql").rglob("*.sql")):
        text = path.read_text("utf-8")
        assert text.startswith("--"), path.name
        assert "select *" not in text, path.name
        assert text.count(";") <= 1, path.name
