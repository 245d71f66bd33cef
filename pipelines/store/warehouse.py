"""The published warehouse: one DuckDB file of plain tables and the same as Parquet, built aside and swapped by rename.

Everything is told as known on a day: versions learned later are not seen, so that a release can be built again and is the same
(law 10). Tables, keys and comments are promised in warehouse/tables.sql; one file of sql/ fills one table.
"""

import shutil
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl

from pipelines.errors import UserError
from pipelines.indicators.disclose import NATION, Limits, disclose
from pipelines.indicators.interval import add_intervals
from pipelines.indicators.release import renew_tables
from pipelines.settings import PROJECT, Settings
from pipelines.store.lake import Connection, put_frame

_SQL, _PROMISED = PROJECT / "sql", PROJECT / "warehouse"
_VERSIONED = ("birth", "verdict", "flag", "consent", "placement", "pmpc_report")
_MARTS = ("pathway", "facility_month", "data_quality", "denominator")
_PROGRAMMES = {"blood_spot": 1, "hearing": 1, "development": 2, "autism": 18, "eyes": 2, "phenotype": 1}
"""Programme -> completed months by which a child should have been examined once (O704 annexes 4, 14; PED annex 2)."""


class Built(NamedTuple):
    """Rows by table, and the release's file."""

    counts: dict[str, int]
    path: Path


def build_warehouse(connection: Connection, settings: Settings, on: date, registers: Mapping[str, pl.DataFrame]) -> Built:
    """Build the release as known on a day and swap it in; the last `kept_releases` stay beside it."""
    settings.published.mkdir(parents=True, exist_ok=True)
    draft = settings.published / f".draft-{on}.duckdb"
    draft.unlink(missing_ok=True)
    connection.execute(f"attach '{_quote(str(draft))}' as draft")
    connection.execute("use draft")
    try:
        connection.execute((_PROMISED / "tables.sql").read_text("utf-8"))
        _view_known(connection, settings, on, registers)
        _fill_marts(connection)
        _fill_indicators(connection, settings, on)
        counts = _fill_release(connection, settings, on)
        _reconcile(connection)
        parquet = _write_parquet(connection, settings, on, counts)
    finally:
        connection.execute("use memory")
        connection.execute("detach draft")
    return Built(counts, _swap(settings, on, draft, parquet))


def open_published(settings: Settings) -> Connection:
    """The published file, read only and shut in: a query reads it and nothing else of the machine."""
    path = settings.published / "erte.duckdb"
    if not path.exists():
        raise UserError("warehouse_missing", f"nothing is published under {settings.published}: run `erte publish` first")
    connection = duckdb.connect(str(path), read_only=True)
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def _view_known(connection: Connection, settings: Settings, on: date, registers: Mapping[str, pl.DataFrame]) -> None:
    """Temp views `known_<table>` as known on the day, the registers, and the few functions the marts use."""
    day = f"date '{on}'"
    for table in _VERSIONED:
        connection.execute(f"""
            create or replace temp view known_{table} as from lake.clinical.{table}
            where known_from <= {day} and (known_to is null or known_to > {day})""")
    connection.execute(f"create or replace temp view known_referral as from lake.clinical.referral where composed_on <= {day}")
    connection.execute(f"create or replace temp view known_submission as from lake.ledger.submission where received_on <= {day}")
    for name, frame in registers.items():
        put_frame(connection, f"register_{name}", frame)
    connection.execute(f"create or replace temp macro known_on() as {day}")
    connection.execute(f"create or replace temp macro secret_order() as '{settings.key.hex()}'")
    connection.execute("""
        create or replace temp macro completed_months(born, day) as
        (year(day) - year(born)) * 12 + month(day) - month(born)
        - (day(day) < least(day(born), day(last_day(day))))::integer""")
    connection.execute("""
        create or replace temp macro place_rank(place) as
        case place when 'referred' then 1 when 'withheld' then 2 when 'aged_out' then 3 else 4 end""")
    put_frame(connection, "region_row", pl.read_csv(_PROMISED / "reference" / "regions.csv", infer_schema=False))
    connection.execute("insert into region by name select kato2, iso, name_kk, name_ru, name_en from region_row")


def _fill_marts(connection: Connection) -> None:
    for mart in _MARTS:
        connection.execute(f"insert into {mart} by name {(_SQL / 'marts' / f'{mart}.sql').read_text('utf-8')}")
    programmes = " union all ".join(
        f"select kato2, birth_year, sex_code, age_months, is_dead, flag_programmes, '{name}' as programme, {name} as verdict, "
        f"{f'is_{name}_in_window' if name in ('blood_spot', 'hearing') else 'null::boolean'} as is_in_window, "
        f"list_contains(string_split(positive_programmes, ' '), '{name}') as is_positive, {age} as least_age_months, "
        + ("(weight_band in ('under 1500', '1500-1999') or gestation_band in ('under 28', '28-31')) as is_meant " if name == "eyes"
           else "true as is_meant ") + "from pathway"
        for name, age in _PROGRAMMES.items()
    )  # fmt: skip
    connection.execute(f"create or replace temp view pathway_programme as {programmes}")


def _fill_indicators(connection: Connection, settings: Settings, on: date) -> None:
    definitions = _read_definitions()
    put_frame(connection, "definition_row", definitions)
    connection.execute("insert into indicator_definition by name from definition_row")
    parts = []
    for file in sorted((_SQL / "indicators").glob("*.sql")):
        parts.append(connection.execute(f"""
            select indicator_id, coalesce(kato2, '{NATION}') as kato2, birth_year, coalesce(sex_code, 'all') as sex_code, stratum,
                count(*) as eligible, count(*) filter (is_excluded) as excluded,
                count(*) filter (not is_excluded and is_counted) as numerator
            from ({file.read_text("utf-8")})
            where kato2 is not null
            group by grouping sets ((indicator_id, kato2, birth_year, sex_code, stratum), (indicator_id, kato2, birth_year, stratum),
                                    (indicator_id, birth_year, sex_code, stratum), (indicator_id, birth_year, stratum))""").pl())  # fmt: skip
    counted = pl.concat(parts)
    joined = counted.join(definitions, on="indicator_id", how="left", suffix="_text", validate="m:1")
    if len(joined) != len(counted) or joined["unit"].null_count():
        raise AssertionError("an indicator without a definition")
    valued = add_intervals(joined.with_columns((pl.col("eligible") - pl.col("excluded")).alias("denominator")))
    value, good = pl.col("value"), pl.col("is_high_good")
    reached = {
        name: pl.when(good).then(value >= pl.col(name)).otherwise(value <= pl.col(name)) for name in ("achievable", "acceptable")
    }
    met = (
        pl.when(value.is_null() | good.is_null()).then(None)
        .when(reached["achievable"]).then(pl.lit("achievable"))
        .when(reached["acceptable"]).then(pl.lit("acceptable")).otherwise(pl.lit("none"))
    )  # fmt: skip
    _insert(connection, "indicator", valued.with_columns(met.alias("threshold_met")))
    limits = Limits(settings.small_count, settings.rounding, settings.least_denominator)
    told = renew_tables(disclose(valued, limits), read_told(settings, on), on, limits)
    _insert(connection, "published.indicator", told)


def read_told(settings: Settings, before: date | None = None) -> pl.DataFrame:
    """published.indicator of every release kept, of those before a day, one below the other; empty when there are none."""
    days = sorted(path.stem.removeprefix("erte-") for path in settings.published.glob("erte-*.duckdb"))
    parts = []
    for day in days:
        if before is None or day < before.isoformat():
            with duckdb.connect(str(settings.published / f"erte-{day}.duckdb"), read_only=True) as release:
                parts.append(release.execute("from published.indicator").pl())
    return pl.concat(parts) if parts else pl.DataFrame()


def _insert(connection: Connection, table: str, rows: pl.DataFrame) -> None:
    columns = [row[0] for row in connection.execute(f"describe {table}").fetchall()]
    put_frame(connection, "inserted_row", rows.select(columns))
    connection.execute(f"insert into {table} by name from inserted_row")


def _read_definitions() -> pl.DataFrame:
    raw = tomllib.loads((_PROMISED / "indicators.toml").read_text("utf-8"))
    rows = [
        {"indicator_id": name, "acceptable": None, "achievable": None, "is_high_good": None, **entry,
         "method": "byar" if entry["unit"] == "rate" else "wilson", "valid_from": date(2026, 1, 1)}
        for name, entry in raw.items()
    ]  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def _fill_release(connection: Connection, settings: Settings, on: date) -> dict[str, int]:
    tables = ["region", *_MARTS, "indicator_definition", "indicator", "published.indicator"]
    counts = {table: _count(connection, f"select count(*) from {table}") for table in tables}
    connection.execute(
        "insert into release values (?, ?, ?, ?, ?)",
        [on, settings.protocol, counts["pathway"], settings.small_count, settings.rounding],
    )
    return counts


def _reconcile(connection: Connection) -> None:
    """Totals that must agree before anything is published; a difference is our broken promise."""
    spine = _count(connection, "select count(*) from known_birth where not is_cancelled")
    pathway = _count(connection, "select count(*) from pathway")
    months = _count(connection, "select coalesce(sum(birth_count), 0)::bigint from facility_month where role = 'maternity'")
    flagged = _count(connection, "select count(distinct child_key) from known_flag semi join known_birth using (child_key)")
    told = _count(connection, "select count(*) from pathway where is_flagged")
    if not (spine == pathway == months) or flagged != told:
        raise AssertionError(f"marts do not reconcile: spine {spine}, pathway {pathway}, months {months}, flagged {flagged}/{told}")


def _write_parquet(connection: Connection, settings: Settings, on: date, counts: Mapping[str, int]) -> Path:
    folder = settings.published / f".parquet-{on}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for table in [*counts, "release"]:
        connection.execute(f"copy (from {table}) to '{_quote(str(folder / (table.replace('.', '_') + '.parquet')))}' (format parquet)")
    return folder


def _swap(settings: Settings, on: date, draft: Path, parquet: Path) -> Path:
    """The release under its day, the pointers erte.duckdb and parquet onto it; older releases beyond those kept go."""
    release, tables = settings.published / f"erte-{on}.duckdb", settings.published / f"parquet-{on}"
    draft.replace(release)
    shutil.rmtree(tables, ignore_errors=True)
    parquet.rename(tables)
    for pointer, target in (("erte.duckdb", release), ("parquet", tables)):
        link = settings.published / f".{pointer}.link"
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        link.replace(settings.published / pointer)
    kept = sorted(settings.published.glob("erte-*.duckdb"))[-settings.kept_releases :]
    for old in settings.published.glob("erte-*.duckdb"):
        if old not in kept and old != release:
            old.unlink()
            shutil.rmtree(settings.published / old.stem.replace("erte-", "parquet-"), ignore_errors=True)
    return release


def _quote(text: str) -> str:
    return text.replace("'", "''")


def _count(connection: Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
