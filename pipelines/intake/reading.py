"""What every reader gives: chunks of rows as text, and what it noticed while reading; a module a format."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import polars as pl

from pipelines.intake.layout import FORM, Layout

OURS = frozenset({"row_no", "sent", FORM})
"""Columns that readers add to a sender's: the number of a row, (HL7, FHIR) its whole text, and (text) how it is written."""

NEUTRALISED = r"^'([=+\-@\t\r])"
"""A value before which a file to fix set an apostrophe, so that no spreadsheet runs it: it is taken off when it comes back."""


SHEET_STEP = 10_000_000
"""Between the rows of one sheet of a workbook and of the next: row 2 of the third sheet is 20,000,002; the first that is read has its own."""


class Limits(NamedTuple):
    """How much of a file is read before it is refused, and what of HL7 is; each is a setting (`ERTE_...`) with a sane default."""

    file_mb: int = 8_192
    unpacked_mb: int = 2_048
    line_mb: int = 16
    columns: int = 1_000
    sheet_rows: int = 2_000_000
    depth: int = 64
    people: int = 3_000_000
    blank_mb: int = 256
    refused_processing: str = "T"


class Chunk(NamedTuple):
    """Rows of one file: `rows` is all text but `row_no` (Int64); `findings` has FINDING_SCHEMA.

    `kind`: the kind of record of these rows, where one file holds several (FHIR); None = the layout's.
    `has_blanks`: values may have blanks around them; False spares the stripping.
    `layout`: the layout of these rows, where the sheets of a workbook differ; None = that of the file.
    """

    rows: pl.DataFrame
    findings: pl.DataFrame
    kind: str | None = None
    has_blanks: bool = True
    layout: Layout | None = None


class Opened(NamedTuple):
    """A file that can be read: its layout, what its header alone tells, and its rows as sent.

    The chunks come in file order, and memory is bounded by the chunk, not by the file.
    `may_be_empty`: a file of an export, which may hold what the others refer to and no record.
    """

    layout: Layout
    finding: pl.DataFrame
    chunks: Iterator[Chunk]
    may_be_empty: bool = False


class Reader(Protocol):
    """What the module of each format gives: it is asked for the files whose first bytes are of its format."""

    def open_file(self, path: Path, limits: Limits) -> Opened:
        """The file, opened; raises FileRefusedError."""


def name_headers(cells: Sequence[str]) -> tuple[str, ...]:
    """Headers without blanks around them; an empty one, and one of OURS, is told by the letters of its column."""
    named = []
    for place, cell in enumerate(cells):
        name = cell.strip()
        where = f"[{name_place(place)}]"
        named.append(where if not name else f"{name} {where}" if name in OURS else name)
    return tuple(named)


def name_place(column: int) -> str:
    """The letters of a column as spreadsheets show them, 0 = A."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
