"""Workbooks, .xlsx and .xls: every sheet whose header a layout knows, read as text; formulas are never computed.

The reader is calamine (python-calamine: it gives a sheet's first cell and its merged cells, which fastexcel does not,
at nearly its speed). A formula gives the value that was stored with it, or nothing; links to other files are not followed.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

import polars as pl
import python_calamine as calamine

from pipelines.intake.csv import Header, list_file_findings
from pipelines.intake.layout import Layout, list_layouts
from pipelines.intake.reading import Chunk, FileRefusedError, Limits, Opened, list_findings
from pipelines.intake.totals import set_aside_totals
from pipelines.intake.xlsx_cells import Cell, write_cells
from pipelines.intake.xlsx_header import DEPTH, Table, find_table
from pipelines.intake.xlsx_package import check_package

SHEET_STEP = 10_000_000
"""Rows of the second sheet that is read are numbered from this on, of the third from twice this: its own row is the rest."""
_XLS = b"\xd0\xcf\x11\xe0"
_XLS_MB = 128
_CHUNK_ROWS = 50_000
_NARROW, _WIDE_HEADER = 2, 5
_T = TypeVar("_T")


class _Sheet(NamedTuple):
    """A sheet that is opened: its place in the workbook (1 = first), its data, its table or why it has none."""

    number: int
    data: calamine.CalamineSheet
    table: Table | None
    refused: FileRefusedError | None


def open_file(path: Path, limits: Limits, layouts: Sequence[Layout] | None = None) -> Opened:
    """A workbook, opened at its first sheet that a layout knows. Raises FileRefusedError."""
    with path.open("rb") as file:
        is_old = file.read(4) == _XLS
    is_1904 = False
    if is_old:
        _check_old(path, limits)
    else:
        is_1904 = check_package(path, limits)
    book = _guard(lambda: calamine.CalamineWorkbook.from_filelike(path.open("rb")))
    sheets = _open_sheets(book, limits, layouts or list_layouts())
    passed: list[_Sheet] = []
    for sheet in sheets:
        if sheet.table:
            opened = Opened(sheet.table.layout, _tell_sheet(sheet, passed, 0), iter(()))
            return opened._replace(chunks=_read_sheets(sheet, sheets, is_1904=is_1904))
        passed.append(sheet)
    raise _choose_refusal([sheet.refused for sheet in passed if sheet.refused])


def _choose_refusal(refusals: Sequence[FileRefusedError]) -> FileRefusedError:
    """Of several sheets the one that comes nearest to a layout says why."""
    if not refusals:
        return FileRefusedError("file_empty")
    ranks = ("layout_header_changed", "header_repeated", "layout_unknown")
    return min(refusals, key=lambda r: ranks.index(r.code) if r.code in ranks else len(ranks))


def _check_old(path: Path, limits: Limits) -> None:
    """A .xls has at most 65,536 rows of 256 columns: its size is all that needs a limit."""
    if path.stat().st_size > min(limits.unpacked_mb, _XLS_MB) << 20:
        raise FileRefusedError("file_too_large")
    content = path.read_bytes()
    if "EncryptedPackage".encode("utf-16-le") in content:
        raise FileRefusedError("file_encrypted")
    if not any(name.encode("utf-16-le") in content for name in ("Workbook", "Book")):
        raise FileRefusedError("format_not_supported")


def _guard(call: Callable[[], _T]) -> _T:
    """What calamine gives; a workbook it cannot read is refused, also where its parser gives up (a panic)."""
    try:
        return call()
    except calamine.PasswordError:
        raise FileRefusedError("file_encrypted") from None
    except (calamine.CalamineError, OSError, ValueError, OverflowError):
        raise FileRefusedError("file_unreadable") from None
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise FileRefusedError("file_unreadable") from None
        raise


def _open_sheets(book: calamine.CalamineWorkbook, limits: Limits, layouts: Sequence[Layout]) -> Iterator[_Sheet]:
    """The sheets that hold cells, one at a time: a sheet's cells are let go of when the next is asked for."""
    for number, about in enumerate(book.sheets_metadata, 1):
        if about.typ != calamine.SheetTypeEnum.WorkSheet:
            continue
        data = _guard(lambda name=about.name: book.get_sheet_by_name(name))  # type: ignore[misc]
        if data.start is None:
            continue
        if data.total_height > limits.sheet_rows:
            raise FileRefusedError("file_too_long")
        if data.width > limits.columns:
            raise FileRefusedError("file_too_wide")
        head: list[list[Cell]] = _guard(lambda d=data: d.to_python(skip_empty_area=False, nrows=DEPTH))  # type: ignore[misc]
        try:
            yield _Sheet(number, data, find_table(head, data.merged_cell_ranges or (), layouts), None)
        except FileRefusedError as refused:
            yield _Sheet(number, data, None, refused)


def _read_sheets(first: _Sheet, others: Iterator[_Sheet], *, is_1904: bool) -> Iterator[Chunk]:
    yield from _read_rows(first, 0, is_1904=is_1904)
    step, passed = SHEET_STEP, []
    for sheet in others:
        if sheet.table is None:
            passed.append(sheet)
            continue
        chunks = _read_rows(sheet, step, is_1904=is_1904)
        told = _tell_sheet(sheet, passed, step)
        for chunk in chunks:
            yield chunk._replace(findings=pl.concat([told, chunk.findings]))
            told, passed = told.clear(), []
        step += SHEET_STEP
    if passed:
        nothing = pl.DataFrame(schema={**dict.fromkeys(_name_columns(first), pl.String), "row_no": pl.Int64})
        yield Chunk(nothing, _tell_passed(passed))


def _tell_passed(passed: Sequence[_Sheet]) -> pl.DataFrame:
    return list_findings([(None, str(sheet.number), "sheet_not_read", "warning") for sheet in passed])


def _tell_sheet(sheet: _Sheet, passed: Sequence[_Sheet], step: int) -> pl.DataFrame:
    """What a sheet's header alone tells, and the sheets before it that were passed over."""
    assert sheet.table is not None  # noqa: S101
    header = Header(sheet.table.layout, "utf-8", tuple(_name_columns(sheet)), False)
    renumbered = list_findings([(None, str(sheet.number), "sheet_rows_renumbered", "info")] if step else [])
    return pl.concat([_tell_passed(passed), renumbered, list_file_findings(header)])


def _name_columns(sheet: _Sheet) -> list[str]:
    assert sheet.table is not None  # noqa: S101
    return [*sheet.table.headers.values(), *sheet.table.titles]


def _read_rows(sheet: _Sheet, step: int, *, is_1904: bool) -> Iterator[Chunk]:
    """The rows below a header in chunks; narrow rows at the end wait until it is known whether they are notes."""
    table = sheet.table
    assert table is not None  # noqa: S101
    left = (sheet.data.start or (0, 0))[1]  # rows come with the empty rows above the cells, not with the columns before
    downwards = [
        ((top, begin - left), (bottom, end - left))
        for (top, begin), (bottom, end) in sheet.data.merged_cell_ranges or ()
        if bottom > top >= table.first_row
    ]
    places = {column - left: header for column, header in table.headers.items()}
    rows = islice(sheet.data.iter_rows(), table.first_row, None)
    number, held = table.first_row + 1, dict[tuple[int, int], Cell]()
    tail: pl.DataFrame | None = None
    before = pl.DataFrame()
    while batch := _guard(lambda: list(islice(rows, _CHUNK_ROWS))):
        _fill_down(batch, number - 1, downwards, held)
        text = _write_rows(batch, number, places, table, is_1904=is_1904)
        number += len(batch)
        text = text if tail is None else pl.concat([tail, text])
        body, tail = _cut_tail(text, table)
        if len(body):
            before = body.tail(1)
            yield _give(body, table, step)
    if tail is not None and len(tail):
        yield _give_tail(tail, before, table, step)


def _fill_down(
    batch: list[list[Cell]], first: int, merged: Sequence[tuple[tuple[int, int], tuple[int, int]]],
    held: dict[tuple[int, int], Cell],
) -> None:  # fmt: skip
    """Cells merged downwards say in each row what the first one says; `held` carries them from batch to batch."""
    for corner, (bottom, _) in merged:
        top, column = corner
        if first <= top < first + len(batch) and column < len(batch[top - first]):
            held[corner] = batch[top - first][column]
        for row in range(max(top + 1, first), min(bottom + 1, first + len(batch))):
            if corner in held and column < len(batch[row - first]):
                batch[row - first][column] = held[corner]


def _write_rows(
    batch: list[list[Cell]], number: int, places: dict[int, str], table: Table, *, is_1904: bool
) -> pl.DataFrame:
    columns = list(zip(*batch, strict=True))
    text = [
        write_cells(columns[place], header, table.layout, is_1904=is_1904)
        if 0 <= place < len(columns) else pl.Series(header, [None] * len(batch), dtype=pl.String)
        for place, header in places.items()
    ]  # fmt: skip
    frame = pl.DataFrame([*text, pl.Series("row_no", range(number, number + len(batch)), dtype=pl.Int64)])
    frame = frame.filter(~pl.all_horizontal(pl.exclude("row_no").is_null()))
    titles = [
        pl.lit(write_cells([cell], header, table.layout, is_1904=is_1904)[0], pl.String).alias(header)
        for header, cell in table.titles.items()
    ]
    return frame.with_columns(titles).select(pl.exclude("row_no"), "row_no")


def _cut_tail(text: pl.DataFrame, table: Table) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows up to the last one that can be a record, and the narrow ones behind it."""
    own = list(table.headers.values())
    filled = pl.sum_horizontal(pl.col(own).is_not_null())
    wide = filled > (_NARROW if len(own) >= _WIDE_HEADER else 1)
    if table.layout.record == "aggregate":
        counts = [c.header for c in table.layout.components if c.header in own]
        wide |= pl.any_horizontal(pl.col(counts).str.contains(r"^[+-]?[0-9]").fill_null(False))
    is_wide = text.select(wide).to_series()
    last = is_wide.arg_true().max()
    cut = 0 if last is None else int(str(last)) + 1
    return text[:cut], text[cut:]


def _give(text: pl.DataFrame, table: Table, step: int) -> Chunk:
    """A chunk of records; total rows stay for a layout that checks them, else they are set aside and told."""
    numbered = text.with_columns(pl.col("row_no") + step)
    if table.layout.totals is not None:
        return Chunk(numbered, list_findings([]), layout=table.layout)
    own = numbered.select(*table.headers.values(), "row_no")
    aside = set_aside_totals(own)
    return Chunk(numbered.filter(~pl.col("row_no").is_in(aside.total["row_no"].implode())), aside.finding, layout=table.layout)


def _give_tail(tail: pl.DataFrame, before: pl.DataFrame, table: Table, step: int) -> Chunk:
    """Narrow rows at a sheet's end: notes (a signature, a telephone) after a gap or a total; else records, to be judged."""
    near = pl.concat([before, tail], how="diagonal").select(*table.headers.values(), "row_no")
    totals = set_aside_totals(near).total["row_no"].to_list()
    numbers = near["row_no"].to_list()
    parted = [after for ahead, after in pairwise(numbers) if after > ahead + 1 or ahead in totals]
    is_note = ~pl.col("row_no").is_in(totals) & (pl.col("row_no") >= (min(parted) if parted else numbers[-1] + 1))
    notes = tail.filter(is_note)
    chunk = _give(tail.filter(~is_note), table, step)
    told = list_findings([(no + step, None, "note_row_set_aside", "info") for no in notes["row_no"]])
    return chunk._replace(findings=pl.concat([chunk.findings, told]))
