"""The published warehouse: one DuckDB file of plain tables and the same as Parquet, built aside and swapped by rename.

Everything is told as known on a day: versions learned later are not seen, so that a release can be built again and is the same
(law 10). Tables, keys and comments are promised in pipelines/contracts/published_tables.py; one file of sql/ fills one table.
"""

import shutil
import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl

from pipelines.contracts import PUBLISHED
from pipelines.errors import UserError
from pipelines.settings import Settings
from pipelines.store.counted import PROMISED, SQL, fill_indicators, list_years, read_definitions
from pipelines.store.ddl import say_meaning, write_comments, write_published_ddl
from pipelines.store.lake import Connection, connect, put_frame, read_rows, transact
from pipelines.store.release import write_parquet
from pipelines.store.settled import (
    LATE_DAYS,
    OVERDUE_DAYS,
    VERSIONED,
    Base,
    Years,
    find_base,
    hash_definitions,
    list_held,
    say_age,
    say_due,
    sort_years,
)

_BY_YEAR = {"facility_month": "year(month)", "indicator": "birth_year", "published.indicator": "birth_year"}
"""Tables whose rows are of one year of birth -> that year."""

Gate = Callable[[Connection, pl.DataFrame, date], pl.DataFrame]
"""The lake, rows of clinical.consent and a day -> child_key, lack: what the consent gate makes of the decisions about a referral."""


class Built(NamedTuple):
    """Rows by table, the years of birth whose pathways were told anew, and the release's file and folder, which no reader sees yet."""

    counts: dict[str, int]
    years: list[int]
    draft: Path
    parquet: Path


def build_warehouse(
    connection: Connection, settings: Settings, on: date, registers: Mapping[str, pl.DataFrame], at_risk: pl.Expr, gate: Gate
) -> Built:
    """Build the release as known on a day, aside: `swap_release` puts it before readers.

    `at_risk`: who is at risk of retinopathy of prematurity by the protocol, over columns of clinical.birth.
    `gate`: which consents are in force, so that it is decided in one place.
    Years of birth of which nothing was learned since the release before are taken over from it (pipelines/store/settled.py).
    """
    settings.published.mkdir(parents=True, exist_ok=True)
    draft = settings.published / f".draft-{on}.duckdb"
    for left in (draft, draft.with_name(f"{draft.name}.wal")):  # by a killed run: what it had not written yet would be replayed into ours
        left.unlink(missing_ok=True)
    definitions = hash_definitions(settings, registers, at_risk)
    base = find_base(connection, settings, on, definitions)
    if base:
        shutil.copyfile(base.path, draft)
    connection.execute(f"attach '{_quote(str(draft))}' as draft")
    connection.execute("use draft")
    try:
        _view_known(connection, settings, on, registers)
        years = sort_years(connection, base, on, [p["due_days"] for p in _read_programmes().values() if "due_days" in p])
        _empty_draft(connection, base, years)
        _fill_marts(connection, years, on, at_risk, gate)
        fill_indicators(connection, settings, years.counted, on, is_rebuilt=base is None)
        counts = _fill_release(connection, settings, on, definitions)
        _reconcile(connection, years, on)
        parquet = write_parquet(connection, settings, on, counts, base, years)
    finally:
        connection.execute("use memory")
        connection.execute("detach draft")
        connection.execute("detach database if exists earlier")
    return Built(counts, years.told, draft, parquet)


def open_published(settings: Settings, on: date | None = None) -> Connection:
    """The published file, or the release of a day that is still kept, read only and shut in: a query reads it and nothing else."""
    path = settings.published / (f"erte-{on}.duckdb" if on else "erte.duckdb")
    if not path.exists():
        kept = ", ".join(sorted(p.stem.removeprefix("erte-") for p in settings.published.glob("erte-*.duckdb")))
        if kept:
            raise UserError("release_missing", f"no release of {on} is kept: ask for one of {kept}")
        raise UserError("warehouse_missing", f"nothing is published under {settings.published}: run `erte publish` first")
    connection = connect(path, read_only=True)
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def _view_known(connection: Connection, settings: Settings, on: date, registers: Mapping[str, pl.DataFrame]) -> None:
    """Temp views `known_<table>` as known on the day, the registers, and the few functions the marts use."""
    for table in (*VERSIONED, "aggregate"):
        _view_table(connection, table, on)
    day = f"date '{on}'"
    connection.execute(f"create or replace temp view known_referral as from lake.clinical.referral where composed_on <= {day}")
    connection.execute(f"create or replace temp view known_submission as from lake.ledger.submission where received_on <= {day}")
    for name, frame in registers.items():
        put_frame(connection, f"register_{name}", frame)
    connection.execute(f"create or replace temp macro known_on() as {day}")
    connection.execute(f"create or replace temp macro overdue_days() as {OVERDUE_DAYS}")
    connection.execute(f"create or replace temp macro children_per_pmpc() as {settings.children_per_pmpc}")
    connection.execute(f"create or replace temp macro late_days() as {LATE_DAYS}")
    connection.execute(f"create or replace temp macro secret_order() as '{settings.key.hex()}'")
    connection.execute("""
        create or replace temp macro place_rank(place) as
        case place when 'referred' then 1 when 'withheld' then 2 when 'aged_out' then 3 else 4 end""")
    put_frame(connection, "region_row", pl.read_csv(PROMISED / "reference" / "regions.csv", infer_schema=False))


def _view_table(connection: Connection, table: str, on: date, year: int | None = None) -> None:
    """Temp view `known_<table>` as known on the day; of the children born in a year, where the table has the date of birth."""
    born = f"and birth_on between date '{year}-01-01' and date '{year}-12-31'" if year else ""
    connection.execute(f"""
        create or replace temp view known_{table} as from lake.clinical.{table}
        where known_from <= date '{on}' and (known_to is null or known_to > date '{on}') {born}""")


def _empty_draft(connection: Connection, base: Base | None, years: Years) -> None:
    """The promised tables, with what is taken over from the release before: its pathways as they stand, the small tables by row."""
    if base:
        connection.execute(f"attach '{_quote(str(base.path))}' as earlier (read_only)")
        connection.execute("drop schema published cascade; drop view pathway")
        for table in ("release", "indicator", "indicator_definition", "denominator", "data_quality", "facility_month"):
            connection.execute(f"drop table {table}")
        for year in list_held(connection):
            if year in years.told or year not in years.spine:
                connection.execute(f"drop table pathway_{year}")
        connection.execute("checkpoint draft")  # the room of what was dropped is used again: the file does not grow by the night
    connection.execute("create schema published")
    for table, contract in PUBLISHED.items():
        if table != "pathway":
            _make_table(connection, table, contract)
    connection.execute("insert or ignore into region by name select kato2, iso, name_kk, name_ru, name_en from region_row")
    definitions = read_definitions()
    put_frame(connection, "definition_row", definitions)
    connection.execute("insert into indicator_definition by name from definition_row")
    for table, born in _BY_YEAR.items() if base else ():
        anew = years.counted if "indicator" in table else years.told
        kept = list_years(set(years.spine) - set(anew))
        connection.execute(f"insert into {table} from earlier.{table if '.' in table else f'main.{table}'} where {born} in {kept}")


def _make_table(connection: Connection, table: str, contract: type[dy.Schema], name: str | None = None) -> None:
    with transact(connection):
        for statement in write_published_ddl(table, contract, name):
            connection.execute(statement)


def _fill_marts(connection: Connection, years: Years, on: date, at_risk: pl.Expr, gate: Gate) -> None:
    """One year of birth at a time, so that the lake reads no file of another, and memory is bounded by a year."""
    told = (SQL / "marts" / "pathway.sql").read_text("utf-8")
    by_month = (SQL / "marts" / "facility_month.sql").read_text("utf-8")
    for year in years.told:
        for table in ("birth", "verdict"):
            _view_table(connection, table, on, year)
        _mark_at_risk(connection, at_risk)
        _gate_consents(connection, gate, on)
        _make_table(connection, "pathway", PUBLISHED["pathway"], f"pathway_{year}")
        connection.execute("set preserve_insertion_order = true")  # children lie in their secret order, and say nothing of when they came
        connection.execute(f"insert into pathway_{year} by name {told}")
        connection.execute("set preserve_insertion_order = false")
        connection.execute(f"insert into facility_month by name {by_month}")
    every = " union all ".join(f"from pathway_{year}" for year in sorted(years.spine))
    connection.execute(f"create view pathway as select *, {say_age('birth_month', on)} as age_months from ({every})")
    connection.execute(f"comment on view pathway is {say_meaning(PUBLISHED['pathway'])}")
    for comment in write_comments("pathway", PUBLISHED["pathway"]):
        connection.execute(comment)
    connection.execute("comment on column pathway.age_months is 'completed months on the day of the release, of the youngest born in that month'")
    for table in ("denominator", "data_quality", "published.pmpc_network"):
        mart = (SQL / "marts" / f"{table.removeprefix('published.')}.sql").read_text("utf-8")
        connection.execute(f"insert into {table} by name {mart}")
    connection.execute(f"create or replace temp view pathway_programme as {_list_programmes()}")


def _mark_at_risk(connection: Connection, at_risk: pl.Expr) -> None:
    """Temp table at_risk_child: the children of known_birth whom the protocol means."""
    born = read_rows(connection, "select child_key, birth_on, birth_weight_g, gestation_wk, is_complicated from known_birth")
    put_frame(connection, "at_risk_child", born.filter(at_risk).select("child_key"))


def _gate_consents(connection: Connection, gate: Gate, on: date) -> None:
    """Temp table gated_consent: what the gate makes of the decisions about the flagged children of known_birth."""
    decided = read_rows(connection, "from known_consent semi join known_flag using (child_key) semi join known_birth using (child_key)")
    put_frame(connection, "gated_consent", gate(connection, decided, on))


def _list_programmes() -> str:
    """SQL: one row a child and programme, as warehouse/programmes.toml says; a child without a usable examination has no verdict."""
    return " union all ".join(
        f"select kato2, birth_year, sex_code, age_months, is_dead, '{name}' as programme, "
        f"nullif({name}, 'not_examined') as verdict, "
        f"{f'is_{name}_in_window' if programme.get('has_window') else 'null::boolean'} as is_in_window, "
        f"contains(examined_programmes, '{name}') as is_examined_under_3, "  # no programme's name is part of another's
        f"contains(flag_programmes, '{name}') as is_flagged, contains(positive_programmes, '{name}') as is_positive, "
        f"({_say_due(programme)}) as is_due, ({programme.get('is_meant', 'true')}) as is_meant from pathway"
        for name, programme in _read_programmes().items()
    )


def _say_due(programme: Mapping[str, Any]) -> str:
    """SQL over pathway: the youngest born in the child's month should have been examined."""
    if "due_months" in programme:
        return f"age_months >= {programme['due_months']}"
    return f"known_on() >= {say_due('birth_month', programme['due_days'])}"


def _read_programmes() -> dict[str, Any]:
    return tomllib.loads((PROMISED / "programmes.toml").read_text("utf-8"))


def _fill_release(connection: Connection, settings: Settings, on: date, definitions: str) -> dict[str, int]:
    tables = ["region", "pathway", "facility_month", "data_quality", "denominator", "indicator_definition", "indicator", "published.indicator",
              "published.pmpc_network"]  # fmt: skip
    counts = {table: _count(connection, f"select count(*) from {table}") for table in tables}
    connection.execute(
        "insert into release values (?, ?, ?, ?, ?, ?)",
        [on, settings.protocol, counts["pathway"], settings.small_count, settings.rounding, definitions],
    )
    return counts


def _reconcile(connection: Connection, years: Years, on: date) -> None:
    """Totals that must agree before anything is published; a difference is our broken promise."""
    _view_table(connection, "birth", on)
    spine = sum(years.spine.values())
    pathway = _count(connection, "select count(*) from pathway")
    months = _count(connection, "select coalesce(sum(birth_count), 0)::bigint from facility_month where role = 'maternity'")
    flagged = _count(connection, "select count(distinct child_key) from known_flag semi join known_birth using (child_key)")
    told = _count(connection, "select count(*) from pathway where is_flagged")
    if not (spine == pathway == months) or flagged != told:
        raise AssertionError(f"marts do not reconcile: spine {spine}, pathway {pathway}, months {months}, flagged {flagged}/{told}")


def _quote(text: str) -> str:
    return text.replace("'", "''")


def _count(connection: Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
