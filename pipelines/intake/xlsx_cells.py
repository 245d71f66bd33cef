"""Cells of a workbook as text in the layout's own way of writing, so that they conform as a text file's would."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import polars as pl

from pipelines.intake.layout import Layout

Cell = str | int | float | bool | date | datetime | time | timedelta
_IIN_DIGITS = 12
_FIRST_SERIAL, _LAST_SERIAL = 10_000, 100_000
"""Days of 1927 to 2173: a number outside them in a date column is not taken for a date."""
_OURS = r"^'([=+\-@\t\r])"


def write_cells(cells: Sequence[Cell], header: str, layout: Layout, *, is_1904: bool) -> pl.Series:
    """The cells of one column as text, null where empty.

    Numbers are written plainly (no exponent below 10^15), dates in the layout's first form. In a date column a number
    is the day a spreadsheet shows for it; in a column of IINs it gets back the zeros a number cannot begin with, and
    the check digit decides. The apostrophe that a file to fix sets before a formula is taken off again.
    """
    ours = layout.columns.get(header)
    kind = layout.contract.columns()[ours].dtype if ours else pl.String()
    kinds = set(map(type, cells))
    texts: list[pl.Series] = []
    if str in kinds:
        texts.append(_write_texts(pl.Series([c if type(c) is str else None for c in cells], dtype=pl.String), kind,
                                  layout, is_1904=is_1904))  # fmt: skip
    if kinds & {int, float}:
        numbers = pl.Series([c if type(c) in (int, float) else None for c in cells], dtype=pl.Float64, strict=False)
        is_iin = bool(ours and ours.endswith("_iin"))
        texts.append(_write_numbers(numbers, kind, layout, is_iin=is_iin, is_1904=is_1904))
    if kinds & {date, datetime}:
        moments = pl.Series([_as_moment(c) for c in cells], dtype=pl.Datetime("us"))
        texts.append(_write_moments(moments, kind, layout))
    if kinds & {bool, time, timedelta}:
        texts.append(pl.Series([_write_rest(c) for c in cells], dtype=pl.String))
    if not texts:
        return pl.Series(header, [None] * len(cells), dtype=pl.String)
    return pl.select(pl.coalesce(texts)).to_series().alias(header)


def _write_texts(text: pl.Series, kind: pl.DataType, layout: Layout, *, is_1904: bool) -> pl.Series:
    plain = pl.when(text.str.contains(r"\S")).then(text.str.replace(_OURS, "$1"))
    if not kind.is_temporal():
        return pl.select(plain).to_series()
    serial = pl.select(pl.when(text.str.contains(r"^\s*[0-9]{5}\s*$")).then(text.str.strip_chars().cast(pl.Float64, strict=False)))
    return pl.select(pl.coalesce(_write_serials(serial.to_series(), kind, layout, is_1904=is_1904), plain)).to_series()


def _write_numbers(
    number: pl.Series, kind: pl.DataType, layout: Layout, *, is_iin: bool, is_1904: bool
) -> pl.Series:
    is_whole = (number == number.floor()) & (number.abs() < 1e15)
    digits = number.cast(pl.Int64, strict=False).cast(pl.String)
    whole = pl.when(is_whole).then(digits.str.zfill(_IIN_DIGITS) if is_iin else digits)
    plain = pl.coalesce(whole, number.cast(pl.String))
    if not kind.is_temporal():
        return pl.select(plain).to_series()
    return pl.select(pl.coalesce(_write_serials(number, kind, layout, is_1904=is_1904), plain)).to_series()


def _write_serials(number: pl.Series, kind: pl.DataType, layout: Layout, *, is_1904: bool) -> pl.Series:
    """Days since the epoch of the workbook as dates; null where the number is no day of our time."""
    epoch = datetime(1904, 1, 1) if is_1904 else datetime(1899, 12, 30)  # a calendar, not a clock
    is_day = (number >= _FIRST_SERIAL) & (number < _LAST_SERIAL)
    seconds = pl.when(is_day).then((number * 86_400).round(0)).cast(pl.Int64)
    return _write_moments(pl.select(pl.lit(epoch) + pl.duration(seconds=seconds)).to_series(), kind, layout)


def _write_moments(moment: pl.Series, kind: pl.DataType, layout: Layout) -> pl.Series:
    """A day where the column is one, or where there is no time of day; else the layout's first form of a moment."""
    day = moment.dt.to_string(layout.dates[0])
    if kind == pl.Date:
        return day
    has_time = moment.dt.time() != time()
    return pl.select(pl.when(has_time).then(moment.dt.to_string(layout.datetimes[0])).otherwise(day)).to_series()


def _as_moment(cell: Cell) -> datetime | None:
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=None)
    return datetime(cell.year, cell.month, cell.day) if isinstance(cell, date) else None


def _write_rest(cell: Cell) -> str | None:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return str(cell) if isinstance(cell, time | timedelta) else None
