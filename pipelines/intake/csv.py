"""Delimited text, read as text: the bytes' encoding, the layout by its header, rows in bounded chunks."""

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from pipelines.intake.layout import OURS_ADDED, Layout, list_layouts, match_layout, spell_headers
from pipelines.intake.lines import LineCount, Placed, holds_breaks
from pipelines.intake.reading import NEUTRALISED, Chunk, Limits, Opened, name_headers
from pipelines.intake.refusal import FileRefusedError, list_findings

_BLOCK_BYTES = 16 << 20
_SURVEYED_BYTES = 1 << 20
_LONGEST_HEADER = 1 << 20
_LONGEST_NAME = 80
_IS_INNER = np.array([chr(byte).isalnum() or chr(byte) in ".:-/" for byte in range(128)] + [False] * 128)


class Survey(NamedTuple):
    """What all bytes of a file say: is it UTF-8, does it quote, has any value blanks around it, is there an apostrophe."""

    is_utf8: bool
    has_quotes: bool
    has_blanks: bool
    has_apostrophes: bool = False


class Header(NamedTuple):
    """A header that is understood; `is_padded`: its names had blanks around them."""

    layout: Layout
    encoding: str
    headers: tuple[str, ...]
    is_padded: bool
    survey: Survey


def open_file(path: Path, limits: Limits, layouts: tuple[Layout, ...] | None = None) -> Opened:
    """A file of delimited text. Raises FileRefusedError."""
    header = read_header(path, limits, layouts)
    return Opened(header.layout, list_file_findings(header), read_chunks(path, header))


def read_header(path: Path, limits: Limits = Limits(), layouts: tuple[Layout, ...] | None = None) -> Header:  # noqa: B008
    """The layout and encoding of a delimited file.

    Order of encodings: byte order mark, then strict UTF-8, then what the layout declares; never a guess
    (INPUTS, Tables). Raises FileRefusedError.
    """
    with path.open("rb") as file:
        head = file.read(_LONGEST_HEADER)
    if not head.strip():
        raise FileRefusedError("file_empty")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileRefusedError("file_encoding_unknown")
    if b"\x00" in head:
        raise FileRefusedError("file_binary")
    line = head.removeprefix(codecs.BOM_UTF8).splitlines()[0]
    survey = survey_bytes(path, limits)
    if not survey.is_utf8:
        return _open_declared(path, line, survey, layouts or list_layouts(), limits)
    return _open_as("utf-8", line, survey, layouts or list_layouts(), limits)


def read_chunks(path: Path, opened: Header) -> Iterator[Chunk]:
    """Rows as text in the sender's headers, with `row_no`, the line where the row begins (header = 1).

    Rows of a wrong width, and those whose quote took in lines below them, become findings.
    """
    layout, names = opened.layout, list(opened.headers)
    own = [name for name in names if name not in OURS_ADDED]
    broken: dict[int, str] = {}

    def note_row(row: arrow_csv.InvalidRow) -> str:
        broken[row.number] = row.text
        return "skip"

    options = {
        "read_options": arrow_csv.ReadOptions(
            block_size=_BLOCK_BYTES, encoding=opened.encoding, column_names=names, skip_rows=1, use_threads=False
        ),
        "parse_options": arrow_csv.ParseOptions(
            delimiter=layout.separator,
            ignore_empty_lines=False,
            invalid_row_handler=note_row,
            newlines_in_values=opened.survey.has_quotes,  # only a quoted value may hold a line break
        ),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        ),
    }
    next_no, told, count = 2, 0, LineCount(layout.separator)
    try:
        for batch in arrow_csv.open_csv(path, **options):
            sent = pl.DataFrame(pl.from_arrow(batch))
            numbers = _number_rows(next_no, len(sent), broken)
            next_no = (numbers[-1] if len(numbers) else next_no - 1) + 1
            fresh = dict(list(broken.items())[told:])
            told = len(broken)
            placed = count.place(sent, numbers, fresh, has_breaks=opened.survey.has_quotes and holds_breaks(batch))
            rows = sent.with_columns(placed.lines)
            if all(sent[name].null_count() for name in own):  # else no row can be empty, and none is copied
                rows = rows.filter(~pl.all_horizontal(pl.col(*own).is_null()))
            if opened.survey.has_apostrophes:  # those that a file to fix sets before what looks like a formula
                rows = rows.with_columns(pl.col(*names).str.replace(NEUTRALISED, "$1"))
            yield _give(rows, placed, fresh, names)._replace(has_blanks=opened.survey.has_blanks)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):
            raise FileRefusedError("file_unreadable") from None
    if len(broken) > told:
        fresh = dict(list(broken.items())[told:])
        nothing = pl.DataFrame(schema={**dict.fromkeys(names, pl.String), "row_no": pl.Int64})
        placed = count.place(nothing.drop("row_no"), nothing["row_no"], fresh, has_breaks=False)
        yield _give(nothing, placed, fresh, names)


def list_file_findings(opened: Header) -> pl.DataFrame:
    """What the header alone tells: columns that the layout does not know, and known ones that are not there."""
    layout = opened.layout
    unknown = [h for h in opened.headers if h not in layout.headers]
    absent = [ours for header, ours in layout.columns.items() if header not in opened.headers]
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


def _give(rows: pl.DataFrame, placed: Placed, broken: dict[int, str], names: list[str]) -> Chunk:
    """Rows with those of a wrong width; such a line is kept whole in the first column, so that the sender gets it back."""
    if not broken:
        return Chunk(rows, placed.finding)
    kept = pl.DataFrame(
        {names[0]: list(broken.values()), **dict.fromkeys(names[1:], None), "row_no": [placed.broken[no] for no in broken]},
        schema={**dict.fromkeys(names, pl.String), "row_no": pl.Int64},
    )
    swallowing = set(placed.finding["row_no"])
    told = list_findings([(line, None, "row_width_differs", "error") for line in placed.broken.values() if line not in swallowing])
    return Chunk(pl.concat([rows, kept]), pl.concat([placed.finding, told]))


def survey_bytes(path: Path, limits: Limits) -> Survey:
    """One look at all bytes. Raises FileRefusedError for a NUL byte or a line longer than the limit."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="strict")
    is_utf8, has_quotes, has_blanks, has_apostrophes, unbroken = True, False, False, False, 0
    with path.open("rb") as file:
        while block := file.read(_SURVEYED_BYTES):
            if b"\x00" in block:
                raise FileRefusedError("file_binary")
            unbroken = len(block) - 1 - newline if (newline := block.rfind(b"\n")) >= 0 else unbroken + len(block)
            if unbroken > limits.line_mb << 20:
                raise FileRefusedError("line_too_long")
            if is_utf8 and not (block.isascii() and not decoder.getstate()[0]):
                is_utf8, has_blanks = _continues(decoder, block), True  # beyond ASCII there are blanks of many kinds
            has_quotes = has_quotes or b'"' in block
            has_blanks = has_blanks or _is_padded(block)
            has_apostrophes = has_apostrophes or b"'" in block
    return Survey(is_utf8 and _continues(decoder, b"", is_final=True), has_quotes, has_blanks, has_apostrophes)


def _continues(decoder: codecs.IncrementalDecoder, block: bytes, *, is_final: bool = False) -> bool:
    try:
        decoder.decode(block, is_final)
    except UnicodeDecodeError:
        return False
    return True


def _is_padded(block: bytes) -> bool:
    """True where a blank of an ASCII block stands beside anything but a letter or digit (or at the edge of the block)."""
    byte = np.frombuffer(block, np.uint8)
    low = np.flatnonzero(byte <= ord(" "))
    kind = byte[low]
    blank = low[(kind != ord("\n")) & (kind != ord("\r"))]
    if not len(blank):
        return False
    if blank[0] == 0 or blank[-1] == len(byte) - 1:
        return True
    inner = _IS_INNER[byte[blank - 1]] & _IS_INNER[byte[blank + 1]]
    return not inner.all()


def is_encoded(path: Path, encoding: str) -> bool:
    """True when all bytes of a file are of an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
    with path.open("rb") as file:
        return all(_continues(decoder, block) for block in iter(lambda: file.read(_SURVEYED_BYTES), b"")) and _continues(
            decoder, b"", is_final=True
        )


def _open_declared(path: Path, line: bytes, survey: Survey, layouts: tuple[Layout, ...], limits: Limits) -> Header:
    declared = dict.fromkeys(e for layout in layouts for e in layout.encodings if e != "utf-8")
    readable = [encoding for encoding in declared if is_encoded(path, encoding)]
    refused = FileRefusedError("file_encoding_unknown")
    for encoding in readable:
        try:
            found = _open_as(encoding, line, survey, tuple(x for x in layouts if encoding in x.encodings), limits)
            return _prefer_declared(path, line, found, limits)
        except FileRefusedError as error:
            refused = error if error.columns or not refused.columns else refused
    for encoding in readable:
        try:
            _open_as(encoding, line, survey, layouts, limits)
        except FileRefusedError:
            continue
        raise FileRefusedError("file_encoding_unknown")  # a known header, in a code page its layout does not allow
    raise refused


def _prefer_declared(path: Path, line: bytes, found: Header, limits: Limits) -> Header:
    """The same header by the first code page in the layout's own order that it can be read by.

    cp1251 and kz1048 differ in the Kazakh letters only and nearly any bytes are of both: a Russian header does not tell
    them apart, so the order in which the sender's layout declares them does.
    """
    for encoding in found.layout.encodings[: found.layout.encodings.index(found.encoding)]:
        if encoding != "utf-8" and is_encoded(path, encoding):
            try:
                return _open_as(encoding, line, found.survey, (found.layout,), limits)
            except FileRefusedError:
                continue
    return found


def _open_as(encoding: str, line: bytes, survey: Survey, layouts: tuple[Layout, ...], limits: Limits) -> Header:
    text = line.decode(encoding)
    refused = FileRefusedError("layout_unknown")
    for separator in dict.fromkeys(layout.separator for layout in layouts):
        sent = _split_header(text, separator)
        mine = [layout for layout in layouts if layout.separator == separator]
        headers = spell_headers(name_headers(sent), mine)
        if len(headers) < 2:
            continue
        if len(headers) > limits.columns:
            raise FileRefusedError("file_too_wide")
        if len(set(headers)) != len(headers):
            raise FileRefusedError("header_repeated", tuple(sorted({h for h in headers if headers.count(h) > 1})))
        try:
            layout = match_layout(headers, mine)
            return Header(layout, encoding, headers, any(h != h.strip() for h in sent), survey)
        except FileRefusedError as error:
            refused = error if error.columns or not refused.columns else refused
    raise refused


def _split_header(text: str, separator: str) -> tuple[str, ...]:
    import csv as text_csv

    return tuple(next(text_csv.reader(io.StringIO(text), delimiter=separator), []))
