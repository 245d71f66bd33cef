"""How much room a sheet takes once it is read, told from its XML before it is.

The reader (calamine) puts a sheet into one rectangle of 32 bytes a cell, whatever its cells hold, and copies a shared
text into every cell that names it: two cells far apart, or one long text named a million times, would take all memory.
It believes cells more than rows, and of two references of a cell the last.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.xlsx.look import CELL_OPENS, PREFIX, ROW_OPENS, Look, look_at

CELL_BYTES = 32
_NEAR_ROWS = 999_999
_FEWEST_COLUMNS = 26
_LAST_ROW = re.compile(rb'<row r="([0-9]+)"')
_WIDE_CELL = re.compile(rb'<c r="([A-Za-z]{2,})')
_EACH_CELL = re.compile(rb'<c r="[A-Za-z]+([0-9]+)"')
_FILLED_CELL = re.compile(rb'<c r="[A-Za-z]+([0-9]+)"(?:[^<>]*[^/<>])?>')
_QUOTED = rb"""\s*+=\s*+(?:"[^"<>]*+"|'[^'<>]*+')"""
_ATTRIBUTES = rb"""(?=[\s/>])(?:\s*+[^\s=<>"'/]++""" + _QUOTED + rb")*"
_ANY_TAG = re.compile(PREFIX + rb"(?:c|row)" + _ATTRIBUTES + rb"\s*/?>")
_NAMED_CELL = re.compile(PREFIX + rb"c" + _ATTRIBUTES + rb"?\s*r" + _QUOTED)
_NUMBERED_ROW = re.compile(PREFIX + rb"row" + _ATTRIBUTES + rb"?\s*r" + _QUOTED)
_REFERENCE = re.compile(rb"""(?:\s|["'])r\s*+=\s*+["']\s*+([A-Za-z]*+)([0-9]*+)""")
"""Whatever may be the reference of a cell or a row."""
_TEXT_NO = re.compile(rb't="s"[^<>]*>\s*<v>([0-9]{1,9})</v>')
_TEXTS = re.compile(PREFIX + rb"si[\s/>]")
_TEXT_COUNT = re.compile(rb"""\b(?:count|uniqueCount)\s*=\s*["']\s*\+?([0-9]+)""")
_MOST_TEXTS = 50_000_000
"""The reader makes room for as many shared texts, styles or merged cells as are announced (24 bytes each)."""
_TEXT_KIND = re.compile(rb"""["']s["']""")


class Extent(NamedTuple):
    """What a sheet, or a block of one, takes.

    `rows`: as its rows say; `most_rows`: no cell lies below; `unnumbered`: rows that say no number, each one more;
    `columns`: no cell lies further right (26 are always counted); `cells`: how many are written down.
    """

    rows: int = 0
    most_rows: int = 0
    unnumbered: int = 0
    columns: int = _FEWEST_COLUMNS
    cells: int = 0

    def join(self, block: "Extent") -> "Extent":
        """The extent of what is told so far and a further block."""
        return Extent(
            max(self.rows, block.rows), max(self.most_rows, block.most_rows), self.unnumbered + block.unnumbered,
            max(self.columns, block.columns), self.cells + block.cells,
        )  # fmt: skip

    def count_bytes(self, longest_text: int) -> int:
        """What the reader may need at most, if each cell names the longest text."""
        return (self.most_rows + self.unnumbered) * self.columns * CELL_BYTES + self.cells * longest_text


def measure_block(block: bytes, look: Look, rows: int) -> Extent:
    """The extent of a block; `rows`: as many as were told before.

    Raises FileRefusedError("file_unreadable") for a cell or a row whose attributes do not end where its tag does.
    """
    if not look.is_plain:
        return _measure_closely(block, look)
    found = _LAST_ROW.match(block, max(block.rfind(b"<row "), 0))
    last = max(int(found[1][:18]) if found else 0, rows)
    if look.is_near:
        return Extent(last, max(last, _NEAR_ROWS), cells=look.cells)
    columns = max((number_column(letters) for letters in set(_WIDE_CELL.findall(block))), default=_FEWEST_COLUMNS)
    digits = len(str(last))
    if re.search(rb'<c r="[A-Za-z]+[0-9]{%d,}' % (digits + 1), block):
        last = max(last, _find_last(block))
        return Extent(last, last, 0, columns, look.cells)
    return Extent(last, 10**digits - 1, 0, columns, look.cells)


def _measure_closely(block: bytes, look: Look) -> Extent:
    """A block that is not as spreadsheets write it: every tag is looked at."""
    if len(_ANY_TAG.findall(block)) != look.cells + (opened := len(ROW_OPENS.findall(block))):
        raise FileRefusedError("file_unreadable")
    references = set(_REFERENCE.findall(block))
    rows = max((int(number[:18]) for _, number in references if number), default=0)
    columns = max((number_column(letters) for letters, _ in references if letters), default=_FEWEST_COLUMNS)
    if len(_NAMED_CELL.findall(block)) < look.cells:
        columns += max(len(CELL_OPENS.findall(row)) for row in ROW_OPENS.split(block))
    return Extent(rows, rows, opened - len(_NUMBERED_ROW.findall(block)), max(columns, _FEWEST_COLUMNS), look.cells)


def measure_exactly(blocks: Iterator[bytes], told: Extent, sizes: Sequence[int]) -> int:
    """Bytes that a sheet needs, by the number of every cell and of every text it names; `sizes`: bytes of each shared text."""
    rows = copied = 0
    longest = max(sizes, default=0)
    for block in blocks:
        look = look_at(block)
        rows = max(rows, _find_last(block) if look.is_plain else _measure_closely(block, look).rows)
        if longest:
            numbers = [int(number) for number in _TEXT_NO.findall(block)]
            copied += sum(sizes[number] for number in numbers if number < len(sizes))
            copied += longest * (len(_TEXT_KIND.findall(block)) - len(numbers))  # a number in the next block, or said in another way
    return (rows + told.unnumbered) * told.columns * CELL_BYTES + copied


def find_last_filled(blocks: Iterator[bytes]) -> int:
    """The last row of which a cell holds something: one that is only formatted does not."""
    rows = 1
    for block in blocks:
        look = look_at(block)
        last = _find_last(block, _FILLED_CELL) if look.is_plain else _measure_closely(block, look).rows
        rows = max(rows, last)
    return rows


def _find_last(block: bytes, cell: re.Pattern[bytes] = _EACH_CELL) -> int:
    return max((int(number[:18]) for number in set(cell.findall(block))), default=0)


def measure_texts(blocks: Iterator[bytes]) -> "array[int]":
    """Bytes of each shared text of a part, with its mark-up, which errs on the safe side.

    Raises FileRefusedError: file_unpacks_too_large (more texts, or other things, than the reader may make room for),
    file_unreadable.
    """
    sizes = array("I")
    for block in blocks:
        if b"<!" in block:  # a comment over two blocks: what stands in it would be counted
            raise FileRefusedError("file_unreadable")
        if b"ount" in block and any(int(count[:18]) > _MOST_TEXTS for count in _TEXT_COUNT.findall(block)):
            raise FileRefusedError("file_unpacks_too_large")
        is_plain = block.count(b"<si>") == block.count(b"<si") and b":si" not in block
        first, *others = block.split(b"<si>") if is_plain else _TEXTS.split(block)
        if sizes:
            sizes[-1] += len(first)
        sizes.extend(map(len, others))
        if len(sizes) > _MOST_TEXTS:
            raise FileRefusedError("file_unpacks_too_large")
    return sizes


def number_column(letters: bytes) -> int:
    """A = 1."""
    number = 0
    for letter in letters[:6].upper():
        number = number * 26 + letter - 64
    return number
