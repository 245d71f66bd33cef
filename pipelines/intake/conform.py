"""From a sender's columns, values and units to ours: typed, with a finding for each text that could not be read."""

import re
import tomllib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import dataframely as dy
import polars as pl

from pipelines.intake.cell import name_cell
from pipelines.intake.derive import list_derived
from pipelines.intake.layout import Component, Layout
from pipelines.intake.months import read_months
from pipelines.intake.number import COUNT, tighten
from pipelines.intake.refusal import FINDING_SCHEMA, list_findings
from pipelines.intake.sums import check_rows

_UNITS = Path(__file__).parent / "units.toml"
_FIRST_YEAR, _LAST_YEAR = 1900, 2199
_BLANKS = r"[\s\u00a0\u202f]"
_BOUND = r"^([<>]=?|[≤≥])[\s\u00a0\u202f]*"
_TRUE, _FALSE = ("true", "1", "да", "иә", "yes", "есть"), ("false", "0", "нет", "жоқ", "no")


class Conformed(NamedTuple):
    """`record`: a contract's columns, typed; `finding`: what could not be read (refusal.FINDING_SCHEMA)."""

    record: pl.DataFrame
    finding: pl.DataFrame


class Units(NamedTuple):
    """`spelling` -> UCUM, and for some components the unit they are kept in with the factors (divide by, multiply by) that lead there."""

    spellings: dict[str, str]
    kept: dict[str, str]
    factors: dict[tuple[str, str], tuple[float, float]]


@cache
def read_units(path: Path = _UNITS) -> Units:
    """The unit table (units.toml)."""
    raw = tomllib.loads(path.read_text("utf-8"))
    spellings = {spelled: ucum for ucum, all_ in raw["spellings"].items() for spelled in (*all_, ucum.casefold())}
    kept = {component: entry["unit"] for component, entry in raw["components"].items()}
    factors = {
        (component, unit): factor
        for component, entry in raw["components"].items()
        for unit, factor in {
            entry["unit"]: (1.0, 1.0),
            **{unit: (by, 1.0) for unit, by in entry.get("divide", {}).items()},
            **{unit: (1.0, by) for unit, by in entry.get("multiply", {}).items()},
        }.items()
    }
    return Units(spellings, kept, factors)


def name_unit(text: str) -> str | None:
    """The UCUM unit that a text spells; None for a text that is none we know."""
    return read_units().spellings.get(re.sub(_BLANKS, "", text).replace("\u00b5", "u").replace("\u03bc", "u").lower())


def conform_rows(sent: pl.DataFrame, layout: Layout, *, has_blanks: bool = True) -> Conformed:
    """Rows in a sender's headers -> records in our columns; a wide row gives one record a filled component.

    One that is withdrawn gives a record of each component of its layout, filled or not: the whole row is taken back, whatever of
    it was sent before.

    The envelope's submission_id and received_on are still to be added by the front door.
    """
    conformed = _conform(sent, layout, has_blanks=has_blanks)
    if not (layout.sums or layout.ages or layout.premature):
        return conformed
    return conformed._replace(finding=pl.concat([conformed.finding, check_rows(sent, layout)]))


def _conform(sent: pl.DataFrame, layout: Layout, *, has_blanks: bool) -> Conformed:
    if not layout.components:
        ours = _name_columns(sent, layout)
        return _type_record(_map_values(ours, layout), layout, has_blanks=has_blanks)
    given = _strip_blanks(sent) if has_blanks else sent
    action = _read_actions(given, layout)
    is_withdrawn = action.eq_missing("cancel")
    there = [c for c in layout.components if c.header in given.columns]
    is_bare = given.select(pl.all_horizontal(pl.col(c.header).is_null() for c in there)).to_series() & ~is_withdrawn
    parts = [_take_component(given.filter(given[c.header].is_not_null() | is_withdrawn), c, layout) for c in there]
    if is_withdrawn.any():
        absent = (c for c in layout.components if c not in there)
        parts += [_take_component(given.filter(is_withdrawn), c, layout) for c in absent]
    parts.append(_take_component(given.filter(is_bare), there[0], layout))  # a row without any result is still judged
    typed = _type_record(_map_values(pl.concat(parts, how="diagonal"), layout), layout, has_blanks=False)
    left = _tell_left_blank(given.filter(action.eq_missing("correct") & ~is_bare), there)
    return typed._replace(finding=pl.concat([typed.finding, left]))


def _read_actions(given: pl.DataFrame, layout: Layout) -> pl.Series:
    """What each row asks for in our words; null where its sender has no column for that, and no constant."""
    named = _name_columns(given, layout)
    if "action_code" not in named.columns:
        return pl.Series("action_code", [None] * len(given), pl.String)
    return _map_values(named.select("action_code"), layout)["action_code"]


def _tell_left_blank(corrected: pl.DataFrame, there: list[Component]) -> pl.DataFrame:
    """A warning on each cell that a corrected row leaves blank: a result that it held before stands until it is withdrawn.

    A blank may mean that there is no such result any more, or that it has not changed. Silence takes nothing away: a high
    result that is still true would be lost with its flag, one that is not true costs a visit until its sender has read this.
    """
    found = [corrected.filter(pl.col(c.header).is_null()).select("row_no", pl.lit(c.header).alias("column")) for c in there]
    told = pl.concat(found).with_columns(pl.lit("result_left_blank").alias("code"), pl.lit("warning").alias("severity"))
    return told.cast(FINDING_SCHEMA)  # type: ignore[arg-type]  # names to types


def _take_component(given: pl.DataFrame, component: Component, layout: Layout) -> pl.DataFrame:
    result = given[component.header] if component.header in given.columns else pl.lit(None, pl.String)
    return _name_columns(given, layout).with_columns(
        result.alias(component.into),
        *(given[header].alias(ours) for header, ours in component.beside.items() if header in given.columns),
        *(pl.lit(text).alias(column) for column, text in component.constants.items()),
    )


def _strip_blanks(text: pl.DataFrame) -> pl.DataFrame:
    return text.with_columns(pl.col(pl.String).str.strip_chars().replace("", None))


def _name_columns(sent: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    return sent.select(
        "row_no",
        *(pl.col(header).alias(ours) for header, ours in layout.columns.items() if header in sent.columns),
        *(pl.lit(text).alias(ours) for ours, text in layout.constants.items()),
        *list_derived(sent.columns, layout),
    )


def _map_values(record: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Known values become our codes; an unknown one stays as sent, so that the contract refuses it by name."""
    return record.with_columns(
        pl.coalesce(
            pl.col(column).str.strip_chars().str.to_lowercase().replace_strict(dict(table), default=None),
            pl.col(column),
        )
        for column, table in layout.values.items()
        if column in record.columns
    )


def _type_record(text: pl.DataFrame, layout: Layout, *, has_blanks: bool) -> Conformed:
    contract = layout.contract
    given = _strip_blanks(text) if has_blanks else text
    typed = given.select(
        "row_no",
        *(
            _read_column(name, column, layout).alias(name)
            if name in given.columns
            else pl.lit(None, column.dtype).alias(name)
            for name, column in contract.columns().items()
            if name not in {"row_no", "submission_id", "received_on"}
        ),
    )
    if _may_be_bounds(given, typed):
        return _type_record(_split_bounds(given), layout, has_blanks=False)
    unreadable = [
        given.filter(given[name].is_not_null() & typed[name].is_null()).select(
            "row_no", name_cell(name, layout).alias("column"), pl.lit(f"{name}_unreadable").alias("code"),
            pl.lit("error").alias("severity"),
        )
        for name in typed.columns
        if name in given.columns and given[name].dtype == pl.String and typed[name].null_count() > given[name].null_count()
    ]  # fmt: skip
    converted = _convert_units(typed, layout) if "unit" in typed.columns else Conformed(typed, list_findings([]))
    return Conformed(converted.record, pl.concat([*unreadable, converted.finding]))


def _may_be_bounds(given: pl.DataFrame, typed: pl.DataFrame) -> bool:
    """Whether numbers that could not be read may be bounds; a sender who tells comparators by themselves writes none before them."""
    if not {"value", "unit"} <= set(given.columns) or "comparator" in given.columns or "comparator" not in typed.columns:
        return False
    return typed["value"].null_count() > given["value"].null_count()


def _split_bounds(given: pl.DataFrame) -> pl.DataFrame:
    """Measured values (those in a unit) such as `<0,5` as a comparator and a number."""
    bound = pl.when(pl.col("unit").is_not_null()).then(pl.col("value").str.extract(_BOUND))
    return given.with_columns(
        pl.when(bound.is_null()).then("value").otherwise(pl.col("value").str.replace(_BOUND, "")).alias("value"),
        bound.replace({"≤": "<=", "≥": ">="}).alias("comparator"),
    )


def _read_column(name: str, column: dy.Column, layout: Layout) -> pl.Expr:
    text = pl.col(name)
    match column.dtype:
        case pl.Int64():
            return text.map_batches(_read_integers, return_dtype=pl.Int64)
        case pl.Float64():
            return text.map_batches(partial(_read_numbers, decimal=layout.decimal), return_dtype=pl.Float64)
        case pl.Boolean():
            low = text.str.to_lowercase()
            return pl.when(low.is_in(_TRUE)).then(True).when(low.is_in(_FALSE)).then(False)
        case pl.Date():
            days = keep_years(pl.coalesce(text.str.to_date(form, strict=False) for form in layout.dates))
            is_month = name.endswith("_month")
            return text.map_batches(partial(read_months, dates=layout.dates), return_dtype=pl.Date) if is_month else days
        case pl.Datetime():
            forms = (*layout.datetimes, *layout.dates)
            return keep_years(pl.coalesce(text.str.to_datetime(form, strict=False, time_unit="us") for form in forms))
        case _:
            return text


def keep_years(said: pl.Expr) -> pl.Expr:
    """Days and moments of years in four digits: of `25.02.26` the library makes the year 26."""
    return pl.when(said.dt.year().is_between(_FIRST_YEAR, _LAST_YEAR)).then(said)


def _read_integers(text: pl.Series) -> pl.Series:
    """Whole numbers, also such as `3 200` and `39,0`."""
    plain = text.cast(pl.Int64, strict=False)
    if plain.null_count() == text.null_count():
        return plain
    return _read_distinct(text, lambda said: pl.when(
        said.str.contains(COUNT)).then(said.str.replace(r"[.,]0+$", "").cast(pl.Int64, strict=False)
    ))  # fmt: skip


def _read_numbers(text: pl.Series, decimal: str) -> pl.Series:
    """Decimal numbers, no exponents and no words."""

    def read(said: pl.Expr) -> pl.Expr:
        plain = said.str.replace(",", ".", literal=True) if decimal == "," else said
        return pl.when(plain.str.contains(r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$")).then(
            plain.cast(pl.Float64, strict=False)
        )

    return _read_distinct(text, read)


def _read_distinct(text: pl.Series, read: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    """Each distinct text is read once: there are few of them, and the regular expressions are dear."""
    said = pl.DataFrame({"text": text.unique()}).with_columns(
        read(tighten(pl.col("text"))).alias("number")
    )
    return pl.DataFrame({"text": text}).join(said, on="text", how="left", maintain_order="left")["number"]


def _convert_units(record: pl.DataFrame, layout: Layout) -> Conformed:
    """Every number in the unit it is kept in; an unknown unit is a finding, never a guess (decision 2)."""
    units = read_units()
    pairs = record.select("component", "unit").unique()
    spelled = (
        pl.col("unit").str.replace_all(_BLANKS, "").str.replace_all("[\u00b5\u03bc]", "u").str.to_lowercase()
        .replace_strict(units.spellings, default=None, return_dtype=pl.String)
    )  # fmt: skip
    divisors = {f"{component}|{unit}": float(by) for (component, unit), (by, _) in units.factors.items()}
    multipliers = {f"{component}|{unit}": float(by) for (component, unit), (_, by) in units.factors.items()}
    known = (
        pairs.with_columns(
            spelled.alias("unit_ucum"), pl.col("component").replace_strict(units.kept, default=None, return_dtype=pl.String).alias("unit_kept")
        )
        .with_columns(
            pl.concat_str("component", pl.lit("|"), "unit_ucum").replace_strict(divisors, default=None, return_dtype=pl.Float64).alias("divisor"),
            pl.concat_str("component", pl.lit("|"), "unit_ucum").replace_strict(multipliers, default=None, return_dtype=pl.Float64).alias("times"),
        )
        .with_columns(
            pl.when(pl.col("unit_kept").is_not_null() & pl.col("unit").is_null()).then(pl.lit("unit_missing"))
            .when(pl.col("unit_kept").is_not_null() & pl.col("divisor").is_null()).then(pl.lit("unit_unknown"))
            .when(pl.col("unit").is_not_null() & pl.col("unit_ucum").is_null()).then(pl.lit("unit_unlisted"))
            .alias("problem"),
            pl.when(pl.col("divisor").is_not_null()).then("unit_kept").otherwise(pl.coalesce("unit_ucum", "unit")).alias("unit_told"),
        )
    )  # fmt: skip
    is_same = (pl.col("divisor").fill_null(1.0) == 1.0) & (pl.col("times").fill_null(1.0) == 1.0)
    is_kept = pl.col("problem").is_null() & is_same & pl.col("unit_told").eq_missing("unit")
    if known.select(is_kept.all()).item():
        return Conformed(record, list_findings([]))
    seen = record.join(known, on=["component", "unit"], how="left", nulls_equal=True, maintain_order="left")
    assert len(seen) == len(record)  # noqa: S101
    finding = seen.filter(pl.col("problem").is_not_null() & pl.col("value").is_not_null()).select(
        "row_no", name_cell("unit", layout).alias("column"), pl.col("problem").alias("code"),
        pl.when(pl.col("problem") == "unit_unlisted").then(pl.lit("warning"))
        .otherwise(pl.lit("error")).alias("severity"),
    )  # fmt: skip
    converted = seen.with_columns(
        pl.when(pl.col("divisor").is_not_null())
        .then(pl.col("value") * pl.col("times") / pl.col("divisor"))
        .otherwise("value")
        .alias("value"),
        pl.col("unit_told").alias("unit"),
    ).select(record.columns)
    return Conformed(converted, finding)
