"""How a delimited file is written: its encoding, its separator, and the lines among which its header stands."""

import codecs
import csv as text_csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.intake.heading import DEPTH, choose_refusal, find_table, name_columns
from pipelines.intake.layout import Layout, list_layouts
from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FileRefusedError, HeaderChangedError
from pipelines.intake.survey import UTF16, Survey, is_encoded, survey_bytes, survey_utf16

SEPARATORS = (";", ",", "\t")
_FOREIGN = "|"
"""A separator that no layout asks for and some systems write: it is only named."""
_HEAD_BYTES = 1 << 20
_MOST_NAMED, _LONGEST_NAME = 5, 80


class Header(NamedTuple):
    """A header that is understood: `headers` names every column; `is_padded`: its names had blanks around them.

    `lines`: those of the file up to and with it. `titles`: header -> what a title above says of every row. `said`: what stands in the
    header rows of each column.
    """

    layout: Layout
    encoding: str
    headers: tuple[str, ...]
    is_padded: bool
    survey: Survey
    separator: str = ";"
    lines: int = 1
    titles: Mapping[str, str] = {}
    said: Sequence[frozenset[str]] = ()


def read_header(path: Path, limits: Limits = Limits(), layouts: tuple[Layout, ...] | None = None) -> Header:  # noqa: B008
    """The layout, encoding and separator of a delimited file.

    Order of encodings: byte order mark, then strict UTF-8, then what the layout declares; never a guess (INPUTS, Tables). The
    separator is the layout's; another one is taken where the header split by it is the layout's, with nothing that it does not know.
    The header is the first line, or the first DEPTH lines have it below titles. Raises FileRefusedError.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise FileRefusedError("file_empty")
    if head.startswith(UTF16):
        return _open_as("utf-16", head, survey_utf16(path, limits), layouts or list_layouts(), limits)
    if b"\x00" in head:
        raise FileRefusedError("file_binary")
    survey = survey_bytes(path, limits)
    if not survey.is_utf8:
        return _open_declared(path, head, survey, layouts or list_layouts(), limits)
    return _open_as("utf-8", head.removeprefix(codecs.BOM_UTF8), survey, layouts or list_layouts(), limits)


def name_form(header: Header) -> str:
    """How a file is written where its layout would have it otherwise: its separator, and its encoding if that is UTF-16; else nothing."""
    encoding = header.encoding if header.encoding == "utf-16" else ""
    return header.separator + encoding if encoding or header.separator != header.layout.separator else ""


def _open_declared(path: Path, head: bytes, survey: Survey, layouts: tuple[Layout, ...], limits: Limits) -> Header:
    declared = dict.fromkeys(e for layout in layouts for e in layout.encodings if e != "utf-8")
    readable = [encoding for encoding in declared if is_encoded(path, encoding)]
    refusals = [FileRefusedError("file_encoding_unknown")]
    for encoding in readable:
        try:
            found = _open_as(encoding, head, survey, tuple(x for x in layouts if encoding in x.encodings), limits)
            return _prefer_declared(path, head, found, limits)
        except FileRefusedError as refused:
            refusals.append(refused)
    for encoding in readable:
        try:
            _open_as(encoding, head, survey, layouts, limits)
        except FileRefusedError:
            continue
        raise FileRefusedError("file_encoding_unknown")  # a known header, in a code page its layout does not allow
    raise choose_refusal(refusals[1:] or refusals)


def _prefer_declared(path: Path, head: bytes, found: Header, limits: Limits) -> Header:
    """The same header by the first code page in the layout's own order that it can be read by.

    cp1251 and kz1048 differ in the Kazakh letters only and nearly any bytes are of both: a Russian header does not tell
    them apart, so the order in which the sender's layout declares them does.
    """
    for encoding in found.layout.encodings[: found.layout.encodings.index(found.encoding)]:
        if encoding != "utf-8" and is_encoded(path, encoding):
            try:
                return _open_as(encoding, head, found.survey, (found.layout,), limits)
            except FileRefusedError:
                continue
    return found


def _open_as(encoding: str, head: bytes, survey: Survey, layouts: Sequence[Layout], limits: Limits) -> Header:
    text = head.decode(encoding, errors="ignore")  # all bytes were found to be of it: at most the last letter of the head is cut
    if not text.strip():
        raise FileRefusedError("file_empty")
    refusals: list[FileRefusedError] = []
    for depth in (1, DEPTH):
        for separator in dict.fromkeys([*(layout.separator for layout in layouts), *SEPARATORS]):
            try:
                found = _open_by(separator, _split_rows(text, separator, depth), encoding, survey, layouts, limits)
            except FileRefusedError as refused:
                refusals.append(refused)
                continue
            if depth > 1 or found.layout.headers.issuperset(found.headers):  # nearly always the first line says all
                return found
    nearest = choose_refusal(refusals)
    line = text.lstrip().splitlines()[0]
    if nearest.code == "layout_unknown" and not any(separator in line for separator in SEPARATORS):
        nearest.remark(_tell_separators(_FOREIGN if _FOREIGN in line else "", *SEPARATORS), "separator_asked")
    raise nearest


def _open_by(
    separator: str, rows: list[tuple[list[str], int]], encoding: str, survey: Survey, layouts: Sequence[Layout], limits: Limits
) -> Header:
    cells = [row if len(row) <= limits.columns else [] for row, _ in rows]
    if max(map(len, cells), default=0) < 2:
        raise FileRefusedError("file_too_wide" if any(len(row) > limits.columns for row, _ in rows) else "layout_unknown")
    try:
        table = find_table(cells, layouts)
    except HeaderChangedError as refused:
        raise refused if refused.separator == separator else refused.remark(
            _tell_separators(separator, refused.separator), "separator_asked"
        ) from None
    sent = cells[table.header_row : table.first_row]
    headers = name_columns(table.headers, range(max(map(len, sent))))
    unknown = [header for header in table.headers.values() if header not in table.layout.headers]
    if separator != table.layout.separator and unknown:
        differs = FileRefusedError("separator_differs", known=len(table.headers))
        for header in unknown[:_MOST_NAMED]:
            differs.remark(header[:_LONGEST_NAME], "header_unknown_to_form")
        raise differs.remark(_tell_separators(separator, table.layout.separator), "separator_asked")
    is_padded = any(text != text.strip() for row in sent for text in row)
    said = tuple(table.said.get(place, frozenset()) for place in headers)
    return Header(
        table.layout, encoding, tuple(headers.values()), is_padded, survey, separator, rows[table.first_row - 1][1], table.titles, said
    )


def _split_rows(text: str, separator: str, most: int) -> list[tuple[list[str], int]]:
    """The first rows, each with the line of the file on which it ends."""
    rows: list[tuple[list[str], int]] = []
    reader = text_csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in reader:
            rows.append((row, reader.line_num))
            if len(rows) == most:
                break
    except text_csv.Error:  # a value that is longer than any header: what stands before it is looked at
        pass
    return rows


def _tell_separators(found: str, *asked: str) -> str:
    def show(sign: str) -> str:
        return "Tab" if sign == "\t" else f"«{sign}»" if sign else "–"

    return f"{show(found)} → {' / '.join(map(show, asked))}"


