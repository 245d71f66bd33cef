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
from pipelines.store.lake import Connection, connect, put_frame, read_rows

COUNTED = {"indicator_id": pl.String, "birth_year": pl.Int32, "kato2": pl.String, "sex_code": pl.String, "stratum": pl.String, "age_band": pl.String,
           "numerator": pl.Int64, "denominator": pl.Int64, "told_on": pl.Date}  # fmt: skip
"""Columns of indicator that the judge of disclosure control is given, and the day as known on which they are told."""
SQL, PROMISED = PROJECT / "sql", PROJECT / "warehouse"


def fill_indicators(connection: Connection, settings: Settings, years: Iterable[int], on: date, *, is_rebuilt: bool) -> None:
    """Indicators of the years of birth that are counted anew, and what of them may leave the ministry; `is_rebuilt`: none is taken over."""
    definitions = read_definitions()
    parts = []
    for file in sorted((SQL / "indicators").glob("*.sql")):
        parts.append(read_rows(connection, f"""
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
                grouping sets ((kato2, sex_code), (kato2), (sex_code), ())"""))  # fmt: skip
    counted = pl.concat(parts)
    joined = counted.join(definitions, on="indicator_id", how="left", validate="m:1")
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
    from pipelines.indicators.withhold import withhold  # with scipy: most commands have no use for it

    earlier, exact = read_told(settings, on, years)
    told = renew_tables(disclose(valued, limits, [*regions, UNKNOWN]), earlier, on, limits)
    counted = pl.concat([exact, valued.with_columns(pl.lit(on).alias("told_on")).select(*COUNTED)])
    _insert(connection, "published.indicator", withhold(told, earlier, on, limits, counted, is_rebuilt=is_rebuilt))


def read_told(settings: Settings, before: date | None = None, years: Iterable[int] | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of every release kept, or those before a day, and of all years of birth or some: published.indicator, and exact counts (COUNTED)."""
    columns = PUBLISHED["published.indicator"].column_names()
    told, counted = [pl.DataFrame()], [pl.DataFrame(schema=COUNTED)]
    born = f"birth_year in {list_years(years)}" if years is not None else "true"
    for path in sorted(settings.published.glob("erte-*.duckdb")):
        day = path.stem.removeprefix("erte-")
        if before is None or day < before.isoformat():
            with connect(path, read_only=True) as release:
                told.append(_name_bands(read_rows(release, f"from published.indicator where {born}")).select(columns))
                exact = read_rows(release, f"select *, date '{day}' as told_on from indicator where kato2 <> '{NATION}' and {born}")
                counted.append(_name_bands(exact).select(*COUNTED))
    return pl.concat(told[1:] or told), pl.concat(counted)


def _name_bands(told: pl.DataFrame) -> pl.DataFrame:
    """Indicators of a release made before age bands had a column of their own: they were strata of all categories."""
    if "age_band" in told.columns:
        return told
    is_band = pl.col("stratum").is_in(["under 1", "1 year", "2 years"])
    return told.with_columns(
        pl.when(is_band).then("stratum").otherwise(pl.lit(ALL)).alias("age_band"),
        pl.when(is_band).then(pl.lit(ALL)).otherwise("stratum").alias("stratum"),
    )


def _insert(connection: Connection, table: str, rows: pl.DataFrame) -> None:
    columns = [row[0] for row in connection.execute(f"describe {table}").fetchall()]
    put_frame(connection, "inserted_row", rows.select(columns))
    connection.execute(f"insert into {table} by name from inserted_row")


def read_definitions() -> pl.DataFrame:
    """The indicators as warehouse/indicators.toml describes them, one row each."""
    raw = tomllib.loads((PROMISED / "indicators.toml").read_text("utf-8"))
    rows = [
        {"indicator_id": name, "acceptable": None, "achievable": None, "is_high_good": None, **entry,
         "interval": "byar" if entry["unit"] == "rate" else "wilson", "valid_from": date(2026, 1, 1)}
        for name, entry in raw.items()
    ]  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def list_years(years: Iterable[int]) -> str:
    """SQL: a list of years to look for one in."""
    return f"({', '.join(str(year) for year in sorted(years)) or 'null'})"
