"""Delimited text, read as text: the bytes' encoding, the layout by its header, rows in bounded chunks."""

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from pipelines.intake.layout import Layout, list_layouts, match_layout
from pipelines.intake.reading import Chunk, FileRefusedError, Limits, Opened, list_findings

_BLOCK_BYTES = 24 << 20
_LONGEST_HEADER = 1 << 20
_LONGEST_NAME = 80


class Header(NamedTuple):
    """A header that is understood."""

    layout: Layout
    encoding: str
    headers: tuple[str, ...]
    is_padded: bool


def open_file(path: Path, limits: Limits) -> Opened:
    """A file of delimited text. Raises FileRefusedError."""
    header = read_header(path, limits)
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
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in head:
        raise FileRefusedError("file_binary")
    line = head.removeprefix(codecs.BOM_UTF8).splitlines()[0]
    if not is_encoded(path, "utf-8"):
        return _open_declared(path, line, layouts or list_layouts(), limits)
    return _open_as("utf-8", line, layouts or list_layouts(), limits)


def read_chunks(path: Path, opened: Header) -> Iterator[Chunk]:
    """Rows as text in the sender's headers, with `row_no` (header = 1); rows of a wrong width become findings."""
    layout, names = opened.layout, list(opened.headers)
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
            newlines_in_values=_has_quotes(path),
        ),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        ),
    }
    next_no, told = 2, 0
    try:
        for batch in arrow_csv.open_csv(path, **options):
            sent = pl.DataFrame(pl.from_arrow(batch))
            numbers = _number_rows(next_no, len(sent), broken)
            next_no = (numbers[-1] if len(numbers) else next_no - 1) + 1
            rows = sent.with_columns(numbers).filter(~pl.all_horizontal(pl.col(*names).is_null()))
            fresh = dict(list(broken.items())[told:])
            told = len(broken)
            yield Chunk(pl.concat([rows, _keep_broken(fresh, names)]), _note_broken(fresh))
    except pa.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):
            raise FileRefusedError("file_unreadable") from None
    if len(broken) > told:
        fresh = dict(list(broken.items())[told:])
        yield Chunk(_keep_broken(fresh, names), _note_broken(fresh))


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
    """Line numbers of the rows that parsed: consecutive but for the lines that did not."""
    if not broken:
        return pl.Series("row_no", range(first, first + count), dtype=pl.Int64)
    lines = pl.Series("row_no", range(first, first + count + len(broken)), dtype=pl.Int64)
    return lines.filter(~lines.is_in(list(broken))).head(count)


def _keep_broken(broken: dict[int, str], names: list[str]) -> pl.DataFrame:
    """A line of the wrong width is kept whole in the first column, so that the sender gets it back."""
    return pl.DataFrame(
        {names[0]: list(broken.values()), **dict.fromkeys(names[1:], None), "row_no": list(broken)},
        schema={**dict.fromkeys(names, pl.String), "row_no": pl.Int64},
    )


def _note_broken(broken: dict[int, str]) -> pl.DataFrame:
    return list_findings([(number, None, "row_width_differs", "error") for number in broken])


def is_encoded(path: Path, encoding: str) -> bool:
    """True when all bytes of a file are of an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
    try:
        with path.open("rb") as file:
            while block := file.read(8 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _has_quotes(path: Path) -> bool:
    """Only a quoted value may hold a line break; looking for one quote is cheaper than parsing as if there were any."""
    with path.open("rb") as file:
        return any(b'"' in block for block in iter(lambda: file.read(8 << 20), b""))


def _open_declared(path: Path, line: bytes, layouts: tuple[Layout, ...], limits: Limits) -> Header:
    refused: FileRefusedError = FileRefusedError("file_encoding_unknown")
    for encoding in dict.fromkeys(e for layout in layouts for e in layout.encodings if e != "utf-8"):
        if not is_encoded(path, encoding):
            continue
        try:
            return _open_as(encoding, line, tuple(x for x in layouts if encoding in x.encodings), limits)
        except FileRefusedError as error:
            refused = error if error.columns else refused
    raise refused


def _open_as(encoding: str, line: bytes, layouts: tuple[Layout, ...], limits: Limits) -> Header:
    text = line.decode(encoding)
    refused = FileRefusedError("layout_unknown")
    for separator in dict.fromkeys(layout.separator for layout in layouts):
        sent = _split_header(text, separator)
        headers = tuple(h.strip() for h in sent)
        if len(headers) < 2:
            continue
        if len(headers) > limits.columns:
            raise FileRefusedError("file_too_wide")
        if len(set(headers)) != len(headers):
            raise FileRefusedError("header_repeated", tuple(sorted({h for h in headers if headers.count(h) > 1})))
        try:
            layout = match_layout(headers, [x for x in layouts if x.separator == separator])
            return Header(layout, encoding, headers, headers != sent)
        except FileRefusedError as error:
            refused = error if error.columns or not refused.columns else refused
    raise refused


def _split_header(text: str, separator: str) -> tuple[str, ...]:
    import csv as text_csv

    return tuple(next(text_csv.reader(io.StringIO(text), delimiter=separator), []))
