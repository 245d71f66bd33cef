"""The formulas of a .xls that give an empty text: what a writer stores that did not calculate them.

Imported by old_child alone, in its own process: a damaged file may raise here whatever it likes. The container is [MS-CFB],
the records are [MS-XLS] 2.4.28 BoundSheet8, 2.4.127 Formula.
"""

from collections.abc import Iterator
from struct import unpack_from

_FREE = 0xFFFFFFFA
_SMALL = 4_096
_BOUND_SHEET, _FORMULA, _END = 0x0085, 0x0006, 0x000A
_EMPTY_TEXT = 3


def list_empty_formulas(content: bytes) -> list[set[tuple[int, int]]]:
    """Row and column of each such formula, a set a sheet in the order of the workbook's tabs."""
    stream = _read_workbook(content)
    starts = [unpack_from("<I", body)[0] for kind, body in _list_records(stream, 0) if kind == _BOUND_SHEET]
    return [
        {unpack_from("<HH", body) for kind, body in _list_records(stream, start) if kind == _FORMULA and _is_empty(body)} for start in starts
    ]


def _is_empty(body: bytes) -> bool:
    return body[12:14] == b"\xff\xff" and body[6] == _EMPTY_TEXT


def _list_records(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= len(stream):
        kind, size = unpack_from("<HH", stream, at)
        if kind == _END:
            return
        yield kind, stream[at + 4 : at + 4 + size]
        at += 4 + size


def _read_workbook(content: bytes) -> bytes:
    """The stream of the container that holds the sheets."""
    sector = 1 << unpack_from("<H", content, 30)[0]
    first_folder, _, _, first_small, _, next_table, _ = unpack_from("<IIIIIII", content, 48)
    tables = list(unpack_from("<109I", content, 76))
    while next_table < _FREE:
        more = unpack_from(f"<{sector // 4}I", content, (next_table + 1) * sector)
        tables, next_table = [*tables, *more[:-1]], more[-1]
    after = [n for table in tables if table < _FREE for n in unpack_from(f"<{sector // 4}I", content, (table + 1) * sector)]

    def join(first: int) -> bytes:
        return b"".join(content[(n + 1) * sector : (n + 2) * sector] for n in _follow(first, after))

    folder = join(first_folder)
    entries = [folder[at : at + 128] for at in range(0, len(folder), 128)]
    for entry in entries:
        if entry[:64].decode("utf-16-le").rstrip("\0") in ("Workbook", "Book"):
            first, size = unpack_from("<II", entry, 116)
            if size >= _SMALL:
                return join(first)[:size]
            pieces, small = join(unpack_from("<I", entries[0], 116)[0]), join(first_small)
            chain = _follow(first, list(unpack_from(f"<{len(small) // 4}I", small)))
            return b"".join(pieces[n * 64 : (n + 1) * 64] for n in chain)[:size]
    raise ValueError("no workbook")


def _follow(first: int, after: list[int]) -> list[int]:
    chain: list[int] = []
    while first < _FREE:
        if len(chain) > len(after):
            raise ValueError("a chain without an end")
        chain.append(first)
        first = after[first]
    return chain
