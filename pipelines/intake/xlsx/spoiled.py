"""Cells that hold an error, or a formula without a stored value: the reader gives them as blank, and a blank says something else.

They are found in the XML of a sheet while it is checked; a block without a sign of them is not looked at closer.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import polars as pl

from pipelines.intake.refusal import FileRefusedError
from pipelines.intake.xlsx.cells import spread_rows

Spoiled = dict[int, "array[int]"]
"""Column (0 = A) -> rows (0 = the first) of the cells that hold an error or a formula without a value."""
_ERROR_SIGN, _ERROR_KINDS = b"#", (b't="e"', b"t='e'")
"""The texts of errors begin with the first, and little else of a sheet holds it; looking for the others takes longer."""
_NAME = rb"(?:[^<>\s:/]*:)?"
_NO_VALUE = rb"(?:<" + _NAME + rb"v\s*/>|<" + _NAME + rb"v[^<>]*></" + _NAME + rb"v\s*>)?\s*</" + _NAME + rb"c\s*>"
_SHARED = re.compile(rb"<" + _NAME + rb"f\s[^<>]*/>\s*" + _NO_VALUE)
_SHARED_PLAIN = re.compile(rb"<f [^<>]*/>\s*" + _NO_VALUE)
_WRITTEN = re.compile(rb"</" + _NAME + rb"f\s*>\s*" + _NO_VALUE)
_WRITTEN_PLAIN = re.compile(rb"</f>" + _NO_VALUE)
_OPENED = re.compile(rb"<" + _NAME + rb"c(\s[^<>]*)?>")
_IS_ERROR = re.compile(rb"""\bt\s*=\s*["']e["']""")
_IS_TEXT = re.compile(rb"""\bt\s*=\s*["']str["']""")
_REFERENCE = re.compile(rb"""\br\s*=\s*["']\s*([A-Za-z]{1,3})([0-9]{1,7})["']""")
_LONGEST_CELL = 1 << 20


class SpoiledCells:
    """The spoiled cells of one sheet, gathered from its blocks in order; a cell may lie in two blocks."""

    def __init__(self) -> None:
        self.found: Spoiled = {}
        self._open = b""

    def note(self, block: bytes, *, is_plain: bool, has_formulas: bool) -> None:
        """The spoiled cells of a block; `is_plain`: its tags are written as spreadsheets write them.

        Raises FileRefusedError("cells_without_value") for one that does not say where it stands.
        """
        rest, self._open = self._open, _cut_open(block)
        has_error = not is_plain or _ERROR_SIGN in block or _ERROR_SIGN in rest
        has_formulas = has_formulas or not is_plain or b"<f" in rest
        if not has_error and not has_formulas:
            return
        block = rest + block if rest else block
        ends = _list_ends(block, is_plain=is_plain) if has_formulas else []
        if not ends and is_plain and not any(kind in block for kind in _ERROR_KINDS):
            return
        cells = [(cell.start(), cell[1] or b"") for cell in _OPENED.finditer(block)]
        for _, said in cells:
            if _IS_ERROR.search(said):
                self._keep(said)
        starts = [start for start, _ in cells]
        for end in ends:
            place = bisect_left(starts, end)
            said = cells[place - 1][1] if place else b""  # a formula in no cell
            if not _IS_TEXT.search(said):  # a formula may well give an empty text
                self._keep(said)

    def _keep(self, said: bytes) -> None:
        place = _REFERENCE.search(said)
        if place is None or not int(place[2]):
            raise FileRefusedError("cells_without_value")
        column = 0
        for letter in place[1].upper():
            column = column * 26 + letter - 64
        self.found.setdefault(column - 1, array("I")).append(int(place[2]) - 1)


def _list_ends(block: bytes, *, is_plain: bool) -> list[int]:
    """Where formulas end that no value follows."""
    patterns = (_SHARED_PLAIN, _WRITTEN_PLAIN) if is_plain else (_SHARED, _WRITTEN)
    return [end.start() for pattern in patterns for end in pattern.finditer(block)]


def _cut_open(block: bytes) -> bytes:
    """The last cell of a block, if the block ends within it."""
    place = block.rfind(b"<c", max(len(block) - _LONGEST_CELL, 0))
    place = max(place, block.rfind(b":c", max(place, len(block) - _LONGEST_CELL, 0)))
    return b"" if place < 0 or b"c>" in block[place + 2 :] else block[block.rfind(b"<", 0, place + 1) :]


def list_spoiled(
    spoiled: Spoiled, names: Mapping[int, str], areas: Mapping[int, Sequence[tuple[int, int]]], first_row: int, height: int
) -> pl.DataFrame:
    """Row on the sheet (1 = the first) and name of each spoiled cell of a table; a merged one spoils every row it speaks for."""
    found: list[tuple[int, str]] = []
    for column, name in names.items():
        rows = {row for row in spoiled.get(column, ()) if row >= first_row}
        for top, below in spread_rows(areas.get(column, ()), first_row, height) if rows else ():
            if top in rows:
                rows |= set(below)
        found += [(row + 1, name) for row in sorted(rows)]
    return pl.DataFrame(found, schema={"row_no": pl.Int64, "column": pl.String}, orient="row")
