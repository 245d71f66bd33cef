"""Cells of a workbook as text in the layout's own way of writing, so that they conform as a text file's would."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, time

import polars as pl

from pipelines.intake.layout import Layout
from pipelines.intake.reading import NEUTRALISED

Merged = Sequence[tuple[int, int, int, int]]
"""Merged cells: top, left, bottom, right; rows and columns count from 0."""
_IIN_DIGITS = 12
_SHORT_IIN = r"^[0-9]{8,11}$"
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?$"
_MOMENT_LENGTH = 19
_NAMING = ("_id", "_no")
"""How our columns end in which a record, a child or an organisation is named."""
_SERIAL = r"^\s*[1-9][0-9]{4}(\.[0-9]+)?\s*$"
"""Days of 1927 to 2173: a number outside them in a date column is not taken for a date."""


def write_cells(cells: pl.Series, header: str, layout: Layout, *, is_1904: bool) -> pl.Series:
    """The cells of one column, as the reader gives them, in the layout's way of writing; null where blank.

    A date cell (the reader's 2026-01-05 00:00:00) is written in the layout's first form; in a date column a number is the
    day a spreadsheet shows for it. The apostrophe that a file to fix sets before a formula is taken off again.
    """
    ours = layout.columns.get(header)
    kind = layout.contract.columns()[ours].dtype if ours else pl.String()
    text = pl.col(cells.name)
    written: pl.Expr = pl.when(text.str.strip_chars() != "").then(text)
    if cells.str.starts_with("'").any():
        written = written.str.replace(NEUTRALISED, "$1")
    if int(str(cells.str.len_bytes().max() or 0)) >= _MOMENT_LENGTH and cells.str.contains(_MOMENT).any():
        moment = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False)
        written = pl.coalesce(pl.when(text.str.contains(_MOMENT)).then(_write_moment(moment, kind, layout)), written)
    if kind.is_temporal() and cells.str.contains(_SERIAL).any():
        epoch = datetime(1904, 1, 1) if is_1904 else datetime(1899, 12, 30)
        days = text.str.strip_chars().cast(pl.Float64, strict=False)
        serial = pl.lit(epoch) + pl.duration(seconds=(days * 86_400).round(0).cast(pl.Int64))
        written = pl.coalesce(pl.when(text.str.contains(_SERIAL)).then(_write_moment(serial, kind, layout)), written)
    return cells.to_frame().select(written.alias(header)).to_series()


def list_dated(
    cells: Mapping[int, pl.Series], names: Mapping[int, str], areas: Mapping[int, Sequence[tuple[int, int]]], first_row: int
) -> pl.DataFrame:
    """Row on the sheet (1 = the first) and name of each date cell in a column of names and numbers: a spreadsheet makes one of `3-4`."""
    found: list[tuple[int, str]] = []
    for place, name in names.items():
        if place in cells and name.endswith(_NAMING):
            dated = fill_down(cells[place], areas.get(place, ()), first_row)[first_row:].str.contains(_MOMENT)
            found += [(first_row + row + 1, name) for row in dated.fill_null(value=False).arg_true()]
    return pl.DataFrame(found, schema={"row_no": pl.Int64, "column": pl.String}, orient="row")


def has_short_iins(cells: pl.Series, header: str, layout: Layout) -> bool:
    """Whether a column of IINs holds digits too few, as numbers do that cannot begin with a zero."""
    return layout.columns.get(header, "").endswith("_iin") and bool(cells.str.contains(_SHORT_IIN).any())


def pad_iins(cells: pl.Series) -> pl.Series:
    """IINs that were numbers, with the zeros a number cannot begin with; the check digit decides what they are."""
    text = pl.col(cells.name)
    padded = pl.when(text.str.contains(_SHORT_IIN)).then(text.str.zfill(_IIN_DIGITS)).otherwise(text)
    return cells.to_frame().select(padded).to_series()


def group_areas(merged: Merged) -> dict[int, list[tuple[int, int]]]:
    """Column -> the first and last row of each merged area that begins in it, from above."""
    areas: dict[int, list[tuple[int, int]]] = {}
    for top, left, bottom, _ in sorted(merged):
        areas.setdefault(left, []).append((top, bottom))
    return areas


def spread_rows(areas: Sequence[tuple[int, int]], first_row: int, height: int) -> Iterator[tuple[int, range]]:
    """Row of a merged area's first cell -> the rows below it that it speaks for; areas that overlap (none may) speak for no row twice."""
    free = first_row
    for top, bottom in areas:
        rows = range(max(top + 1, free), min(bottom + 1, height))
        if top >= first_row and rows:
            free = rows.stop
            yield top, rows


def fill_down(column: pl.Series, areas: Sequence[tuple[int, int]], first_row: int) -> pl.Series:
    """A column in which cells merged downwards say in every row what the first one says (below the header only)."""
    spread = [(row, top) for top, rows in spread_rows(areas, first_row, len(column)) for row in rows]
    return column.scatter([row for row, _ in spread], column.gather([top for _, top in spread])) if spread else column


def _write_moment(moment: pl.Expr, kind: pl.DataType, layout: Layout) -> pl.Expr:
    """A day where the column is one, or where there is no time of day; else the layout's first form of a moment."""
    day = moment.dt.to_string(layout.dates[0])
    if kind == pl.Date:
        return day
    return pl.when(moment.dt.time() != time()).then(moment.dt.to_string(layout.datetimes[0])).otherwise(day)
