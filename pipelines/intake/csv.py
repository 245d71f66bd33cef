"""Delimited text, read as text: the bytes' encoding, the layout by its header, rows in bounded chunks."""

import csv as text_csv
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from pipelines.intake.aside import pad_line, says_total, set_aside
from pipelines.intake.dialect import Header, name_form, read_header
from pipelines.intake.layout import FORM, OURS_ADDED, Layout
from pipelines.intake.lines import LineCount, Placed, holds_breaks
from pipelines.intake.reading import NEUTRALISED, Chunk, Limits, Opened
from pipelines.intake.refusal import FileRefusedError, list_findings

_BLOCK_BYTES = 16 << 20
_LONGEST_NAME = 80


def open_file(path: Path, limits: Limits, layouts: tuple[Layout, ...] | None = None) -> Opened:
    """A file of delimited text. Raises FileRefusedError."""
    header = read_header(path, limits, layouts)
    return Opened(header.layout, list_file_findings(header), read_chunks(path, header))


def read_chunks(path: Path, opened: Header) -> Iterator[Chunk]:
    """Rows as text in the sender's headers, with `row_no`, the line of the file where the row begins.

    Rows of a wrong width, and those whose quote took in lines below them, become findings.
    """
    names = list(opened.headers)
    said = {name: texts for name, texts in zip(names, opened.said, strict=True) if name not in OURS_ADDED}
    broken: dict[int, str] = {}

    def note_row(row: arrow_csv.InvalidRow) -> str:
        broken[row.number] = row.text
        return "skip"

    options = {
        "read_options": arrow_csv.ReadOptions(
            block_size=_BLOCK_BYTES, encoding=opened.encoding, column_names=names, skip_rows=opened.lines, use_threads=False
        ),
        "parse_options": arrow_csv.ParseOptions(
            delimiter=opened.separator,
            ignore_empty_lines=False,
            invalid_row_handler=note_row,
            newlines_in_values=opened.survey.has_quotes,  # only a quoted value may hold a line break
        ),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        ),
    }
    next_no, told, count = opened.lines + 1, 0, LineCount(opened.separator)
    try:
        for batch in arrow_csv.open_csv(path, **options):
            sent = pl.DataFrame(pl.from_arrow(batch))
            numbers = _number_rows(next_no, len(sent), broken)
            next_no = (numbers[-1] if len(numbers) else next_no - 1) + 1
            fresh = dict(list(broken.items())[told:])
            told = len(broken)
            placed = count.place(sent, numbers, fresh, has_breaks=opened.survey.has_quotes and holds_breaks(batch))
            rows = sent.with_columns(placed.lines)
            if all(sent[name].null_count() for name in said):  # else no row can be empty, and none is copied
                rows = rows.filter(~pl.all_horizontal(pl.col(*said).is_null()))
            if opened.survey.has_apostrophes:  # those that a file to fix sets before what looks like a formula
                rows = rows.with_columns(pl.col(*names).str.replace(NEUTRALISED, "$1"))
            yield _give(rows, placed, fresh, opened, said)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):
            raise FileRefusedError("file_unreadable") from None
    if len(broken) > told:
        fresh = dict(list(broken.items())[told:])
        nothing = pl.DataFrame(schema={**dict.fromkeys(names, pl.String), "row_no": pl.Int64})
        placed = count.place(nothing.drop("row_no"), nothing["row_no"], fresh, has_breaks=False)
        yield _give(nothing, placed, fresh, opened, said)


def list_file_findings(opened: Header) -> pl.DataFrame:
    """What the header alone tells: columns that the layout does not know, and known ones that are not there."""
    layout = opened.layout
    unknown = [h for h in opened.headers if h not in layout.headers]
    absent = [ours for header, ours in layout.columns.items() if header not in opened.headers and header not in opened.titles]
    rows: list[tuple[int | None, str | None, str, str]] = [(None, h[:_LONGEST_NAME], "column_unknown", "warning") for h in unknown]
    rows += [(None, ours, "column_absent", "info") for ours in absent]
    if opened.is_padded:
        rows.append((None, None, "header_padded", "info"))
    return list_findings(rows)


def _number_rows(first: int, count: int, broken: dict[int, str]) -> pl.Series:
    """Numbers of the rows that parsed: consecutive but for those that did not."""
    if not broken:
        return pl.Series("row_no", range(first, first + count), dtype=pl.Int64)
    lines = pl.Series("row_no", range(first, first + count + len(broken)), dtype=pl.Int64)
    return lines.filter(~lines.is_in(list(broken))).head(count)


def _give(rows: pl.DataFrame, placed: Placed, broken: dict[int, str], opened: Header, said: dict[str, frozenset[str]]) -> Chunk:
    """A chunk of records, with what stands above the table for each of them, and how the file is written where that is not the layout's way."""
    parted = set_aside(rows, said, opened.layout)
    records, findings = [parted.rows], [placed.finding, parted.finding]
    if broken:
        short = _read_short(broken, placed, opened)
        aside = set_aside(short, said, opened.layout)
        if opened.layout.totals is not None:
            records.append(aside.rows.filter(says_total(list(said))))
        taken = {*aside.other["row_no"], *(no for part in records[1:] for no in part["row_no"])}
        kept = {placed.broken[no]: text for no, text in broken.items() if placed.broken[no] not in taken}
        swallowing = set(placed.finding["row_no"])
        wrong = list_findings([(line, None, "row_width_differs", "error") for line in kept if line not in swallowing])
        records.append(_frame(opened, [[text] for text in kept.values()], list(kept)))
        findings += [aside.finding, wrong]
    added = [pl.lit(text).alias(header) for header, text in opened.titles.items()]
    if form := name_form(opened):
        added.append(pl.lit(form).alias(FORM))
    given = pl.concat(records) if len(records) > 1 else records[0]
    return Chunk(given.with_columns(added), pl.concat(findings), has_blanks=opened.survey.has_blanks)


def _read_short(broken: dict[int, str], placed: Placed, opened: Header) -> pl.DataFrame:
    """The lines that have fewer cells than the header as rows of it: a total, or numbers of columns, often are that short."""
    found: dict[int, list[str | None]] = {}
    for no, text in broken.items():
        try:
            (cells,) = text_csv.reader([text], delimiter=opened.separator)
        except (text_csv.Error, ValueError):  # too long a value, or several lines
            continue
        if row := pad_line(cells, len(opened.headers)):
            found[placed.broken[no]] = row
    return _frame(opened, list(found.values()), list(found))


def _frame(opened: Header, rows: list[list[str | None]], numbers: list[int]) -> pl.DataFrame:
    """Rows in the headers of a file, blank to the right of what they have."""
    width = len(opened.headers)
    columns = zip(*([*row, *[None] * (width - len(row))] for row in rows), strict=True) if rows else [()] * width
    texts = {name: pl.Series(name, list(cells), dtype=pl.String) for name, cells in zip(opened.headers, columns, strict=True)}
    return pl.DataFrame([*texts.values(), pl.Series("row_no", numbers, dtype=pl.Int64)])
