"""Is a workbook safe to open? Its parts are streamed once, before any reader unpacks them, and held against the limits.

The reader (calamine) puts a sheet into one rectangle of 32 bytes a cell, whatever its cells hold, and copies a shared
text into every cell that names it: two cells far apart, or one long text named a million times, would take all memory.
"""

import html
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.xlsx.look import CELLS_OPEN, look_at
from pipelines.intake.xlsx.spoiled import Spoiled, SpoiledCells

Merged = list[tuple[int, int, int, int]]

CELL_BYTES = 32
_MERGE = re.compile(rb'<mergeCell [^>]*?ref="([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})"')
_ASCII = (b"utf-8", b"us-ascii", b"ascii", b"iso-8859-", b"windows-12")
"""Encodings in which the patterns below are what they seem."""
_MOST_MERGED = 100_000
_WORKBOOK = "xl/workbook.xml"
_ABOUT = (_WORKBOOK, "xl/_rels/workbook.xml.rels", "_rels/.rels")
_SHEETS = re.compile(r"xl/[a-z]+sheets/[^/]+\.xml$")
_UNREAD = ("docProps/", "customXml/")
"""Parts that say nothing of the cells; they may be in any encoding."""
_ATTRIBUTE = re.compile(rb'([A-Za-z0-9:]+)\s*=\s*"([^"]*)"')
_BLOCK = 4 << 20
_RATIO, _RATIO_FROM = 200, 64 << 20
_LONG_TEXT = 4_096
_WIDE_CELL = re.compile(rb'<c r="([A-Z]{2,})')
_NEAR_ROWS = 1_000_000
_LAST_ROW = re.compile(rb'<row [^>]*?\br="([0-9]+)"')
_EACH_CELL = re.compile(rb'<c r="[A-Z]+([0-9]+)"')
_ANY_CELL = re.compile(rb"""<(?:[^<>\s:]+:)?c\s[^>]*?\br\s*=\s*["']\s*([A-Za-z]+)""")
_ANY_CELL_ROW = re.compile(rb"""<(?:[^<>\s:]+:)?c\s[^>]*?\br\s*=\s*["']\s*[A-Za-z]+([0-9]+)""")
_ANY_ROW = re.compile(rb"""<(?:[^<>\s:]+:)?row\s[^>]*?\br\s*=\s*["']([0-9]+)""")
_ROWS_OPEN = re.compile(rb"<(?:[^<>\s:]+:)?row[\s/>]")
_FILLED_CELL = re.compile(rb'<c r="[A-Z]+([0-9]+)"(?:[^<>]*[^/<>])?>')
_MOSTLY = 20
"""A sheet of which fewer than one cell in so many is written down is mostly empty."""
_TEXT_NO = re.compile(rb't="s"[^>]*>\s*<v>([0-9]+)</v>')
_TEXTS = re.compile(rb"<(?:[^<>\s:/]+:)?si[\s/>]")
_TEXT_COUNT = re.compile(rb"""\b(?:count|uniqueCount)\s*=\s*["']\s*\+?([0-9]+)""")
_MOST_TEXTS = 50_000_000
"""The reader makes room for as many shared texts, styles or merged cells as are announced (24 bytes each)."""
_FOREIGN = re.compile(rb"<!DOCTYPE|<!ENTITY")
_DECLARED = re.compile(rb"""^[^<]*<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9_-]+)""")


class Package(NamedTuple):
    """A workbook that may be opened: whether it counts days from 1904, and by sheet its merged and its spoiled cells."""

    is_1904: bool
    merged: dict[str, Merged]
    spoiled: dict[str, Spoiled]


def check_package(path: Path, limits: Limits) -> Package:
    """What a workbook's parts say; raises FileRefusedError for what must not be opened.

    format_not_supported (no workbook), file_encrypted, file_unreadable, file_unpacks_too_large, xml_entities,
    file_too_wide, file_too_long, cells_without_value (where they do not say where they stand).
    """
    try:
        with zipfile.ZipFile(path) as package:
            return _check_parts(package, limits)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, ValueError, OSError):
        raise FileRefusedError("file_unreadable") from None


def _check_parts(package: zipfile.ZipFile, limits: Limits) -> Package:
    parts = package.infolist()
    names = {part.filename for part in parts}
    if _WORKBOOK not in names:
        raise FileRefusedError("format_not_supported")
    if len(names) != len(parts) or any(p.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for p in parts):
        raise FileRefusedError("file_unreadable")
    if any(part.flag_bits & 1 for part in parts):
        raise FileRefusedError("file_encrypted")
    unpacked, packed = sum(p.file_size for p in parts), sum(p.compress_size for p in parts)
    if unpacked > limits.unpacked_mb << 20 or (unpacked > _RATIO_FROM and unpacked > _RATIO * packed):
        raise FileRefusedError("file_unpacks_too_large")
    sheets = [part for part in parts if _SHEETS.match(part.filename)]
    long_texts: dict[int, int] = {}
    about: dict[str, bytes] = {}
    for part in parts:
        if part not in sheets and part.filename.endswith((".xml", ".rels")) and not part.filename.startswith(_UNREAD):
            with package.open(part) as file:
                kept: list[bytes] | None = [] if part.filename in _ABOUT else None
                long_texts |= _measure_texts(_read_blocks(file), kept)
                about[part.filename] = b"".join(kept or [])
    found: dict[str, tuple[Merged, Spoiled]] = {}
    for part in sheets:
        with package.open(part) as file:
            found[part.filename], blank = _check_sheet(file, limits, long_texts)
        if blank * CELL_BYTES > limits.blank_mb << 20:
            with package.open(part) as file:
                _check_far(file, limits)
    return _name_sheets(about, found)


def _name_sheets(about: dict[str, bytes], found: dict[str, tuple[Merged, Spoiled]]) -> Package:
    """Sheets by name; a workbook that keeps its sheets where they are not looked for is refused."""
    workbook, links, roots = (about.get(name, b"") for name in _ABOUT)
    targets = {told.get(b"Id", b""): _resolve(told) for told in _read_tags(links, b"Relationship")}
    kinds = [(told.get(b"Type", b""), _resolve(told)) for told in _read_tags(links, b"Relationship")]
    root = [
        told.get(b"Target", b"").decode().removeprefix("/")
        for told in _read_tags(roots, b"Relationship")
        if told.get(b"Type", b"").endswith(b"/officeDocument")
    ]
    if root != [_WORKBOOK] or any(kind.endswith(b"sheet") and not _SHEETS.match(target) for kind, target in kinds):
        raise FileRefusedError("file_unreadable")
    sheets = {
        html.unescape(told.get(b"name", b"").decode()): found.get(targets.get(told.get(b"r:id", b""), ""), ([], {}))
        for told in _read_tags(workbook, b"sheet")
    }
    is_1904 = bool(re.search(rb'date1904\s*=\s*"(?:1|true)"', workbook))
    return Package(is_1904, {name: merged for name, (merged, _) in sheets.items()}, {name: cells for name, (_, cells) in sheets.items()})


def _resolve(link: dict[bytes, bytes]) -> str:
    target = link.get(b"Target", b"").decode()
    return target[1:] if target.startswith("/") else "xl/" + target.removeprefix("./")


def _read_tags(part: bytes, tag: bytes) -> list[dict[bytes, bytes]]:
    """The attributes of every tag of a name."""
    return [dict(_ATTRIBUTE.findall(found)) for found in re.findall(b"<" + tag + rb"\s([^>]*)", part)]


def _read_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The bytes of an XML part in blocks that end at a tag's end; what a spreadsheet never has is refused."""
    rest, is_first = b"", True
    while data := file.read(_BLOCK):
        if is_first:
            declared = _DECLARED.match(data[:200])
            if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (declared and not declared[1].lower().startswith(_ASCII)):
                raise FileRefusedError("file_unreadable")
            if _FOREIGN.search(data[:8192]):
                raise FileRefusedError("xml_entities")
            is_first = False
        cut = data.rfind(b">") + 1
        yield rest + data[:cut]
        rest = data[cut:]
        if len(rest) > _BLOCK:
            raise FileRefusedError("file_unreadable")
    if rest:
        yield rest


def _measure_texts(blocks: Iterator[bytes], kept: list[bytes] | None) -> dict[int, int]:
    """Shared texts that are long: number -> bytes. A text is counted with its mark-up, which errs on the safe side.

    The blocks are added to `kept`, where it is given.
    """
    found: dict[int, int] = {}
    number, size = -1, 0
    for block in blocks:
        if kept is not None:
            kept.append(block)
        is_plain = block.count(b"<si>") == block.count(b"<si") and b":si" not in block
        first, *others = block.split(b"<si>") if is_plain else _TEXTS.split(block)
        if any(int(count[:18]) > _MOST_TEXTS for count in _TEXT_COUNT.findall(first)):
            raise FileRefusedError("file_unpacks_too_large")
        size += len(first)
        if others:
            sizes = [size, *map(len, others)]
            if max(sizes) > _LONG_TEXT:
                found |= {number + i: s for i, s in enumerate(sizes) if s > _LONG_TEXT and number + i >= 0}
            number, size = number + len(others), sizes[-1]
    if size > _LONG_TEXT and number >= 0:
        found[number] = size
    return found


def _check_far(file: IO[bytes], limits: Limits) -> None:
    """Raises FileRefusedError("sheet_mostly_empty") where it is cells that hold something which make a sheet so high.

    One blank in the last row of a sheet makes the reader hold a million rows; cells that are only formatted do not.
    """
    rows = 1
    for block in _read_blocks(file):
        is_plain = look_at(block).is_plain
        told = _FILLED_CELL.findall(block)[-1:] if is_plain else _ANY_CELL_ROW.findall(block)
        rows = max([rows, *(int(n[:18]) for n in told)])  # a block may hold no cell at all
    if rows * 26 * CELL_BYTES > limits.blank_mb << 20:
        raise FileRefusedError("sheet_mostly_empty")


def _check_sheet(file: IO[bytes], limits: Limits, long_texts: dict[int, int]) -> tuple[tuple[Merged, Spoiled], int]:
    """The merged and the spoiled cells of a sheet, if its cells may be read; and its blank cells, where nearly all are."""
    merged: Merged = []
    spoiled = SpoiledCells()
    rows = unnumbered = columns = copied = filled = 0
    most = limits.unpacked_mb << 20
    for block in _read_blocks(file):
        is_plain, is_near, has_formulas, cells = look_at(block)
        filled += cells
        columns = max(columns, 26 if is_near else _count_columns(block, is_plain=is_plain))
        room = most // (columns * CELL_BYTES)
        rows = max(rows, _last_row(block, max(rows, 1), room, is_plain=is_plain, is_near=is_near))
        unnumbered += 0 if is_plain else max(len(_ROWS_OPEN.findall(block)) - len(_ANY_ROW.findall(block)), 0)
        if long_texts:
            copied += sum(long_texts.get(int(no), 0) for no in _TEXT_NO.findall(block))
        if rows + unnumbered > limits.sheet_rows:
            raise FileRefusedError("file_too_long")
        if columns > limits.columns:
            raise FileRefusedError("file_too_wide")
        if (rows + unnumbered) * columns * CELL_BYTES + copied > most:
            raise FileRefusedError("file_unpacks_too_large")
        spoiled.note(block, is_plain=is_plain, has_formulas=has_formulas)
        if b"<mergeCell " in block:
            merged += [
                (int(top) - 1, _number_column(left) - 1, int(bottom) - 1, _number_column(right) - 1)
                for left, top, right, bottom in _MERGE.findall(block)
            ]
        if len(merged) > _MOST_MERGED:
            raise FileRefusedError("file_unpacks_too_large")
    whole = (rows + unnumbered) * columns
    return (merged, spoiled.found), whole if whole > _MOSTLY * filled else 0


def _last_row(block: bytes, before: int, room: int, *, is_plain: bool, is_near: bool) -> int:
    """The greatest row of a block, or fewer than `room` in any case: cells and rows may disagree, the reader believes cells.

    Where no cell's row has more digits than the last row's, and even the greatest number of so many digits has room, no cell
    is looked at closer.
    """
    if not is_plain:
        numbers = [*_ANY_ROW.findall(block), *_ANY_CELL_ROW.findall(block)]
        return max((int(n[:18]) for n in numbers), default=0)
    found = _LAST_ROW.match(block, max(block.rfind(b"<row "), 0))
    last = max(int(found[1]) if found else 0, before)
    digits = len(str(last))
    if is_near and room >= _NEAR_ROWS:
        return last
    if 10**digits <= room and not re.search(rb'<c r="[A-Z]+[0-9]{%d,}' % (digits + 1), block):
        return last
    return max((int(n[:18]) for n in set(_EACH_CELL.findall(block))), default=last)


def _count_columns(block: bytes, *, is_plain: bool) -> int:
    """The greatest column of a block; one letter is not looked at closer (26 columns are always few)."""
    if is_plain:
        return max((_number_column(letters) for letters in set(_WIDE_CELL.findall(block))), default=26)
    named = max((_number_column(letters.upper()) for letters in set(_ANY_CELL.findall(block))), default=26)
    if len(_ANY_CELL.findall(block)) == len(CELLS_OPEN.findall(block)):
        return named
    return named + max(len(CELLS_OPEN.findall(row)) for row in _ROWS_OPEN.split(block))


def _number_column(letters: bytes) -> int:
    number = 0
    for letter in letters[:6]:
        number = number * 26 + letter - 64
    return number
