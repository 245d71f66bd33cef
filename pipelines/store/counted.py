"""Indicators of a release: counted by sql/indicators, with intervals and thresholds, and what of them may leave the ministry."""

import tomllib
from collections.abc import Iterable
from datetime import date

import polars as pl

from pipelines.contracts import PUBLISHED
from pipelines.indicators.disclose import ALL, NATION, UNKNOWN, Limits, disclose
from pipelines.indicators.interval import add_intervals
from pipelines.indicators.release import renew_tables
from pipelines.settings import PROJECT, Settings
from pipelines.store.lake import Connection, connect, put_frame

SQL, PROMISED = PROJECT / "sql", PROJECT / "warehouse"


def fill_indicators(connection: Connection, settings: Settings, years: Iterable[int], on: date) -> None:
    """Indicators of the years of birth that are counted anew, and what of them may leave the ministry."""
    definitions = read_definitions()
    parts = []
    for file in sorted((SQL / "indicators").glob("*.sql")):
        parts.append(connection.execute(f"""
            with counted as (  -- once, finest first: children are many, their groups few
                select indicator_id, coalesce(kato2, '{UNKNOWN}') as kato2, birth_year, sex_code, stratum, age_band, count(*) as eligible,
                    count(*) filter (is_excluded) as excluded, count(*) filter (not is_excluded and is_counted) as numerator
                from ({file.read_text("utf-8")})
                where birth_year in {list_years(years)}
                group by all)
            select indicator_id, coalesce(kato2, '{NATION}') as kato2, birth_year, coalesce(sex_code, '{ALL}') as sex_code, stratum, age_band,
                sum(eligible)::bigint as eligible, sum(excluded)::bigint as excluded, sum(numerator)::bigint as numerator
            from counted
            group by indicator_id, birth_year, stratum, age_band,
                grouping sets ((kato2, sex_code), (kato2), (sex_code), ())""").pl())
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
    regions = [region for (region,) in connection.execute("select kato2 from region").fetchall()]
    told = renew_tables(disclose(valued, limits, [*regions, UNKNOWN]), read_told(settings, on), on, limits)
    _insert(connection, "published.indicator", told)


def read_told(settings: Settings, before: date | None = None) -> pl.DataFrame:
    """published.indicator of every release kept, of those before a day, one below the other; empty when there are none."""
    days = sorted(path.stem.removeprefix("erte-") for path in settings.published.glob("erte-*.duckdb"))
    parts = []
    for day in days:
        if before is None or day < before.isoformat():
            with connect(settings.published / f"erte-{day}.duckdb", read_only=True) as release:
                parts.append(_name_bands(release.execute("from published.indicator").pl()))
    return pl.concat(parts) if parts else pl.DataFrame()


def _name_bands(told: pl.DataFrame) -> pl.DataFrame:
    """published.indicator of a release made before age bands had a column of their own: they were strata of all categories."""
    if "age_band" in told.columns:
        return told
    is_band = pl.col("stratum").is_in(["under 1", "1 year", "2 years"])
    return told.with_columns(
        pl.when(is_band).then("stratum").otherwise(pl.lit(ALL)).alias("age_band"),
        pl.when(is_band).then(pl.lit(ALL)).otherwise("stratum").alias("stratum"),
    ).select(PUBLISHED["published.indicator"].column_names())


def _insert(connection: Connection, table: str, rows: pl.DataFrame) -> None:
    columns = [row[0] for row in connection.execute(f"describe {table}").fetchall()]
    put_frame(connection, "inserted_row", rows.select(columns))
    connection.execute(f"insert into {table} by name from inserted_row")


def read_definitions() -> pl.DataFrame:
    """The indicators as warehouse/indicators.toml describes them, one row each."""
    raw = tomllib.loads((PROMISED / "indicators.toml").read_text("utf-8"))
    rows = [
        {"indicator_id": name, "acceptable": None, "achievable": None, "is_high_good": None, **entry,
         "method": "byar" if entry["unit"] == "rate" else "wilson", "valid_from": date(2026, 1, 1)}
        for name, entry in raw.items()
    ]  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def list_years(years: Iterable[int]) -> str:
    """SQL: a list of years to look for one in."""
    return f"({', '.join(str(year) for year in sorted(years)) or 'null'})"
