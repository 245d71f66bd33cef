"""The first look at a block of a sheet's XML: by its bytes alone, as a look at every tag would take as long as the reading.

What it calls plain must be so for the reader too, which takes the last of two references, either case and any prefix.
"""

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
PREFIX = rb"<(?:[^<>\s:]*:)?"
CELL_OPENS, ROW_OPENS = re.compile(PREFIX + rb"c[\s/>]"), re.compile(PREFIX + rb"row[\s/>]")
_EITHER_OPENS = re.compile(PREFIX + rb"(?:c|row)[\s/>]")
_CELL, _ROW, _TEXT = b'<c r="', b'<row r="', b"<is>"
_APART = re.compile(rb"""[\s"']r\s+=""")
_FEW = 2_000
"""So many tags that are neither are looked at one by one: what stands around the rows of a sheet."""
_REACH = 16
"""How far around a sign the first look reads."""
_KNOWN = np.zeros(1 << 16, np.bool_)
"""The two signs, as a number, behind the "<" of tags that are passed over: ends, and what a cell holds."""
for _name in b"vtf":
    for _end in b"> /":
        _KNOWN[(_name << 8) + _end] = True
_KNOWN[(ord("/") << 8) + np.arange(256)] = True
_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)


class Look(NamedTuple):
    """A block of a sheet at first sight.

    `is_plain`: every cell and row starts with its own and only reference, as all spreadsheets write them; `is_near`: plain,
    and all its cells in the first 26 columns and fewer than a million rows; `cells`: how many there are.
    """

    is_plain: bool
    is_near: bool
    has_formulas: bool
    cells: int


def look_at(block: bytes) -> Look:
    """What a first look at a block says."""
    signs = bytes(_REACH) + block + bytes(_REACH)
    byte = np.frombuffer(signs, np.uint8)
    opened = np.flatnonzero(byte == ord("<"))
    second, third = byte[1:].take(opened), byte[2:].take(opened)
    eight = np.ndarray(len(byte) - 7, "<u8", signs, strides=(1,))
    is_known = _KNOWN.take(second.astype(np.uint16) << 8 | third)
    found = {}
    for said in (_CELL, _ROW, _TEXT):
        places = np.flatnonzero(second == said[1])
        mask, number = np.uint64((1 << 8 * len(said)) - 1), np.uint64(int.from_bytes(said, "little"))
        is_known[places] = says = (eight[opened.take(places)] & mask) == number
        found[said] = opened.take(places[says])
    others, cells = opened[~is_known], found[_CELL]
    if (
        len(others) > _FEW
        or any(_EITHER_OPENS.match(signs, place) for place in others.tolist())
        or _count_references(signs, byte) != len(cells) + len(found[_ROW])
    ):
        return Look(is_plain=False, is_near=False, has_formulas=True, cells=len(CELL_OPENS.findall(block)))
    reference = eight[cells + 7]  # from its second sign on
    is_digit = (reference.astype(np.uint8) - ord("0")) < 10  # A1, not AA1
    differs = (reference >> np.uint64(8)) ^ (_ONES * np.uint64(ord('"')))
    is_short = ((differs - _ONES) & ~differs & (_HIGHS >> np.uint64(8 * 2))) != 0  # a quote among six
    return Look(is_plain=True, is_near=bool((is_digit & is_short).all()), has_formulas=bool((second == ord("f")).any()), cells=len(cells))


def _count_references(signs: bytes, byte: Bytes) -> int:
    """How many attributes are an r; -1 where one is written with a blank before its sign."""
    equals = np.flatnonzero(byte == ord("="))
    ahead = byte.take(equals - 1)
    if (ahead <= ord(" ")).any() and _APART.search(signs):
        return -1
    before = byte.take(equals[ahead == ord("r")] - 2)
    return int(np.count_nonzero((before <= ord(" ")) | (before == ord('"')) | (before == ord("'"))))
