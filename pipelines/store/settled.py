"""What a release may take over from the one before: the years of birth of whose children nothing was learned since.

A release costs by what is new, not by history, and is the same as one built from nothing (laws 10 and 11): a pathway does not
change by the day alone (its age is told by the view), and a year is told anew whole as soon as one version of one child of it changed.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.settings import PACKAGE, PROJECT, Settings
from pipelines.store.lake import Connection, connect

VERSIONED = ("birth", "verdict", "flag", "consent", "consent_doubt", "placement", "pmpc_report")
OVERDUE_DAYS = 60
"""Days after the feed from which silence of a PMPC is loss to follow-up (warehouse/indicators.toml)."""
LATE_DAYS = 30
"""Days after the flag from which a decision is late. Silence is late, and a decision due, by the month only: with the age at the flag, the
night on which a child turned late would give the date of birth away."""
_OLDEST_ASKED = 36
"""Completed months from which no indicator looks at the age any more (sql/indicators/impairment.sql, '2 years')."""


class Base(NamedTuple):
    """An earlier release that may be built upon, and the day as known on which it is told."""

    path: Path
    on: date


class Years(NamedTuple):
    """Years of birth: all with their children, those told anew, and those whose indicators are counted anew."""

    spine: dict[int, int]
    told: list[int]
    counted: list[int]


def hash_definitions(settings: Settings, registers: Mapping[str, pl.DataFrame], at_risk: pl.Expr) -> str:
    """sha256 of all that figures are made by, but the lake and the secret (which a home keeps for life)."""
    told = hashlib.sha256()
    folders = (PROJECT / "sql", PROJECT / "warehouse", PACKAGE / "indicators", PACKAGE / "store", PACKAGE / "contracts", PACKAGE / "consent")
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.suffix in {".sql", ".toml", ".csv", ".py"}):
        told.update(path.name.encode() + b"\0" + path.read_bytes())
    for name, register in sorted(registers.items()):
        told.update(f"{name}\0{register.write_csv()}".encode())
    told.update(f"{at_risk} {settings.protocol} {settings.small_count} {settings.rounding} {settings.least_denominator}".encode())
    return told.hexdigest()


def find_base(connection: Connection, settings: Settings, on: date, definitions: str) -> Base | None:
    """The newest release before a day, when it was made by the same definitions and its day is closed to new knowledge.

    None (build from nothing) when there is a later one than `on`: an older day that is asked again owes nothing to any file.
    """
    days = sorted(date.fromisoformat(p.stem.removeprefix("erte-")) for p in settings.published.glob("erte-*.duckdb"))
    earlier = [day for day in days if day < on]
    if not earlier or days[-1] > on:
        return None
    base = Base(settings.published / f"erte-{earlier[-1]}.duckdb", earlier[-1])
    closed = "select 1 from lake.ledger.event where kind = 'publish' and subject = ?"
    if connection.execute(closed, [base.on.isoformat()]).fetchone() is None:
        return None  # killed before it was closed: more may have been learned on that day since
    with connect(base.path, read_only=True) as release:
        if not release.execute("select 1 from duckdb_columns() where (table_name, column_name) = ('release', 'definitions')").fetchone():
            return None
        return base if release.execute("select definitions from release").fetchone() == (definitions,) else None


def sort_years(connection: Connection, base: Base | None, on: date, due_days: Sequence[int]) -> Years:
    """All years of birth as known on the day (of known_birth), and which of them the draft must tell or count anew.

    `due_days`: ages in days at which a programme falls due.
    """
    counted = "select year(birth_on), count(*) from known_birth where not is_cancelled group by all"
    spine = {on.year: 0, **dict(connection.execute(counted).fetchall())}
    if not base:
        return Years(spine, sorted(spine), sorted(spine))
    held = {year: count for year in list_held(connection) for (count,) in connection.execute(f"select count(*) from pathway_{year}").fetchall()}
    told = list_touched(connection, base.on, on) | {year for year in spine if held.get(year) != spine[year]}
    aged = list_aged(connection, base.on, on, spine, due_days)
    return Years(spine, sorted(told & spine.keys()), sorted((told | aged) & spine.keys()))


def list_held(connection: Connection) -> list[int]:
    """Years of birth that have a table in the draft."""
    tables = connection.execute("""
        select table_name[9:]::integer from duckdb_tables()
        where database_name = 'draft' and regexp_full_match(table_name, 'pathway_[0-9]{4}') order by 1""")  # fmt: skip
    return [year for (year,) in tables.fetchall()]


def list_touched(connection: Connection, since: date, on: date) -> set[int]:
    """Years of birth of the children of whom something began or ceased to be known after `since` and up to `on`.

    A child whose year of birth was corrected is of both years. A feed that turned overdue, a consent that expired, and by the month a
    consent that turned late and a repeat sample that turned overdue count as news.
    """
    span = f"> date '{since}' and {{0}} <= date '{on}'"
    changed = [
        f"select child_key from lake.clinical.{table} where {column} {span.format(column)}"
        for table, column in [
            *((table, column) for table in VERSIONED for column in ("known_from", "known_to")),
            ("consent", "decided_on"), ("consent", "valid_until + 1"), ("referral", "composed_on"), ("referral", f"composed_on + {OVERDUE_DAYS + 1}"),
        ]
    ]  # fmt: skip
    begun = [f"date '{day.replace(day=1)}'" for day in (since, on)]
    turned = {"flag": f"examined_on + {LATE_DAYS + 1}", "verdict": "recall_due_on + 1"} if begun[0] != begun[1] else {}
    changed += [f"select child_key from lake.clinical.{table} where {day} > {begun[0]} and {day} <= {begun[1]}" for table, day in turned.items()]
    connection.execute(f"create or replace temp table changed_child as select distinct child_key from ({' union all '.join(changed)})")
    years = connection.execute(
        f"select distinct year(birth_on) from lake.clinical.birth semi join changed_child using (child_key) where known_from <= date '{on}'"
    )
    return {year for (year,) in years.fetchall()}


def list_aged(connection: Connection, since: date, on: date, years: Iterable[int], due_days: Sequence[int]) -> set[int]:
    """Those of the years whose children turned an age that an indicator may ask for, in months or in days."""
    due = [say_due("birth_month", days) for days in due_days]
    ages = []
    for day in (since, on):
        is_due = ", ".join(f"{turned} <= date '{day}'" for turned in due)
        ages.append(f"row(least({say_age('birth_month', day)}, {_OLDEST_ASKED}), [{is_due}]::boolean[])")
    rows = connection.execute(f"""
        select distinct y from (select y, make_date(y, m::bigint, 1) as birth_month from unnest(?::bigint[]) t(y), range(1, 13) r(m))
        where {ages[0]} <> {ages[1]}""", [sorted(years)])  # fmt: skip
    return {year for (year,) in rows.fetchall()}


def say_due(birth_month: str, days: int) -> str:
    """SQL: the day on which the youngest who may have been born in a month is so many days old."""
    return f"(last_day({birth_month}) + {days})"


def say_age(birth_month: str, on: date) -> str:
    """SQL: completed months on a day of the youngest child who may have been born in a month; 0 within the month itself.

    The day of birth is not published, and an age that turns on it would give it away from one night to the next.
    """
    return (
        f"greatest(0, datediff('month', {birth_month}, date '{on}') "
        f"- (day(date '{on}') < least(day(last_day({birth_month})), day(last_day(date '{on}'))))::integer)"
    )
