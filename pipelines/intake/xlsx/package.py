"""Is a workbook safe to open? Its parts are streamed once, before any reader unpacks them, and held against the limits."""

import html
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import IO, NamedTuple

from pipelines.intake.reading import Limits
from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.xlsx.extent import (
    CELL_BYTES,
    Extent,
    find_last_filled,
    measure_block,
    measure_exactly,
    measure_texts,
    number_column,
)
from pipelines.intake.xlsx.look import look_at
from pipelines.intake.xlsx.spoiled import Spoiled, SpoiledCells

Merged = list[tuple[int, int, int, int]]

_MERGE = re.compile(rb'<mergeCell [^>]*?ref="([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})"')
_ASCII = (b"utf-8", b"us-ascii", b"ascii", b"iso-8859-", b"windows-12")
"""Encodings in which the patterns below are what they seem."""
_MOST_MERGED = 100_000
_WORKBOOK = "xl/workbook.xml"
_ABOUT = (_WORKBOOK, "xl/_rels/workbook.xml.rels", "_rels/.rels")
_SHEETS = re.compile(r"xl/[a-z]+sheets/(?!_rels/)")
_UNREAD = ("docProps/", "customXml/")
"""Parts that say nothing of the cells; they may be in any encoding."""
_ATTRIBUTE = re.compile(rb'([A-Za-z0-9:]+)\s*=\s*"([^"]*)"')
_BLOCK = 512 << 10
"""So little is asked of the system once and used again; of larger blocks every byte is cleared anew before it is written."""
_RATIO, _RATIO_FROM = 200, 64 << 20
_PREFIXED = re.compile(rb"<([^<>\s:/?!]+:)worksheet[\s>]")
_ASIDE = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>", re.DOTALL)
_MOSTLY = 20
"""A sheet of which fewer than one cell in so many is written down is mostly empty."""
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
    is_packed_otherwise = any(p.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for p in parts)
    if len({_fold(name) for name in names}) != len(parts) or is_packed_otherwise:
        raise FileRefusedError("file_unreadable")
    if any(part.flag_bits & 1 for part in parts):
        raise FileRefusedError("file_encrypted")
    unpacked, packed = sum(p.file_size for p in parts), sum(p.compress_size for p in parts)
    if unpacked > limits.unpacked_mb << 20 or (unpacked > _RATIO_FROM and unpacked > _RATIO * packed):
        raise FileRefusedError("file_unpacks_too_large")
    sheets = [part for part in parts if _SHEETS.match(_fold(part.filename))]
    sizes: Sequence[int] = ()
    about: dict[str, bytes] = {}
    for part in parts:
        if part not in sheets and part.filename.endswith((".xml", ".rels")) and not part.filename.startswith(_UNREAD):
            kept: list[bytes] = []
            with package.open(part) as file:
                blocks = _read_blocks(file)
                found = measure_texts(_keep(blocks, kept) if part.filename in _ABOUT else blocks)
            sizes = [max(both) for both in zip_longest(sizes, found, fillvalue=0)] if sizes and found else sizes or found
            about[part.filename] = b"".join(kept)
    return _name_sheets(about, {_fold(part.filename): _check_sheet(package, part, limits, sizes) for part in sheets})


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


def _fold(name: str) -> str:
    """The name of a part as the reader looks for it, which makes no difference of letters' cases and of strokes."""
    return name.replace("\\", "/").lower()


def _resolve(link: dict[bytes, bytes]) -> str:
    target = _fold(link.get(b"Target", b"").decode())
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
        if cut:
            yield _set_aside(rest + data[:cut])
        rest = data[cut:] if cut else rest + data
        if len(rest) > _BLOCK:
            raise FileRefusedError("file_unreadable")
    if rest:
        yield _set_aside(rest)


def _read_sheet(file: IO[bytes]) -> Iterator[bytes]:
    """The blocks of a sheet without the prefix that some libraries write before every name, which says nothing."""
    prefix = None
    for block in _read_blocks(file):
        if prefix is None:
            found = _PREFIXED.search(block[:8192])
            prefix = found[1] if found else b""
        yield block.replace(b"<" + prefix, b"<").replace(b"</" + prefix, b"</") if prefix else block


def _set_aside(block: bytes) -> bytes:
    """A block with blanks for its comments and for text that is set off from the mark-up: nothing of them is a tag."""
    return _ASIDE.sub(lambda found: b" " * len(found[0]), block) if b"!" in block and b"<!" in block else block


def _keep(blocks: Iterator[bytes], kept: list[bytes]) -> Iterator[bytes]:
    for block in blocks:
        kept.append(block)
        yield block


def _check_sheet(package: zipfile.ZipFile, part: zipfile.ZipInfo, limits: Limits, sizes: Sequence[int]) -> tuple[Merged, Spoiled]:
    """The merged and the spoiled cells of a sheet, if its cells may be read; `sizes`: bytes of each shared text."""
    with package.open(part) as file:
        merged, spoiled, told = _look_through(file, limits)
    most, whole = limits.unpacked_mb << 20, (told.rows + told.unnumbered) * told.columns
    if told.count_bytes(max(sizes, default=0)) > most:
        with package.open(part) as file:
            if measure_exactly(_read_sheet(file), told, sizes) > most:
                raise FileRefusedError("file_unpacks_too_large")
    if whole > _MOSTLY * told.cells and whole * CELL_BYTES > limits.blank_mb << 20:
        with package.open(part) as file:  # one blank in the last row makes the reader hold a million rows
            if find_last_filled(_read_sheet(file)) * 26 * CELL_BYTES > limits.blank_mb << 20:
                raise FileRefusedError("sheet_mostly_empty")
    return merged, spoiled


def _look_through(file: IO[bytes], limits: Limits) -> tuple[Merged, Spoiled, Extent]:
    """The merged and the spoiled cells of a sheet, and what it takes; raises FileRefusedError as soon as a limit is passed."""
    merged: Merged = []
    spoiled = SpoiledCells()
    told = Extent()
    for block in _read_sheet(file):
        look = look_at(block)
        told = told.join(measure_block(block, look, told.rows))
        if told.rows + told.unnumbered > limits.sheet_rows:
            raise FileRefusedError("file_too_long")
        if told.columns > limits.columns:
            raise FileRefusedError("file_too_wide")
        spoiled.note(block, is_plain=look.is_plain, has_formulas=look.has_formulas)
        if b"<mergeCell " in block:
            merged += [
                (int(top) - 1, number_column(left) - 1, int(bottom) - 1, number_column(right) - 1)
                for left, top, right, bottom in _MERGE.findall(block)
            ]
        if len(merged) > _MOST_MERGED:
            raise FileRefusedError("file_unpacks_too_large")
    return merged, spoiled.found, told
