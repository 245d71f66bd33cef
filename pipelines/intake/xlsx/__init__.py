"""Workbooks, .xlsx and .xls: every sheet whose header a layout knows, read as text; formulas are never computed.

The reader is calamine by fastexcel, which gives text columns without a Python object a cell (python-calamine was measured
at 1.2 times its time for the sheet alone and 2.5 times with its cells held). A formula gives the value that was stored with
it, or nothing; links to other files are not followed.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipelines.intake.aside import says_total, set_aside
from pipelines.intake.csv import list_file_findings
from pipelines.intake.dialect import Header
from pipelines.intake.heading import Row, Table, choose_refusal, find_table, name_columns
from pipelines.intake.layout import MENDS, OURS_ADDED, REASONS, Layout, list_layouts
from pipelines.intake.reading import SHEET_STEP, Chunk, Limits, Opened
from pipelines.intake.refusal import FileRefusedError, HeaderChangedError, list_findings
from pipelines.intake.survey import Survey
from pipelines.intake.totals import part_totals
from pipelines.intake.xlsx.book import Book, Cells, open_book
from pipelines.intake.xlsx.cells import fill_down, group_areas, has_short_iins, list_dated, pad_iins, write_cells
from pipelines.intake.xlsx.header import fill_merged, list_head
from pipelines.intake.xlsx.spoiled import Spoiled, list_spoiled

_CHUNK_ROWS = 50_000
_NARROW, _WIDE_HEADER = 2, 5


_TEXT = Survey(is_utf8=True, has_quotes=False, has_blanks=True)


class _Sheet(NamedTuple):
    """A sheet that is opened: its place in the workbook (1 = first), its cells by column, its table or why it has none."""

    number: int
    name: str
    cells: Cells
    spoiled: Spoiled
    is_hidden: bool
    table: Table | None
    refused: FileRefusedError | None


def open_file(path: Path, limits: Limits, layouts: Sequence[Layout] | None = None) -> Opened:
    """A workbook, opened at its first sheet that a layout knows. Raises FileRefusedError."""
    book = open_book(path, limits)
    sheets = _open_sheets(book, limits, layouts or list_layouts())
    passed: list[_Sheet] = []
    for sheet in sheets:
        if sheet.table:
            for one in passed:
                _insist(one)
            opened = Opened(sheet.table.layout, _tell_sheet(sheet, passed, 0), iter(()))
            return opened._replace(chunks=_read_sheets(book, sheet, sheets))
        passed.append(sheet._replace(cells={}, spoiled={}))
    if not passed:
        raise FileRefusedError("file_empty")
    refused = choose_refusal([sheet.refused for sheet in passed if sheet.refused])
    number = next(sheet.number for sheet in passed if sheet.refused is refused)
    raise refused.remark(str(number), "sheet_refused") if len(passed) > 1 and refused.known else refused


def _insist(sheet: _Sheet) -> None:
    """Raises why a sheet is not read that is plainly meant to be, so that its rows are not lost beside those of the others."""
    if isinstance(sheet.refused, HeaderChangedError) and sheet.refused.is_near:
        raise sheet.refused.remark(str(sheet.number), "sheet_refused")


def _open_sheets(book: Book, limits: Limits, layouts: Sequence[Layout]) -> Iterator[_Sheet]:
    """The sheets that hold cells, one at a time: a sheet's cells are let go of when the next is asked for."""
    for number, name, cells, spoiled, is_hidden in book.list_sheets():
        height = len(next(iter(cells.values())))
        if height > limits.sheet_rows:
            raise FileRefusedError("file_too_long")
        if len(cells) > limits.columns:
            raise FileRefusedError("file_too_wide")
        head = list_head(cells)
        try:
            table = find_table(head, layouts, fill_merged(head, book.package.merged.get(name, ())))
            yield _Sheet(number, name, cells, spoiled, is_hidden, table._replace(headers=_name_places(table, head)), None)
        except FileRefusedError as refused:
            yield _Sheet(number, name, {}, {}, is_hidden, None, refused)


def _name_places(table: Table, head: Sequence[Row]) -> dict[int, str]:
    """Headers by column without our own reasons; a column without a header is kept if it holds something."""
    filled = {column for row in head[table.first_row :] for column, cell in enumerate(row) if cell and cell.strip()}
    places = sorted(filled - table.headers.keys() | {column for column, header in table.headers.items() if header != REASONS})
    return name_columns(table.headers, places)


def _read_sheets(book: Book, first: _Sheet, others: Iterator[_Sheet]) -> Iterator[Chunk]:
    yield from _read_rows(book, first, 0)
    columns = _name_columns(first)
    del first
    passed = list[_Sheet]()
    for sheet in others:
        if sheet.table is None:
            _insist(sheet)
            passed.append(sheet)
            continue
        step = (sheet.number - 1) * SHEET_STEP
        told = _tell_sheet(sheet, passed, step)
        for chunk in _read_rows(book, sheet, step):
            yield chunk._replace(findings=pl.concat([told, chunk.findings]))
            told, passed = told.clear(), []
    if passed:
        nothing = pl.DataFrame(schema={**dict.fromkeys(columns, pl.String), "row_no": pl.Int64})
        yield Chunk(nothing, _tell_passed(passed))


def _tell_passed(passed: Sequence[_Sheet]) -> pl.DataFrame:
    return list_findings([(None, str(sheet.number), "sheet_not_read", "warning") for sheet in passed])


def _tell_sheet(sheet: _Sheet, passed: Sequence[_Sheet], step: int) -> pl.DataFrame:
    """What a sheet's header alone tells, and the sheets before it that were passed over."""
    assert sheet.table is not None  # noqa: S101
    header = Header(sheet.table.layout, "utf-8", tuple(_name_columns(sheet)), False, _TEXT)
    told = {"sheet_hidden": sheet.is_hidden, "sheet_rows_renumbered": bool(step)}
    about = list_findings([(None, str(sheet.number), code, "info") for code, is_so in told.items() if is_so])
    return pl.concat([_tell_passed(passed), about, list_file_findings(header)])


def _name_columns(sheet: _Sheet) -> list[str]:
    assert sheet.table is not None  # noqa: S101
    return [*sheet.table.headers.values(), *sheet.table.titles]


def _read_rows(book: Book, sheet: _Sheet, step: int) -> Iterator[Chunk]:
    """The rows below a header in chunks; narrow rows at the end wait until it is known whether they are notes."""
    table = sheet.table
    assert table is not None  # noqa: S101
    text = _write_rows(book, sheet, table)
    read = {place: table.layout.columns.get(header, header) for place, header in table.headers.items() if header in table.layout.read}
    areas, height = group_areas(book.package.merged.get(sheet.name, ())), len(next(iter(sheet.cells.values())))
    spoiled = pl.concat([
        list_spoiled(sheet.spoiled, read, areas, table.first_row, height).with_columns(code=pl.lit("cell_without_value")),
        list_dated(sheet.cells, read, areas, table.first_row).with_columns(code=pl.lit("cell_holds_date")),
    ])  # fmt: skip
    body, tail = _cut_tail(text, table)
    for part in body.iter_slices(_CHUNK_ROWS):
        yield _tell_spoiled(_give(part, table, step), spoiled, step)
    if len(tail):
        yield _tell_spoiled(_give_tail(tail, body.tail(1), table, step), spoiled, step)


def _tell_spoiled(chunk: Chunk, spoiled: pl.DataFrame, step: int) -> Chunk:
    """A chunk with a reason on each record, and a warning on each total, of which a cell holds no value, or a date for a name."""
    if spoiled.is_empty() or chunk.rows.is_empty():
        return chunk
    layout = chunk.layout
    totals = part_totals(chunk.rows, layout.totals.group).other if layout and layout.totals else chunk.rows.clear()
    there = spoiled.with_columns(pl.col("row_no") + step).filter(pl.col("row_no").is_in(chunk.rows["row_no"].implode()))
    is_total = pl.col("row_no").is_in(totals["row_no"].implode())
    told = there.select(
        "row_no", "column", "code",
        pl.when(is_total).then(pl.lit("warning")).otherwise(pl.lit("error")).alias("severity"),
    )  # fmt: skip
    return chunk._replace(findings=pl.concat([chunk.findings, told]))


def _write_rows(book: Book, sheet: _Sheet, table: Table) -> pl.DataFrame:
    """The rows of a sheet's table that hold anything, as text, with their number on the sheet."""
    is_1904, areas = book.package.is_1904, group_areas(book.package.merged.get(sheet.name, ()))
    height = len(next(iter(sheet.cells.values())))
    nothing = pl.Series([None] * height, dtype=pl.String)
    text = []
    for place, header in table.headers.items():
        cells = fill_down(sheet.cells.get(place, nothing), areas.get(place, ()), table.first_row)[table.first_row :]
        if has_short_iins(cells, header, table.layout) and book.is_numeric(
            sheet.name, table.first_row, (min(sheet.cells), place)
        ):
            cells = pad_iins(cells)
        text.append(write_cells(cells, header, table.layout, is_1904=is_1904))
    frame = pl.DataFrame([*text, pl.Series("row_no", range(table.first_row + 1, height + 1), dtype=pl.Int64)])
    frame = frame.filter(~pl.all_horizontal(pl.exclude("row_no", MENDS).is_null()))
    titles = [
        pl.lit(write_cells(pl.Series("", [cell]), header, table.layout, is_1904=is_1904)[0], pl.String).alias(header)
        for header, cell in table.titles.items()
    ]
    return frame.with_columns(titles).select(pl.exclude("row_no"), "row_no")


def _cut_tail(text: pl.DataFrame, table: Table) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows up to the last one that can be a record, and the narrow ones behind it."""
    own = [header for header in table.headers.values() if header != MENDS]
    filled = pl.sum_horizontal(pl.col(own).is_not_null())
    wide = filled > (_NARROW if len(own) >= _WIDE_HEADER else 1)
    if MENDS in text.columns:
        wide |= pl.col(MENDS).is_not_null()
    if table.layout.record == "aggregate":
        counts = [c.header for c in table.layout.components if c.header in own]
        wide |= pl.any_horizontal(pl.col(counts).str.contains(r"^[+-]?[0-9]").fill_null(False))
    is_wide = text.select(wide).to_series()
    last = is_wide.arg_true().max()
    cut = 0 if last is None else int(str(last)) + 1
    return text[:cut], text[cut:]


def _give(text: pl.DataFrame, table: Table, step: int) -> Chunk:
    """A chunk of records; what is none is set aside and told, but totals that a layout checks."""
    numbered = text.with_columns(pl.col("row_no") + step)
    said = {header: table.said.get(place, frozenset()) for place, header in table.headers.items() if header not in OURS_ADDED}
    aside = set_aside(numbered, said, table.layout)
    return Chunk(aside.rows, aside.finding, layout=table.layout)


def _give_tail(tail: pl.DataFrame, before: pl.DataFrame, table: Table, step: int) -> Chunk:
    """Narrow rows at a sheet's end: notes (a signature, a telephone) after a gap or a total; else records, to be judged."""
    near = pl.concat([before, tail], how="diagonal").select(*table.headers.values(), "row_no")
    totals = near.filter(says_total(list(table.headers.values())))["row_no"].to_list()
    numbers = near["row_no"].to_list()
    parted = [after for ahead, after in pairwise(numbers) if after > ahead + 1 or ahead in totals]
    is_note = ~pl.col("row_no").is_in(totals) & (pl.col("row_no") >= (min(parted) if parted else numbers[-1] + 1))
    notes = tail.filter(is_note)
    chunk = _give(tail.filter(~is_note), table, step)
    told = list_findings([(no + step, None, "note_row_set_aside", "info") for no in notes["row_no"]])
    return chunk._replace(findings=pl.concat([chunk.findings, told]))
