"""A reported month, however it is written: `02.2026`, `февраль 2026 г.`, `2026 жылғы ақпан`, or its first or last day."""

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import polars as pl

_MONTHS = Path(__file__).parent / "months.toml"
_PLAIN = r"^[\p{L}0-9\s./,()_-]+$"
_PART = r"\p{L}+|[0-9]+"
_YEAR = r"^(20[0-9]{2})$"


class Months(NamedTuple):
    """`number`: word or digits -> the month; `beside`: words that say nothing; `shown`: examples of March 2026 (months.toml)."""

    number: dict[str, int]
    beside: tuple[str, ...]
    shown: tuple[str, ...]


@cache
def list_months(path: Path = _MONTHS) -> Months:
    """The words (months.toml)."""
    raw = tomllib.loads(path.read_text("utf-8"))
    named = {word: int(number) for number, words in raw["month"].items() for word in words}
    digits = {form.format(number): number for number in range(1, 13) for form in ("{}", "{:02}")}
    return Months(named | digits, tuple(raw["beside"]), tuple(raw["shown"]))


def read_months(text: pl.Series, dates: Sequence[str]) -> pl.Series:
    """The first day of each month; a day in the midst of one stays as it is, for the contract to refuse; null for what is neither."""
    said = pl.DataFrame({"text": text.unique()}).with_columns(
        pl.coalesce(_read_words(pl.col("text")), _read_days(pl.col("text"), dates)).alias("month")
    )
    return pl.DataFrame({"text": text}).join(said, on="text", how="left", maintain_order="left")["month"]


def _read_days(text: pl.Expr, dates: Sequence[str]) -> pl.Expr:
    day = pl.coalesce([*(text.str.to_date(form, strict=False) for form in dates), pl.lit(None, pl.Date)])
    return pl.when(day == day.dt.month_end()).then(day.dt.month_start()).otherwise(day)


def _read_words(text: pl.Expr) -> pl.Expr:
    months = list_months()
    parts = pl.when(text.str.contains(_PLAIN)).then(text.str.to_lowercase().str.extract_all(_PART))
    two = parts.list.filter(~pl.element().is_in(list(months.beside)))
    first, second = (two.list.get(place, null_on_oob=True) for place in (0, 1))

    def read(year: pl.Expr, month: pl.Expr) -> pl.Expr:
        number = month.replace_strict(months.number, default=None, return_dtype=pl.Int8)
        return pl.date(year.str.extract(_YEAR).cast(pl.Int32), number, 1)

    return pl.when(two.list.len() == 2).then(pl.coalesce(read(second, first), read(first, second)))
