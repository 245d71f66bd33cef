"""The first look at a block of a sheet's XML: by its bytes alone, as a look at every tag would take as long as the reading."""

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
CELLS_OPEN = re.compile(rb"<(?:[^<>\s:]+:)?c[\s/>]")
_REACH = 16
"""How far behind a "<" the first look reads."""


class Look(NamedTuple):
    """A block of a sheet at first sight.

    `is_plain`: every cell and row starts with its own reference, as all spreadsheets write them; `is_near`: plain, and all
    its cells in the first 26 columns and fewer than a million rows; `cells`: how many there are.
    """

    is_plain: bool
    is_near: bool
    has_formulas: bool
    cells: int


def look_at(block: bytes) -> Look:
    """What a first look at a block says."""
    byte = np.frombuffer(block + bytes(_REACH), np.uint8)
    opened = np.flatnonzero(byte[:-_REACH] == ord("<"))
    second = byte[opened + 1]
    cells, rows = opened[second == ord("c")], opened[second == ord("r")]
    is_cell, rows = _says(byte, cells, b'<c r="'), rows[_says(byte, rows, b"<row")]
    colons = np.flatnonzero(byte[:-_REACH] == ord(":"))
    is_plain = (
        bool((is_cell | _says(byte, cells, b"<col")).all())
        and bool(_says(byte, rows, b'<row r="').all())
        and not (byte[colons + 1] == ord("c")).any()
        and not _says(byte, colons, b":row").any()
    )
    if not is_plain:
        return Look(is_plain=False, is_near=False, has_formulas=True, cells=len(CELLS_OPEN.findall(block)))
    cells = cells[is_cell]
    is_digit = (byte[cells + 7] - ord("0")) < 10  # the second sign of the reference: A1, not AA1
    is_short = np.zeros(len(cells), bool)
    for place in range(8, 14):
        is_short |= byte[cells + place] == ord('"')
    return Look(is_plain=True, is_near=bool((is_digit & is_short).all()), has_formulas=bool((second == ord("f")).any()), cells=len(cells))


def _says(byte: Bytes, places: Places, said: bytes) -> Flags:
    """Whether the bytes from each place on are the ones said."""
    found = np.ones(len(places), bool)
    for after, one in enumerate(said):
        found &= byte[places + after] == one
    return found
